#include "probe/scan-ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "probe/scan-answer.h"

enum {
    QUESTION_MS = 2500,
    AGENT_MS = 10000, /* an agent probes its machine before it answers, and a tool there may hang */
    ANSWER_MAX = 4 << 20,
    PINGS = 3,
};

struct scan_ask {
    struct httpc *http;
    char *host, *token;
    int port;
    scan_ask_cb *cb;
    void *arg;
    const struct kind *order[4];
    size_t at;   /* the kind that is asked for, in order */
    size_t step; /* of what is asked once the kind is known: follow-ups, then pings */
    bool known;
    int64_t rtt[PINGS];
    size_t n_rtt;
    struct machine m;
    struct httpc_call *call;
};

struct follow_up {
    const char *path;
    void (*read)(struct machine *m, const json_t *o);
    int ms; /* 0: QUESTION_MS */
};

/* What only this kind answers, what else to ask it, and the cheapest question for measuring the round trip. */
struct kind {
    enum service_kind kind;
    const char *path;
    bool (*is)(const json_t *o);
    void (*read)(struct machine *m, const json_t *o);
    struct follow_up more[2];
    const char *ping;
    enum scan_refusal refusal; /* by which it is known although it tells nothing */
};

static void read_agent(struct machine *m, const json_t *o)
{
    struct machine told;
    char *cause = NULL;
    machine_text(m->service[0].version, sizeof(m->service[0].version),
                 json_string_value(json_object_get(o, "version")));
    if (scan_answer_agent(&told, o, &cause) == 0)
        scan_answer_merge(m, &told);
    else
        machine_add_note(m, "agent: %s", cause);
    free(cause);
}

/* clang-format off */
static const struct kind kinds[] = {
    {SERVICE_NODE, "/v1/node", scan_answer_is_node, scan_answer_node, {{0}}, "/health", SCAN_REFUSED_NODE},
    {SERVICE_LLAMACPP, "/props", scan_answer_is_llamacpp, scan_answer_props, {{"/v1/models", scan_answer_models, 0}}, "/health",
     SCAN_REFUSED_LLAMACPP},
    {SERVICE_OLLAMA, "/api/tags", scan_answer_is_ollama, scan_answer_tags,
     {{"/api/version", scan_answer_version, 0}, {"/api/ps", scan_answer_ps, 0}}, "/", SCAN_NO_REFUSAL},
    {SERVICE_AGENT, "/health", scan_answer_is_agent, NULL, {{"/v1/agent", read_agent, AGENT_MS}}, "/health", SCAN_NO_REFUSAL},
};
/* clang-format on */

static void ask(struct scan_ask *a, const char *path, int ms);

