#include "engines/quote.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static const double HOPE_LEAST = 2; /* tokens: fewer are not worth a look aside */
static const double HOPE_BREAK = 4; /* to break off a stream: what is on its way there is lost */
static const float SURE = 0.3f;
static const double CLEARLY = 1.1;

struct quote *quote_create(struct ngram_record *record, size_t n_prompt)
{
    struct quote *q = xcalloc(1, sizeof(*q));
    q->index = ngram_create(record, n_prompt);
    return q;
}

void quote_destroy(struct quote *q)
{
    if (q == NULL)
        return;
    ngram_destroy(q->index);
    free(q);
}

void quote_look(struct quote *q, const struct governor *g, const int32_t *path, size_t n_path, size_t most)
{
    float probs[QUOTE_MOST];
    ngram_follow(q->index, path, n_path);
    size_t n = ngram_propose(q->index, NULL, 0, most < QUOTE_MOST ? most : QUOTE_MOST, q->tokens, probs);
    double chance = 1;
    q->n = 0;
    q->hope = 0;
    for (size_t i = 0; i < n; i++) {
        chance *= (double)probs[i];
        if (g != NULL ? chance <= governor_token_cost(g, i + 1) : probs[i] < SURE)
            break;
        q->n = i + 1;
        q->hope += chance;
    }
}

bool quote_pays(const struct quote *q, const struct governor *g, bool streaming)
{
    if (q->hope < (streaming ? HOPE_BREAK : HOPE_LEAST))
        return false;
    if (g == NULL)
        return true;
    double us = governor_verify_us(g, q->n, 0), alone = governor_rate(&g->alone);
    return isnan(us) || isnan(alone) || (1 + q->hope) * 1e6 / us > CLEARLY * alone;
}
