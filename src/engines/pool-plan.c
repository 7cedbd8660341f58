#include "engines/pool-plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/child.h"
#include "base/mem.h"
#include "probe/memory.h"
#include "probe/ollama-store.h"

enum {
    UBATCH = 512,     /* what node and llama-server compute at once unless told otherwise */
    VERIFY_SLOTS = 9, /* a draft of 8 and the token behind it: longer ones pay no more */
    VERIFY_FEWER = 5, /* where memory is short */
    DEVICES_MAX = 256,
    HELP_MS = 4000,
    HELP_MAX = 1 << 20,
};

/* The longest request: what the model's entry says, else what it was trained with, up to a limit. */
static int64_t ctx_of(const struct layers *l, const struct config_model *m)
{
    int64_t trained = l->n_ctx_train > 0 ? l->n_ctx_train : CONFIG_CTX_AUTO;
    return m->ctx_size > 0 ? m->ctx_size : trained < CONFIG_CTX_AUTO ? trained : CONFIG_CTX_AUTO;
}

/* ---- the program ---- */

int pool_program_find(const struct config *cfg, const char *node, struct pool_program *out, char **cause)
{
    const char *given = cfg->pool.binaries.coordinator;
    *out = (struct pool_program){.path = xstrdup(given != NULL ? given : node)};
    const char *const argv[] = {out->path, "--help", NULL};
    out->help = child_output(argv, HELP_MS, HELP_MAX);
    if (out->help == NULL) {
        char *where = given != NULL ? config_where(cfg, "binaries.coordinator") : NULL;
        cause_set(cause, "%s%sthis machine: %s can't be run: `%s --help` says why; correct %s",
                  where != NULL ? where : "", where != NULL ? ": " : "", out->path, out->path,
                  given != NULL ? "binaries.coordinator" : "the installation");
        free(where);
        pool_program_finish(out);
        return -1;
    }
    out->kind = pool_argv_kind(out->help);
    return 0;
}

void pool_program_finish(struct pool_program *p)
{
    free(p->path);
    free(p->help);
    *p = (struct pool_program){0};
}

/* ---- facts ---- */

/* One run of the questions. */
struct asking {
    struct event_base *base;
    struct pool_facts *facts;
    size_t left;
};

struct question {
    struct asking *asking;
    struct pool_server_fact *fact;
};

static void on_report(const struct rpc_report *r, void *arg)
{
    struct question *q = arg;
    struct pool_server_fact *f = q->fact;
    f->state = r->state;
    f->connect_ms = r->connect_ms;
    snprintf(f->text, sizeof(f->text), "%s", r->text);
    if (r->state == RPC_OK && r->n_devices > 0) {
        f->asked = true;
        f->n_devices = r->n_devices;
        memcpy(f->devices, r->devices, sizeof(f->devices));
    }
    if (--q->asking->left == 0)
        event_base_loopbreak(q->asking->base);
}

static void read_memory(struct pool_facts *out)
{
    struct memory m;
    memory_read(&m, "");
    out->ram_total = m.total > 0 ? (uint64_t)m.total : 0;
    out->ram_free = m.available > 0 ? (uint64_t)m.available : 0;
}

static const struct pool_server_fact *find_fact(const struct pool_facts *f, const char *endpoint)
{
    for (size_t i = 0; f != NULL && i < f->n_servers; i++) {
        if (strcmp(f->servers[i].endpoint, endpoint) == 0)
            return &f->servers[i];
    }
    return NULL;
}

/* What a server said before, where it could not be asked now. */
static void remember(struct pool_server_fact *f, const struct pool_facts *before)
{
    const struct pool_server_fact *old = find_fact(before, f->endpoint);
    if (f->asked || f->state != RPC_OK || old == NULL || !old->asked)
        return;
    f->asked = true;
    f->n_devices = old->n_devices;
    memcpy(f->devices, old->devices, sizeof(f->devices));
}

