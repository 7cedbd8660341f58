/* GET /metrics: the snapshot in Prometheus' text format (version 0.0.4). */
#ifndef TIGHTWAD_API_METRICS_H
#define TIGHTWAD_API_METRICS_H

#include "api/events.h"
#include "base/buf.h"
#include "engines/proxy.h"
#include "engines/snapshot.h"
#include "http/httpd.h"

/* Base units (seconds, bytes, ratios of 1); what is unknown has no sample.  False when out is full. */
bool metrics_write(struct buf *out, const struct snapshot *s, const struct httpd_counters *http,
                   const struct events_counters *events);

/* counted: the server whose traffic is shown; server: where the route goes.  All must outlive server. */
struct metrics {
    struct proxy *proxy;
    struct events *events;
    struct httpd *counted;
};
void metrics_route(const struct metrics *m, struct httpd *server);

#endif
