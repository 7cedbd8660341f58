/* tightwad-node (doc/node-protocol.md): what its files share. */
#ifndef TIGHTWAD_BACKENDS_NODE_H
#define TIGHTWAD_BACKENDS_NODE_H

#include "backends/calls.h"
#include "backends/wire.h"
#include "http/lines.h"

/* What the server is known to have of a session.  path is what the newest request made of it.  While a request is under
 * way, or after one has failed, the server may still be at the path before: safe counts the tokens that both have. */
struct node_session {
    struct backend_session s;
    int64_t id; /* on the server, -1: none */
    int32_t *path;
    size_t n_path, size, safe;
    int64_t epoch;
    uint64_t serial;            /* of the newest request */
    struct httpc_call *opening; /* the request for an id; calls wait for it */
    bool *gone;                 /* set to true when the session is closed, NULL: nobody wants to know */
};

/* A call that works on a path. */
struct node_call {
    struct backend_call c;
    int32_t *path;
    size_t n_path;
    bool waiting; /* for the session's id */
    int retries;
    int64_t session_id;
    uint64_t serial;
    int32_t *draft;                  /* verify */
    size_t n_draft, n;               /* n: score: so many at the end of the path */
    struct backend_branch *branches; /* verify: their tokens are owned; NULL: none */
    size_t n_branches;
    size_t branch_of[BACKEND_BRANCHES_MAX]; /* their places among the caller's */
    float p_min;
    int n_logprobs;
    int64_t epoch;
    /* generate, and drafts that are streamed */
    struct node_drafts *drafts; /* a draft, NULL: a generation */
    struct backend_draft_ask ask;
    int idle_timeout_ms;
    struct lines *lines;
    struct wire_tokens pending; /* come, not yet taken */
    bool paused, done, full, ended;
    char *bad; /* why the stream is nonsense */
};

/* Sends the call's request, opening the session first if need be. */
void node_call_send(struct node_call *n);
/* True when the reply is one to go on with.  Otherwise the call has been sent again (the session was lost) or failed.
 */
bool node_call_check(struct node_call *n, const struct httpc_result *r);
/* The server's path is now the call's path and these tokens. */
void node_call_settled(struct node_call *n, const int32_t *more, size_t n_more);
struct node_call *node_call_create(struct backend_session *s, enum call_kind kind, const int32_t *path, size_t n_path,
                                   int timeout_ms, void *arg);

/* node-round.c */
void node_on_draft(struct backend_call *c, const struct httpc_result *r); /* the replies */
void node_on_verify(struct backend_call *c, const struct httpc_result *r);
struct backend_call *node_draft(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, float p_min,
                                int timeout_ms, backend_draft_cb *cb, void *arg);
struct backend_call *node_verify(struct backend_session *s, const int32_t *path, size_t n_path, const int32_t *draft,
                                 size_t n_draft, int n_logprobs, int timeout_ms, backend_verify_cb *cb, void *arg);
struct backend_call *node_verify_tree(struct backend_session *s, const int32_t *path, size_t n_path,
                                      const struct backend_tree *tree, int n_logprobs, int timeout_ms,
                                      backend_verify_cb *cb, void *arg);

/* node-score.c */
void node_on_score(struct backend_call *c, const struct httpc_result *r);
struct backend_call *node_score(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, int timeout_ms,
                                backend_score_cb *cb, void *arg);

/* node-stream.c: n's request with this body, read as it streams */
void node_stream_request(struct node_call *n, const char *body, size_t len);
struct backend_call *node_generate(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                   int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                   backend_done_cb *cb, void *arg);

/* The same of a drafter: its tokens, with its own probabilities, while it still writes. */
struct backend_call *node_draft_stream(struct backend_session *s, const int32_t *path, size_t n_path,
                                       const struct backend_draft_ask *ask, int idle_timeout_ms,
                                       backend_drafted_cb *on_tokens, backend_done_cb *cb, void *arg);

/* node-drafts.c: the lines of such a stream, until they are given out.  read: -1 and a cause.  deliver: false: the call
 * is gone. */
struct node_drafts *node_drafts_create(size_t most); /* most: tokens of the line that are asked for */
void node_drafts_destroy(struct node_drafts *d);     /* NULL is fine */
int node_drafts_read(struct node_drafts *d, const json_t *line, int32_t n_vocab, char **cause);
bool node_drafts_deliver(struct node_call *n);

/* node-info.c */
struct backend_call *node_probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg);
struct backend_call *node_tokenize(struct backend *b, const char *text, size_t len, bool special, backend_tokens_cb *cb,
                                   void *arg);
struct backend_call *node_detokenize(struct backend *b, const int32_t *tokens, size_t n, backend_text_cb *cb,
                                     void *arg);
struct backend_call *node_pieces(struct backend *b, const int32_t *tokens, size_t n, backend_pieces_cb *cb, void *arg);
struct backend_call *node_render(struct backend *b, const json_t *messages, backend_tokens_cb *cb, void *arg);
/* The fingerprint of the first n tokens of the vocabulary, as text. */
struct backend_call *node_vocab_prefix(struct backend *b, int32_t n, backend_text_cb *cb, void *arg);

#endif
