#include "node/passes.h"

#include <string.h>

enum {
    SEQUENCES_MAX = 256,
    LOOK_EVERY = 64, /* passes: then one is left unpadded, to see what that costs */
};

/* What is gained must be worth this share of it. */
static const double WORTH = 0.9;
/* A step more costs about this share of a whole pass, before one was seen: what is on its way overlaps. */
static const double STEP_SHARE = 0.5;
/* So that 0 can mean that it is not known. */
static const double LEAST_US = 0.1;

static size_t bin_of(size_t tokens)
{
    size_t b = 0;
    while (tokens > 1 && b + 1 < PASS_BINS) {
        tokens /= 2;
        b++;
    }
    return b;
}

/* The line of least squares through the bins. */
static void fit(struct pass_cost *c)
{
    double w = 0, n = 0, t = 0, nn = 0, nt = 0;
    unsigned seen = 0;
    for (size_t i = 0; i < PASS_BINS; i++) {
        if (c->bin[i].count == 0 || c->bin[i].us <= 0)
            continue;
        /* What counts is how far the line is off in proportion. */
        double k = (c->bin[i].count < 8 ? c->bin[i].count : 8) / (c->bin[i].us * c->bin[i].us);
        seen += c->bin[i].count;
        w += k;
        n += k * c->bin[i].tokens;
        t += k * c->bin[i].us;
        nn += k * c->bin[i].tokens * c->bin[i].tokens;
        nt += k * c->bin[i].tokens * c->bin[i].us;
    }
    double det = w * nn - n * n;
    c->known = seen >= 4 && det > 1e-6 * w * nn;
    if (!c->known)
        return;
    c->token_us = (w * nt - n * t) / det;
    if (c->token_us < 0)
        c->token_us = 0;
    c->first_us = (t - c->token_us * n) / w;
    if (c->first_us < 0)
        c->first_us = 0;
}

void pass_cost_add(struct pass_cost *c, size_t steps, size_t tokens, double us)
{
    if (steps == 1) {
        size_t i = bin_of(tokens);
        double share = c->bin[i].count < 4 ? 1.0 / (c->bin[i].count + 1) : 0.2;
        /* One pass that took long, for whatever else the machine did, is no reason to believe in it. */
        if (c->bin[i].count >= 4 && us > 3 * c->bin[i].us)
            us = 3 * c->bin[i].us;
        c->bin[i].tokens += share * ((double)tokens - c->bin[i].tokens);
        c->bin[i].us += share * (us - c->bin[i].us);
        c->bin[i].count++;
        fit(c);
    } else if (c->known) {
        double more = (us - c->first_us - c->token_us * (double)tokens) / (double)(steps - 1);
        if (more > c->first_us)
            more = c->first_us; /* it holds what a step needs, and more */
        double step = pass_cost_step(c) + 0.3 * ((more > 0 ? more : 0) - pass_cost_step(c));
        c->step_us = step > LEAST_US ? step : LEAST_US;
        c->padded = 0;
    }
}

double pass_cost_step(const struct pass_cost *c)
{
    return c->step_us > 0 ? c->step_us : STEP_SHARE * c->first_us;
}

size_t pass_steps(const size_t *len, size_t n)
{
    size_t left[SEQUENCES_MAX], steps = 0;
    memcpy(left, len, n * sizeof(*left));
    for (size_t at = 0; at < n;) {
        if (left[at] == 0) {
            at++;
            continue;
        }
        size_t end = at, shortest = left[at];
        for (; end < n && left[end] > 0; end++)
            if (left[end] < shortest)
                shortest = left[end];
        for (size_t i = at; i < end; i++)
            left[i] -= shortest;
        steps++;
    }
    return steps;
}

/* All sequences up to `low` tokens are made `low` long, the others `high`; bridge: those that have none between two
 * that have some, too.  false: that can't be. */
static bool make(const size_t *len, const size_t *most, size_t n, size_t low, size_t high, bool bridge, size_t *out)
{
    size_t first = n, last = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = len[i] == 0 ? 0 : len[i] <= low ? low : high;
        if (out[i] > 0 && out[i] > most[i])
            return false;
        if (out[i] > 0) {
            first = first < i ? first : i;
            last = i;
        }
    }
    for (size_t i = first; bridge && i < last; i++) {
        if (out[i] > 0)
            continue;
        if (most[i] < high)
            return false;
        out[i] = high;
    }
    return true;
}

static size_t sum(const size_t *len, size_t n)
{
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += len[i];
    return all;
}

bool pass_level(const size_t *len, const size_t *most, size_t n, size_t room, size_t *padded, size_t *more)
{
    size_t high = 0;
    for (size_t i = 0; i < n; i++)
        high = len[i] > high ? len[i] : high;
    if (!make(len, most, n, high, high, true, padded))
        return false;
    for (size_t i = 0; i < n; i++)
        padded[i] = padded[i] > 0 ? high : 0;
    *more = sum(padded, n) - sum(len, n);
    return pass_steps(padded, n) == 1 && sum(padded, n) <= room;
}

size_t pass_pad(struct pass_cost *c, const size_t *len, const size_t *most, size_t n, size_t room, size_t *padded)
{
    size_t plain = pass_steps(len, n), tokens = sum(len, n), high = 0, best_steps = plain;
    memcpy(padded, len, n * sizeof(*padded));
    if (plain < 2 || !c->known)
        return 0;
    for (size_t i = 0; i < n; i++)
        high = len[i] > high ? len[i] : high;
    double best = 0;
    size_t one[SEQUENCES_MAX];
    for (size_t i = 0; i < 2 * n; i++) {
        if (len[i / 2] == 0 || !make(len, most, n, len[i / 2], high, i % 2 == 1, one))
            continue;
        size_t steps = pass_steps(one, n), all = sum(one, n);
        double gain = WORTH * (double)(plain - steps) * pass_cost_step(c) - (double)(all - tokens) * c->token_us;
        if (steps >= plain || all > room || gain <= best)
            continue;
        best = gain;
        best_steps = steps;
        memcpy(padded, one, n * sizeof(*one));
    }
    if (best_steps < plain && ++c->padded > LOOK_EVERY) {
        memcpy(padded, len, n * sizeof(*padded));
        best_steps = plain;
    }
    return plain - best_steps;
}
