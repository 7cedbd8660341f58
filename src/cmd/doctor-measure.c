#include "cmd/doctor-measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "backends/backend.h"
#include "base/mem.h"
#include "cmd/doctor-reach.h"
#include "cmd/doctor-speed.h"
#include "cmd/measure.h"
#include "cmd/self.h"
#include "http/httpc.h"
#include "probe/here.h"

enum {
    CONNECT_MS = 3000,
    PROBE_MS = 5000,
    PROBES = 5, /* their median is the round trip */
};

struct doctor_survey {
    struct doctor_facts facts;
    struct event_base *base;
    struct httpc *http;
    struct backend *target, **drafters, **reviewed;
    char **texts; /* what the facts borrow */
    size_t n_texts;
    const struct doctor_hooks *hooks;
};

static const char *own(struct doctor_survey *s, char *text)
{
    if (text == NULL)
        return NULL;
    s->texts = xreallocarray(s->texts, s->n_texts + 1, sizeof(*s->texts));
    s->texts[s->n_texts++] = text;
    return text;
}

static void say(struct doctor_survey *s, const char *verb, const struct doctor_server *server)
{
    if (s->hooks->progress == NULL)
        return;
    char *text = xasprintf("%s the %s at %s …", verb, doctor_role_name(server->role),
                           server->url != NULL ? server->url : server->name);
    s->hooks->progress(s->hooks->arg, text);
    free(text);
}

struct probe {
    bool over;
    enum backend_error error;
    char *message;
    int64_t rtt_us;
};

static void on_probe(void *arg, const struct backend_status *st, const struct backend_info *info)
{
    struct probe *p = arg;
    p->over = true;
    p->error = st->error;
    p->message = xstrdup(st->message);
    p->rtt_us = st->error == BACKEND_OK ? info->rtt_us : -1;
}

static struct probe probe_once(struct doctor_survey *s, struct backend *b)
{
    struct probe p = {0};
    backend_probe(b, PROBE_MS, on_probe, &p);
    while (!p.over)
        event_base_loop(s->base, EVLOOP_ONCE);
    return p;
}

static enum doctor_reach reach_of(enum backend_error error, const char *message)
{
    switch (error) {
    case BACKEND_OK:
        return DOCTOR_ANSWERS;
    case BACKEND_UNREACHABLE:
        return DOCTOR_NOTHING;
    case BACKEND_TIMEOUT:
    case BACKEND_OVERLOADED:
        return DOCTOR_SILENT;
    case BACKEND_REFUSED:
        if (strstr(message, "api_key") != NULL)
            return DOCTOR_DENIED;
        return strstr(message, "has no model") != NULL ? DOCTOR_NO_MODEL : DOCTOR_NONSENSE;
    default:
        return DOCTOR_NONSENSE;
    }
}

/* Reaches it, asks what it is, and how long a small question takes. */
static void look_at(struct doctor_survey *s, struct backend *b, struct doctor_server *d)
{
    char *message = NULL;
    say(s, "asking", d);
    if (d->url != NULL)
        d->reach = doctor_reach_tcp(d->url, CONNECT_MS, &message);
    else
        d->reach = DOCTOR_ANSWERS; /* a part of this program */
    d->message = own(s, message);
    if (d->reach != DOCTOR_ANSWERS)
        return;
    double rtt[PROBES];
    size_t n = 0;
    for (int i = 0; i < PROBES; i++) {
        struct probe p = probe_once(s, b);
        d->reach = reach_of(p.error, p.message);
        d->message = own(s, p.message);
        if (d->reach != DOCTOR_ANSWERS)
            return;
        if (p.rtt_us >= 0 && i > 0) /* the first one opens the connection */
            rtt[n++] = (double)p.rtt_us / 1000;
    }
    /* What it tries in the background is to be over before its speed is measured. */
    while (d->role == DOCTOR_TARGET && b->calls != NULL)
        event_base_loop(s->base, EVLOOP_ONCE);
    const struct backend_info *info = &b->info;
    d->rtt_ms = measure_median(rtt, n);
    d->kind = b->ops->name;
    d->model = info->model;
    d->version = info->version;
    d->verifies = info->caps.verify;
    d->generates = info->caps.generate;
    d->cannot_verify = info->cannot_verify;
    d->advice = info->advice;
    d->drafts = info->caps.draft_tokens || info->caps.draft_text;
    d->batch_invariant_known = info->batch_invariant_known;
    d->batch_invariant = info->batch_invariant;
    d->noise = info->noise;
}

