#include "base/sampler-known.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/noise.h"

struct candidate {
    double x; /* logit: log probability with bias and penalties */
    int32_t token;
};

struct draw {
    const struct sampler_params *p;
    const struct sampler_known *known;
    const int32_t *path;
    size_t n_path, prompt_len;
    struct candidate *c; /* the known ones, best first */
    size_t n;
    int32_t *ids;  /* the known ones, lowest id first */
    double rest;   /* probability of all that is unknown */
    double cap;    /* the most that the log probability of an unknown token can be, -INFINITY: all are known */
    double boost;  /* the most that penalties can add to it */
    double high;   /* the most that the logit of an unknown token can be, with its bias */
    size_t ranked; /* the first of c are no less than `high`: their ranks are known */
    size_t kept;   /* the first of c are kept by the filters */
    bool closed;   /* and nothing else is */
    double best, second;
    int32_t winner;
    double want; /* log probability down to which tokens must be known; INFINITY: it is proven */
};

static int by_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static int by_logit(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return x->x != y->x ? (x->x > y->x ? -1 : 1) : by_id(&x->token, &y->token);
}

static bool is_known(const struct draw *d, int32_t token)
{
    return bsearch(&token, d->ids, d->n, sizeof(*d->ids), by_id) != NULL;
}

static size_t occurrences(const struct draw *d, int32_t token, size_t from)
{
    size_t n = 0;
    for (size_t i = from; i < d->n_path; i++)
        n += d->path[i] == token;
    return n;
}

static size_t repeats_from(const struct draw *d)
{
    size_t last = (size_t)d->p->repeat_last_n;
    return d->p->repeat_last_n < 0 || last > d->n_path ? 0 : d->n_path - last;
}

static bool counts_repeats(const struct sampler_params *p)
{
    return p->repeat_penalty != 1 && p->repeat_last_n != 0;
}

static bool counts_output(const struct sampler_params *p)
{
    return p->frequency_penalty != 0 || p->presence_penalty != 0;
}

static double adjusted(const struct draw *d, int32_t token, double x)
{
    const struct sampler_params *p = d->p;
    for (size_t i = 0; i < p->n_bias; i++)
        if (p->bias[i].token == token)
            x += (double)p->bias[i].bias;
    if (counts_repeats(p) && occurrences(d, token, repeats_from(d)) > 0)
        x = x > 0 ? x / p->repeat_penalty : x * p->repeat_penalty;
    size_t n = counts_output(p) ? occurrences(d, token, d->prompt_len) : 0;
    if (n > 0)
        x -= p->frequency_penalty * (double)n + p->presence_penalty;
    return x;
}

/* The most that penalties can add to a log probability of cap: negative ones do. */
static double most_boost(const struct draw *d)
{
    const struct sampler_params *p = d->p;
    size_t output = d->n_path > d->prompt_len ? d->n_path - d->prompt_len : 0;
    double boost = 0;
    if (counts_repeats(p) && p->repeat_penalty < 1 && d->cap < 0)
        boost += d->cap * p->repeat_penalty - d->cap;
    if (p->frequency_penalty < 0)
        boost -= p->frequency_penalty * (double)output;
    if (p->presence_penalty < 0 && output > 0)
        boost -= p->presence_penalty;
    return boost;
}

static void begin(struct draw *d)
{
    const struct sampler_known *k = d->known;
    double sum = 0;
    d->n = k->n;
    d->c = xcalloc(k->n, sizeof(*d->c));
    d->ids = xcalloc(k->n, sizeof(*d->ids));
    for (size_t i = 0; i < k->n; i++) {
        d->ids[i] = k->top[i].token;
        d->c[i] = (struct candidate){adjusted(d, k->top[i].token, (double)k->top[i].logprob), k->top[i].token};
        sum += exp((double)k->top[i].logprob);
    }
    qsort(d->ids, d->n, sizeof(*d->ids), by_id);
    qsort(d->c, d->n, sizeof(*d->c), by_logit);
    d->rest = k->n >= k->n_vocab || sum > 1 ? 0 : 1 - sum;
    d->cap = k->n >= k->n_vocab ? -INFINITY : (double)k->top[k->n - 1].logprob;
    d->boost = isinf(d->cap) ? 0 : most_boost(d);
    d->high = d->cap + d->boost;
    for (size_t i = 0; i < d->p->n_bias && !isinf(d->cap); i++) {
        double x = d->cap + d->boost + (double)d->p->bias[i].bias;
        if (x > d->high && !is_known(d, d->p->bias[i].token))
            d->high = x;
    }
    while (d->ranked < d->n && d->c[d->ranked].x >= d->high)
        d->ranked++;
    d->winner = d->c[0].token;
    d->best = d->second = -INFINITY;
    d->want = INFINITY;
}