static void ask_free(struct scan_ask *a)
{
    if (a->call != NULL)
        httpc_cancel(a->call);
    machine_finish(&a->m);
    free(a->host);
    free(a->token);
    free(a);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void finish(struct scan_ask *a)
{
    if (a->n_rtt > 0) {
        qsort(a->rtt, a->n_rtt, sizeof(a->rtt[0]), by_value);
        a->m.service[0].rtt_us = a->m.rtt_us = a->rtt[a->n_rtt / 2];
    }
    a->cb(a->known ? &a->m : NULL, a->arg);
    ask_free(a);
}

/* Goes on after what is known: the other questions to this kind, then the pings. */
static void next_step(struct scan_ask *a)
{
    const struct kind *k = a->order[a->at];
    size_t n_more = 0;
    while (n_more < ARRAY_LEN(k->more) && k->more[n_more].path != NULL)
        n_more++;
    if (a->m.service[0].needs_secret)
        n_more = 0;
    if (a->step < n_more)
        ask(a, k->more[a->step].path, k->more[a->step].ms);
    else if (a->step < n_more + PINGS)
        ask(a, k->ping, 0);
    else
        finish(a);
}

static void recognise(struct scan_ask *a)
{
    struct machine_service *s = machine_add_service(&a->m);
    s->kind = a->order[a->at]->kind;
    s->port = a->port;
    snprintf(s->host, sizeof(s->host), "%s", a->host);
    snprintf(a->m.address, sizeof(a->m.address), "%s", a->host);
    a->known = true;
}

/* One that is known by how it refuses. */
static void take_refusal(struct scan_ask *a, int status)
{
    recognise(a);
    a->m.service[0].needs_secret = status == 401;
    if (status == 503)
        machine_add_note(&a->m, "port %d: its model is being loaded", a->port);
    next_step(a);
}

static void take_first(struct scan_ask *a, const struct httpc_result *r)
{
    const struct kind *k = a->order[a->at];
    json_t *o = json_parse_object(r->body, r->len, NULL);
    enum scan_refusal refusal = scan_answer_refusal(r->status, o);
    if (r->status == 200 && o != NULL && k->is(o)) {
        recognise(a);
        if (k->read != NULL)
            k->read(&a->m, o);
        next_step(a);
    } else if (refusal != SCAN_NO_REFUSAL && refusal == k->refusal) {
        take_refusal(a, r->status);
    } else if (++a->at < ARRAY_LEN(kinds)) {
        ask(a, a->order[a->at]->path, 0);
    } else {
        finish(a);
    }
    json_decref(o);
}

static void take_step(struct scan_ask *a, const struct httpc_result *r)
{
    const struct kind *k = a->order[a->at];
    bool more = !a->m.service[0].needs_secret && a->step < ARRAY_LEN(k->more) && k->more[a->step].path != NULL;
    if (more && r->status == 200) {
        json_t *o = json_parse_object(r->body, r->len, NULL);
        if (o != NULL)
            k->more[a->step].read(&a->m, o);
        json_decref(o);
    } else if (more && r->status == 401) {
        a->m.service[0].needs_secret = true;
    } else if (!more) {
        a->rtt[a->n_rtt++] = r->elapsed_us;
    }
    a->step++;
    next_step(a);
}

static void on_done(void *arg, const struct httpc_result *r)
{
    struct scan_ask *a = arg;
    a->call = NULL;
    if (r->error != HTTPC_OK)
        finish(a); /* it keeps silent, or speaks no HTTP, or too much of it: what is known is all */
    else if (a->known)
        take_step(a, r);
    else
        take_first(a, r);
}

static void ask(struct scan_ask *a, const char *path, int ms)
{
    bool agent = a->known && a->order[a->at]->kind == SERVICE_AGENT;
    char *url = xasprintf(strchr(a->host, ':') != NULL ? "http://[%s]:%d%s" : "http://%s:%d%s", a->host, a->port, path);
    const struct httpc_opts opts = {
        .url = url,
        .bearer = agent ? a->token : NULL,
        .connect_timeout_ms = QUESTION_MS,
        .timeout_ms = ms > 0 ? ms : QUESTION_MS,
        .max_reply = ANSWER_MAX,
        .on_done = on_done,
        .arg = a,
    };
    a->call = httpc_start(a->http, &opts);
    free(url);
}

struct scan_ask *scan_ask_start(struct httpc *http, const struct scan_ask_opts *opts, scan_ask_cb *cb, void *arg)
{
    struct scan_ask *a = xcalloc(1, sizeof(*a));
    size_t n = 0;
    *a = (struct scan_ask){.http = http,
                           .host = xstrdup(opts->host),
                           .token = xstrdup(opts->agent_token),
                           .port = opts->port,
                           .cb = cb,
                           .arg = arg};
    machine_init(&a->m, MACHINE_SEEN);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i].kind == opts->likely)
            a->order[n++] = &kinds[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (kinds[i].kind != opts->likely)
            a->order[n++] = &kinds[i];
    }
    ask(a, a->order[0]->path, 0);
    return a;
}

void scan_ask_cancel(struct scan_ask *a)
{
    if (a != NULL)
        ask_free(a);
}
