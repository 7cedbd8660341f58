/* What must hold between the values of a pool. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/check.h"
#include "config/origin.h"
#include "config/value.h"

enum { NAME_MAX_BYTES = 63, RPC_PORT = 50052 };

static bool told(const struct loader *l, const char *key, size_t index)
{
    return walk_was_wrong(l, key, index);
}

static void check_coordinator(struct loader *l)
{
    struct config_coordinator *c = &l->config->pool.coordinator;
    bool cpu = strcmp(c->backend, "cpu") == 0, any = strcmp(c->backend, "auto") == 0;
    const struct config_origin *at = origin_get(l->config, option_find("coordinator.backend"), 0);
    size_t line = at ? at->line : l->coordinator_line;
    if (cpu && c->n_gpus > 0)
        findings_add(l->findings, true, l->name, c->gpus[0].line,
                     "coordinator.gpus: backend cpu uses none: leave them out, or name the back end that drives them");
    if (!cpu && !any && c->n_gpus == 0)
        findings_add(l->findings, true, l->name, line,
                     "coordinator.backend is %s, but coordinator.gpus names no GPU: - {name: …, vram_gb: …} for each",
                     c->backend);
    for (size_t i = 0; i < c->n_gpus; i++) {
        if (c->gpus[i].vram == 0 && !told(l, "coordinator.gpus[].vram_gb", i))
            findings_add(l->findings, true, l->name, c->gpus[i].line,
                         "coordinator.gpus[] has no vram_gb: how many GiB of memory has it?");
        if (!c->gpus[i].name)
            c->gpus[i].name = xasprintf("GPU %zu", i);
    }
}

/* Name unlike those before it: a host that is there twice gets a number. */
static char *worker_name(const struct config_pool *p, size_t i)
{
    size_t same = 0;
    for (size_t k = 0; k < i; k++)
        same += p->workers[k].host && strcmp(p->workers[k].host, p->workers[i].host) == 0;
    return same ? xasprintf("%s#%zu", p->workers[i].host, same + 1) : xstrdup(p->workers[i].host);
}

static void check_worker(struct loader *l, size_t i)
{
    struct config_pool *p = &l->config->pool;
    struct config_worker *w = &p->workers[i];
    if (!w->host && !told(l, "workers[].host", i))
        findings_add(l->findings, true, l->name, w->line, "workers[] has no host");
    if (w->host && strchr(w->host, ':'))
        findings_add(l->findings, true, l->name, w->line,
                     "workers[].host: %s: llama.cpp's RPC takes names and IPv4 addresses only (the port goes to "
                     "gpus[].rpc_port)",
                     w->host);
    if (w->n_gpus == 0) {
        size_t unused;
        walk_add_entry(l, "workers[].gpus", i, 0, &unused);
    }
    for (size_t k = 0; k < i && w->name; k++) {
        if (p->workers[k].name && strcmp(p->workers[k].name, w->name) == 0)
            findings_add(l->findings, true, l->name, w->line, "the name \"%s\" is taken by the worker in line %zu",
                         w->name, p->workers[k].line);
    }
    if (!w->name && w->host)
        w->name = worker_name(p, i);
    if (w->name && strlen(w->name) > NAME_MAX_BYTES)
        findings_add(l->findings, true, l->name, w->line, "workers[].name is longer than %d bytes", NAME_MAX_BYTES);
}

/* One RPC server is one entry. */
static void check_ports(struct loader *l, size_t i)
{
    struct config_pool *p = &l->config->pool;
    const struct config_worker *w = &p->workers[i];
    for (size_t a = 0; a < w->n_gpus && w->host; a++) {
        const struct config_gpu *mine = &w->gpus[a];
        for (size_t k = 0; k <= i; k++) {
            const struct config_worker *v = &p->workers[k];
            for (size_t b = 0; b < (k == i ? a : v->n_gpus); b++) {
                if (!v->host || strcmp(v->host, w->host) != 0 || v->gpus[b].rpc_port != mine->rpc_port)
                    continue;
                size_t at = mine->line ? mine->line : w->line, other = v->gpus[b].line ? v->gpus[b].line : v->line;
                findings_add(
                    l->findings, true, l->name, at,
                    "workers[].gpus[].rpc_port: %s:%lld is also in line %zu; each RPC server has a port of its "
                    "own",
                    w->host, (long long)mine->rpc_port, other);
            }
        }
    }
}

