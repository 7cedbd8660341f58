#include "engines/rest.h"

static const double GAIN = 0.1;       /* of all tokens: who brings so many of them stays */
static const double NEWEST = 0.2;     /* of a round, in what they bring of late */
static const double MUCH_LESS = 0.35; /* times what they did */
static const double SLOWER = 0.85;    /* times as fast as with it: it is missed */

static const double QUALITY_FADE = 0.998, QUALITY_PRIOR = 5;

enum {
    MISSES_KNOWN = 6,  /* places that tell what a drafter adds, */
    BEATEN_KNOWN = 4,  /* where the best one is better indeed (all may be wrong everywhere), */
    ROUNDS_KNOWN = 64, /* or rounds, where there are few of them */
    GRACE_MOST = 6,
    PROBATION = 384,    /* tokens without it that tell whether it is missed */
    SLEEP_FIRST = 2048, /* tokens until it is tried; */
    SLEEP_TIMES = 4,    /* so many times that each time that nothing comes of it */
    SLEEP_LAST = 1 << 17,
};

void rest_saw_tokens(struct rest *r, size_t n, size_t right)
{
    for (size_t i = 0; i < n && i <= right; i++) {
        r->right = r->right * QUALITY_FADE + (i < right);
        r->all = r->all * QUALITY_FADE + 1;
    }
}

double rest_quality(const struct rest *r)
{
    return (r->right + 0.8 * QUALITY_PRIOR) / (r->all + QUALITY_PRIOR);
}

void rest_saw_round(struct rest *r, size_t tokens, size_t own, size_t best, bool missed)
{
    r->asked++;
    r->tokens += (double)tokens;
    r->missed += missed;
    r->gained += missed && own > best ? (double)(own - best) : 0;
    r->beaten += best > own;
}

static bool is_known(const struct rest *r)
{
    bool misses = r->missed >= (uint64_t)MISSES_KNOWN << r->grace && r->beaten >= BEATEN_KNOWN;
    return misses || r->asked >= (uint64_t)ROUNDS_KNOWN << r->grace;
}

bool rest_is_due(const struct rest *r)
{
    return is_known(r) && r->gained < GAIN * r->tokens;
}

void rest_begin(struct rest *r, double rate)
{
    r->resting = true;
    r->proven = false;
    r->slept = 0;
    r->sleep = r->sleep == 0 ? SLEEP_FIRST : r->sleep < SLEEP_LAST ? r->sleep * SLEEP_TIMES : SLEEP_LAST;
    r->level = r->recent = r->asked > 0 ? r->tokens / (double)r->asked : 0;
    r->rate = rate;
}

/* Whether it turns out that it was of use. */
static bool is_missed(struct rest *r, double rate)
{
    if (r->proven || r->slept < PROBATION)
        return false;
    r->proven = true;
    if (rate >= SLOWER * r->rate)
        return false;
    r->grace += r->grace < GRACE_MOST;
    r->sleep = 0;
    return true;
}

bool rest_slept(struct rest *r, size_t tokens, double rate)
{
    r->slept += tokens;
    r->recent += NEWEST * ((double)tokens - r->recent);
    return is_missed(r, rate) || r->slept >= r->sleep || r->recent < MUCH_LESS * r->level;
}

void rest_end(struct rest *r)
{
    r->resting = false;
    rest_doubt(r);
}

void rest_doubt(struct rest *r)
{
    r->asked = r->missed = r->beaten = 0;
    r->tokens = r->gained = 0;
}
