#include "advise/making.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "advise/estimate.h"
#include "advise/family.h"
#include "base/mem.h"

#define MIB (INT64_C(1) << 20)

/* What a model takes beside its weights: cache of a usual context, room to compute. */
static int64_t need_of(int64_t bytes)
{
    return bytes < 0 ? -1 : bytes + bytes / 12 + 600 * MIB;
}

struct advice_model *making_add_model(struct making *k, enum advice_source source, int machine)
{
    struct advice *a = k->a;
    a->model = xreallocarray(a->model, a->n_models + 1, sizeof(*a->model));
    struct advice_model *m = &a->model[a->n_models++];
    *m = (struct advice_model){.source = source,
                               .machine = machine,
                               .backend = "auto",
                               .parameters = -1,
                               .active = -1,
                               .bytes = -1,
                               .need = -1,
                               .missing = -1,
                               .rtt_us = machine < 0          ? -1
                                         : machine == k->here ? 0
                                                              : k->list[machine].rtt_us,
                               .verifies = true,
                               .alone = NAN};
    return m;
}

/* Seconds a token on its machine alone; what does not fit on the GPUs is read by the CPU. */
static double token_there(const struct making *k, const struct advice_model *m)
{
    if (m->machine < 0 || m->bytes <= 0)
        return NAN;
    const struct advice_machine *at = &k->a->machine[m->machine];
    double share = m->parameters > 0 && m->active > 0 ? (double)m->active / (double)m->parameters : 1;
    double bytes = (double)m->bytes * share, over = 0;
    if (at->gpus > 0 && m->missing > 0)
        over = fmin(bytes, (double)m->missing * share);
    const struct estimate_part parts[] = {{bytes - over, at->gbps},
                                          {over, hardware_cpu_bandwidth(&k->list[m->machine].cpu)}};
    return estimate_token(parts, over > 0 ? 2 : 1, 0);
}

void making_complete(struct making *k, struct advice_model *m)
{
    if (!m->quantisation[0])
        family_quantisation(m->name, m->quantisation, sizeof(m->quantisation));
    if (m->parameters <= 0)
        m->parameters = family_parameters(m->name);
    if (m->bytes <= 0 && m->parameters > 0)
        m->bytes = (int64_t)((double)m->parameters * family_bits(m->quantisation, NULL) / 8);
    if (m->bytes <= 0)
        m->bytes = -1;
    m->active = family_active(m->name, m->parameters);
    if (m->active > m->parameters)
        m->active = m->parameters;
    m->family = family_of(m->name, m->architecture);
    m->moe = family_is_moe(m->name, m->architecture);
    m->need = need_of(m->bytes);
    int64_t has = m->machine >= 0 ? k->a->machine[m->machine].memory : -1;
    m->missing = m->need < 0 || has < 0 ? -1 : m->need > has ? m->need - has : 0;
    m->alone = 1 / token_there(k, m);
}

/* What is no model that writes. */
static bool writes(const struct machine_model *m)
{
    static const char *const others[] = {"embed", "mmproj", "rerank", "bge-", "minilm", "whisper", "-vocab"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (strcasestr(m->name, others[i]))
            return false;
    }
    if (strcasestr(m->architecture, "bert") || strcasecmp(m->architecture, "clip") == 0)
        return false;
    const char *of = strstr(m->name, "-of-"); /* of a model in several files the first stands for all */
    return !of || of - m->name < 5 || strncmp(of - 5, "00001", 5) == 0;
}

static void copy_model(struct advice_model *to, const struct machine_model *m)
{
    to->name = xstrdup(m->name);
    snprintf(to->architecture, sizeof(to->architecture), "%s", m->architecture);
    snprintf(to->quantisation, sizeof(to->quantisation), "%s", m->quantisation);
    snprintf(to->vocab, sizeof(to->vocab), "%s", m->vocab);
    to->parameters = m->parameters;
    to->bytes = m->bytes;
}

static bool is_from(const struct machine_model *m, const char *from)
{
    return m->name && m->from && strcmp(m->from, from) == 0;
}

/* The entry of the model that the server has: by its name, else the only one that is from such a server. */
static const struct machine_model *served(const struct machine *m, const struct machine_service *s, const char *from)
{
    const struct machine_model *only = NULL;
    size_t n = 0;
    for (size_t i = 0; i < m->n_models; i++) {
        if (!is_from(&m->model[i], from))
            continue;
        if (strcmp(m->model[i].name, s->model) == 0)
            return &m->model[i];
        only = &m->model[i];
        n++;
    }
    return n == 1 && !s->model[0] ? only : NULL;
}

