/* Between the loop and the thread that draws: pictures of the state one way, orders the other way, and nothing else.
 *
 * The loop's side never blocks and never waits for the drawing thread: a picture that was not taken is replaced by the
 * next one, orders lie in a list with a cap.  The same feed is filled by a running instance (from its own snapshot) and
 * by `tightwad --attach` (from the event stream of another one): the dashboard cannot tell the difference. */
#ifndef TIGHTWAD_UI_FEED_H
#define TIGHTWAD_UI_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>

#include "engines/live.h"
#include "engines/snapshot.h"

enum {
    FEED_ORDERS = 64, /* waiting at once; one more is refused */
};

struct feed;

/* What the drawing thread takes: a copy of its own. */
struct feed_picture {
    struct snapshot snapshot;
    struct live live;
    bool have;            /* there has been a snapshot */
    bool connected;       /* false: --attach has lost the instance, and shows its last picture */
    char connection[160]; /* where it comes from, or why it does not: "127.0.0.1:8088", "no answer from …: again in 2 s"
                           */
    int64_t taken_us;     /* clock_us of its arrival */
};

/* An order as the drawing thread gave it, called on the loop.  request: {"command":…}, a new reference that the callee
 * owns.  It answers by feed_answer, at once or later. */
typedef void feed_order_cb(void *arg, uint64_t id, json_t *request);

/* The drawing thread wants to end: called on the loop, once.  stop: the engines are to be stopped too. */
typedef void feed_quit_cb(void *arg, bool stop);

struct feed_hooks {
    feed_order_cb *order;
    feed_quit_cb *quit;
    void *arg;
};

/* ---- the loop's side ---- */
struct feed *feed_create(struct event_base *base, const struct feed_hooks *hooks);
void feed_destroy(struct feed *f); /* after the drawing thread has ended or was given up (then it leaks the feed) */
void feed_publish(struct feed *f, const struct snapshot *s, const struct live *live); /* copied; live may be NULL */
void feed_connection(struct feed *f, bool connected, const char *text);
/* reply: stolen; NULL: it failed, and why. */
void feed_answer(struct feed *f, uint64_t id, json_t *reply, const char *why);
void feed_close(struct feed *f); /* the drawing thread is to restore the terminal and end */

/* ---- the drawing thread's side ---- */
int feed_fd(const struct feed *f); /* readable when there is news */
/* True when there is a newer picture than the one in *p; then it is copied. */
bool feed_take(struct feed *f, struct feed_picture *p);
/* The oldest answer that was not taken: true, and *reply (owned) or *why (owned). */
bool feed_take_answer(struct feed *f, uint64_t *id, json_t **reply, char **why);
/* request: stolen.  Its id, or 0: too many are waiting. */
uint64_t feed_order(struct feed *f, json_t *request);
void feed_quit(struct feed *f, bool stop);
bool feed_closed(struct feed *f);

#endif
