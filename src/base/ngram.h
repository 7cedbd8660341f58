/* A text as its own drafter: what followed the last time that the text was at these words is what follows now.  It
 * costs next to nothing and knows nothing, but an answer that quotes its prompt, goes on with a list, or turns in
 * circles is full of it.
 *
 * The index holds, for the n-grams of four lengths, where each stood last, and for each place where the same n-gram
 * stood before (hash chains, as LZ77 compressors have them).  A proposal is the text behind the longest match of what
 * stands at the end; where matches are equally long, behind the one that most of them agree with, the newest first.
 * A proposal that reaches the end of the text goes on in itself: a repetition is repeated.
 *
 * How sure it is of a token is learned from how such proposals have fared: by the length of the match, whether other
 * matches of that length say otherwise, and how far behind the match the token stands.  The index judges by itself:
 * whatever the text is extended by is compared with what it would have proposed, whoever did draft it. */
#ifndef TIGHTWAD_BASE_NGRAM_H
#define TIGHTWAD_BASE_NGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    NGRAM_LENGTHS = 8,   /* classes of lengths of a match */
    NGRAM_DISTANCES = 6, /* classes of distances behind a match */
    NGRAM_MOST = 1 << 18 /* tokens that an index holds; of a longer text the older half is forgotten */
};

/* What proposals were worth; one for all texts of a drafter.  Zeroed, it knows nothing. */
struct ngram_record {
    struct {
        float right, all; /* tokens, old ones fade */
    } cell[NGRAM_LENGTHS][2][NGRAM_DISTANCES];
};

struct ngram;

/* An empty text.  Tokens from position n_prompt on are judged as they come (those of a prompt follow other rules).  The
 * record is the caller's and must outlive the index. */
struct ngram *ngram_create(struct ngram_record *record, size_t n_prompt);
void ngram_destroy(struct ngram *g); /* NULL is fine */

/* How many tokens the text has. */
size_t ngram_length(const struct ngram *g);
/* The text goes on.  Constant time a token on average, and at most some 70 bytes. */
void ngram_append(struct ngram *g, const int32_t *tokens, size_t n);
/* Makes the text the first n tokens of path: what it has beyond them or otherwise is taken back, what is missing is
 * appended. */
void ngram_follow(struct ngram *g, const int32_t *path, size_t n);

/* Proposes at most `most` tokens behind the text and n_tail more tokens that are not part of it yet (a draft that is
 * not verified).  Each comes with the chance that it is right if all those before it are.  Less comes where the chance
 * that all of them are right has become too small to matter, none where nothing matches.  tokens and probs have room
 * for `most`.  Allocates nothing, and leaves the index as it is. */
size_t ngram_propose(const struct ngram *g, const int32_t *tail, size_t n_tail, size_t most, int32_t *tokens,
                     float *probs);

#endif
