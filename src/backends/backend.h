/* Backends: one server of one kind behind one ops table.  Everything is asynchronous on the loop.
 *
 * A caller always gives the whole path (every token from position 0 on); a backend knows what its server still has of
 * it and sends only what is new.  When the server has lost a session (409, restart) the backend opens a new one and
 * sends all of it, once, before it gives up.  So a caller never keeps book of caches. */
#ifndef TIGHTWAD_BACKENDS_BACKEND_H
#define TIGHTWAD_BACKENDS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>

#include "base/sampler.h"
#include "config/config.h"
#include "http/httpc.h"

struct backend;
struct backend_session;
struct backend_call;

enum backend_error {
    BACKEND_OK,
    BACKEND_UNREACHABLE, /* nothing listens, no route, no name */
    BACKEND_TIMEOUT,     /* a deadline passed: a stopped process, a black-holed link */
    BACKEND_BROKEN,      /* broke off in the middle, or talks nonsense */
    BACKEND_REFUSED,     /* the server says no (4xx): message has its words */
    BACKEND_OVERLOADED,  /* 429, 503: try later */
    BACKEND_TOO_LONG,    /* the context is full */
    BACKEND_UNSUPPORTED, /* this kind of server cannot do that */
};

/* What a server can do, found by asking it. */
struct backend_caps {
    bool draft_tokens;       /* drafts token ids from token ids */
    bool draft_stream;       /* the same, token by token as they come */
    bool draft_branches;     /* and other choices than its first, as branches of that line */
    bool draft_text;         /* drafts text from text (Ollama) */
    bool verify;             /* checks a draft in one pass */
    bool verify_branches;    /* and branches of it in the same pass */
    bool verify_greedy_only; /* verify and generate work at temperature 0 without penalties and bias, and only then */
    bool score;              /* says how likely given tokens are, in one pass */
    bool generate;           /* generates tokens (ids known) from tokens */
    bool chat;               /* OpenAI-like chat that can be passed on as text */
    bool tokenize;           /* tokenize, detokenize */
    bool templated;          /* renders chat messages into tokens */
    bool any_vocabulary;     /* it is the text itself: it has whatever vocabulary the path has */
    bool relay_alone;  /* its own answers cost less than tokens drawn here: without a drafter they are passed on */
    bool shared_noise; /* draws with the sampler of base/sampler.h: same seed, same noise */
};

struct backend_info {
    bool known;           /* a probe has succeeded since the server was last lost */
    char *model;          /* name */
    char *architecture;   /* NULL: unknown */
    char *version;        /* server and version, in words; NULL: unknown */
    char fingerprint[65]; /* SHA-256 of the vocabulary in hex, "" unknown */
    int32_t n_vocab;      /* 0: unknown */
    int32_t n_ctx;        /* tokens per session, 0: unknown */
    int32_t slots;        /* sessions at once, 0: unknown */
    bool batch_invariant_known, batch_invariant;
    double noise; /* largest difference of a logit between batched and single; NAN: unknown */
    struct backend_caps caps;
    char *cannot_verify; /* why not, in words; NULL when caps.verify */
    char *advice;        /* what would make verifying faster there, in words; NULL: nothing known */
    int32_t *eog;        /* the ids that end a generation; NULL: unknown */
    size_t n_eog;
    int32_t verify_max; /* longest draft that one verify can take, 0: no limit */
    int64_t rtt_us;     /* of the probe, -1: unknown */
    json_t *raw;        /* what the server said of itself, may be NULL */
};

struct backend_status {
    enum backend_error error;
    const char *message; /* words, never NULL; holds during the callback only */
    int64_t elapsed_us;
    uint64_t bytes_out, bytes_in; /* on the wire with headers */
};

/* A token as the target gave it. */
struct backend_token {
    int32_t id;
    const char *piece; /* bytes, holds during the callback only */
    size_t len;
    bool end; /* end of generation */
    bool has_logprob;
    float logprob;
    const struct sampler_logprob *top; /* the most likely ones; their text by detokenize or top_piece */
    const char *const *top_piece;
    const size_t *top_len;
    size_t n_top;
};

/* Every callback is called once per call, never from inside the function that started it, and never after
 * backend_cancel.  It may start other calls and destroy sessions. */
typedef void backend_probe_cb(void *arg, const struct backend_status *st, const struct backend_info *info);
typedef void backend_tokens_cb(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n);
typedef void backend_text_cb(void *arg, const struct backend_status *st, const char *text, size_t len);

