#include "engines/rest.h"

static const double FADE = 0.97;      /* of a round, per newer one */
static const double SHARE = 0.05;     /* of the tokens of a round: who adds less is not worth asking */
static const double RESCUES = 0.2;    /* of the places where the others were wrong: who knows more of them stays */
static const double WELCOME = 2;      /* times SHARE: who adds so much has a clean record */
static const double NEWEST = 0.2;     /* of a round, in what they bring of late */
static const double MUCH_LESS = 0.35; /* times what they did */

enum {
    MISSES_KNOWN = 6,   /* places that tell what a drafter adds, */
    ROUNDS_KNOWN = 64,  /* or rounds, where there are few of them */
    SLEEP_FIRST = 2048, /* tokens until it is tried; */
    SLEEP_TIMES = 4,    /* so many times that each time that nothing comes of it */
    SLEEP_LAST = 1 << 17,
};

void rest_saw_round(struct rest *r, size_t gain, size_t tokens, bool missed)
{
    r->gain = r->gain * FADE + (double)gain;
    r->tokens = r->tokens * FADE + (double)tokens;
    r->rounds = r->rounds * FADE + 1;
    r->asked++;
    r->missed += missed;
    r->rescued += gain > 0;
    if (r->missed >= MISSES_KNOWN && r->gain > WELCOME * SHARE * r->tokens)
        r->sleep = 0;
}

bool rest_is_due(const struct rest *r)
{
    bool misses = r->missed >= MISSES_KNOWN && (double)r->rescued < RESCUES * (double)r->missed;
    return (misses || r->asked >= ROUNDS_KNOWN) && r->gain < SHARE * r->tokens;
}

bool rest_before(const struct rest *a, const struct rest *b)
{
    return a->gain / a->rounds < b->gain / b->rounds;
}

void rest_begin(struct rest *r)
{
    r->resting = true;
    r->slept = 0;
    r->sleep = r->sleep == 0 ? SLEEP_FIRST : r->sleep < SLEEP_LAST ? r->sleep * SLEEP_TIMES : SLEEP_LAST;
    r->level = r->recent = r->rounds > 0 ? r->tokens / r->rounds : 0;
}

bool rest_slept(struct rest *r, size_t tokens)
{
    r->slept += tokens;
    r->recent += NEWEST * ((double)tokens - r->recent);
    return r->slept >= r->sleep || r->recent < MUCH_LESS * r->level;
}

void rest_end(struct rest *r)
{
    r->resting = false;
    rest_doubt(r);
}

void rest_doubt(struct rest *r)
{
    r->gain = r->tokens = r->rounds = 0;
    r->asked = r->missed = r->rescued = 0;
}
