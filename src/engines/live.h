/* What the dashboard shows beyond the snapshot: the newest answer as it grows, by who wrote it, and the newest rounds.
 * It holds the text of answers, so it goes only to this instance's own terminal and to those who may give commands. */
#ifndef TIGHTWAD_ENGINES_LIVE_H
#define TIGHTWAD_ENGINES_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LIVE_TEXT = 4096,   /* bytes of the answer that are kept: the newest */
    LIVE_PIECES = 1024, /* runs of one writer in it */
    LIVE_ROUNDS = 128,  /* newest rounds */
};

enum live_writer { LIVE_TARGET, LIVE_DRAFTER, LIVE_QUOTE, LIVE_AGENT };

/* Neighbouring tokens of one writer. */
struct live_piece {
    uint16_t length; /* bytes */
    uint8_t writer;  /* enum live_writer */
    uint8_t drafter; /* index in snapshot.backend of the drafter that wrote it; 0: none */
};

struct live_round {
    uint64_t request, round;
    uint8_t drafter; /* index in snapshot.backend, 0 none */
    uint16_t drafted, accepted, emitted;
    float draft_ms, verify_ms, wait_ms, round_ms, predicted_ms; /* NAN unknown */
};

struct live {
    uint64_t request;     /* the newest answer that has text; 0: none yet */
    char text[LIVE_TEXT]; /* valid UTF-8 from its first byte on; not terminated */
    size_t n_text;        /* bytes */
    uint64_t text_seen;   /* bytes of that answer, those that are not kept any more too */
    struct live_piece piece[LIVE_PIECES];
    size_t n_pieces;                      /* together n_text bytes; none ends inside a character */
    struct live_round round[LIVE_ROUNDS]; /* oldest first */
    size_t n_rounds;
    uint64_t rounds_seen; /* of all: what is new in the ring follows from the difference */
};

/* Another answer from now on: its text so far is empty. */
void live_restart(struct live *l, uint64_t request);

/* Adds text (valid UTF-8); what is oldest gives way. */
void live_add_text(struct live *l, const char *text, size_t len, enum live_writer writer, uint8_t drafter);
void live_add_round(struct live *l, const struct live_round *r);

/* The drafter with this index is no more: those after it move up by one. */
void live_drop_drafter(struct live *l, uint8_t drafter);

enum {
    LIVE_DUE = 64,             /* writers whose text has not come yet */
    LIVE_REST_US = 2 * 1000000 /* an answer that has ended is shown for this long before an older one that goes on */
};

/* Fills a struct live from answers whose text lags behind their tokens: a stop string may begin, a character may not be
 * whole.  Zeroed: nothing has come yet. */
struct live_recorder {
    struct live live;
    struct live_piece due[LIVE_DUE];
    size_t n_due;
    int64_t ended_us; /* when the answer shown ended, 0: it goes on */
};

/* Whether the answer's text is the one to show (now_us: clock_us): asked before the others below. */
bool live_recorder_wants(struct live_recorder *r, uint64_t request, int64_t now_us);
/* A token of len bytes, of that answer. */
void live_recorder_token(struct live_recorder *r, size_t len, enum live_writer writer, uint8_t drafter);
/* Its text, as far as it may be shown; what no token accounts for is the writer's. */
void live_recorder_text(struct live_recorder *r, const char *text, size_t len, enum live_writer writer,
                        uint8_t drafter);
void live_recorder_end(struct live_recorder *r, uint64_t request, int64_t now_us);

#endif