void pool_facts_ask(const struct config *cfg, int timeout_ms, bool connect_only, const struct pool_facts *before,
                    struct pool_facts *out)
{
    const struct config_pool *k = &cfg->pool;
    struct question questions[CONFIG_RPC_MAX];
    struct asking a = {.base = event_base_new(), .facts = out};
    *out = (struct pool_facts){0};
    read_memory(out);
    for (size_t i = 0; i < k->n_workers; i++) {
        for (size_t g = 0; g < k->workers[i].n_gpus && out->n_servers < CONFIG_RPC_MAX; g++) {
            struct pool_server_fact *f = &out->servers[out->n_servers];
            int port = (int)k->workers[i].gpus[g].rpc_port;
            f->worker = i;
            f->gpu = g;
            snprintf(f->endpoint, sizeof(f->endpoint), "%.255s:%d", k->workers[i].host, port);
            questions[out->n_servers] = (struct question){&a, f};
            const struct rpc_ask ask = {
                .host = k->workers[i].host, .port = port, .timeout_ms = timeout_ms, .connect_only = connect_only};
            rpc_query_start(a.base, &ask, on_report, &questions[out->n_servers++]);
            a.left++;
        }
    }
    if (a.left > 0)
        event_base_dispatch(a.base);
    event_base_free(a.base);
    for (size_t i = 0; i < out->n_servers; i++)
        remember(&out->servers[i], before);
}

char *pool_facts_trouble(const struct pool_facts *f, size_t *n_missing)
{
    struct buf b;
    buf_init(&b, 65536);
    *n_missing = 0;
    for (size_t i = 0; i < f->n_servers; i++) {
        if (f->servers[i].state == RPC_OK)
            continue;
        buf_printf(&b, "%sworker %s", b.len > 0 ? "; " : "", f->servers[i].text);
        ++*n_missing;
    }
    if (b.len > 0)
        return buf_steal(&b);
    buf_finish(&b);
    return NULL;
}

/* ---- devices ---- */

char *pool_model_path(const struct config_model *model, char **cause)
{
    static const char ollama[] = "ollama:";
    if (strncmp(model->path, ollama, strlen(ollama)) == 0)
        return ollama_store_find(model->path + strlen(ollama), cause);
    return xstrdup(model->path);
}

static struct split_device *add_device(struct pool_plan *p)
{
    p->devices = xreallocarray(p->devices, p->n_devices + 1, sizeof(*p->devices));
    struct split_device *d = &p->devices[p->n_devices++];
    *d = (struct split_device){0};
    return d;
}

/* The devices of one RPC server.  What it says itself counts, and what the configuration says is a cap. */
static int add_server(struct pool_plan *p, const struct config *cfg, const struct pool_server_fact *f, char **cause)
{
    const struct config_worker *w = &cfg->pool.workers[f->worker];
    const struct config_gpu *g = &w->gpus[f->gpu];
    uint64_t given = (uint64_t)g->vram, left = given;
    if (!f->asked && given == 0)
        return cause_set(
            cause,
            "worker %s: how much memory it has is not known, for it could not be asked: give vram_gb, or end "
            "the client that it serves",
            f->endpoint);
    for (size_t i = 0; i < (f->asked ? f->n_devices : 1); i++) {
        struct split_device *d = add_device(p);
        d->kind = SPLIT_RPC;
        d->machine = w->name;
        d->name = g->name != NULL ? g->name : "what it lends";
        d->endpoint = f->endpoint;
        d->total = f->asked ? f->devices[i].total : given;
        d->free = f->asked ? f->devices[i].free : given;
        if (given > 0 && d->total > left)
            d->total = left;
        if (d->free > d->total)
            d->free = d->total;
        left -= given > 0 ? d->total : 0;
    }
    return 0;
}

/* Room for the drafter that runs beside the coordinator, on the GPU here that has the most; on the CPU where it would
 * take more than half of that. */
static int add_drafter(struct pool_plan *p, const struct config *cfg, const struct config_model *model, char **cause)
{
    const struct config_model *draft = model->draft != NULL ? config_model_find(cfg, model->draft) : NULL;
    struct split_device *best = NULL;
    p->draft_gpu = -1;
    if (draft == NULL)
        return 0;
    p->draft_path = pool_model_path(draft, cause);
    struct layers *l = p->draft_path != NULL ? layers_open(p->draft_path, cause) : NULL;
    if (l == NULL)
        return cause_prefix(cause, "its drafter %s", draft->name);
    p->draft_ctx = ctx_of(l, draft);
    const struct split_ask ask = {.ctx = (uint64_t)p->draft_ctx,
                                  .slots = (uint64_t)cfg->pool.coordinator.slots,
                                  .ubatch = UBATCH,
                                  .outputs = UBATCH,
                                  .whole = true,
                                  .flash = draft->flash_attn != NULL && strcmp(draft->flash_attn, "on") == 0};
    p->draft_bytes = l->output + split_compute(l, &ask, true, false);
    for (size_t i = 0; i < l->n; i++)
        p->draft_bytes += l->list[i].weights + (l->list[i].kv * ask.ctx + l->list[i].state) * ask.slots;
    int gpu = 0;
    for (size_t i = 0; i < p->n_devices; i++) {
        struct split_device *d = &p->devices[i];
        if (d->kind != SPLIT_GPU)
            continue;
        if (best == NULL || d->free > best->free) {
            best = d;
            p->draft_gpu = gpu;
        }
        gpu++;
    }
    if (best != NULL && p->draft_bytes <= best->free / 2)
        best->free -= p->draft_bytes;
    else
        p->draft_gpu = -1;
    layers_destroy(l);
    return 0;
}