static void check_workers(struct loader *l)
{
    struct config_pool *p = &l->config->pool;
    size_t servers = 0;
    for (size_t i = 0; i < p->n_workers; i++) {
        check_worker(l, i);
        check_ports(l, i);
        servers += p->workers[i].n_gpus;
        if (servers > CONFIG_RPC_MAX && servers - p->workers[i].n_gpus <= CONFIG_RPC_MAX)
            findings_add(l->findings, true, l->name, p->workers[i].line,
                         "workers: more than %d RPC servers, which is what llama.cpp takes", CONFIG_RPC_MAX);
    }
}

/* The file's name without folder and .gguf; for ollama:NAME the name.  Owned by the caller. */
static char *name_of_path(const char *path)
{
    if (strncmp(path, "ollama:", 7) == 0)
        return xstrdup(path + 7);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    return xstrndup(name, n > 5 && strcmp(name + n - 5, ".gguf") == 0 ? n - 5 : n);
}

static void check_model(struct loader *l, size_t i)
{
    struct config_pool *p = &l->config->pool;
    struct config_model *m = &p->models[i];
    if (!m->path && !told(l, "models[].path", i))
        findings_add(l->findings, true, l->name, m->line, "models[] has no path: which GGUF file is it?");
    if (!m->name && m->path)
        m->name = name_of_path(m->path);
    for (size_t k = 0; k < i && m->name; k++) {
        if (p->models[k].name && strcmp(p->models[k].name, m->name) == 0)
            findings_add(l->findings, true, l->name, m->line,
                         "the name \"%s\" is taken by the model in line %zu: give one of them another name", m->name,
                         p->models[k].line);
    }
    if (m->name && (strlen(m->name) > NAME_MAX_BYTES || !*m->name))
        findings_add(l->findings, true, l->name, m->line, "models[].name has 1 to %d bytes", NAME_MAX_BYTES);
}

/* draft: another model, or a drafter of the proxy. */
static void check_draft(struct loader *l, const struct config_model *m)
{
    const struct config *c = l->config;
    const char *names[CONFIG_MODELS_MAX + CONFIG_DRAFTERS_MAX];
    size_t n = 0;
    if (!m->draft)
        return;
    if (m->name && strcmp(m->draft, m->name) == 0) {
        findings_add(l->findings, true, l->name, m->line, "models[].draft: \"%s\" can't draft for itself", m->name);
        return;
    }
    for (size_t i = 0; i < c->pool.n_models; i++) {
        if (c->pool.models[i].name && &c->pool.models[i] != m)
            names[n++] = c->pool.models[i].name;
    }
    for (size_t i = 0; i < c->proxy.n_drafters; i++) {
        if (c->proxy.drafters[i].name)
            names[n++] = c->proxy.drafters[i].name;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], m->draft) == 0)
            return;
    }
    const char *near = config_nearest(m->draft, names, n);
    char *q = value_quote(m->draft);
    findings_add(l->findings, true, l->name, m->line,
                 "models[].draft: %s is neither one of models nor the name of a drafter of the proxy%s%s%s", q,
                 near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    free(q);
}

static void check_models(struct loader *l)
{
    struct config_pool *p = &l->config->pool;
    struct config_model *first = NULL;
    for (size_t i = 0; i < p->n_models; i++)
        check_model(l, i);
    for (size_t i = 0; i < p->n_models; i++) {
        struct config_model *m = &p->models[i];
        check_draft(l, m);
        if (m->is_default && first)
            findings_add(l->findings, true, l->name, m->line,
                         "models[].default: the model in line %zu is the default already; one is", first->line);
        else if (m->is_default)
            first = m;
    }
    if (!first && p->n_models > 0)
        p->models[0].is_default = true;
}

/* What only a pool uses, without a pool; and a target that is not the pool. */
static void check_use(struct loader *l)
{
    const struct config *c = l->config;
    const struct config_pool *p = &c->pool;
    if (p->n_models == 0 && p->n_workers > 0)
        findings_add(l->findings, false, l->name, p->workers[0].line,
                     "workers are given but no models: there is no pool without a model to load");
    if (p->n_models == 0)
        return;
    if (p->coordinator.port == c->proxy.port)
        findings_add(l->findings, true, l->name, l->coordinator_line,
                     "coordinator.port is %lld, which is also proxy.port: each listens on a port of its own",
                     (long long)c->proxy.port);
    if (c->proxy.target.url && !config_target_is_pool(c))
        findings_add(l->findings, false, l->name, l->target_line,
                     "proxy.target is %s, not the pool's coordinator: requests go there, and the pool answers none of "
                     "them (leave proxy.target out to use the pool)",
                     c->proxy.target.url);
}

void check_pool(struct loader *l)
{
    check_coordinator(l);
    check_workers(l);
    check_models(l);
    check_use(l);
}
