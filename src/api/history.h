/* GET /v1/tightwad/history: what the last ten minutes looked like, one sample a second. */
#ifndef TIGHTWAD_API_HISTORY_H
#define TIGHTWAD_API_HISTORY_H

#include <jansson.h>

#include "engines/proxy.h"
#include "http/httpd.h"

enum { HISTORY_SAMPLES = 600 };

struct history;

struct history *history_create(struct proxy *p);
void history_destroy(struct history *h); /* NULL is fine */
void history_route(struct history *h, struct httpd *server);

/* One array per quantity, oldest first: "wall_ms" (end of the second), "acceptance" (0..1, null when nothing was
 * drafted in that second), "tokens_per_second", "rounds" (in that second), "running" (requests at its end).  New
 * reference. */
json_t *history_json(const struct history *h);

#endif
