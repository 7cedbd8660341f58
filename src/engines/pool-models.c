/* The list of the models that a pool can load: whether each would fit, and how fast it was or should be.  Files and
 * machines may be slow, so it is made on a thread. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "advise/estimate.h"
#include "advise/hardware.h"
#include "base/buf.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "engines/pool-internal.h"

enum {
    ASK_MS = 3000,
    WHERE_MAX = 4096,
    PARTS_MAX = 64,
};

/* How fast a model was when it ran. */
struct pool_rate {
    char *model;
    double tokens_per_second;
};

struct waiter {
    pool_models_cb *done;
    void *arg;
    struct waiter *next;
};

/* One list in the making. */
struct listing {
    struct pool *owner;
    struct task *task;
    struct config *cfg; /* kept */
    char *node;         /* NULL: there is none */
    bool have_kind;
    bool ask, connect_only; /* whether and how the workers are asked */
    enum pool_binary kind;
    struct pool_facts facts;
    struct pool_rate *rates; /* a copy */
    size_t n_rates;
    char *resident; /* NULL: none */
    json_t *list;
    struct waiter *waiters;
};

/* ---- rates ---- */

static struct pool_rate *find_rate(struct pool *p, const char *model)
{
    for (size_t i = 0; i < p->n_rates; i++) {
        if (strcmp(p->rates[i].model, model) == 0)
            return &p->rates[i];
    }
    return NULL;
}

void pool_note_rates(struct pool *p)
{
    const struct snapshot *s = proxy_snapshot(p->proxy);
    for (size_t i = 0; i < p->cfg->pool.n_models; i++) {
        const char *name = p->cfg->pool.models[i].name;
        double rate = snapshot_model_rate(s, name);
        if (isnan(rate))
            continue;
        struct pool_rate *r = find_rate(p, name);
        if (r == NULL) {
            p->rates = xreallocarray(p->rates, p->n_rates + 1, sizeof(*p->rates));
            r = &p->rates[p->n_rates++];
            *r = (struct pool_rate){.model = xstrdup(name)};
        }
        r->tokens_per_second = rate;
    }
}

/* ---- on the thread ---- */

static double rate_of(const struct listing *l, const char *model)
{
    for (size_t i = 0; i < l->n_rates; i++) {
        if (strcmp(l->rates[i].model, model) == 0)
            return l->rates[i].tokens_per_second;
    }
    return NAN;
}

/* "7900 XTX, gaming-pc: 3060": the devices that would hold it.  New reference. */
static json_t *where(const struct pool_plan *plan)
{
    struct buf b;
    buf_init(&b, WHERE_MAX);
    for (size_t i = 0; i < plan->split->n_parts; i++) {
        const struct split_part *x = &plan->split->parts[i];
        const struct split_device *d = &plan->devices[x->device];
        bool here = strcmp(d->machine, "here") == 0;
        if (x->n > 0 || x->output)
            buf_printf(&b, "%s%s%s%s", b.len > 0 ? ", " : "", here ? "" : d->machine, here ? "" : ": ", d->name);
    }
    json_t *text = json_stringn(b.data, b.len);
    buf_finish(&b);
    return text;
}

static void set(json_t *o, const char *key, json_t *value)
{
    json_object_set_new(o, key, value);
}

static void set_plan(json_t *o, const struct pool_plan *plan)
{
    bool fits = plan->split->fits;
    set(o, "path", json_string(plan->path));
    set(o, "bytes", json_integer((json_int_t)plan->model->tensors));
    set(o, "ctx_size", json_integer(plan->ctx));
    set(o, "fits", json_boolean(fits));
    set(o, "missing", fits ? json_null() : json_integer((json_int_t)plan->split->missing));
    set(o, "reason", json_string(plan->split->reason));
    set(o, "where", fits ? where(plan) : json_null());
    set(o, "experts", json_boolean(plan->model->experts));
}

