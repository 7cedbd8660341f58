/* Order of the steps: logit_bias, penalties, top_k, top_p, min_p, temperature and noise (llama.cpp's order: top_p and
 * min_p look at the distribution before the temperature).
 *
 * Over a full vocabulary a token can only matter when its hash lies under a bound (noise.h) for the noise it would
 * need, and the bounds are kept for logits in steps of one: so nearly every token costs one hash and one comparison,
 * and logarithms are taken for the few that pass. */
#include "base/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/noise.h"

enum { STEPS = 64 };

struct candidate {
    float logit;
    int32_t token;
};

struct sampler {
    size_t n_vocab;
    float *logits;       /* n_vocab: with bias and penalties */
    uint32_t *count;     /* n_vocab: occurrences while penalties are applied; all zero between calls */
    struct candidate *c; /* n_vocab */
};

/* The best two so far. */
struct leaders {
    double best, second;
    int32_t token; /* -1: none yet */
};

struct sampler *sampler_create(size_t n_vocab)
{
    struct sampler *s = xmalloc(sizeof(*s));
    *s = (struct sampler){.n_vocab = n_vocab,
                          .logits = xmalloc(n_vocab * sizeof(*s->logits)),
                          .count = xcalloc(n_vocab, sizeof(*s->count)),
                          .c = xmalloc(n_vocab * sizeof(*s->c))};
    return s;
}

void sampler_destroy(struct sampler *s)
{
    if (s == NULL)
        return;
    free(s->logits);
    free(s->count);
    free(s->c);
    free(s);
}

static inline void leaders_add(struct leaders *l, double score, int32_t token)
{
    if (l->token < 0 || score > l->best || (score == l->best && token < l->token)) {
        l->second = l->token < 0 ? -INFINITY : l->best;
        l->best = score;
        l->token = token;
    } else if (score > l->second) {
        l->second = score;
    }
}

/* The tokens of the largest and the second largest logit (the lowest ids on a tie), -1 where there is none. NaN is
 * passed over. */
static void largest_two(const float *logits, size_t n, int32_t *first, int32_t *second)
{
    float a = -INFINITY, b = -INFINITY;
    int32_t ia = -1, ib = -1;
    for (size_t i = 0; i < n; i++) {
        float x = logits[i];
        if (!(x > b))
            continue;
        if (x > a) {
            b = a;
            ib = ia;
            a = x;
            ia = (int32_t)i;
        } else {
            b = x;
            ib = (int32_t)i;
        }
    }
    *first = ia;
    *second = ib;
}

static void count_tokens(struct sampler *s, const int32_t *path, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (path[i] >= 0 && (size_t)path[i] < s->n_vocab)
            s->count[path[i]]++;
}

static void penalise_repeats(struct sampler *s, const struct sampler_params *p, const int32_t *path, size_t n)
{
    size_t last = p->repeat_last_n < 0 || (size_t)p->repeat_last_n > n ? n : (size_t)p->repeat_last_n;
    count_tokens(s, path, n - last, n);
    for (size_t i = n - last; i < n; i++) {
        if (path[i] < 0 || (size_t)path[i] >= s->n_vocab || s->count[path[i]] == 0)
            continue;
        float *logit = &s->logits[path[i]];
        *logit = (float)(*logit > 0 ? *logit / p->repeat_penalty : *logit * p->repeat_penalty);
        s->count[path[i]] = 0;
    }
}

static void penalise_output(struct sampler *s, const struct sampler_params *p, const int32_t *path, size_t from,
                            size_t n)
{
    count_tokens(s, path, from, n);
    for (size_t i = from; i < n; i++) {
        if (path[i] < 0 || (size_t)path[i] >= s->n_vocab || s->count[path[i]] == 0)
            continue;
        s->logits[path[i]] -= (float)(p->frequency_penalty * s->count[path[i]] + p->presence_penalty);
        s->count[path[i]] = 0;
    }
}

