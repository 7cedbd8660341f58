/* The answer's own text as a drafter beside the model that drafts: what costs nothing is looked at in every round. */
#ifndef TIGHTWAD_ENGINES_QUOTE_H
#define TIGHTWAD_ENGINES_QUOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/ngram.h"
#include "engines/governor.h"

enum { QUOTE_MOST = 64 };

struct quote {
    struct ngram *index;
    int32_t tokens[QUOTE_MOST];
    size_t n;    /* tokens that are worth a place in a pass */
    double hope; /* how many of them will be right, on average */
};

/* record: of all answers; must outlive the quote.  n_prompt: tokens of the prompt. */
struct quote *quote_create(struct ngram_record *record, size_t n_prompt);
void quote_destroy(struct quote *q); /* NULL is fine */

/* What the text says that path goes on with, at most `most` tokens, as far as they are worth verifying by g; NULL: as
 * far as it is fairly sure of each. */
void quote_look(struct quote *q, const struct governor *g, const int32_t *path, size_t n_path, size_t most);

/* Whether a pass for it beats the target alone, by what g knows; NULL: whether it promises enough at all.  streaming:
 * the target's stream would have to be broken off. */
bool quote_pays(const struct quote *q, const struct governor *g, bool streaming);

#endif
