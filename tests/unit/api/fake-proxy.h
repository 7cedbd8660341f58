/* A test double of the proxy: answers by script, so that the endpoints can be tested to the letter, and at their
 * borders (slow clients, errors at any point), without servers behind them. */
#ifndef TIGHTWAD_TEST_FAKE_PROXY_H
#define TIGHTWAD_TEST_FAKE_PROXY_H

#include "engines/proxy.h"

struct fake_script {
    const char *const *pieces; /* NULL-terminated; one on_text each, one a loop turn */
    size_t repeat;             /* 0: pieces once; else how many pieces of `bulk` bytes to write instead */
    size_t bulk;
    bool hang;       /* never gives anything */
    int error_after; /* -1: none; else on_error after so many pieces */
    int error_status;
    enum answer_finish finish;
    int refuse_status; /* 0: taken */
    const char *refuse_message;
    int waits; /* calls of on_wait before the first piece */
    enum proxy_mode mode;
    const char *outcome, *agent; /* NULL: none; known from the first piece on */
};

struct proxy {
    struct event_base *base;
    struct fake_script script;
    struct snapshot snapshot;
    struct live live;
    struct proxy_listener *listeners;
    char listen[128];
    char model_asked[128];
    size_t submitted, cancelled, resumed, paused, pieces_given, open;
    bool draining;
    void (*on_drained)(void *arg);
    void *on_drained_arg;
};

struct proxy *fake_proxy_create(struct event_base *base);
void fake_proxy_destroy(struct proxy *p);
void fake_proxy_tick(struct proxy *p); /* tick++ and tells the listeners */
void fake_proxy_round(struct proxy *p, const struct snapshot_round *r);
/* Ends the command `wait`; false: nobody waits for it (any more). */
bool fake_command_end(void);
bool fake_command_waits(void);

#endif
