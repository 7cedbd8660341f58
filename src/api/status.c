#include "api/status.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/utf8.h"
#include "config/config.h"

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *count_or_null(int64_t n)
{
    return n >= 0 ? json_integer(n) : json_null();
}

/* Words of servers may have been cut in the middle of a character by the size of their field, and JSON takes valid
 * UTF-8 only. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s);
    if (j)
        return j;
    struct buf b;
    buf_init(&b, 4096);
    utf8_add_repaired(&b, s, strlen(s));
    j = json_string(b.data);
    buf_finish(&b);
    return j;
}

/* For names, where an empty one means that it is not known. */
static json_t *name_or_null(const char *s)
{
    return *s ? text(s) : json_null();
}

static void set(json_t *o, const char *key, json_t *value)
{
    json_object_set_new(o, key, value ? value : json_null());
}

static json_t *backend_json(const struct snapshot_backend *b)
{
    json_t *o = json_object();
    bool drafts = b->role == ROLE_DRAFTER;
    set(o, "role", json_string(drafts ? "drafter" : "target"));
    set(o, "name", name_or_null(b->name));
    set(o, "url", name_or_null(b->url));
    set(o, "kind", name_or_null(b->kind));
    set(o, "model", name_or_null(b->model));
    set(o, "version", name_or_null(b->version));
    set(o, "health", json_string(snapshot_health_name(b->health)));
    set(o, "active", json_boolean(b->active));
    set(o, "paused", json_boolean(b->paused));
    set(o, "reason", text(b->reason));
    set(o, "rtt_us", count_or_null(b->rtt_us));
    set(o, "calls", json_integer((json_int_t)b->calls));
    set(o, "failures", json_integer((json_int_t)b->failures));
    set(o, "drafted", drafts ? json_integer((json_int_t)b->drafted) : json_null());
    set(o, "accepted", drafts ? json_integer((json_int_t)b->accepted) : json_null());
    set(o, "tokens_per_second", number_or_null(b->tokens_per_second));
    set(o, "call_ms", number_or_null(b->call_ms));
    return o;
}

static json_t *request_json(const struct snapshot_request *r)
{
    json_t *o = json_object();
    set(o, "id", json_integer((json_int_t)r->id));
    set(o, "state", json_string(snapshot_state_name(r->state)));
    set(o, "speculative", json_boolean(r->speculative));
    set(o, "model", name_or_null(r->model));
    set(o, "started_wall_ms", json_integer(r->started_wall_ms));
    set(o, "prompt_tokens", count_or_null(r->prompt_tokens));
    set(o, "tokens", count_or_null(r->tokens));
    set(o, "drafted", count_or_null(r->drafted));
    set(o, "accepted", count_or_null(r->accepted));
    set(o, "rounds", count_or_null(r->rounds));
    set(o, "seconds", number_or_null(r->seconds));
    set(o, "first_token_seconds", number_or_null(r->first_token_seconds));
    set(o, "tokens_per_second", number_or_null(r->tokens_per_second));
    return o;
}

static json_t *device_json(const struct snapshot_device *d)
{
    json_t *o = json_object();
    set(o, "machine", name_or_null(d->machine));
    set(o, "name", name_or_null(d->name));
    set(o, "address", name_or_null(d->address));
    set(o, "first_layer", count_or_null(d->first_layer));
    set(o, "layers", count_or_null(d->n_layers));
    set(o, "bytes", count_or_null(d->bytes));
    set(o, "memory", count_or_null(d->memory));
    set(o, "health", json_string(snapshot_health_name(d->health)));
    set(o, "reason", text(d->reason));
    return o;
}

/* null where no pool is configured. */
static json_t *pool_json(const struct snapshot_pool *p)
{
    if (!p->configured)
        return json_null();
    json_t *o = json_object(), *devices = json_array();
    set(o, "state", name_or_null(p->state));
    set(o, "why", text(p->why));
    set(o, "state_ms", json_integer(p->state_ms));
    set(o, "model", name_or_null(p->model));
    set(o, "next", name_or_null(p->next));
    set(o, "draft", name_or_null(p->draft));
    set(o, "server", name_or_null(p->server));
    set(o, "pid", p->pid > 0 ? json_integer(p->pid) : json_null());
    set(o, "draft_pid", p->draft_pid > 0 ? json_integer(p->draft_pid) : json_null());
    set(o, "progress", number_or_null(p->progress));
    set(o, "load_ms", number_or_null(p->load_ms));
    set(o, "pause_ms", number_or_null(p->pause_ms));
    set(o, "retry_ms", count_or_null(p->retry_ms));
    set(o, "restarts", json_integer((json_int_t)p->restarts));
    set(o, "swaps", json_integer((json_int_t)p->swaps));
    set(o, "swap_error", text(p->swap_error));
    set(o, "log", name_or_null(p->log));
    set(o, "draft_log", name_or_null(p->draft_log));
    set(o, "reclaims", json_integer((json_int_t)p->reclaims));
    set(o, "reclaimed", count_or_null(p->reclaimed));
    set(o, "reclaim_note", text(p->reclaim_note));
    for (size_t i = 0; i < p->n_devices; i++)
        json_array_append_new(devices, device_json(&p->device[i]));
    set(o, "devices", devices);
    return o;
}

