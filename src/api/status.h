/* GET /health and GET /v1/tightwad/status: the snapshot as JSON. */
#ifndef TIGHTWAD_API_STATUS_H
#define TIGHTWAD_API_STATUS_H

#include <jansson.h>

#include "engines/proxy.h"
#include "engines/snapshot.h"
#include "http/httpd.h"

/* Every field of the snapshot under its own name; backend[], request[] and log[] as the arrays "backends", "requests"
 * and "log"; enums as words.  What is unknown (NAN, -1 in a measurement, an empty name) is null, never 0.  A cap of
 * CONFIG_AUTO is "auto".  New reference. */
json_t *snapshot_to_json(const struct snapshot *s);

/* draining: read at each request; when true, /health answers 503. */
struct status {
    struct proxy *proxy;
    const bool *draining;
};

/* s must outlive h.  /health is public: 200 {"status":"ok"} when the target is up, else 503 and what is missing. */
void status_route(const struct status *s, struct httpd *h);

#endif
