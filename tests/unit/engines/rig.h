/* A proxy on a loop of its own, with a fake target, a fake drafter and clients that collect what they get. */
#ifndef RIG_H
#define RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "engines/proxy.h"
#include "fake-node.h"

struct client {
    struct rig *rig;
    struct proxy_answer *answer;
    struct buf text;
    int32_t tokens[4096];
    size_t n_tokens, n_drafted;
    enum answer_finish finish;
    struct oai_usage usage;
    int status; /* of an error; 0: none */
    bool over;
    int pause_after; /* pauses once after so many calls of on_text; 0: never */
    int calls;
    bool cancel_after_first;
};

struct rig {
    struct event_base *base;
    struct httpc *http;
    struct proxy *proxy;
    struct fake_node target, draft;
    struct config cfg;
    struct config_server drafter;
    char target_url[64], draft_url[64];
    size_t open; /* clients that are not over */
};

/* yaml-free: cap tokens a draft, waits in milliseconds. */
void rig_start(struct rig *r, uint32_t seed, int64_t cap);
void rig_stop(struct rig *r);
/* Turns the governor and drafting ahead on or off; both are off at the start. */
void rig_govern(struct rig *r, bool governor, bool ahead);
/* Runs the loop until every client is over, or fails the test after some seconds. */
void rig_run(struct rig *r);
/* Sends a chat whose prompt is text; json: further members of the request, "" none. */
void rig_ask(struct rig *r, struct client *c, const char *text, const char *json);
/* The answer that the target alone would give: tokens with the end token; returns how many. */
size_t rig_right(const struct rig *r, const char *text, size_t max_tokens, int32_t *out);

#endif
