/* What the dashboard shows beyond the snapshot: the newest answer as it grows, by who wrote it, and the newest rounds.
 * It holds the text of answers, so it goes only to this instance's own terminal and to those who may give commands. */
#ifndef TIGHTWAD_ENGINES_LIVE_H
#define TIGHTWAD_ENGINES_LIVE_H

#include <stddef.h>
#include <stdint.h>

enum {
    LIVE_TEXT = 4096,   /* bytes of the answer that are kept: the newest */
    LIVE_PIECES = 1024, /* runs of one writer in it */
    LIVE_ROUNDS = 128,  /* newest rounds */
};

enum live_writer { LIVE_TARGET, LIVE_DRAFTER, LIVE_QUOTE };

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
    float draft_ms, verify_ms, wait_ms, round_ms, predicted_ms;
};

struct live {
    uint64_t request;     /* the newest answer that has text; 0: none yet */
    char text[LIVE_TEXT]; /* valid UTF-8 from its first byte on; not terminated */
    size_t n_text;        /* bytes */
    struct live_piece piece[LIVE_PIECES];
    size_t n_pieces;                      /* together n_text bytes */
    struct live_round round[LIVE_ROUNDS]; /* oldest first */
    size_t n_rounds;
    uint64_t rounds_seen; /* of all: what is new in the ring follows from the difference */
};

#endif
