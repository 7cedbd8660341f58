/* GET /health and GET /v1/tightwad/status: the snapshot as JSON. */
#ifndef TIGHTWAD_API_STATUS_H
#define TIGHTWAD_API_STATUS_H

#include <stdbool.h>

#include "engines/proxy.h"
#include "http/httpd.h"

/* draining: read at each request; when true, /health answers 503. */
struct status {
    struct proxy *proxy;
    const bool *draining;
};

/* s must outlive h.  /health is public: 200 {"status":"ok"} when the target is up, else 503 and what is missing. */
void status_route(const struct status *s, struct httpd *h);

#endif
