#include "advise/split.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum { DEVICES_MAX = 256, MIB = 1 << 20, CTX_STEP = 256, FLOAT = 4, WIDTHS = 6, COPIES = 4 };

/* Devices in llama.cpp's order; which of them may take layers. */
struct order {
    size_t device[DEVICES_MAX];
    bool use[DEVICES_MAX];
    size_t n;
};

/* An RPC server: its devices stand together. */
struct server {
    size_t first, n;
    uint64_t usable;
};

struct work {
    const struct layers *model;
    const struct split_device *devices;
    size_t n_devices;
    struct split_ask ask;
    struct server servers[DEVICES_MAX]; /* in the order given */
    size_t n_servers;
    size_t local[DEVICES_MAX]; /* GPUs here, in the order given */
    size_t n_local;
};

uint64_t split_reserve(uint64_t total)
{
    return (uint64_t)192 * MIB + total / 25;
}

static uint64_t usable(const struct split_device *d)
{
    uint64_t reserve = split_reserve(d->total), room = d->free < d->total || d->total == 0 ? d->free : d->total;
    return room > reserve ? room - reserve : 0;
}

static uint64_t positive(int64_t v)
{
    return v > 0 ? (uint64_t)v : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* llama.cpp's caches have whole steps of tokens. */
static uint64_t padded(uint64_t ctx)
{
    return (ctx + CTX_STEP - 1) / CTX_STEP * CTX_STEP;
}

uint64_t split_compute(const struct layers *l, const struct split_ask *ask, bool output, bool several)
{
    uint64_t rows = ask->ubatch, outputs = ask->outputs < rows ? ask->outputs : rows, ctx = padded(ask->ctx);
    uint64_t scores = ask->flash ? 0 : positive(l->n_heads) * ctx * rows * FLOAT;
    uint64_t logits = output ? positive(l->n_vocab) * outputs * FLOAT : 0;
    uint64_t wide = 2 * positive(l->n_ff) * rows * FLOAT;
    uint64_t inputs = (ctx + WIDTHS * positive(l->n_embd)) * rows * FLOAT;
    return larger(scores, larger(logits, wide)) + inputs * (several ? COPIES : 1);
}

/* Bytes of the cache of layer i for all slots. */
static uint64_t layer_kv(const struct work *w, size_t i)
{
    const struct layer *y = &w->model->list[i];
    uint64_t tokens = y->sliding && !w->ask.whole ? layers_window(w->model, w->ask.ctx, w->ask.ubatch) : w->ask.ctx;
    return (y->kv * tokens + y->state) * w->ask.slots;
}

/* Bytes of slot i: a layer, or behind them the output. */
static uint64_t slot_bytes(const struct work *w, size_t i)
{
    return i < w->model->n ? w->model->list[i].weights + layer_kv(w, i) : w->model->output;
}

static bool takes_any(const struct split_part *p)
{
    return p->n > 0 || p->output;
}

/* Puts slot i (from the end of the model to its beginning) before what p has.  False, and nothing done, when there is
 * no room. */
static bool take_slot(const struct work *w, struct split_part *p, size_t i, bool several)
{
    bool output = p->output || i == w->model->n;
    uint64_t compute = split_compute(w->model, &w->ask, output, several);
    uint64_t sum = p->weights + p->kv + slot_bytes(w, i) + compute;
    if (sum > p->usable)
        return false;
    p->compute = compute;
    p->output = output;
    if (i == w->model->n) {
        p->weights += w->model->output;
        p->first = i;
        return true;
    }
    p->weights += w->model->list[i].weights;
    p->kv += layer_kv(w, i);
    p->first = i;
    p->n++;
    return true;
}

/* Fills the devices from the last to the first, each with as much as it holds, for the output layer belongs to the
 * last. Returns the slots that found no place. */
static size_t fill(const struct work *w, const struct order *o, struct split_part *parts)
{
    size_t left = w->model->n + 1;
    for (size_t k = o->n; k-- > 0;) {
        struct split_part *p = &parts[k];
        *p = (struct split_part){.device = o->device[k], .usable = usable(&w->devices[o->device[k]])};
        while (left > 0 && o->use[k] && take_slot(w, p, left - 1, o->n > 1))
            left--;
        if (!takes_any(p))
            p->first = left;
    }
    return left;
}

/* ---- which devices ---- */

static int by_usable(const void *a, const void *b)
{
    const struct server *x = a, *y = b;
    if (x->usable != y->usable)
        return x->usable < y->usable ? 1 : -1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* The k servers with the most memory, the largest of them last so that it is filled first, then the GPUs here, of which
 * the m with the most memory are used. */
static void make_order(const struct work *w, size_t k, size_t m, struct order *o)
{
    *o = (struct order){0};
    for (size_t i = k; i-- > 0;) {
        for (size_t d = 0; d < w->servers[i].n; d++) {
            o->device[o->n] = w->servers[i].first + d;
            o->use[o->n++] = true;
        }
    }
    size_t start = o->n;
    for (size_t i = 0; i < w->n_local; i++)
        o->device[o->n++] = w->local[i];
    for (size_t done = 0; done < m; done++) {
        size_t best = o->n;
        for (size_t i = start; i < o->n; i++) {
            const struct split_device *d = &w->devices[o->device[i]];
            if (!o->use[i] && (best == o->n || usable(d) > usable(&w->devices[o->device[best]])))
                best = i;
        }
        o->use[best] = true;
    }
}

/* The fewest servers, then the fewest GPUs here; with servers, one GPU here at least for the output layer. */
static bool choose(const struct work *w, struct order *o, struct split_part *parts)
{
    for (size_t k = 0; k <= w->n_servers; k++) {
        for (size_t m = k > 0 && w->n_local > 0 ? 1 : 0; m <= w->n_local; m++) {
            make_order(w, k, m, o);
            if (o->n > 0 && fill(w, o, parts) == 0)
                return true;
        }
        if (k > 0 && w->n_local > 0) {
            make_order(w, k, 0, o);
            if (fill(w, o, parts) == 0)
                return true;
        }
    }
    make_order(w, w->n_servers, w->n_local, o);
    return fill(w, o, parts) == 0;
}

/* The user's own shares over all devices in the order given. */
static bool follow_shares(const struct work *w, struct order *o, struct split_part *parts)
{
    double sum = 0, before = 0;
    size_t slot = 0, n = w->model->n + 1;
    bool fits = true;
    *o = (struct order){0};
    for (size_t i = 0; i < w->n_devices; i++) {
        if (w->devices[i].kind == SPLIT_RPC)
            o->device[o->n++] = i;
    }
    for (size_t i = 0; i < w->n_local; i++)
        o->device[o->n++] = w->local[i];
    for (size_t i = 0; i < o->n && i < w->ask.n_shares; i++)
        sum += w->ask.shares[i];
    for (size_t k = 0; k < o->n; k++) {
        struct split_part *p = &parts[k];
        before += k < w->ask.n_shares ? w->ask.shares[k] : 0;
        *p = (struct split_part){.device = o->device[k], .first = slot, .usable = usable(&w->devices[o->device[k]])};
        while (slot < n && (float)slot / (float)n < (float)before / (float)sum) {
            p->weights += slot < w->model->n ? w->model->list[slot].weights : w->model->output;
            p->kv += slot < w->model->n ? layer_kv(w, slot) : 0;
            p->n += slot < w->model->n;
            p->output = slot == w->model->n;
            slot++;
        }
        if (takes_any(p))
            p->compute = split_compute(w->model, &w->ask, p->output, o->n > 1);
        fits = fits && p->weights + p->kv + p->compute <= p->usable;
    }
    return fits && slot == n;
}

static void sort_devices(struct work *w)
{
    size_t cpu = w->n_devices;
    for (size_t i = 0; i < w->n_devices; i++) {
        const struct split_device *d = &w->devices[i];
        struct server *last = w->n_servers > 0 ? &w->servers[w->n_servers - 1] : NULL;
        if (d->kind == SPLIT_GPU) {
            w->local[w->n_local++] = i;
        } else if (d->kind == SPLIT_CPU) {
            cpu = i;
        } else if (last != NULL && last->first + last->n == i &&
                   strcmp(w->devices[last->first].endpoint, d->endpoint) == 0) {
            last->n++;
            last->usable += usable(d);
        } else {
            w->servers[w->n_servers++] = (struct server){i, 1, usable(d)};
        }
    }
    if (w->n_local == 0 && w->n_servers == 0 && cpu < w->n_devices)
        w->local[w->n_local++] = cpu;
    qsort(w->servers, w->n_servers, sizeof(*w->servers), by_usable);
}

/* ---- what would help ---- */

static bool would_fit(const struct work *w, uint64_t ctx, uint64_t slots)
{
    struct work other = *w;
    struct order o;
    struct split_part parts[DEVICES_MAX];
    other.ask.ctx = ctx;
    other.ask.slots = slots;
    return other.ask.shares != NULL ? follow_shares(&other, &o, parts) : choose(&other, &o, parts);
}

static void find_help(const struct work *w, struct split_plan *p)
{
    uint64_t low = 0, high = w->ask.ctx / CTX_STEP; /* low fits (or is 0), high does not */
    while (high > low + 1) {
        uint64_t middle = low + (high - low) / 2;
        if (would_fit(w, middle * CTX_STEP, w->ask.slots))
            low = middle;
        else
            high = middle;
    }
    p->ctx_fits = low * CTX_STEP;
    for (uint64_t slots = w->ask.slots; slots-- > 1 && p->slots_fit == 0;) {
        if (would_fit(w, w->ask.ctx, slots))
            p->slots_fit = slots;
    }
}

/* ---- words ---- */

static char *size_text(uint64_t bytes)
{
    double gib = (double)bytes / 1024 / MIB;
    return gib >= 10    ? xasprintf("%.1f GiB", gib)
           : gib >= 0.1 ? xasprintf("%.2f GiB", gib)
                        : xasprintf("%.1f MiB", (double)bytes / MIB);
}

static void say_missing(const struct work *w, struct split_plan *p)
{
    struct buf b;
    char *missing = size_text(p->missing), *weights = size_text(p->weights), *kv = size_text(p->kv);
    uint64_t room = 0, used = 0;
    for (size_t i = 0; i < p->n_parts; i++) {
        room += p->parts[i].usable;
        used += takes_any(&p->parts[i]);
    }
    char *space = size_text(room);
    buf_init(&b, 4096);
    buf_printf(&b,
               "%s do not fit: the weights take %s, the cache of %llu × %llu tokens %s and each device some room to "
               "compute; usable are %s on %zu device%s.",
               missing, weights, (unsigned long long)w->ask.slots, (unsigned long long)w->ask.ctx, kv, space,
               p->n_parts, p->n_parts == 1 ? "" : "s");
    if (p->ctx_fits > 0)
        buf_printf(&b, " It would fit with ctx_size %llu", (unsigned long long)p->ctx_fits);
    if (p->slots_fit > 0)
        buf_printf(&b, "%s %llu slot%s", p->ctx_fits > 0 ? ", or with" : " It would fit with",
                   (unsigned long long)p->slots_fit, p->slots_fit == 1 ? "" : "s");
    if (p->ctx_fits > 0 || p->slots_fit > 0)
        buf_adds(&b, ".");
    else
        buf_adds(&b, " No shorter context helps: it takes a worker more, or a smaller quantisation of the model.");
    p->reason = buf_steal(&b);
    free(missing);
    free(weights);
    free(kv);
    free(space);
}

static void say_why(const struct work *w, struct split_plan *p)
{
    size_t here = 0;
    bool output_away = false, cpu = false;
    for (size_t i = 0; i < p->n_parts; i++) {
        const struct split_part *x = &p->parts[i];
        enum split_kind kind = w->devices[x->device].kind;
        here += takes_any(x) && kind != SPLIT_RPC;
        cpu |= kind == SPLIT_CPU;
        output_away |= x->output && kind == SPLIT_RPC;
    }
    if (w->ask.shares != NULL)
        p->reason = xstrdup("The shares are those that extra_args gives.");
    else if (cpu)
        p->reason = xstrdup("There is no GPU and no worker: the CPU computes all of it.");
    else if (p->n_servers == 0)
        p->reason = xasprintf("%s of this machine hold%s all of it: no pass has to cross the network.",
                              here == 1 ? "One GPU" : "The GPUs", here == 1 ? "s" : "");
    else
        p->reason = xasprintf("Each pass makes %zu trip%s over the network, the fewest that hold the model.%s",
                              p->n_servers, p->n_servers == 1 ? "" : "s",
                              output_away ? " No GPU here holds the output layer, so each token's logits cross the "
                                            "network too."
                                          : "");
}

struct split_plan *split_make(const struct layers *l, const struct split_device *devices, size_t n,
                              const struct split_ask *ask)
{
    struct work w = {.model = l, .devices = devices, .n_devices = n < DEVICES_MAX ? n : DEVICES_MAX, .ask = *ask};
    struct order o;
    struct split_plan *p = xcalloc(1, sizeof(*p));
    struct split_part *parts = xcalloc(DEVICES_MAX, sizeof(*parts));
    sort_devices(&w);
    p->fits = ask->shares != NULL ? follow_shares(&w, &o, parts) : choose(&w, &o, parts);
    p->parts = parts;
    p->n_parts = o.n;
    p->n_layers = l->n;
    p->host = l->input;
    uint64_t placed = 0;
    const char *server = NULL;
    for (size_t i = 0; i < o.n; i++) {
        const char *at = devices[parts[i].device].endpoint;
        placed += parts[i].weights + parts[i].kv;
        if (takes_any(&parts[i]) && at != NULL && (server == NULL || strcmp(server, at) != 0)) {
            p->n_servers++;
            server = at;
        }
        uint64_t need = parts[i].weights + parts[i].kv + parts[i].compute;
        if (ask->shares != NULL && need > parts[i].usable)
            p->missing += need - parts[i].usable;
    }
    for (size_t i = 0; i < l->n; i++) {
        p->weights += l->list[i].weights;
        p->kv += layer_kv(&w, i);
    }
    p->weights += l->output;
    if (p->missing == 0 && !p->fits)
        p->missing = p->weights + p->kv - placed;
    if (p->fits) {
        say_why(&w, p);
    } else {
        find_help(&w, p);
        say_missing(&w, p);
    }
    return p;
}

void split_destroy(struct split_plan *p)
{
    if (p == NULL)
        return;
    free(p->parts);
    free(p->reason);
    free(p);
}

char *split_shares(const struct split_plan *p)
{
    struct buf b;
    buf_init(&b, 8192);
    for (size_t i = 0; i < p->n_parts; i++)
        buf_printf(&b, "%s%zu", i > 0 ? "," : "", p->parts[i].n + p->parts[i].output);
    return buf_steal(&b);
}

static void part_text(struct buf *b, const struct split_part *x, const struct split_device *d)
{
    char *layers = x->n > 0    ? xasprintf("%zu–%zu%s", x->first, x->first + x->n - 1, x->output ? " + out" : "")
                   : x->output ? xstrdup("out")
                               : xstrdup("none");
    char *weights = size_text(x->weights), *kv = size_text(x->kv), *compute = size_text(x->compute),
         *room = size_text(x->usable);
    /* The dash takes three bytes and one column. */
    int pad = x->n > 0 ? 14 : 12;
    buf_printf(b, "  %-16.16s %-18.18s %-*s %10s %10s %10s %10s\n", d->machine, d->name, pad, layers, weights, kv,
               compute, room);
    free(layers);
    free(weights);
    free(kv);
    free(compute);
    free(room);
}

char *split_text(const struct split_plan *p, const struct split_device *devices)
{
    struct buf b;
    char *host = size_text(p->host);
    buf_init(&b, 1 << 20);
    buf_printf(&b, "  %-16s %-18s %-12s %10s %10s %10s %10s\n", "machine", "device", "layers", "weights", "cache",
               "compute", "usable");
    for (size_t i = 0; i < p->n_parts; i++)
        part_text(&b, &p->parts[i], &devices[p->parts[i].device]);
    buf_printf(&b, "  %-16s %-18s %-12s %10s\n", "here", "memory", "input", host);
    free(host);
    return buf_steal(&b);
}