/* The logits after bias and penalties: the given ones where there are none. */
static const float *adjust(struct sampler *s, const struct sampler_params *p, const float *logits, const int32_t *path,
                           size_t n_path, size_t prompt_len)
{
    bool repeats = p->repeat_penalty != 1 && p->repeat_last_n != 0;
    bool output = p->frequency_penalty != 0 || p->presence_penalty != 0;
    if (p->n_bias == 0 && !repeats && !output)
        return logits;
    memcpy(s->logits, logits, s->n_vocab * sizeof(*logits));
    for (size_t i = 0; i < p->n_bias; i++)
        if (p->bias[i].token >= 0 && (size_t)p->bias[i].token < s->n_vocab)
            s->logits[p->bias[i].token] += p->bias[i].bias;
    if (repeats)
        penalise_repeats(s, p, path, n_path);
    if (output)
        penalise_output(s, p, path, prompt_len < n_path ? prompt_len : n_path, n_path);
    return s->logits;
}

/* limit[d]: hashes from there on mean a score below `floor` for every token whose logit / T is at most top - d. */
static void set_limits(uint64_t limit[STEPS], double floor, double top)
{
    for (int d = 0; d < STEPS; d++)
        limit[d] = noise_limit(floor - (top - d));
}

/* argmax of logit / T + g over the whole vocabulary. */
static struct leaders draw_full(const float *logits, size_t n, double temperature, uint64_t key)
{
    struct leaders l = {.token = -1, .second = -INFINITY};
    int32_t first, second;
    largest_two(logits, n, &first, &second);
    if (first >= 0)
        leaders_add(&l, logits[first] / temperature + noise_gumbel(noise_hash(key, first)), first);
    if (second < 0)
        return l;
    leaders_add(&l, logits[second] / temperature + noise_gumbel(noise_hash(key, second)), second);

    float high = logits[second], scale = (float)(1 / temperature);
    double top = high / temperature, floor = l.second;
    uint64_t limit[STEPS];
    set_limits(limit, floor, top);
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = noise_hash(key, (int32_t)i);
        if (hash >= limit[0])
            continue;
        /* Rounding must not make the step too large; the first token has a negative one. */
        float below = (high - logits[i]) * scale - 0.001f;
        int step = below > 0 ? (below < STEPS - 1 ? (int)below : STEPS - 1) : 0;
        if (hash >= limit[step] || !(logits[i] > -INFINITY) || (int32_t)i == first || (int32_t)i == second)
            continue;
        leaders_add(&l, logits[i] / temperature + noise_gumbel(hash), (int32_t)i);
        if (l.second > floor + 0.5) {
            floor = l.second;
            set_limits(limit, floor, top);
        }
    }
    return l;
}

/* More likely first, the lower id on a tie. */
static inline bool before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/* Restores the heap (the one that comes `before` all others at the root) below i. */
static void sift(struct candidate *c, size_t n, size_t i)
{
    struct candidate x = c[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(c[child + 1], c[child]))
            child++;
        if (!before(c[child], x))
            break;
        c[i] = c[child];
    }
    c[i] = x;
}

/* Collects the tokens whose logit is at least `low` into s->c as a heap. */
static size_t gather(struct sampler *s, const float *logits, float low)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_vocab; i++)
        if (logits[i] >= low)
            s->c[n++] = (struct candidate){.logit = logits[i], .token = (int32_t)i};
    for (size_t i = n / 2; i-- > 0;)
        sift(s->c, n, i);
    return n;
}

/* Takes the k best out of a heap of n: the i-th best then stands at c[n - 1 - i], and the heap is that much smaller.
 * Returns how many were taken. */
static size_t take_best(struct candidate *c, size_t n, size_t k)
{
    size_t taken = 0;
    for (; taken < k && taken < n; taken++) {
        struct candidate best = c[0];
        size_t left = n - taken - 1;
        c[0] = c[left];
        sift(c, left, 0);
        c[left] = best;
    }
    return taken;
}

/* Sum of exp(logit - high) over the vocabulary. */
static double partition(const float *logits, size_t n, float high)
{
    double z = 0;
    for (size_t i = 0; i < n; i++)
        if (logits[i] > -INFINITY)
            z += (double)expf(logits[i] - high);
    return z;
}

