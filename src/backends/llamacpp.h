/* A stock llama-server: what its files share. */
#ifndef TIGHTWAD_BACKENDS_LLAMACPP_H
#define TIGHTWAD_BACKENDS_LLAMACPP_H

#include "backends/calls.h"
#include "backends/wire.h"

enum {
    LLAMACPP_BODY_MAX = 64 << 20,
    LLAMACPP_REPLY_MAX = 64 << 20, /* bytes: every token of a large vocabulary as a candidate */
};

/* What a token without a text of its own means. */
enum llamacpp_end { LLAMACPP_NOT_ASKED, LLAMACPP_GOES_ON, LLAMACPP_ENDS };

struct llamacpp {
    uint8_t *taken; /* by slot: a session drafts there */
    int32_t slots;
    /* learned of the model by asking */
    int32_t filler; /* a token whose text is whole: what is "generated" where only the candidates matter; -1 unknown */
    int32_t eos;    /* a token that ends generation, -1 unknown */
    uint8_t *ends;  /* by id: enum llamacpp_end */
    int32_t n_ends;
    /* what the check found (llamacpp-check.c) */
    bool checked, checking, invariant_known;
    double noise; /* NAN unknown */
    char *advice; /* flags that are in the way, NULL: none seen */
};

struct llamacpp_session {
    struct backend_session s;
    int32_t slot;    /* for drafts; -1: the server chooses */
    size_t prompts;  /* most that one verify had */
    size_t joined;   /* tokens that slots which joined had to read */
    size_t path_len; /* of the newest verify */
};

/* The model may be another one: nothing learned holds any more. */
void llamacpp_forget(struct llamacpp *l);
void llamacpp_set_vocab(struct llamacpp *l, int32_t n_vocab);
void llamacpp_set_end(struct llamacpp *l, int32_t token, bool ends);

/* llamacpp-probe.c: the probe op */
struct backend_call *llamacpp_probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg);

/* llamacpp-check.c: after a probe, while nobody uses the server: do its batched and single answers agree, and which
 * flags are in the way of verifying?  Begins in the background, and what it finds goes into b->info. */
void llamacpp_check(struct backend *b);
/* Fills what the check has found so far into info. */
void llamacpp_tell_check(const struct llamacpp *l, struct backend_info *info);

/* --- llamacpp-ask.c: the candidates at the end of a path and along a draft, and what our sampler draws from them ---
 */

struct llamacpp_position {
    json_t *list; /* as the server told it, owned; NULL: not asked yet */
    struct sampler_logprob *top;
    size_t n;
};

struct llamacpp_ask {
    struct backend_call c;
    int32_t *tokens; /* the path, then the draft */
    size_t n_path, n_draft;
    int n_logprobs;
    int idle_timeout_ms;           /* of each request, 0: the call has a deadline */
    struct llamacpp_position *pos; /* n_draft + 1: after the path, after each token of the draft */
    size_t *wanted;                /* those that the request under way asks for */
    size_t n_wanted;
    uint64_t read;        /* prompt tokens that the server had to read for all requests so far */
    int32_t unknown;      /* the token that is being looked up */
    struct wire_tokens t; /* the result: what is accepted of the draft, then the target's own */
    float margin;         /* the smallest, NAN unknown */
    void (*judged)(struct llamacpp_ask *a);
};

/* Takes copies.  path must not be empty. */
void llamacpp_ask_init(struct llamacpp_ask *a, const int32_t *path, size_t n_path, const int32_t *draft, size_t n_draft,
                       int n_logprobs);
/* Forgets the positions and the result; goes on at the end of the path and of n tokens more. */
void llamacpp_ask_advance(struct llamacpp_ask *a, const int32_t *tokens, size_t n);
/* Asks, draws, asks for more candidates where a draw is not proven, and calls judged; or the call fails. */
void llamacpp_ask_send(struct llamacpp_ask *a);
void llamacpp_ask_finish(struct llamacpp_ask *a);
/* Appends the parameters of a request that make the server's own choice the most likely token (bias as the client has
 * it), whatever its defaults are. */
void llamacpp_add_greedy(struct buf *b);

/* llamacpp-verify.c */
struct backend_call *llamacpp_verify(struct backend_session *s, const int32_t *path, size_t n_path,
                                     const int32_t *draft, size_t n_draft, int n_logprobs, int timeout_ms,
                                     backend_verify_cb *cb, void *arg);
size_t llamacpp_verify_most(const struct backend_session *s);
/* llamacpp-generate.c */
struct backend_call *llamacpp_generate(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                       int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                       backend_done_cb *cb, void *arg);

#endif