char *making_url(const struct machine_service *s)
{
    bool v6 = strchr(s->host, ':') != NULL;
    return xasprintf("http://%s%s%s:%d", v6 ? "[" : "", s->host, v6 ? "]" : "", s->port);
}

/* A server of one model. */
static void add_server(struct making *k, int i, const struct machine_service *s)
{
    bool node = s->kind == SERVICE_NODE;
    const struct machine_model *m = served(&k->list[i], s, node ? "node" : "llama-server");
    struct advice_model *to = making_add_model(k, ADVICE_RUNS, i);
    if (m)
        copy_model(to, m);
    else
        to->name = s->model[0] ? xstrdup(s->model) : xasprintf("the model at %s:%d", s->host, s->port);
    to->url = making_url(s);
    to->backend = node ? "node" : "llamacpp";
    to->rtt_us = s->rtt_us >= 0 ? s->rtt_us : to->rtt_us;
    making_complete(k, to);
    to->missing = 0; /* it is loaded */
}

const char making_ollama_cannot[] =
    "Ollama has no call that checks a draft, so it answers by itself, at its own speed; a node over the same file can";

static void add_ollama(struct making *k, int i, const struct machine_service *s)
{
    const struct machine *m = &k->list[i];
    for (size_t j = 0; j < m->n_models; j++) {
        if (!is_from(&m->model[j], "ollama") || !writes(&m->model[j]))
            continue;
        struct advice_model *to = making_add_model(k, ADVICE_RUNS, i);
        copy_model(to, &m->model[j]);
        to->url = making_url(s);
        to->backend = "ollama";
        to->model_name = xstrdup(to->name);
        to->path = xasprintf("ollama:%s", to->name);
        to->rtt_us = s->rtt_us >= 0 ? s->rtt_us : to->rtt_us;
        to->verifies = false;
        to->cannot = making_ollama_cannot;
        making_complete(k, to);
    }
}

/* A file that a node would serve. */
static void add_file(struct making *k, int i, const struct machine_model *m)
{
    bool here = i == k->here, ollama = is_from(m, "ollama");
    if ((here && k->wish->no_node) || !(ollama || m->path))
        return;
    if (ollama && here && m->path == NULL)
        return; /* Ollama tells of it, and keeps it where nobody else can read: a container, another user's home */
    if (ollama && !here && making_service(&k->list[i], SERVICE_OLLAMA))
        return; /* it is there by that server */
    struct advice_model *to = making_add_model(k, here ? ADVICE_HERE : ADVICE_THERE, i);
    copy_model(to, m);
    to->path = ollama ? xasprintf("ollama:%s", m->name) : xstrdup(m->path);
    to->backend = "node";
    if (!here)
        to->url = xasprintf("http://%s:%d", k->list[i].address, ADVICE_NODE_PORT);
    making_complete(k, to);
}

static void add_machine(struct making *k, int i)
{
    const struct machine *m = &k->list[i];
    for (size_t j = 0; j < m->n_services && k->a->n_models < ADVICE_MODELS_MAX; j++) {
        const struct machine_service *s = &m->service[j];
        if (s->kind == SERVICE_NODE || s->kind == SERVICE_LLAMACPP)
            add_server(k, i, s);
        else if (s->kind == SERVICE_OLLAMA)
            add_ollama(k, i, s);
    }
    bool reachable = i == k->here || m->address[0];
    for (size_t j = 0; j < m->n_models && reachable && k->a->n_models < ADVICE_MODELS_MAX; j++) {
        const struct machine_model *x = &m->model[j];
        if ((is_from(x, "file") || is_from(x, "ollama")) && writes(x))
            add_file(k, i, x);
    }
}

/* ---- order ---- */

static double size_of(const struct advice_model *m)
{
    return m->parameters > 0 ? (double)m->parameters : m->bytes > 0 ? (double)m->bytes * 1.65 : 0;
}

/* What fits before what does not, then by size, then what checks drafts, then what runs. */
static int compare(const void *x, const void *y)
{
    const struct advice_model *a = x, *b = y;
    bool fa = a->missing <= 0, fb = b->missing <= 0;
    if (fa != fb)
        return fa ? -1 : 1;
    if (size_of(a) != size_of(b))
        return size_of(a) > size_of(b) ? -1 : 1;
    if (a->verifies != b->verifies)
        return a->verifies ? -1 : 1;
    if (a->source != b->source)
        return a->source < b->source ? -1 : 1;
    int names = strcmp(a->name, b->name);
    return names ? names : a->machine - b->machine;
}

void making_models(struct making *k)
{
    for (size_t i = 0; i < k->n; i++)
        add_machine(k, (int)i);
    making_named(k);
    if (k->a->n_models > 0)
        qsort(k->a->model, k->a->n_models, sizeof(*k->a->model), compare);
}