/* A logit that at least k tokens reach, so that the heap stays small: found by a histogram in steps of a quarter. */
static float low_for_k(const float *logits, size_t n, float high, size_t k)
{
    enum { BINS = 256 };
    size_t bin[BINS] = {0};
    for (size_t i = 0; i < n; i++) {
        float below = (high - logits[i]) * 4;
        if (below < BINS)
            bin[(int)below]++;
    }
    size_t sum = 0;
    for (int b = 0; b < BINS; b++)
        if ((sum += bin[b]) >= k)
            return high - (float)(b + 2) / 4; /* one step more than needed, for rounding */
    return -INFINITY;
}

/* Draws among what top_k, top_p and min_p leave. */
static struct leaders draw_filtered(struct sampler *s, const struct sampler_params *p, const float *logits,
                                    uint64_t key)
{
    struct leaders l = {.token = -1, .second = -INFINITY};
    int32_t first, second;
    largest_two(logits, s->n_vocab, &first, &second);
    if (first < 0)
        return l;
    float high = logits[first];
    size_t k = p->top_k > 0 && (size_t)p->top_k < s->n_vocab ? (size_t)p->top_k : s->n_vocab;
    float cut = p->min_p > 0 ? high + logf((float)p->min_p) : -INFINITY;
    if (cut > high)
        cut = high;

    /* top_p asks for the mass of what top_k leaves, min_p only shortens the list. */
    bool nucleus = p->top_p < 1;
    float low = k < s->n_vocab ? low_for_k(logits, s->n_vocab, high, k) : nucleus ? high - 12 : cut;
    if (!nucleus && cut > low)
        low = cut;
    double z = nucleus && k == s->n_vocab ? partition(logits, s->n_vocab, high) : 0;
    size_t n = gather(s, logits, low);
    if (nucleus && k == s->n_vocab) {
        double held = 0;
        for (size_t i = 0; i < n; i++)
            held += (double)expf(s->c[i].logit - high);
        if (held < p->top_p * z * (1 + 1e-6)) /* not all of the nucleus is in there */
            n = gather(s, logits, -INFINITY);
    }
    size_t sorted = 0;
    if (k < s->n_vocab) {
        sorted = take_best(s->c, n, k);
        for (size_t i = 0; nucleus && i < sorted; i++)
            z += (double)expf(s->c[n - 1 - i].logit - high);
    }
    double sum = 0;
    for (size_t i = 0; i < n && i < k; i++) {
        if (i >= sorted)
            take_best(s->c, n - i, 1);
        struct candidate c = s->c[n - 1 - i];
        if (i > 0 && (c.logit < cut || !(c.logit > -INFINITY)))
            break;
        leaders_add(&l, c.logit / p->temperature + noise_gumbel(noise_hash(key, c.token)), c.token);
        sum += nucleus ? (double)expf(c.logit - high) : 0;
        if (nucleus && sum >= p->top_p * z)
            break;
    }
    return l;
}

struct sampler_pick sampler_pick(struct sampler *s, const struct sampler_params *p, const float *logits,
                                 const int32_t *path, size_t n_path, size_t prompt_len)
{
    const float *x = adjust(s, p, logits, path, n_path, prompt_len);
    /* Below this no noise could be told from argmax, and logit / T would leave the range of a float. */
    bool greedy = p->temperature < 1e-6;
    if (greedy) {
        int32_t first, second;
        largest_two(x, s->n_vocab, &first, &second);
        return (struct sampler_pick){.token = first < 0 ? 0 : first,
                                     .margin = second < 0 ? INFINITY : x[first] - x[second]};
    }
    uint64_t key = noise_key(p->seed, n_path);
    bool filtered = p->top_k > 0 || p->top_p < 1 || p->min_p > 0;
    struct leaders l = filtered ? draw_filtered(s, p, x, key) : draw_full(x, s->n_vocab, p->temperature, key);
    if (l.token < 0)
        return (struct sampler_pick){.token = 0, .margin = INFINITY};
    return (struct sampler_pick){.token = l.token, .margin = (float)((l.best - l.second) * p->temperature)};
}