static json_t *log_json(const struct snapshot_log *l)
{
    json_t *o = json_object();
    set(o, "wall_ms", json_integer(l->wall_ms));
    set(o, "level", json_string(log_level_name((enum log_level)l->level)));
    set(o, "text", text(l->text));
    return o;
}

static void set_speculation(json_t *o, const struct snapshot *s)
{
    set(o, "speculating", json_boolean(s->speculating));
    set(o, "why_not", text(s->why_not));
    set(o, "governor", text(s->governor));
    set(o, "drafting_pays", json_boolean(s->drafting_pays));
    set(o, "predicted_ms", number_or_null(s->predicted_ms));
    set(o, "measured_ms", number_or_null(s->measured_ms));
    set(o, "prediction_error", number_or_null(s->prediction_error));
    set(o, "ahead_verdicts", json_integer((json_int_t)s->ahead_verdicts));
    set(o, "ahead_line", json_integer((json_int_t)s->ahead_line));
    set(o, "ahead_branch", json_integer((json_int_t)s->ahead_branch));
    set(o, "ahead_hit_rate",
        number_or_null(s->ahead_verdicts > 0 ? (double)(s->ahead_line + s->ahead_branch) / (double)s->ahead_verdicts
                                             : NAN));
    set(o, "drafts_written", json_integer((json_int_t)s->drafts_written));
    set(o, "drafts_wasted_ms", number_or_null(s->drafts_wasted_ms));
    set(o, "branches_checked", json_integer((json_int_t)s->branches_checked));
    set(o, "branches_right", json_integer((json_int_t)s->branches_right));
    set(o, "exactness", text(s->exactness));
    set(o, "exactness_note", text(s->exactness_note));
    set(o, "max_draft_tokens",
        s->max_draft_tokens == CONFIG_AUTO ? json_string("auto") : json_integer(s->max_draft_tokens));
    set(o, "acceptance_source", name_or_null(s->acceptance_source));
    set(o, "rounds", json_integer((json_int_t)s->rounds));
    set(o, "drafted", json_integer((json_int_t)s->drafted));
    set(o, "accepted", json_integer((json_int_t)s->accepted));
    set(o, "emitted", json_integer((json_int_t)s->emitted));
    set(o, "draft_failures", json_integer((json_int_t)s->draft_failures));
    set(o, "fallback_rounds", json_integer((json_int_t)s->fallback_rounds));
    set(o, "resumed", json_integer((json_int_t)s->resumed));
    set(o, "near_ties", json_integer((json_int_t)s->near_ties));
    set(o, "acceptance", number_or_null(s->acceptance));
    set(o, "tokens_per_second", number_or_null(s->tokens_per_second));
    set(o, "tokens_per_round", number_or_null(s->tokens_per_round));
    set(o, "draft_ms", number_or_null(s->draft_ms));
    set(o, "verify_ms", number_or_null(s->verify_ms));
    set(o, "wait_ms", number_or_null(s->wait_ms));
    set(o, "wire_out", json_integer((json_int_t)s->wire_out));
    set(o, "wire_in", json_integer((json_int_t)s->wire_in));
}

json_t *snapshot_to_json(const struct snapshot *s)
{
    json_t *o = json_object();
    set(o, "tick", json_integer((json_int_t)s->tick));
    set(o, "wall_ms", json_integer(s->wall_ms));
    set(o, "uptime_ms", json_integer(s->uptime_ms));
    set(o, "version", name_or_null(s->version));
    set(o, "model", name_or_null(s->model));
    set(o, "listen", name_or_null(s->listen));
    set(o, "config", name_or_null(s->config));
    set_speculation(o, s);
    set(o, "requests_ok", json_integer((json_int_t)s->requests_ok));
    set(o, "requests_failed", json_integer((json_int_t)s->requests_failed));
    set(o, "requests_cancelled", json_integer((json_int_t)s->requests_cancelled));
    set(o, "requests_refused", json_integer((json_int_t)s->requests_refused));
    set(o, "running", json_integer(s->running));
    set(o, "queued", json_integer(s->queued));
    set(o, "slots", json_integer(s->slots));
    set(o, "max_queue", json_integer(s->max_queue));
    set(o, "pool", pool_json(&s->pool));
    json_t *backends = json_array(), *requests = json_array(), *log = json_array();
    for (size_t i = 0; i < s->n_backends; i++)
        json_array_append_new(backends, backend_json(&s->backend[i]));
    for (size_t i = 0; i < s->n_requests; i++)
        json_array_append_new(requests, request_json(&s->request[i]));
    for (size_t i = 0; i < s->n_log; i++)
        json_array_append_new(log, log_json(&s->log[i]));
    set(o, "backends", backends);
    set(o, "requests", requests);
    set(o, "log", log);
    return o;
}

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
