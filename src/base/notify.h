/* What a service manager is told (the protocol of sd_notify(3)): datagrams to the socket that $NOTIFY_SOCKET names.
 * Without that variable nothing is sent, and everything here may be called all the same. */
#ifndef TIGHTWAD_BASE_NOTIFY_H
#define TIGHTWAD_BASE_NOTIFY_H

#include <event2/event.h>

struct notify;

/* Takes NOTIFY_SOCKET (a path, or @NAME of an abstract socket), WATCHDOG_USEC and WATCHDOG_PID out of the environment,
 * so that no child answers in its place.  Where a watchdog is asked for, it is told on the loop, at half its time. */
struct notify *notify_create(struct event_base *base);
void notify_destroy(struct notify *n); /* NULL is fine, here and below */

void notify_ready(struct notify *n);     /* the start is over, or a reload */
void notify_reloading(struct notify *n); /* notify_ready follows */
void notify_stopping(struct notify *n);
/* One line of words, sent when it is another than the last. */
void notify_status(struct notify *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