/* Puts c among the n best so far (*count of them, the first one stays), best first; scores stand in chance. */
static void insert_choice(struct sampler_choice *out, size_t n, size_t *count, struct sampler_choice c)
{
    if (*count == n && !(c.chance > out[n - 1].chance))
        return;
    size_t at = *count < n ? (*count)++ : n - 1;
    for (; at > 1 && out[at - 1].chance < c.chance; at--)
        out[at] = out[at - 1];
    out[at] = c;
}

size_t sampler_choices(struct sampler *s, const struct sampler_params *p, const float *logits, const int32_t *path,
                       size_t n_path, size_t prompt_len, int32_t pick, struct sampler_choice *out, size_t n)
{
    enum { CANDIDATES = 64 };
    const float *x = adjust(s, p, logits, path, n_path, prompt_len);
    int32_t first, second;
    largest_two(x, s->n_vocab, &first, &second);
    out[0] = (struct sampler_choice){.token = pick, .chance = 1};
    if (first < 0 || second < 0 || pick < 0 || (size_t)pick >= s->n_vocab)
        return 1;
    size_t k = p->top_k > 0 && p->top_k < CANDIDATES ? (size_t)p->top_k : CANDIDATES;
    float high = x[first], cut = p->min_p > 0 ? high + logf((float)p->min_p) : -INFINITY;
    float low = k < s->n_vocab ? low_for_k(x, s->n_vocab, high, k) : -INFINITY;
    size_t held = gather(s, x, low > cut ? low : cut), taken = take_best(s->c, held, k), count = n > 0 ? 1 : 0;
    uint64_t key = noise_key(p->seed, n_path);
    bool noisy = p->temperature >= 1e-6;
    double nucleus = p->top_p < 1 ? p->top_p * partition(x, s->n_vocab, high) : INFINITY, mass = 0, z = 0;
    out[0].chance = x[pick] + (float)(noisy ? p->temperature * noise_gumbel(noise_hash(key, pick)) : 0);
    double top = (double)out[0].chance;
    for (size_t i = 0; i < taken && mass < nucleus; i++) {
        struct candidate c = s->c[held - 1 - i];
        double score = (double)c.logit + (noisy ? p->temperature * noise_gumbel(noise_hash(key, c.token)) : 0);
        mass += exp((double)(c.logit - high));
        if (c.token == pick || !(c.logit > -INFINITY))
            continue;
        z += exp(score - top);
        if (n > 1)
            insert_choice(out, n, &count, (struct sampler_choice){.token = c.token, .chance = (float)score});
    }
    for (size_t i = 0; i < count; i++)
        out[i].chance = (float)(exp((double)out[i].chance - top) / (1 + z));
    return count;
}

/* Puts t among the n best so far (*count of them), best first. */
static void insert_top(struct sampler_logprob *top, size_t n, size_t *count, struct sampler_logprob t)
{
    size_t at = *count < n ? (*count)++ : n - 1;
    for (; at > 0 && top[at - 1].logprob < t.logprob; at--)
        top[at] = top[at - 1];
    top[at] = t;
}

size_t sampler_logprobs(const float *logits, size_t n_vocab, int32_t token, float *logprob, struct sampler_logprob *top,
                        size_t n)
{
    float high = -INFINITY;
    size_t count = 0;
    for (size_t i = 0; i < n_vocab; i++) {
        float x = logits[i];
        if (x > high)
            high = x;
        if (n > 0 && x > -INFINITY && (count < n || x > top[n - 1].logprob))
            insert_top(top, n, &count, (struct sampler_logprob){.token = (int32_t)i, .logprob = x});
    }
    double log_z = (double)high + log(partition(logits, n_vocab, high));
    for (size_t i = 0; i < count; i++)
        top[i].logprob = (float)((double)top[i].logprob - log_z);
    if (logprob != NULL)
        *logprob = token >= 0 && (size_t)token < n_vocab ? (float)((double)logits[token] - log_z) : -INFINITY;
    return count;
}
