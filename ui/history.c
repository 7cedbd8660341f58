#include "ui/history.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void put(const struct history *h, struct history_line *line, double value)
{
    line->sample[h->n % HISTORY_SAMPLES] = (float)value;
}

static void clear(struct history_line *line)
{
    for (size_t i = 0; i < HISTORY_SAMPLES; i++)
        line->sample[i] = NAN;
}

/* Of the tokens since the last sample; NAN where none were drafted, or the counts began anew. */
static double share(uint64_t drafted, uint64_t accepted, uint64_t *last_drafted, uint64_t *last_accepted)
{
    double value = NAN;
    if (drafted > *last_drafted && accepted >= *last_accepted)
        value = (double)(accepted - *last_accepted) / (double)(drafted - *last_drafted);
    *last_drafted = drafted;
    *last_accepted = accepted;
    return value > 1 ? 1 : value;
}

static struct history_drafter *find(struct history *h, const struct snapshot_backend *b)
{
    struct history_drafter *d = (struct history_drafter *)history_find(h, b->name);
    if (d != NULL)
        return d;
    if (h->n_drafters == SNAPSHOT_BACKENDS - 1) /* the oldest makes room */
        memmove(h->drafter, h->drafter + 1, --h->n_drafters * sizeof(*h->drafter));
    d = &h->drafter[h->n_drafters++];
    *d = (struct history_drafter){.drafted = b->drafted, .accepted = b->accepted};
    snprintf(d->name, sizeof(d->name), "%s", b->name);
    clear(&d->acceptance);
    clear(&d->tokens_per_second);
    return d;
}

static void sample(struct history *h, const struct snapshot *s)
{
    put(h, &h->acceptance, share(s->drafted, s->accepted, &h->drafted, &h->accepted));
    put(h, &h->tokens_per_second, s->tokens_per_second);
    const struct snapshot_consensus *c = &s->consensus;
    put(h, &h->without_target, share(c->accepted + c->fallback, c->accepted, &h->voted, &h->agreed));
    for (size_t i = 0; i < h->n_drafters; i++) { /* those that are gone stay without */
        put(h, &h->drafter[i].acceptance, NAN);
        put(h, &h->drafter[i].tokens_per_second, NAN);
    }
    for (size_t i = 0; i < s->n_backends; i++) {
        const struct snapshot_backend *b = &s->backend[i];
        if (b->role != ROLE_DRAFTER)
            continue;
        struct history_drafter *d = find(h, b);
        double value = share(b->drafted, b->accepted, &d->drafted, &d->accepted);
        put(h, &d->acceptance, value);
        put(h, &d->tokens_per_second, isnan(value) ? NAN : b->tokens_per_second);
    }
    h->n++;
}

bool history_take(struct history *h, const struct snapshot *s)
{
    int64_t passed = s->uptime_ms - h->uptime_ms;
    bool anew = h->n == 0 || passed < 0; /* the first picture, or of an instance that was started again */
    if (!anew && passed < HISTORY_MS)
        return false;
    if (h->n == 0) {
        clear(&h->acceptance);
        clear(&h->tokens_per_second);
        clear(&h->without_target);
    }
    if (anew) {
        h->drafted = s->drafted;
        h->accepted = s->accepted;
        h->agreed = s->consensus.accepted;
        h->voted = s->consensus.accepted + s->consensus.fallback;
    }
    /* One that is a little late counts as in time: the next is due a second after this one was. */
    h->uptime_ms = !anew && passed < 2 * HISTORY_MS ? h->uptime_ms + HISTORY_MS : s->uptime_ms;
    sample(h, s);
    return true;
}

void history_newest(const struct history *h, const struct history_line *line, float *out, size_t n)
{
    size_t have = h->n < HISTORY_SAMPLES ? (size_t)h->n : HISTORY_SAMPLES;
    for (size_t i = 0; i < n; i++) {
        size_t back = n - i; /* 1: the newest */
        out[i] = back <= have ? line->sample[(h->n - back) % HISTORY_SAMPLES] : NAN;
    }
}

const struct history_drafter *history_find(const struct history *h, const char *name)
{
    for (size_t i = 0; i < h->n_drafters; i++) {
        if (strcmp(h->drafter[i].name, name) == 0)
            return &h->drafter[i];
    }
    return NULL;
}
