/* Sessions: paths of tokens with their sampling parameters.  For the inference thread alone. */
#ifndef TIGHTWAD_NODE_SESSION_H
#define TIGHTWAD_NODE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sampler.h"

struct grove;
struct node_work;
struct slot;

struct session {
    int64_t id;
    struct sampler_params params;
    size_t prompt_len;
    int32_t *path; /* n_path tokens are settled; a draft under verification stands behind them */
    size_t n_path, cap;
    int64_t drafting_us;    /* since when a draft was at work that was broken off in the middle, 0: none was */
    int64_t epoch;          /* newest one seen */
    struct grove *grove;    /* what was drafted with branches; NULL: never */
    struct slot *slot;      /* its place in the KV cache, NULL: none now */
    struct node_work *head; /* jobs in order, linked by next_of_session; the first one runs */
    bool ended;             /* its last token was an end of generation: most likely there is no more to come */
    uint64_t used;          /* turn of its last use */
};

struct session_table {
    struct session **list;
    int64_t *id; /* of each in list, side by side for a quick search */
    size_t n, max;
    uint64_t turn;
};

/* max: most sessions.  finish frees those that are left. */
void session_table_init(struct session_table *t, size_t max);
void session_table_finish(struct session_table *t);

/* params: taken over.  When the table is full, the least recently used session without jobs is forgotten and returned
 * in *lost for the caller to release with session_free, else *lost is NULL.  NULL when every session has jobs. */
struct session *session_add(struct session_table *t, int64_t id, struct sampler_params *params, size_t prompt_len,
                            struct session **lost);
struct session *session_find(struct session_table *t, int64_t id); /* counts as a use; NULL: unknown */
void session_remove(struct session_table *t, struct session *s);   /* from the table; does not free it */
void session_free(struct session *s);

/* path = path[0:keep] + tokens.  keep <= n_path. */
void session_set_path(struct session *s, size_t keep, const int32_t *tokens, size_t n);
/* Makes room for n more tokens behind the path and returns where they go. */
int32_t *session_room(struct session *s, size_t n);

#endif
