/* GET /v1/tightwad/events: server-sent events, `event: snapshot` after each tick (the object of /v1/tightwad/status)
 * and `event: round` after each round.  ?rounds=0 leaves the rounds out.  ?live=1 adds `event: live` before the
 * snapshot of each tick that has news of it (live-json.h): it holds the text of answers, so only those who may command
 * get it. */
#ifndef TIGHTWAD_API_EVENTS_H
#define TIGHTWAD_API_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "api/control.h"
#include "engines/proxy.h"
#include "http/httpd.h"

enum {
    EVENTS_READERS = 64,        /* at once; one more gets 503 */
    EVENTS_BACKLOG = 64 * 1024, /* bytes unread by a reader from which on it is given nothing: it misses ticks */
};

struct events;

/* guard: says who may command; read at each request, must outlive the events. */
struct events *events_create(struct event_base *base, struct proxy *p, const struct control *guard);
void events_destroy(struct events *e); /* ends every stream; NULL is fine */
void events_route(struct events *e, struct httpd *h);
void events_close(struct events *e); /* ends every stream and refuses new ones: 503 */

struct events_counters {
    size_t readers;   /* now */
    uint64_t skipped; /* events that were not given to a slow reader */
};
void events_get_counters(const struct events *e, struct events_counters *out);

#endif
