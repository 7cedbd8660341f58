#include "cmd/bench-rounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "http/lines.h"

enum { MAX_EVENT = 4 * 1024 * 1024 };

struct bench_rounds {
    struct httpc_call *call; /* NULL: it has ended */
    struct lines *lines;
    struct bench_counts counts;
};

void bench_counts_add(struct bench_counts *to, const struct bench_counts *from)
{
    to->rounds += from->rounds;
    to->drafted += from->drafted;
    to->accepted += from->accepted;
    to->emitted += from->emitted;
    to->timed += from->timed;
    to->timed_emitted += from->timed_emitted;
    to->draft_ms += from->draft_ms;
    to->verify_ms += from->verify_ms;
    to->wait_ms += from->wait_ms;
    if (from->n_errors == 0)
        return;
    to->errors = xreallocarray(to->errors, to->n_errors + from->n_errors, sizeof(*to->errors));
    memcpy(to->errors + to->n_errors, from->errors, from->n_errors * sizeof(*from->errors));
    to->n_errors += from->n_errors;
}

void bench_counts_finish(struct bench_counts *c)
{
    free(c->errors);
    *c = (struct bench_counts){0};
}

/* 0 where the event says null. */
static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : 0;
}

static void count(struct bench_rounds *r, const json_t *o)
{
    struct bench_counts one = {.rounds = 1,
                               .drafted = (int64_t)number(o, "drafted"),
                               .accepted = (int64_t)number(o, "accepted"),
                               .emitted = (int64_t)number(o, "emitted")};
    double took = number(o, "round_ms"), expected = number(o, "predicted_ms"), error = fabs(took - expected) / took;
    if (number(o, "round") > 1) {
        one.timed = 1;
        one.timed_emitted = one.emitted;
        one.draft_ms = number(o, "draft_ms");
        one.verify_ms = number(o, "verify_ms");
        one.wait_ms = number(o, "wait_ms");
    }
    if (took > 0 && expected > 0) {
        one.errors = &error;
        one.n_errors = 1;
    }
    bench_counts_add(&r->counts, &one);
}

static void on_event(void *arg, const char *data, size_t len)
{
    struct bench_rounds *r = arg;
    json_t *o = json_parse_object(data, len, NULL);
    if (json_object_get(o, "round") != NULL && json_object_get(o, "emitted") != NULL)
        count(r, o);
    json_decref(o);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct bench_rounds *r = arg;
    lines_feed(r->lines, data, len);
    return true;
}

static void on_done(void *arg, const struct httpc_result *res)
{
    struct bench_rounds *r = arg;
    r->call = NULL;
}

struct bench_rounds *bench_rounds_start(struct client *c)
{
    struct bench_rounds *r = xcalloc(1, sizeof(*r));
    char *url = xasprintf("%s/v1/tightwad/events", c->url);
    struct httpc_opts o = {.url = url, .bearer = c->token, .on_data = on_data, .on_done = on_done, .arg = r};
    r->lines = lines_create(LINES_SSE, MAX_EVENT, on_event, r);
    r->call = httpc_start(c->http, &o);
    free(url);
    return r;
}

void bench_rounds_take(struct bench_rounds *r, struct bench_counts *out)
{
    *out = r->counts;
    r->counts = (struct bench_counts){0};
}

void bench_rounds_stop(struct bench_rounds *r)
{
    if (r == NULL)
        return;
    if (r->call != NULL)
        httpc_cancel(r->call);
    lines_destroy(r->lines);
    bench_counts_finish(&r->counts);
    free(r);
}
