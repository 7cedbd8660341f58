/* POST /v1/chat/completions, POST /v1/completions, GET /v1/models: the proxy in OpenAI's words. */
#ifndef TIGHTWAD_API_OPENAI_ENDPOINTS_H
#define TIGHTWAD_API_OPENAI_ENDPOINTS_H

#include <stddef.h>

#include <event2/event.h>

#include "engines/proxy.h"
#include "http/httpd.h"
#include "http/openai.h"

struct endpoints;

struct endpoints *endpoints_create(struct event_base *base, struct proxy *p, const struct oai_limits *limits);
/* Open requests are answered with 503 (an error event where the text had begun).  Before httpd_destroy.  NULL is fine.
 */
void endpoints_destroy(struct endpoints *e);
void endpoints_set_limits(struct endpoints *e, const struct oai_limits *limits);
/* With the header `x-tightwad-detail: 1` each streamed chunk also tells who wrote what: "tightwad":{"pieces":[["text",
 * 1],…]}, 1 for a drafted token and 0 for one of the target's own; a piece that is not UTF-8 is an array of bytes. */
void endpoints_route(struct endpoints *e, struct httpd *h);
size_t endpoints_open(const struct endpoints *e); /* requests that have no complete reply yet */

#endif
