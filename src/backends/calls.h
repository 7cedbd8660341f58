/* A call of a backend: one question of the engines, one or more HTTP requests, one answer.  Shared by all kinds: its
 * life, its deadline, deferred answers, and what a reply that is no answer means in words. */
#ifndef TIGHTWAD_BACKENDS_CALLS_H
#define TIGHTWAD_BACKENDS_CALLS_H

#include <stdarg.h>

#include "backends/backend.h"

enum call_kind {
    CALL_PROBE,
    CALL_TOKENS,
    CALL_TEXT,
    CALL_PIECES,
    CALL_START,
    CALL_DRAFT,
    CALL_VERIFY,
    CALL_SCORE,
    CALL_GENERATE,
    CALL_CHAT,
    CALL_VOCAB,
};

enum {
    CALL_TIMEOUT_MS = 15000,   /* for questions whose caller gives no deadline (tokenize, session, …) */
    CALL_REPLY_MAX = 16 << 20, /* bytes: the pieces of a whole vocabulary fit, more is nonsense */
};

struct backend_call {
    struct backend *b;
    struct backend_session *s;         /* NULL for calls without a session */
    struct backend_call *next, **link; /* in b->calls */
    enum call_kind kind;
    bool aside; /* nobody waits for it: backend_hang_up cancels it */
    union {
        backend_probe_cb *probe;
        backend_tokens_cb *tokens;
        backend_text_cb *text;
        backend_pieces_cb *pieces;
        backend_start_cb *start;
        backend_draft_cb *draft;
        backend_verify_cb *verify;
        backend_score_cb *score;
        backend_done_cb *generate;
        backend_chat_done_cb *chat;
        backend_vocab_cb *vocab;
    } cb;
    union {
        backend_stream_cb *tokens;
        backend_chat_text_cb *text;
        backend_drafted_cb *drafted;
    } stream;
    void *arg;

    struct httpc_call *http; /* the request under way, NULL: none */
    void (*on_reply)(struct backend_call *c, const struct httpc_result *r);
    struct event *deadline, *defer;
    int timeout_ms;
    void (*deferred)(struct backend_call *c);
    enum backend_error later_error; /* for call_fail_later */
    char *later_message;
    int64_t started_us;
    uint64_t bytes_out, bytes_in;
    bool busy;                               /* inside one of its stream callbacks: not to be freed now */
    bool cancelled;                          /* while busy */
    void (*release)(struct backend_call *c); /* frees what the kind put behind this struct; not the call */
    void (*resume)(struct backend_call *c);  /* streams */
};

struct backend_session {
    struct backend *b;
    const struct backend_ops *ops;        /* of the kind that opened it */
    struct backend_session *next, **link; /* in b->sessions */
    struct sampler_params params;         /* a copy */
    size_t prompt_len;
};

/* Makes a call of size bytes (>= sizeof(struct backend_call)), zeroed, listed in b.  s may be NULL.  timeout_ms over
 * the whole call, 0: none. */
void *call_create(size_t size, struct backend *b, struct backend_session *s, enum call_kind kind, int timeout_ms,
                  void *arg);

/* One HTTP request for the call: cfg.url + path; o brings the rest (url, bearer, on_done and arg are set here).  The
 * call has at most one under way.  on_reply gets every outcome. */
void call_request(struct backend_call *c, const char *path, struct httpc_opts *o,
                  void (*on_reply)(struct backend_call *c, const struct httpc_result *r));
/* The same with a JSON body (steals body); timeouts by the call's own deadline. */
void call_post(struct backend_call *c, const char *path, json_t *body,
               void (*on_reply)(struct backend_call *c, const struct httpc_result *r));
void call_post_text(struct backend_call *c, const char *path, const char *body, size_t len,
                    void (*on_reply)(struct backend_call *c, const struct httpc_result *r));
void call_get(struct backend_call *c, const char *path,
              void (*on_reply)(struct backend_call *c, const struct httpc_result *r));

/* Runs fn from the loop; cancelled with the call. */
void call_defer(struct backend_call *c, void (*fn)(struct backend_call *c));

/* The error of a reply, BACKEND_OK for 200; *message (owned by the caller) says what came, with the server's own words.
 */
enum backend_error call_reply_error(const struct backend_call *c, const struct httpc_result *r, char **message);
/* The reply's JSON object (new reference); or the call has failed with the reason and NULL is returned. */
json_t *call_reply_object(struct backend_call *c, const struct httpc_result *r);
/* Ends a call for tokens with those of {"tokens":[…]}, or fails it with the reason. */
void call_reply_tokens(struct backend_call *c, const struct httpc_result *r);

/* The ends of a call; each calls back once and frees the call.  Not from inside the function that starts it. */
void call_fail(struct backend_call *c, enum backend_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void call_fail_later(struct backend_call *c, enum backend_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void call_end_probe(struct backend_call *c);
void call_end_tokens(struct backend_call *c, const int32_t *tokens, size_t n);
void call_end_text(struct backend_call *c, const char *text, size_t len);
void call_end_pieces(struct backend_call *c, const struct backend_token *tokens, size_t n);
void call_end_start(struct backend_call *c, struct backend_session *s, const int32_t *tokens, size_t n);
void call_end_draft(struct backend_call *c, const struct backend_draft *d);
void call_end_verify(struct backend_call *c, const struct backend_verdict *v);
void call_end_score(struct backend_call *c, const float *logprobs, const float *gaps, size_t n);
void call_end_generate(struct backend_call *c);
void call_end_chat(struct backend_call *c, const char *finish, int64_t prompt_tokens, int64_t completion_tokens);
void call_end_vocab(struct backend_call *c, enum backend_vocab_match match, const char *reason);

/* Streams: c's callback for what has come.  Returns 1 taken, 0 pause, -1 the call was cancelled meanwhile and is gone.
 */
int call_stream_tokens(struct backend_call *c, const struct backend_token *tokens, size_t n);
int call_stream_text(struct backend_call *c, const char *text, size_t len, json_t *logprobs);
int call_stream_drafted(struct backend_call *c, const struct backend_drafted *d); /* never 0 */

/* Ends the call without a callback; its connection is closed. */
void call_cancel(struct backend_call *c);

/* Sessions: the common part. */
void *session_create(size_t size, struct backend *b, const struct sampler_params *p, size_t prompt_len);
void session_finish(struct backend_session *s); /* frees the session */

/* Empties what a probe found, but not what was learned for good; known becomes false. */
void backend_info_reset(struct backend_info *info);
void backend_info_set_string(char **to, const char *s);

/* Checks ids against info.n_vocab (where known).  NULL, or why not (owned by the caller). */
char *backend_check_tokens(const struct backend *b, const int32_t *tokens, size_t n);

extern const struct backend_ops backend_node_ops, backend_ngram_ops, backend_llamacpp_ops, backend_ollama_ops,
    backend_openai_ops, backend_auto_ops;

#endif
