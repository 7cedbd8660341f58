/* Parsers for streamed bodies: server-sent events and newline-delimited JSON. */
#ifndef TIGHTWAD_HTTP_LINES_H
#define TIGHTWAD_HTTP_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* LINES_SSE: one call per event with its data (lines joined by a newline; comments and ids are skipped).
 * LINES_NDJSON: one call per non-empty line. */
enum lines_kind { LINES_SSE, LINES_NDJSON };

struct lines;
typedef void lines_cb(void *arg, const char *data, size_t len); /* NUL-terminated */

struct lines *lines_create(enum lines_kind kind, size_t max_line, lines_cb *fn, void *arg);
void lines_destroy(struct lines *l);
/* False when a line or event is over max_line: the parser is of no more use then. CR, LF and CRLF all end lines. */
bool lines_feed(struct lines *l, const char *data, size_t len);
/* Inside the callback, LINES_SSE: the name of the event, "" none; cut at 31 bytes. */
const char *lines_event(const struct lines *l);
void lines_end(struct lines *l); /* end of the body: a last NDJSON line without a newline is given */

#endif
