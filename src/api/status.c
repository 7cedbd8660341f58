#include "api/status.h"

#include "api/snapshot-json.h"

static void handle_status(struct httpd_request *r, void *arg)
{
    const struct status *st = arg;
    httpd_reply_json(r, 200, snapshot_to_json(proxy_snapshot(st->proxy)));
}

static void handle_health(struct httpd_request *r, void *arg)
{
    const struct status *st = arg;
    const struct snapshot *s = proxy_snapshot(st->proxy);
    enum snapshot_health target = s->n_backends > 0 ? s->backend[0].health : HEALTH_UNKNOWN;
    if (*st->draining)
        httpd_reply_json(r, 503, json_pack("{s:s}", "status", "stopping"));
    else if (target == HEALTH_UP)
        httpd_reply_json(r, 200, json_pack("{s:s}", "status", "ok"));
    else
        httpd_reply_json(r, 503,
                         json_pack("{s:s, s:s}", "status", target == HEALTH_DOWN ? "no target" : "starting", "target",
                                   snapshot_health_name(target)));
}

void status_route(const struct status *s, struct httpd *h)
{
    httpd_route(h, HTTPD_GET, "/health", true, handle_health, (void *)s);
    httpd_route(h, HTTPD_GET, "/v1/tightwad/status", false, handle_status, (void *)s);
}
