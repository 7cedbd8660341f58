/* A server on the test's own loop that plays a script: what it answers to each request, whole, in pieces, broken off,
 * or never; and that remembers what it was asked. */
#ifndef TIGHTWAD_TESTS_FAKE_H
#define TIGHTWAD_TESTS_FAKE_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

struct fake;

struct fake *fake_create(struct event_base *base);
void fake_destroy(struct fake *f);
const char *fake_url(const struct fake *f);

/* key: "GET /path" or "POST /path".  Each is used once, in the order given; what is asked and not scripted is a 404.
 * With always it stays. */
void fake_reply(struct fake *f, const char *key, int status, const char *body);
void fake_always(struct fake *f, const char *key, int status, const char *body);
/* These bytes and nothing else; then the connection is closed, or kept open and silent. */
void fake_raw(struct fake *f, const char *key, const char *bytes, size_t len, bool close);
void fake_hang(struct fake *f, const char *key);
/* A chunked reply, each part sent by itself a little after the one before.  ends: a proper end, else the connection is
 * closed in the middle. */
void fake_stream(struct fake *f, const char *key, const char *type, const char *const *parts, size_t n, bool ends);

size_t fake_count(const struct fake *f, const char *key);               /* requests so far */
const char *fake_body(const struct fake *f, const char *key, size_t i); /* of the i-th such request; NULL: none */
const char *fake_head(const struct fake *f, const char *key, size_t i);
size_t fake_open(const struct fake *f); /* connections open now */

/* Runs the loop until *flag is set, or fails the test after 10 s. */
void loop_until(struct event_base *base, const bool *flag);
/* Runs the loop for that long. */
void loop_for(struct event_base *base, int ms);
/* Runs the loop until no connection of f is open, or fails the test after 10 s. */
void loop_until_closed(struct event_base *base, const struct fake *f);

#endif