/* Of a model that can't be planned: what can be told all the same. */
static void set_unknown(json_t *o, const struct config_model *m, const char *why)
{
    struct stat st;
    bool there = stat(m->path, &st) == 0 && S_ISREG(st.st_mode);
    set(o, "path", json_string(m->path));
    set(o, "bytes", there ? json_integer(st.st_size) : json_null());
    set(o, "fits", json_null());
    set(o, "missing", json_null());
    set(o, "reason", json_string(why));
    set(o, "where", json_null());
}

static double bandwidth(const struct split_device *d)
{
    const struct hardware *h = hardware_find(d->name);
    if (d->kind == SPLIT_CPU)
        return hardware_cpu_bandwidth(&(struct machine_cpu){.packages = 1});
    return h != NULL ? h->bandwidth_gbps : NAN;
}

/* An estimate of the seconds that a token takes; NAN where a device is not known, or not all weights are read. */
static double seconds_a_token(const struct listing *l, const struct pool_plan *plan)
{
    struct estimate_part parts[PARTS_MAX];
    double trips = 0;
    size_t n = 0;
    if (!plan->split->fits || plan->model->experts || plan->split->n_parts > PARTS_MAX)
        return NAN;
    for (size_t i = 0; i < plan->split->n_parts; i++) {
        const struct split_part *x = &plan->split->parts[i];
        const struct split_device *d = &plan->devices[x->device];
        if (x->n == 0 && !x->output)
            continue;
        parts[n++] = (struct estimate_part){.bytes = (double)x->weights, .gbps = bandwidth(d)};
        for (size_t k = 0; d->endpoint != NULL && k < l->facts.n_servers; k++) {
            const struct pool_server_fact *f = &l->facts.servers[k];
            if (strcmp(f->endpoint, d->endpoint) == 0 && f->connect_ms > 0)
                trips += f->connect_ms / 1000;
        }
    }
    return estimate_token(parts, n, trips);
}

static json_t *describe(const struct listing *l, const struct config_model *m, double *seconds)
{
    char *cause = NULL;
    json_t *o = json_object();
    *seconds = NAN;
    struct pool_plan *plan = pool_plan_make(l->cfg, m, l->kind, &l->facts, &cause);
    set(o, "name", json_string(m->name));
    if (plan != NULL) {
        set_plan(o, plan);
        *seconds = seconds_a_token(l, plan);
    } else {
        set_unknown(o, m, cause);
    }
    set(o, "draft", m->draft != NULL ? json_string(m->draft) : json_null());
    set(o, "resident", json_boolean(l->resident != NULL && strcmp(l->resident, m->name) == 0));
    set(o, "default", json_boolean(m->is_default));
    double rate = rate_of(l, m->name);
    set(o, "tokens_per_second", isnan(rate) ? json_null() : json_real(rate));
    set(o, "rate", isnan(rate) ? json_null() : json_string("measured"));
    pool_plan_destroy(plan);
    free(cause);
    return o;
}

/* The rates of models that have not run: what advise/estimate.h says, in proportion to one that has.  Where it can't
 * say anything, by the sizes: a token reads the weights once. */
static void estimate(json_t *list, const double *seconds)
{
    const json_t *known = NULL;
    json_t *o;
    size_t i, k = 0;
    json_array_foreach(list, i, o)
    {
        if (!isnan(json_number(o, "tokens_per_second")) && json_is_false(json_object_get(o, "experts"))) {
            known = o;
            k = i;
        }
    }
    json_array_foreach(list, i, o)
    {
        if (!isnan(json_number(o, "tokens_per_second")) || !json_is_true(json_object_get(o, "fits")) ||
            json_is_true(json_object_get(o, "experts")))
            continue;
        double rate = 1 / seconds[i];
        if (known != NULL && !isnan(seconds[i]) && !isnan(seconds[k]))
            rate = json_number(known, "tokens_per_second") * seconds[k] / seconds[i];
        else if (known != NULL)
            rate = json_number(known, "tokens_per_second") * json_number(known, "bytes") / json_number(o, "bytes");
        if (!isfinite(rate))
            continue;
        set(o, "tokens_per_second", json_real(rate));
        set(o, "rate", json_string("estimate"));
    }
}

