/* tightwad-node as a backend: the lines of a draft that is streamed, with its branches. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/node.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"

/* One line of the stream, its tokens from..from+n of those kept. */
struct chunk {
    int64_t branch;
    size_t at, index, from, n;
};

/* How much of a branch this call has told. */
struct told {
    int64_t branch;
    size_t n;
};

enum { BRANCHES_MAX = 1024 }; /* that one call may tell of: far more than a drafter has room for */

struct node_drafts {
    size_t most; /* tokens of the line that were asked for */
    int32_t *tokens;
    float *probs;
    size_t n, size;
    struct chunk *chunk;
    size_t n_chunks, size_chunks;
    struct told *told; /* [0] is the line */
    size_t n_told, size_told;
};

struct node_drafts *node_drafts_create(size_t most)
{
    struct node_drafts *d = xcalloc(1, sizeof(*d));
    d->most = most;
    return d;
}

void node_drafts_destroy(struct node_drafts *d)
{
    if (d == NULL)
        return;
    free(d->tokens);
    free(d->probs);
    free(d->chunk);
    free(d->told);
    free(d);
}

/* How many tokens of it were told before these. */
static int tell(struct node_drafts *d, int64_t branch, size_t n, size_t *before, char **cause)
{
    size_t i = 0;
    while (i < d->n_told && d->told[i].branch != branch)
        i++;
    if (i == d->n_told) {
        if (d->n_told == d->size_told) {
            d->size_told = d->size_told * 2 + 8;
            d->told = xreallocarray(d->told, d->size_told, sizeof(*d->told));
        }
        d->told[d->n_told++] = (struct told){.branch = branch};
    }
    *before = d->told[i].n;
    d->told[i].n += n;
    if (branch == 0 && d->told[i].n > d->most)
        return cause_set(cause, "more than the %zu tokens that were asked for", d->most);
    if (d->n_told > BRANCHES_MAX)
        return cause_set(cause, "more than %d branches", BRANCHES_MAX);
    return 0;
}

static void add_token(struct node_drafts *d, int32_t token, float prob)
{
    if (d->n == d->size) {
        d->size = d->size * 2 + 32;
        d->tokens = xreallocarray(d->tokens, d->size, sizeof(*d->tokens));
        d->probs = xreallocarray(d->probs, d->size, sizeof(*d->probs));
    }
    d->tokens[d->n] = token;
    d->probs[d->n++] = prob;
}

/* {"t":[ids],"p":[probabilities]}, and "b":ID,"at":POS with those of a branch */
int node_drafts_read(struct node_drafts *d, const json_t *o, int32_t n_vocab, char **cause)
{
    const json_t *ids = json_object_get(o, "t"), *probs = json_object_get(o, "p");
    size_t count = json_array_size(ids);
    int64_t branch = 0, at = 0;
    if (!json_is_array(ids) || json_array_size(probs) != count)
        return cause_set(cause, "a line whose \"t\" and \"p\" do not go together");
    if (json_get_int(o, "b", 1, INT64_MAX, &branch, cause) < 0 || json_get_int(o, "at", 0, INT32_MAX, &at, cause) < 0)
        return -1;
    struct chunk c = {.branch = branch, .at = (size_t)at, .from = d->n, .n = count};
    if (tell(d, branch, count, &c.index, cause) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(ids, i), *prob = json_array_get(probs, i);
        json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
        if (v < 0 || v > INT32_MAX || !json_is_number(prob))
            return cause_set(cause, "\"t\"[%zu] or \"p\"[%zu] is not what it should be", i, i);
        if (n_vocab > 0 && v >= n_vocab)
            return cause_set(cause, "token %lld is outside of the vocabulary of %d tokens", (long long)v, n_vocab);
        add_token(d, (int32_t)v, (float)json_number_value(prob));
    }
    if (d->n_chunks == d->size_chunks) {
        d->size_chunks = d->size_chunks * 2 + 8;
        d->chunk = xreallocarray(d->chunk, d->size_chunks, sizeof(*d->chunk));
    }
    d->chunk[d->n_chunks++] = c;
    return 0;
}

bool node_drafts_deliver(struct node_call *n)
{
    struct node_drafts *d = n->drafts;
    for (size_t i = 0; i < d->n_chunks; i++) {
        const struct chunk *c = &d->chunk[i];
        struct backend_drafted drafted = {.tokens = d->tokens + c->from,
                                          .probs = d->probs + c->from,
                                          .n = c->n,
                                          .branch = c->branch,
                                          .at = c->at,
                                          .index = c->index};
        /* What the line has become is part of the server's path. */
        if (c->branch == 0)
            node_call_settled(n, drafted.tokens, drafted.n);
        if (call_stream_drafted(&n->c, &drafted) < 0)
            return false;
    }
    d->n_chunks = d->n = 0;
    return true;
}