/* What each of the tokens asked about is in an answer, as a verdict would give it: its text, or the end of it. */
typedef void backend_pieces_cb(void *arg, const struct backend_status *st, const struct backend_token *tokens,
                               size_t n);

struct backend_draft {
    const int32_t *tokens;
    const float *probs; /* the drafter's own probability of each, NAN where unknown; may be NULL */
    size_t n;
    const char *text; /* text drafters: the text, and tokens is NULL */
    size_t text_len;
};
typedef void backend_draft_cb(void *arg, const struct backend_status *st, const struct backend_draft *d);

/* A branch of a draft to verify: tokens[0] in the place of draft[at], and what follows it. */
struct backend_branch {
    size_t at; /* < n_draft */
    const int32_t *tokens;
    size_t n;
};

enum { BACKEND_BRANCHES_MAX = 4 };

struct backend_tree {
    const int32_t *draft; /* the line */
    size_t n_draft;
    const struct backend_branch *branches;
    size_t n_branches; /* at most BACKEND_BRANCHES_MAX */
};

struct backend_verdict {
    size_t accepted;                    /* how many of the draft (along its branch) the target agrees with */
    size_t branch;                      /* the accepted path goes into branches[branch - 1]; 0: the line alone */
    size_t branches;                    /* how many branches were looked at */
    const struct backend_token *tokens; /* accepted + 1 of them: the accepted ones, then the target's own next one.
                                         * An end-of-generation token is always the last, never counted as accepted. */
    size_t read;  /* through slots: prompt tokens that the server had to read in all of them, else 0 */
    bool cold;    /* the server had to read more than what is new: its time says little of others */
    float margin; /* smallest distance between best and second best over these, NAN unknown */
};
typedef void backend_verify_cb(void *arg, const struct backend_status *st, const struct backend_verdict *v);

/* For each of the scored tokens its log probability given what stands before it, and how far its logit lies below the
 * best one (NAN unknown).  They hold during the callback only. */
typedef void backend_score_cb(void *arg, const struct backend_status *st, const float *logprobs, const float *gaps,
                              size_t n);

/* Tokens of a generation as they come; false pauses it until backend_resume (the same tokens are given again). */
typedef bool backend_stream_cb(void *arg, const struct backend_token *tokens, size_t n);
/* BACKEND_OK: n tokens or the end token have come; BACKEND_TOO_LONG: the context is full, the tokens until there were
 * given. */
typedef void backend_done_cb(void *arg, const struct backend_status *st);

/* What a drafter is asked for. */
struct backend_draft_ask {
    size_t n;        /* tokens of the line behind the path, at most */
    size_t from;     /* so many tokens of the path are known to be right: branches stand at positions >= from */
    size_t first;    /* so many tokens of the line are drafted before any work goes into branches */
    size_t branches; /* most branches at a time, 0: none */
    size_t depth;    /* most tokens of a branch, with its first one */
};

/* Drafted tokens as they come: of the line, or of one branch. */
struct backend_drafted {
    const int32_t *tokens;
    const float *probs; /* the drafter's own estimate of each being right, given those before it */
    size_t n;
    int64_t branch; /* its id, > 0, which stays the same in later drafts of the session; 0: the line */
    size_t at;      /* branch: the position in the path of its first token, in the place of the line's */
    size_t index;   /* of tokens[0]: in the line behind the path, or in the branch as far as this call has told it */
};
/* Holds during the callback only. */
typedef void backend_drafted_cb(void *arg, const struct backend_drafted *d);

/* A chat that is passed on: text as it comes; false pauses. finish: "stop", "length"; usage -1 where unknown. */
typedef bool backend_chat_text_cb(void *arg, const char *text, size_t len, json_t *logprobs);
typedef void backend_chat_done_cb(void *arg, const struct backend_status *st, const char *finish, int64_t prompt_tokens,
                                  int64_t completion_tokens);

/* A session that is open on the server, and the tokens of its prompt.  session is NULL on failure, else the caller's.
 */
typedef void backend_start_cb(void *arg, const struct backend_status *st, struct backend_session *session,
                              const int32_t *prompt, size_t n_prompt);