bool pool_server_is_configured(const struct config *cfg, const struct pool_server_fact *f)
{
    const struct config_pool *k = &cfg->pool;
    char endpoint[sizeof(f->endpoint)];
    if (f->worker >= k->n_workers || f->gpu >= k->workers[f->worker].n_gpus)
        return false;
    snprintf(endpoint, sizeof(endpoint), "%.255s:%d", k->workers[f->worker].host,
             (int)k->workers[f->worker].gpus[f->gpu].rpc_port);
    return strcmp(endpoint, f->endpoint) == 0;
}

static int add_devices(struct pool_plan *p, const struct config *cfg, const struct pool_facts *facts, char **cause)
{
    const struct config_coordinator *c = &cfg->pool.coordinator;
    for (size_t i = 0; i < facts->n_servers; i++) {
        if (!pool_server_is_configured(cfg, &facts->servers[i]))
            continue;
        if (facts->servers[i].state != RPC_OK)
            p->n_missing++;
        else if (add_server(p, cfg, &facts->servers[i], cause) != 0)
            return -1;
    }
    for (size_t i = 0; i < c->n_gpus; i++) {
        struct split_device *d = add_device(p);
        *d = (struct split_device){.name = c->gpus[i].name,
                                   .machine = "here",
                                   .kind = SPLIT_GPU,
                                   .total = (uint64_t)c->gpus[i].vram,
                                   .free = (uint64_t)c->gpus[i].vram};
    }
    struct split_device *cpu = add_device(p);
    *cpu = (struct split_device){
        .name = "CPU", .machine = "here", .kind = SPLIT_CPU, .total = facts->ram_total, .free = facts->ram_free};
    return 0;
}

/* ---- the plan ---- */

/* Whether anything may draft for the model. */
static bool has_drafter(const struct config *cfg, const struct config_model *model)
{
    return cfg->proxy.max_draft_tokens != 0 && (model->draft != NULL || cfg->proxy.n_drafters > 0);
}

static void fill_ask(struct pool_plan *p, const struct config *cfg, const struct config_model *model,
                     enum pool_binary binary)
{
    const char *flash = model->flash_attn;
    bool stock = binary == POOL_LLAMA_SERVER;
    p->ctx = ctx_of(p->model, model);
    p->ask = (struct split_ask){.ctx = (uint64_t)p->ctx,
                                .slots = (uint64_t)cfg->pool.coordinator.slots,
                                .ubatch = UBATCH,
                                .outputs = UBATCH,
                                .whole = !stock};
    /* A node leaves it off by itself; a llama-server takes it where it can. */
    p->ask.flash = flash != NULL ? strcmp(flash, "on") == 0 || (stock && strcmp(flash, "auto") == 0) : stock;
}

/* A llama-server verifies through slots, each with a cache of its own: as many as pay, or as few as fit, or none. */
static void split(struct pool_plan *p, bool verify)
{
    static const size_t tries[] = {VERIFY_SLOTS, VERIFY_FEWER, 0};
    uint64_t slots = p->ask.slots;
    for (size_t i = verify ? 0 : ARRAY_LEN(tries) - 1; i < ARRAY_LEN(tries); i++) {
        split_destroy(p->split);
        p->verify_slots = tries[i] > 0 && tries[i] < slots ? (size_t)slots : tries[i];
        p->ask.slots = p->verify_slots > slots ? p->verify_slots : slots;
        p->ask.whole = p->ask.whole || p->verify_slots > 0;
        p->split = split_make(p->model, p->devices, p->n_devices, &p->ask);
        if (p->split->fits)
            return;
    }
}

