/* An OpenAI API: what its files share. */
#ifndef TIGHTWAD_BACKENDS_OPENAI_H
#define TIGHTWAD_BACKENDS_OPENAI_H

#include "backends/calls.h"
#include "backends/echo.h"
#include "backends/wire.h"

/* Where servers with this API keep their tokenizer, if they have one. */
enum openai_dialect {
    OPENAI_PLAIN,    /* none found */
    OPENAI_NODE,     /* tightwad-node: /v1/node/tokenize, exact bytes of every token */
    OPENAI_TOKENIZE, /* /tokenize as llama-server has it */
    OPENAI_VLLM,     /* /tokenize as vLLM has it, of messages too */
};

struct openai {
    const char *prefix; /* of the endpoints after cfg.url: "/v1" or "" */
    bool prefix_known;
    bool tried; /* what it can do has been tried */
    enum openai_dialect dialect;
    struct backend_caps caps;
    char *cannot_verify;
    char **piece; /* by id: the bytes of each token, NULL: not known */
    size_t *piece_len;
    int32_t n_vocab;
    int32_t *eog;
    size_t n_eog;
};

/* openai-verify.c: drafts checked through echo */
struct backend_call *openai_verify(struct backend_session *s, const int32_t *path, size_t n_path, const int32_t *draft,
                                   size_t n_draft, int n_logprobs, int timeout_ms, backend_verify_cb *cb, void *arg);

/* openai-score.c: how likely given tokens are, through echo as well */
struct backend_call *openai_score(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                  int timeout_ms, backend_score_cb *cb, void *arg);

/* Adds the token id to t, with its text and, for n_logprobs >= 0, the log probabilities of e.  False when the
 * vocabulary does not have it. */
bool openai_add_token(const struct openai *o, const struct echo_entry *e, int32_t id, int n_logprobs,
                      struct wire_tokens *t);
/* No parameter but the logits decides. */
bool openai_is_greedy(const struct sampler_params *p);

/* openai-generate.c: tokens from a streamed completion of tokens */
struct backend_call *openai_generate(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                     int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                     backend_done_cb *cb, void *arg);

/* openai-tokens.c: the tokenizer */
struct backend_call *openai_tokenize(struct backend *b, const char *text, size_t len, bool special,
                                     backend_tokens_cb *cb, void *arg);
struct backend_call *openai_detokenize(struct backend *b, const int32_t *tokens, size_t n, backend_text_cb *cb,
                                       void *arg);
struct backend_call *openai_pieces(struct backend *b, const int32_t *tokens, size_t n, backend_pieces_cb *cb,
                                   void *arg);
struct backend_call *openai_render(struct backend *b, const json_t *messages, backend_tokens_cb *cb, void *arg);
/* The body of a request to a dialect's tokenize; its path. */
json_t *openai_tokenize_body(const struct backend *b, enum openai_dialect d, const char *text, size_t len,
                             bool special);
const char *openai_tokenize_path(enum openai_dialect d);

#endif
