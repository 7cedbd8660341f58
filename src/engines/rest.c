#include "engines/rest.h"

static const double FADE = 0.97;   /* of a round, per newer one */
static const double SHARE = 0.05;  /* of the tokens of a round: who adds less rests */
static const double WELCOME = 2.0; /* times that: who adds so much is not thought of as one who might soon rest again */

enum {
    ROUNDS_KNOWN = 24, /* rounds that tell what a drafter adds */
    SLEEP_FIRST = 512, /* tokens until it is tried; doubled each time that nothing comes of it */
    SLEEP_LAST = 65536,
};

void rest_saw_round(struct rest *r, size_t gain, size_t tokens)
{
    r->gain = r->gain * FADE + (double)gain;
    r->tokens = r->tokens * FADE + (double)tokens;
    r->rounds = r->rounds * FADE + 1;
    r->asked++;
    if (r->asked >= ROUNDS_KNOWN && r->gain > WELCOME * SHARE * r->tokens)
        r->sleep = 0;
}

bool rest_is_due(const struct rest *r)
{
    return r->asked >= ROUNDS_KNOWN && r->gain < SHARE * r->tokens;
}

bool rest_before(const struct rest *a, const struct rest *b)
{
    return a->gain / a->rounds < b->gain / b->rounds;
}

void rest_begin(struct rest *r)
{
    r->resting = true;
    r->slept = 0;
    r->sleep = r->sleep == 0 ? SLEEP_FIRST : r->sleep * 2 < SLEEP_LAST ? r->sleep * 2 : SLEEP_LAST;
}

bool rest_slept(struct rest *r, size_t tokens)
{
    r->slept += tokens;
    return r->slept >= r->sleep;
}

void rest_end(struct rest *r)
{
    r->resting = false;
    rest_doubt(r);
}

void rest_doubt(struct rest *r)
{
    r->gain = r->tokens = r->rounds = 0;
    r->asked = 0;
}