struct backend_ops {
    const char *name;
    bool no_server; /* it is a part of this program: no url */
    /* The kind's own part of a backend, b->state: made when the kind is known, freed at the end.  May be NULL. */
    void (*init)(struct backend *b);
    void (*finish)(struct backend *b);
    /* A function that the kind does not have is NULL here (the wrappers below then answer BACKEND_UNSUPPORTED on the
     * loop).  Deadlines: timeout_ms over the whole call, 0 none. */
    struct backend_call *(*probe)(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg);
    /* special: text is a prompt: special tokens in it are read as such, and BOS is put before it where the model wants
     * one.  Without it the text is plain and nothing is added. */
    struct backend_call *(*tokenize)(struct backend *b, const char *text, size_t len, bool special,
                                     backend_tokens_cb *cb, void *arg);
    struct backend_call *(*detokenize)(struct backend *b, const int32_t *tokens, size_t n, backend_text_cb *cb,
                                       void *arg);
    /* Tells what each token is.  Without a single trip to the model: no work that waits for other work. */
    struct backend_call *(*pieces)(struct backend *b, const int32_t *tokens, size_t n, backend_pieces_cb *cb,
                                   void *arg);
    /* messages → the tokens of the rendered prompt. */
    struct backend_call *(*render)(struct backend *b, const json_t *messages, backend_tokens_cb *cb, void *arg);
    /* Renders messages (or tokenizes text where messages is NULL) and opens a session on it in one trip. */
    struct backend_call *(*session_start)(struct backend *b, const struct sampler_params *p, const json_t *messages,
                                          const char *text, size_t len, backend_start_cb *cb, void *arg);
    struct backend_session *(*session_open)(struct backend *b, const struct sampler_params *p, size_t prompt_len);
    void (*session_close)(struct backend_session *s); /* frees it; its calls are cancelled before */
    struct backend_call *(*draft)(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, float p_min,
                                  int timeout_ms, backend_draft_cb *cb, void *arg);
    /* text drafters: continues text by about n tokens */
    struct backend_call *(*draft_text)(struct backend_session *s, const char *text, size_t len, size_t n,
                                       int timeout_ms, backend_draft_cb *cb, void *arg);
    struct backend_call *(*verify)(struct backend_session *s, const int32_t *path, size_t n_path, const int32_t *draft,
                                   size_t n_draft, int n_logprobs, int timeout_ms, backend_verify_cb *cb, void *arg);
    /* How likely the last n tokens of path are, each given those before it.  n < n_path. */
    struct backend_call *(*score)(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                  int timeout_ms, backend_score_cb *cb, void *arg);
    /* The longest draft that is worth one verify of this session now; NULL: any. */
    size_t (*verify_most)(const struct backend_session *s);
    /* The same with branches; those that the server has no room for are not looked at. */
    struct backend_call *(*verify_tree)(struct backend_session *s, const int32_t *path, size_t n_path,
                                        const struct backend_tree *tree, int n_logprobs, int timeout_ms,
                                        backend_verify_cb *cb, void *arg);
    /* drafts token ids and gives each as it comes.  BACKEND_OK: n tokens have come and no branch can grow, or it has no
     * more to say, or a newer draft of the same session took its place.  A path that continues a branch, in a later
     * call, costs the drafter nothing that the branch has already cost. */
    struct backend_call *(*draft_stream)(struct backend_session *s, const int32_t *path, size_t n_path,
                                         const struct backend_draft_ask *ask, int idle_timeout_ms,
                                         backend_drafted_cb *on_tokens, backend_done_cb *cb, void *arg);
    struct backend_call *(*generate)(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                     int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                     backend_done_cb *cb, void *arg);
    struct backend_call *(*chat)(struct backend *b, const json_t *request, bool is_chat, int idle_timeout_ms,
                                 backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg);
};

struct backend {
    const struct backend_ops *ops; /* for "auto": those of the detector until the first probe has found the kind */
    struct event_base *base;
    struct httpc *http;
    struct config_server cfg;         /* a copy */
    struct backend_info info;         /* from the last successful probe; known is false while none has succeeded */
    struct backend_call *calls;       /* those under way */
    struct backend_session *sessions; /* those open */
    void *state;                      /* the kind's own */
    bool doubted; /* the last probe was answered, but not as this kind answers: "auto" looks again */
};

/* The registered kinds, sorted by name, NULL at the end (backends.c). */
extern const struct backend_ops *const backend_kinds[];
const struct backend_ops *backend_kind(const char *name);