struct pool_plan *pool_plan_make(const struct config *cfg, const struct config_model *model, enum pool_binary binary,
                                 const struct pool_facts *facts, char **cause)
{
    struct pool_plan *p = xcalloc(1, sizeof(*p));
    double shares[DEVICES_MAX];
    p->path = pool_model_path(model, cause);
    p->model = p->path != NULL ? layers_open(p->path, cause) : NULL;
    if (p->model == NULL || add_devices(p, cfg, facts, cause) != 0 || add_drafter(p, cfg, model, cause) != 0) {
        cause_prefix(cause, "model %s", model->name);
        pool_plan_destroy(p);
        return NULL;
    }
    fill_ask(p, cfg, model, binary);
    p->ask.n_shares = pool_argv_shares(cfg, shares, DEVICES_MAX);
    p->ask.shares = p->ask.n_shares > 0 ? shares : NULL;
    split(p, binary == POOL_LLAMA_SERVER && has_drafter(cfg, model));
    p->ask.shares = NULL; /* they end with this function */
    p->by_hand = pool_argv_places(cfg);
    if (p->by_hand) {
        p->split->fits = true;
        free(p->split->reason);
        p->split->reason = xstrdup("extra_args say where the layers go; what is shown is not what happens.");
    }
    return p;
}

void pool_plan_destroy(struct pool_plan *p)
{
    if (p == NULL)
        return;
    split_destroy(p->split);
    layers_destroy(p->model);
    free(p->devices);
    free(p->path);
    free(p->draft_path);
    free(p);
}

/* ---- words ---- */

static const char *local_name(const struct pool_plan *p, int gpu)
{
    for (size_t i = 0; i < p->n_devices; i++) {
        if (p->devices[i].kind == SPLIT_GPU && gpu-- == 0)
            return p->devices[i].name;
    }
    return "a GPU";
}

char *pool_plan_text(const struct pool_plan *p, const struct config_model *model)
{
    char *table = split_text(p->split, p->devices);
    char *head =
        xasprintf("%s: %zu layers of %s, for %llu request%s of %lld tokens at once%s", model->name, p->model->n,
                  p->model->architecture, (unsigned long long)p->ask.slots, p->ask.slots == 1 ? "" : "s",
                  (long long)p->ctx, p->verify_slots > 0 ? " (as many slots as a draft takes to verify)" : "");
    char *left = p->n_missing > 0 ? xasprintf("%zu worker%s not there, so left out.\n", p->n_missing,
                                              p->n_missing == 1 ? " is" : "s are")
                                  : xstrdup("");
    char *draft = p->draft_path != NULL ? xasprintf("%s drafts beside it on %s: %.2f GiB.\n", model->draft,
                                                    p->draft_gpu < 0 ? "the CPU" : local_name(p, p->draft_gpu),
                                                    (double)p->draft_bytes / (1 << 30))
                                        : xstrdup("");
    char *text = xasprintf("%s\n\n%s\n%s%s%s%s\n", head, table, left, draft,
                           p->split->fits ? "" : "It can't be started: ", p->split->reason);
    free(draft);
    free(table);
    free(head);
    free(left);
    return text;
}

static json_t *part_json(const struct pool_plan *p, const struct split_part *x)
{
    const struct split_device *d = &p->devices[x->device];
    static const char *const kinds[] = {[SPLIT_GPU] = "gpu", [SPLIT_RPC] = "rpc", [SPLIT_CPU] = "cpu"};
    return json_pack("{s:s,s:s,s:s?,s:s,s:I,s:I,s:b,s:I,s:I,s:I,s:I}", "machine", d->machine, "device", d->name,
                     "endpoint", d->endpoint, "kind", kinds[d->kind], "first", (json_int_t)x->first, "layers",
                     (json_int_t)x->n, "output", (int)x->output, "weights", (json_int_t)x->weights, "cache",
                     (json_int_t)x->kv, "compute", (json_int_t)x->compute, "usable", (json_int_t)x->usable);
}

json_t *pool_plan_json(const struct pool_plan *p, const struct config_model *model)
{
    const struct split_plan *s = p->split;
    json_t *parts = json_array();
    char *shares = split_shares(s);
    for (size_t i = 0; i < s->n_parts; i++)
        json_array_append_new(parts, part_json(p, &s->parts[i]));
    json_t *j =
        json_pack("{s:s,s:s,s:b,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:o}", "model", model->name, "path",
                  p->path, "fits", (int)s->fits, "reason", s->reason, "layers", (json_int_t)s->n_layers, "ctx",
                  (json_int_t)p->ctx, "slots", (json_int_t)p->ask.slots, "verify_slots", (json_int_t)p->verify_slots,
                  "trips", (json_int_t)s->n_servers, "weights", (json_int_t)s->weights, "cache", (json_int_t)s->kv,
                  "host", (json_int_t)s->host, "missing", (json_int_t)s->missing, "ctx_fits", (json_int_t)s->ctx_fits,
                  "missing_workers", (json_int_t)p->n_missing, "tensor_split", shares, "devices", parts);
    free(shares);
    return j;
}