static void finish(struct draw *d)
{
    free(d->c);
    free(d->ids);
}

/* What top_k, top_p and min_p keep, as far as the ranks are known.  False: not enough is known to say it. */
static bool filter(struct draw *d)
{
    const struct sampler_params *p = d->p;
    size_t k = p->top_k > 0 && (size_t)p->top_k < d->known->n_vocab ? (size_t)p->top_k : d->known->n_vocab;
    double cut = p->min_p > 0 ? d->c[0].x + log(p->min_p) : -INFINITY, z = 0, sum = 0;
    bool nucleus = p->top_p < 1, limited = k < d->known->n_vocab;
    if (d->ranked == 0 || (nucleus && limited && k > d->ranked))
        return false;
    for (size_t i = 0; nucleus && i < (limited ? k : d->n); i++)
        z += exp(d->c[i].x);
    if (nucleus && !limited)
        z += d->rest;
    while (d->kept < d->ranked && !d->closed) {
        double x = d->c[d->kept].x;
        if (d->kept >= k || (d->kept > 0 && x < cut)) {
            d->closed = true;
            break;
        }
        sum += exp(x);
        d->kept++;
        d->closed = d->kept >= k || (nucleus && sum >= p->top_p * z);
    }
    d->closed = d->closed || isinf(d->cap) || cut > d->high;
    return true;
}

static double score(const struct draw *d, uint64_t key, const struct candidate *c)
{
    return c->x / d->p->temperature + noise_gumbel(noise_hash(key, c->token));
}

static void want(struct draw *d, double logprob)
{
    if (logprob < d->want)
        d->want = logprob;
}

/* Could a token that is not known, or not known to be kept, have won? */
static void challenge(struct draw *d, uint64_t key)
{
    const struct sampler_params *p = d->p;
    double t = p->temperature;
    for (size_t i = d->ranked; i < d->n; i++)
        if (score(d, key, &d->c[i]) >= d->best)
            want(d, d->c[i].x - d->boost);
    uint64_t limit = noise_limit(d->best - (d->cap + d->boost) / t);
    for (size_t i = 0; i < d->known->n_vocab; i++) {
        uint64_t hash = noise_hash(key, (int32_t)i);
        if (hash < limit && !is_known(d, (int32_t)i))
            want(d, (d->best - noise_gumbel(hash)) * t - d->boost);
    }
    for (size_t i = 0; i < p->n_bias; i++) {
        double bias = (double)p->bias[i].bias, g = noise_gumbel(noise_hash(key, p->bias[i].token));
        if (bias > 0 && (d->cap + d->boost + bias) / t + g >= d->best && !is_known(d, p->bias[i].token))
            want(d, (d->best - g) * t - d->boost - bias);
    }
}

static void draw_noisy(struct draw *d)
{
    uint64_t key = noise_key(d->p->seed, d->n_path);
    if (!filter(d)) {
        want(d, d->cap);
        return;
    }
    for (size_t i = 0; i < d->kept; i++) {
        double s = score(d, key, &d->c[i]);
        if (s > d->best) {
            d->second = d->best;
            d->best = s;
            d->winner = d->c[i].token;
        } else if (s > d->second) {
            d->second = s;
        }
    }
    if (!d->closed)
        challenge(d, key);
}

/* How many tokens can have a log probability of at least d->want: no more than their probabilities leave room for. */
static size_t tokens_to_ask(const struct draw *d)
{
    double n = (double)d->n + (d->rest + 1e-5) / exp(d->want) + 1, least = 4.0 * (double)d->n;
    if (!(n > least))
        n = least;
    return n < (double)d->known->n_vocab ? (size_t)n : d->known->n_vocab;
}

struct sampler_draw sampler_pick_known(const struct sampler_params *p, const struct sampler_known *known,
                                       const int32_t *path, size_t n_path, size_t prompt_len)
{
    struct draw d = {.p = p, .known = known, .path = path, .n_path = n_path, .prompt_len = prompt_len};
    double scale = 1;
    begin(&d);
    if (p->temperature < 1e-6) { /* as sampler_pick: below this no noise could be told from argmax */
        d.best = d.c[0].x;
        d.second = d.n > 1 ? d.c[1].x : -INFINITY;
        if (d.ranked == 0)
            want(&d, d.c[0].x - d.boost);
    } else {
        draw_noisy(&d);
        scale = p->temperature;
    }
    struct sampler_draw out = {.pick = {.token = d.winner, .margin = (float)((d.best - d.second) * scale)},
                               .proven = isinf(d.want)};
    if (!out.proven)
        out.ask = tokens_to_ask(&d);
    finish(&d);
    return out;
}
