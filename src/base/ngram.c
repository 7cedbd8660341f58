#include "base/ngram.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    ORDERS = 4,
    FIRST_SIZE = 256,
    MATCH_MOST = 32,      /* tokens of a match that are compared */
    CANDIDATES = 16,      /* places of a chain that are looked at */
    JUDGED_AT_ONCE = 256, /* tokens: of a longer piece (an answer taken up again) only the end is judged */
    JUDGED_RUN = 64,      /* tokens of one proposal */
};

static const unsigned char orders[ORDERS] = {1, 2, 4, 8};

static const float FADE = 0.98f;         /* of what a token said, per newer one of the same cell */
static const float PRIOR = 3;            /* tokens that the first guess of a chance weighs */
static const float GOES_ON = 0.6f;       /* of the chance to miss is left behind a token that was right: first guess */
static const float CONTESTED = 0.6f;     /* times as good is a match that others contradict: first guess */
static const float CHANCE_LEAST = 0.02f; /* of all tokens being right: proposals end there */

/* First guesses of the chance of the token behind a match, by class of its length. */
static const float first_guess[NGRAM_LENGTHS] = {0.2f, 0.4f, 0.5f, 0.65f, 0.8f, 0.9f, 0.95f, 0.97f};

struct ngram {
    struct ngram_record *record;
    size_t n_prompt;
    size_t forgotten; /* tokens that stood before text[0] */
    int32_t *text;
    size_t n, size;  /* size is a power of two */
    uint32_t *head;  /* ORDERS tables of size: hash → the newest place + 1, 0 none */
    uint32_t *older; /* ORDERS of each place: the next older one with that hash, + 1, 0 none */
};

/* The text and a tail, as one. */
struct view {
    const struct ngram *g;
    const int32_t *tail;
    size_t n; /* of both */
};

struct match {
    size_t next;     /* the place that is proposed first; 0: no match */
    unsigned length; /* class */
    bool contested;
};

static int32_t at(const struct view *v, size_t i)
{
    return i < v->g->n ? v->g->text[i] : v->tail[i - v->g->n];
}

/* ---- the index ---- */

/* The hashes of the n-grams that end at place i: returns how many orders fit in what stands there. */
static size_t hashes(const struct view *v, size_t i, uint32_t *out)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    size_t k = 0;
    for (size_t back = 0; back <= i && k < ORDERS; back++) {
        h = (h ^ (uint32_t)at(v, i - back)) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
        if (back + 1 == orders[k])
            out[k++] = (uint32_t)h & (uint32_t)(v->g->size - 1);
    }
    return k;
}

static void link_place(struct ngram *g, size_t i)
{
    uint32_t h[ORDERS];
    size_t n = hashes(&(struct view){g, NULL, g->n}, i, h);
    for (size_t k = 0; k < ORDERS; k++) {
        uint32_t *head = k < n ? &g->head[k * g->size + h[k]] : NULL;
        g->older[i * ORDERS + k] = head != NULL ? *head : 0;
        if (head != NULL)
            *head = (uint32_t)i + 1;
    }
}

static void relink(struct ngram *g)
{
    memset(g->head, 0, ORDERS * g->size * sizeof(*g->head));
    for (size_t i = 0; i < g->n; i++)
        link_place(g, i);
}

static void grow(struct ngram *g)
{
    g->size = g->size == 0 ? FIRST_SIZE : g->size * 2;
    g->text = xreallocarray(g->text, g->size, sizeof(*g->text));
    g->older = xreallocarray(g->older, ORDERS * g->size, sizeof(*g->older));
    free(g->head);
    g->head = xmalloc(ORDERS * g->size * sizeof(*g->head));
    relink(g);
}

static void forget_half(struct ngram *g)
{
    size_t half = g->n / 2;
    memmove(g->text, g->text + half, (g->n - half) * sizeof(*g->text));
    g->forgotten += half;
    g->n -= half;
    relink(g);
}

static void push(struct ngram *g, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (g->n == NGRAM_MOST)
            forget_half(g);
        else if (g->n == g->size)
            grow(g);
        g->text[g->n++] = tokens[i];
        link_place(g, g->n - 1);
    }
}

/* Takes back all but the first n tokens of what is held: the newest places are the heads of their chains. */
static void cut(struct ngram *g, size_t n)
{
    while (g->n > n) {
        uint32_t h[ORDERS];
        size_t i = g->n - 1, have = hashes(&(struct view){g, NULL, g->n}, i, h);
        for (size_t k = 0; k < have; k++)
            g->head[k * g->size + h[k]] = g->older[i * ORDERS + k];
        g->n--;
    }
}

/* ---- matches ---- */

static size_t match_length(const struct view *v, size_t place)
{
    size_t n = 0;
    while (n < MATCH_MOST && n <= place && at(v, place - n) == at(v, v->n - 1 - n))
        n++;
    return n;
}

static unsigned length_class(size_t n)
{
    static const unsigned char borders[NGRAM_LENGTHS - 1] = {2, 3, 4, 6, 9, 16, 32};
    unsigned c = 0;
    while (c < sizeof(borders) && n >= borders[c])
        c++;
    return c;
}