struct compared {
    bool over;
    enum backend_vocab_match match;
    char *reason;
};

static void on_compared(void *arg, enum backend_vocab_match match, const char *reason)
{
    struct compared *c = arg;
    c->over = true;
    c->match = match;
    c->reason = xstrdup(reason);
}

static void compare_vocab(struct doctor_survey *s, struct backend *b, struct doctor_server *d)
{
    struct compared c = {0};
    backend_compare_vocab(s->target, b, on_compared, &c);
    while (!c.over)
        event_base_loop(s->base, EVLOOP_ONCE);
    d->vocab_reason = own(s, c.reason);
    static const enum doctor_vocab as[] = {
        [BACKEND_VOCAB_SAME] = DOCTOR_VOCAB_FINE,       [BACKEND_VOCAB_PADDED] = DOCTOR_VOCAB_FINE,
        [BACKEND_VOCAB_SAMPLED] = DOCTOR_VOCAB_LIKELY,  [BACKEND_VOCAB_DIFFERENT] = DOCTOR_VOCAB_DIFFERENT,
        [BACKEND_VOCAB_UNKNOWN] = DOCTOR_VOCAB_UNKNOWN,
    };
    d->vocab = as[c.match];
}

static void on_cards(struct machine *m, void *arg)
{
    *(int *)arg = (int)m->n_gpus;
    machine_finish(m);
}

/* Those that AMD's tools tell of: without them no ROCm is installed. */
static int count_rocm_gpus(struct event_base *base)
{
    int n = -1;
    here_probe(base, &(struct here_opts){.parts = HERE_AMD}, on_cards, &n);
    while (n < 0)
        event_base_loop(base, EVLOOP_ONCE);
    return n;
}

static struct doctor_server describe(const struct config_server *c, enum doctor_role role)
{
    return (struct doctor_server){
        .role = role,
        .name = c->name,
        .url = c->url,
        .kind = c->backend,
        .model_name = c->model_name,
        .rtt_ms = NAN,
        .noise = NAN,
        .alone_ms = NAN,
        .pass_ms = NAN,
        .pass_more_ms = NAN,
        .draft_ms = NAN,
        .draft_fixed_ms = NAN,
    };
}

/* What is known of the target, of the first n drafters and of the first n_reviewed that the gate has. */
static void tell(struct doctor_survey *s, size_t n, size_t n_reviewed)
{
    if (s->hooks->news == NULL)
        return;
    struct doctor_facts so_far = s->facts;
    so_far.n_drafters = n;
    so_far.n_reviewed = n_reviewed;
    s->hooks->news(s->hooks->arg, &so_far);
}

