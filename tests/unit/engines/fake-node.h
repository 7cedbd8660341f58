/* A node made of arithmetic: its "model" is a hash of the path, so every answer has one right text that a test can
 * compute, and its faults come by chance from a seed.  The same paths run against the real node in tests/e2e. */
#ifndef FAKE_NODE_H
#define FAKE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

enum { FAKE_EOG = 2, FAKE_VOCAB = 640 };

#define FAKE_PRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define FAKE_OTHER_PRINT "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

struct fake_node {
    struct event_base *base;
    struct httpd *http;
    int port;
    uint32_t random;        /* state of its chance */
    unsigned agreement;     /* drafts: per cent of tokens that are the target's */
    unsigned half;          /* drafts: 1 or 2: that, but only in every other eight tokens of a path; 0: in all */
    int branches;           /* that a verify takes; 0: it knows none */
    unsigned fault_percent; /* of draft, verify and generate calls that go wrong */
    bool mute;              /* never answers draft, verify or generate */
    bool long_answers;      /* never ends by itself */
    struct httpd_request *held[64]; /* what it is mute about; answered at the end */
    size_t n_held;
    int n_ctx;
    const char *fingerprint;
    int next_session;
    struct {
        int32_t path[4096];
        size_t n;
        int id;
    } session[64];
    unsigned drafts, verifies, generates, drafted, accepted, closed;
    unsigned branched;     /* verifies with branches */
    unsigned most_checked; /* different tokens that one of them had */
};

void fake_node_start(struct fake_node *f, struct event_base *base, uint32_t seed);
void fake_node_stop(struct fake_node *f);
/* The token that the target draws after path. */
int32_t fake_next(const struct fake_node *f, const int32_t *path, size_t n);
/* The text of a token (static storage of 8 rotating buffers). */
const char *fake_piece(int32_t token);

#endif