/* cfg.backend "auto" asks the server what it is at the first probe.  NULL and a cause for an unknown kind. */
struct backend *backend_create(struct event_base *base, struct httpc *http, const struct config_server *cfg,
                               char **cause);
void backend_destroy(struct backend *b); /* cancels all its calls; NULL is fine */
const char *backend_error_name(enum backend_error e);

/* Wrappers with the same arguments as the ops; where the kind has no such function the callback gets
 * BACKEND_UNSUPPORTED from the loop. */
struct backend_call *backend_probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg);
struct backend_call *backend_tokenize(struct backend *b, const char *text, size_t len, bool special,
                                      backend_tokens_cb *cb, void *arg);
struct backend_call *backend_detokenize(struct backend *b, const int32_t *tokens, size_t n, backend_text_cb *cb,
                                        void *arg);
struct backend_call *backend_pieces(struct backend *b, const int32_t *tokens, size_t n, backend_pieces_cb *cb,
                                    void *arg);
struct backend_call *backend_render(struct backend *b, const json_t *messages, backend_tokens_cb *cb, void *arg);
/* The prompt of a request and the target's session for it: one trip where the server can, else two.  Where the kind has
 * no sessions or cannot tokenize the callback gets BACKEND_UNSUPPORTED. */
struct backend_call *backend_session_start(struct backend *b, const struct sampler_params *p, const json_t *messages,
                                           const char *text, size_t len, backend_start_cb *cb, void *arg);
/* Never fails: nothing is asked before the first call.  The parameters are copied. */
struct backend_session *backend_session_open(struct backend *b, const struct sampler_params *p, size_t prompt_len);
void backend_session_close(struct backend_session *s); /* NULL is fine */
struct backend_call *backend_draft(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, float p_min,
                                   int timeout_ms, backend_draft_cb *cb, void *arg);
struct backend_call *backend_draft_text(struct backend_session *s, const char *text, size_t len, size_t n,
                                        int timeout_ms, backend_draft_cb *cb, void *arg);
struct backend_call *backend_verify(struct backend_session *s, const int32_t *path, size_t n_path, const int32_t *draft,
                                    size_t n_draft, int n_logprobs, int timeout_ms, backend_verify_cb *cb, void *arg);
/* The longest draft that one verify of this session can take, SIZE_MAX: any. */
size_t backend_verify_most(const struct backend_session *s);
/* Where the kind knows no branches the line alone is verified. */
struct backend_call *backend_verify_tree(struct backend_session *s, const int32_t *path, size_t n_path,
                                         const struct backend_tree *tree, int n_logprobs, int timeout_ms,
                                         backend_verify_cb *cb, void *arg);
struct backend_call *backend_draft_stream(struct backend_session *s, const int32_t *path, size_t n_path,
                                          const struct backend_draft_ask *ask, int idle_timeout_ms,
                                          backend_drafted_cb *on_tokens, backend_done_cb *cb, void *arg);
struct backend_call *backend_score(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                   int timeout_ms, backend_score_cb *cb, void *arg);
struct backend_call *backend_generate(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                      int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                      backend_done_cb *cb, void *arg);
struct backend_call *backend_chat(struct backend *b, const json_t *request, bool is_chat, int idle_timeout_ms,
                                  backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg);
/* Work on the server stops (its connection is closed); no callback any more.  May be called in any callback but the
 * call's own last one.  NULL is fine. */
void backend_cancel(struct backend_call *call);
/* Cancels what the backend asks for its own ends, and nobody waits for. */
void backend_hang_up(struct backend *b);
void backend_resume(struct backend_call *call); /* goes on after on_tokens or on_text returned false */

/* How two vocabularies compare. */
enum backend_vocab_match {
    BACKEND_VOCAB_SAME,    /* identical */
    BACKEND_VOCAB_PADDED,  /* identical but for padding at the end: fine */
    BACKEND_VOCAB_SAMPLED, /* no fingerprint to be had, but probe texts tokenise alike and sizes agree */
    BACKEND_VOCAB_DIFFERENT,
    BACKEND_VOCAB_UNKNOWN, /* one of them can't be asked */
};
typedef void backend_vocab_cb(void *arg, enum backend_vocab_match match, const char *reason);
/* Both must have been probed.  Asks the servers for what is needed.  The call belongs to target; cancel it before draft
 * is destroyed. */
struct backend_call *backend_compare_vocab(struct backend *target, struct backend *draft, backend_vocab_cb *cb,
                                           void *arg);

#endif