static void measure_servers(struct doctor_survey *s, const struct config_proxy *cfg)
{
    struct doctor_facts *f = &s->facts;
    bool target_answers = false;
    if (f->target.url != NULL) {
        s->target = backend_create(s->base, s->http, &cfg->target, NULL);
        look_at(s, s->target, &f->target);
        target_answers = f->target.reach == DOCTOR_ANSWERS;
        tell(s, 0, 0);
    }
    if (target_answers) {
        say(s, "measuring", &f->target);
        doctor_speed_target(s->base, s->target, &f->target);
        tell(s, 0, 0);
    }
    for (size_t i = 0; i < f->n_drafters; i++) {
        struct doctor_server *d = &f->drafters[i];
        s->drafters[i] = backend_create(s->base, s->http, &cfg->drafters[i], NULL);
        look_at(s, s->drafters[i], d);
        tell(s, i + 1, 0);
        if (d->reach != DOCTOR_ANSWERS || !target_answers)
            continue;
        compare_vocab(s, s->drafters[i], d);
        if (d->url == NULL) /* what a few short questions repeat says nothing of other texts */
            continue;
        say(s, "measuring", d);
        if (d->vocab != DOCTOR_VOCAB_DIFFERENT && d->drafts)
            doctor_speed_drafter(s->base, s->target, s->drafters[i], d);
        tell(s, i + 1, 0);
    }
}

/* The gate's own servers are asked what they are; how good their answers are is for the gate to find out. */
static void look_at_gate(struct doctor_survey *s, const struct config_gate *gate)
{
    struct doctor_facts *f = &s->facts;
    size_t n = gate->n_agents + (gate->verifier.url != NULL);
    f->reviewed = xcalloc(n, sizeof(*f->reviewed));
    s->reviewed = xcalloc(n, sizeof(struct backend *));
    for (size_t i = 0; i < n; i++) {
        bool agent = i >= n - gate->n_agents;
        const struct config_server *c = agent ? &gate->agents[i - (n - gate->n_agents)] : &gate->verifier;
        f->reviewed[i] = describe(c, agent ? DOCTOR_AGENT : DOCTOR_VERIFIER);
        s->reviewed[i] = backend_create(s->base, s->http, c, NULL);
        f->n_reviewed = i + 1;
        look_at(s, s->reviewed[i], &f->reviewed[i]);
        tell(s, f->n_drafters, i + 1);
    }
}

struct doctor_survey *doctor_measure(const struct config *cfg, const struct config_findings *findings,
                                     const struct doctor_hooks *hooks)
{
    struct doctor_survey *s = xcalloc(1, sizeof(*s));
    struct doctor_facts *f = &s->facts;
    char *missing = NULL, *node = self_node(&missing);
    s->hooks = hooks;
    s->base = event_base_new();
    s->http = httpc_create(s->base);
    f->config_findings = findings;
    f->rocm_gpus = count_rocm_gpus(s->base);
    f->hsa_enable_sdma = getenv("HSA_ENABLE_SDMA");
    f->node_missing = own(s, missing);
    free(node);
    if (cfg == NULL)
        return s;
    f->config = cfg->path;
    f->max_draft_tokens = cfg->proxy.max_draft_tokens;
    f->target = describe(&cfg->proxy.target, DOCTOR_TARGET);
    f->n_drafters = cfg->proxy.n_drafters;
    f->drafters = xcalloc(f->n_drafters, sizeof(*f->drafters));
    s->drafters = xcalloc(f->n_drafters, sizeof(struct backend *));
    for (size_t i = 0; i < f->n_drafters; i++)
        f->drafters[i] = describe(&cfg->proxy.drafters[i], DOCTOR_DRAFTER);
    measure_servers(s, &cfg->proxy);
    look_at_gate(s, &cfg->gate);
    return s;
}

const struct doctor_facts *doctor_survey_facts(const struct doctor_survey *s)
{
    return &s->facts;
}

void doctor_survey_destroy(struct doctor_survey *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->facts.n_drafters; i++)
        backend_destroy(s->drafters[i]);
    for (size_t i = 0; i < s->facts.n_reviewed; i++)
        backend_destroy(s->reviewed[i]);
    backend_destroy(s->target);
    httpc_destroy(s->http);
    event_base_free(s->base);
    for (size_t i = 0; i < s->n_texts; i++)
        free(s->texts[i]);
    free(s->texts);
    free(s->facts.drafters);
    free(s->drafters);
    free(s->facts.reviewed);
    free(s->reviewed);
    free(s);
}
