/* The OpenAI shapes: requests parsed and checked once, replies written once.  The node's endpoint and the proxy both
 * use these. */
#ifndef TIGHTWAD_HTTP_OPENAI_H
#define TIGHTWAD_HTTP_OPENAI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/answer.h"
#include "base/sampler.h"

struct oai_limits {
    int64_t max_tokens; /* a request for more is a 400 */
};

struct oai_request {
    bool chat;
    char *model;            /* NULL: none named */
    json_t *messages;       /* chat: checked array of {role, content: string}; text parts are joined */
    char *prompt;           /* completions, text */
    int32_t *prompt_tokens; /* completions, a list of ids */
    size_t n_prompt_tokens;
    bool stream, include_usage, echo;
    int64_t max_tokens; /* -1: none given (up to the context or the server's limit) */
    bool seed_given;
    struct sampler_params sampling; /* with a random seed when none was given */
    char **stops;
    size_t n_stops;     /* at most 16, none empty */
    int logprobs;       /* -1: none wanted; else how many alternatives, 0..20 */
    bool tokens_as_ids; /* logprobs name tokens \"token_id:N\" (return_tokens_as_token_ids) */
    json_t *original;   /* the request as it came, for servers that it is passed on to */
};

struct oai_error {
    int status;                   /* 400 … */
    char *message, *param, *code; /* owned; param and code may be NULL */
};

/* 0, or -1 and *err filled (finish it with oai_error_finish; r is empty then).  Parameters that would change the answer
 * and that are not supported (n > 1, tools, response_format other than text, best_of, suffix, audio …) are errors that
 * name them; those that change nothing (user, metadata, store …) are accepted.  llama.cpp's top_k, min_p,
 * repeat_penalty, repeat_last_n are taken as well. */
int oai_request_parse(struct oai_request *r, bool chat, const char *body, size_t len, const struct oai_limits *limits,
                      struct oai_error *err);
void oai_request_finish(struct oai_request *r);
void oai_error_finish(struct oai_error *e);

/* What one token brought, for logprobs. */
struct oai_token {
    int32_t id;
    const char *piece; /* bytes */
    size_t len;
    float logprob;
    const struct oai_top {
        int32_t id;
        const char *piece;
        size_t len;
        float logprob;
    } * top;
    size_t n_top;
};

struct oai_usage {
    int64_t prompt_tokens, completion_tokens, drafted_tokens,
        accepted_tokens; /* the last two: -1 where they mean nothing */
};

/* One reply in the making. */
struct oai_reply {
    char id[48];     /* chatcmpl-… or cmpl-… */
    int64_t created; /* seconds since 1970 */
    char *model;     /* owned */
    bool chat, stream, include_usage, tokens_as_ids, started;
    int64_t text_offset; /* completions' logprobs: characters given so far */
    uint64_t seed;
    json_t *logprobs; /* collected for a reply in one piece */
    json_t *about;    /* further members of "tightwad" beside the seed; owned, NULL: none */
};

/* model: the name that the reply carries, copied.  The rest comes from the request. */
void oai_reply_init(struct oai_reply *r, const struct oai_request *q, const char *model);
/* Before the first chunk.  Copied. */
void oai_reply_set_model(struct oai_reply *r, const char *model);
void oai_reply_finish(struct oai_reply *r);

/* Each returns a string owned by the caller.  Streamed ones are whole events ("data: …\n\n").
 * chunk: text (valid UTF-8, may be empty when logprobs go alone); the first one carries the role as well.
 * tokens: those with logprobs that belong to it, NULL if none are wanted. */
char *oai_stream_chunk(struct oai_reply *r, const char *text, size_t len, const struct oai_token *tokens, size_t n);
/* The last choice chunk, the usage chunk if asked for, and [DONE].  The seed stands in the last choice chunk as
 * "tightwad":{"seed":N} with what is in about, and in the top level of a reply in one piece. */
char *oai_stream_end(struct oai_reply *r, enum answer_finish finish, const struct oai_usage *usage);
char *oai_stream_error(const char *type, const char *message); /* an error event, no [DONE] after it */
/* A reply in one piece; new reference.  Collect logprobs with oai_reply_add_tokens first. */
void oai_reply_add_tokens(struct oai_reply *r, const struct oai_token *tokens, size_t n);
json_t *oai_reply_json(struct oai_reply *r, const char *text, size_t len, enum answer_finish finish,
                       const struct oai_usage *usage);

#endif