static void work(void *arg)
{
    struct listing *l = arg;
    struct pool_program program;
    l->list = json_array();
    if (!l->have_kind && (l->cfg->pool.binaries.coordinator != NULL || l->node != NULL) &&
        pool_program_find(l->cfg, l->node, &program, NULL) == 0) {
        l->kind = program.kind;
        pool_program_finish(&program);
    }
    if (l->ask) {
        struct pool_facts before = l->facts;
        pool_facts_ask(l->cfg, ASK_MS, l->connect_only, &before, &l->facts);
    }
    double seconds[CONFIG_MODELS_MAX];
    for (size_t i = 0; i < l->cfg->pool.n_models; i++)
        json_array_append_new(l->list, describe(l, &l->cfg->pool.models[i], &seconds[i]));
    estimate(l->list, seconds);
}

/* ---- on the loop ---- */

static void listing_end(struct listing *l, const char *why)
{
    for (struct waiter *w = l->waiters, *next; w != NULL; w = next) {
        next = w->next;
        w->done(w->arg, why == NULL ? json_deep_copy(l->list) : NULL, why);
        free(w);
    }
    for (size_t i = 0; i < l->n_rates; i++)
        free(l->rates[i].model);
    free(l->rates);
    free(l->resident);
    free(l->node);
    json_decref(l->list);
    config_destroy(l->cfg);
    free(l);
}

static void on_listed(void *arg)
{
    struct listing *l = arg;
    l->owner->listing = NULL;
    listing_end(l, NULL);
}

/* A worker that serves a client answers nobody else. */
static bool holds_workers(const struct pool *p)
{
    return p->state != POOL_OFF && p->state != POOL_BACKOFF && p->state != POOL_FAILED;
}

static int begin_listing(struct pool *p, char **cause)
{
    struct listing *l = xcalloc(1, sizeof(*l));
    pool_note_rates(p);
    *l = (struct listing){.owner = p,
                          .cfg = config_keep(p->cfg),
                          .node = xstrdup(p->node),
                          .have_kind = p->program.path != NULL,
                          .kind = p->program.kind,
                          .ask = !holds_workers(p) || p->facts.ram_total == 0,
                          .connect_only = holds_workers(p),
                          .facts = p->facts,
                          .rates = xcalloc(p->n_rates + 1, sizeof(*l->rates)),
                          .n_rates = p->n_rates,
                          .resident = xstrdup(p->state == POOL_UP || p->state == POOL_DRAINING ? p->model : NULL)};
    for (size_t i = 0; i < p->n_rates; i++)
        l->rates[i] = (struct pool_rate){xstrdup(p->rates[i].model), p->rates[i].tokens_per_second};
    l->task = task_start(p->base, work, on_listed, l);
    if (l->task == NULL) {
        listing_end(l, "");
        return cause_set(cause, "this machine gives no further thread");
    }
    p->listing = l;
    return 0;
}

int pool_models(struct pool *p, pool_models_cb *done, void *arg, char **cause)
{
    if (p->listing == NULL && begin_listing(p, cause) != 0)
        return -1;
    struct waiter *w = xcalloc(1, sizeof(*w));
    *w = (struct waiter){.done = done, .arg = arg, .next = p->listing->waiters};
    p->listing->waiters = w;
    return 0;
}

void pool_models_finish(struct pool *p)
{
    struct listing *l = p->listing;
    p->listing = NULL;
    if (l != NULL) {
        task_destroy(l->task);
        listing_end(l, "the instance ends");
    }
    for (size_t i = 0; i < p->n_rates; i++)
        free(p->rates[i].model);
    free(p->rates);
}