/* The next places of the longest matches in a chain, newest first; *length is theirs.  Returns how many. */
static size_t longest(const struct view *v, size_t order, uint32_t head, size_t *next, size_t *length)
{
    size_t n = 0, seen = 0;
    *length = orders[order];
    for (uint32_t p = head; p != 0 && seen < CANDIDATES; p = v->g->older[(p - 1) * ORDERS + order]) {
        if (p == v->n) /* the end itself */
            continue;
        seen++;
        size_t len = match_length(v, p - 1);
        if (len < *length)
            continue;
        if (len > *length)
            n = 0;
        *length = len;
        next[n++] = p;
    }
    return n;
}

/* What most of them say, the newest of those. */
static struct match elect(const struct view *v, const size_t *next, size_t n, size_t length)
{
    struct match m = {.length = length_class(length)};
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        size_t votes = 0;
        for (size_t j = 0; j < n; j++)
            votes += at(v, next[j]) == at(v, next[i]);
        if (votes > most) {
            most = votes;
            m.next = next[i];
        }
    }
    m.contested = most < n;
    return m;
}

static struct match find(const struct view *v)
{
    uint32_t h[ORDERS];
    size_t next[CANDIDATES], length;
    if (v->g->n == 0)
        return (struct match){0};
    for (size_t k = hashes(v, v->n - 1, h); k-- > 0;) {
        size_t n = longest(v, k, v->g->head[k * v->g->size + h[k]], next, &length);
        if (n > 0)
            return elect(v, next, n, length);
    }
    return (struct match){0};
}

/* ---- chances ---- */

static unsigned distance_class(size_t i)
{
    unsigned d = 0;
    while (i > 0 && d < NGRAM_DISTANCES - 1) {
        i >>= 1;
        d++;
    }
    return d;
}

/* What is not known of a distance is guessed from the one before it: a match that was right goes on. */
static void chances(const struct ngram_record *r, const struct match *m, float *out)
{
    float guess = first_guess[m->length] * (m->contested ? CONTESTED : 1);
    for (size_t d = 0; d < NGRAM_DISTANCES; d++) {
        float right = r->cell[m->length][m->contested][d].right, all = r->cell[m->length][m->contested][d].all;
        out[d] = (right + PRIOR * guess) / (all + PRIOR);
        guess = 1 - (1 - out[d]) * GOES_ON;
    }
}

static void learn(struct ngram_record *r, const struct match *m, size_t distance, bool right)
{
    unsigned d = distance_class(distance);
    float *sum = &r->cell[m->length][m->contested][d].right, *all = &r->cell[m->length][m->contested][d].all;
    *sum = *sum * FADE + (float)right;
    *all = *all * FADE + 1;
}

/* Compares what would have been proposed with what came.  Returns how many of these n tokens the next proposal stands
 * behind: those that were right and the one that was not. */
static size_t judge(struct ngram *g, const int32_t *tokens, size_t n)
{
    struct view v = {g, tokens, g->n};
    struct match m = find(&v);
    size_t right = 0, most = n < JUDGED_RUN ? n : JUDGED_RUN;
    while (m.next != 0 && right < most) {
        /* tokens stand behind the text, so a match that reaches its end is followed into them */
        bool ok = at(&v, m.next + right) == tokens[right];
        learn(g->record, &m, right, ok);
        if (!ok)
            break;
        right++;
    }
    return right < n ? right + 1 : right;
}

/* ---- what others see ---- */

struct ngram *ngram_create(struct ngram_record *record, size_t n_prompt)
{
    struct ngram *g = xcalloc(1, sizeof(*g));
    g->record = record;
    g->n_prompt = n_prompt;
    grow(g);
    return g;
}

void ngram_destroy(struct ngram *g)
{
    if (g == NULL)
        return;
    free(g->text);
    free(g->head);
    free(g->older);
    free(g);
}

size_t ngram_length(const struct ngram *g)
{
    return g->forgotten + g->n;
}

void ngram_append(struct ngram *g, const int32_t *tokens, size_t n)
{
    size_t length = ngram_length(g), unjudged = length < g->n_prompt ? g->n_prompt - length : 0;
    if (unjudged + JUDGED_AT_ONCE < n)
        unjudged = n - JUDGED_AT_ONCE;
    if (unjudged > n)
        unjudged = n;
    push(g, tokens, unjudged);
    for (size_t i = unjudged; i < n;) {
        size_t taken = judge(g, tokens + i, n - i);
        push(g, tokens + i, taken);
        i += taken;
    }
}

void ngram_follow(struct ngram *g, const int32_t *path, size_t n)
{
    size_t same = g->forgotten;
    if (n < g->forgotten) {
        cut(g, 0);
        g->forgotten = same = 0;
    }
    while (same < n && same < ngram_length(g) && path[same] == g->text[same - g->forgotten])
        same++;
    if (same < ngram_length(g))
        cut(g, same - g->forgotten);
    ngram_append(g, path + same, n - same);
}

size_t ngram_propose(const struct ngram *g, const int32_t *tail, size_t n_tail, size_t most, int32_t *tokens,
                     float *probs)
{
    float chance[NGRAM_DISTANCES], all = 1;
    struct view v = {g, tail, g->n + n_tail};
    struct match m = find(&v);
    size_t n = 0;
    if (m.next == 0)
        return 0;
    chances(g->record, &m, chance);
    while (n < most && all >= CHANCE_LEAST) {
        size_t from = m.next + n;
        tokens[n] = from < v.n ? at(&v, from) : tokens[from - v.n];
        probs[n] = chance[distance_class(n)];
        all *= probs[n++];
    }
    return n;
}
