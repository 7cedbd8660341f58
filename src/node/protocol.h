/* The node protocol (doc/node-protocol.md): what its calls share.  Every function that answers the client with an error
 * says so; the caller then just returns. */
#ifndef TIGHTWAD_NODE_PROTOCOL_H
#define TIGHTWAD_NODE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/sampler.h"
#include "http/httpd.h"
#include "node/core.h"
#include "node/server.h"

enum { PROTOCOL_VERSION = 1, PROTOCOL_TOP_MAX = 20 /* most alternatives with logprobs */ };

/* Adds all routes below /v1/node. */
void protocol_register(struct server *s);

/* The body as an object with no other keys than these (NULL-terminated).  NULL: a 400 was sent.  Owned by the caller.
 */
json_t *protocol_body(struct httpd_request *r, const char *const *keys);
/* Whether o is an object with no other keys.  0, or -1: a 400 was sent. */
int protocol_keys(struct httpd_request *r, const json_t *o, const char *const *keys);

/* Fields of a body.  0, or -1: a 400 that names the key was sent.  Absent: *out stays, unless need is set: then it is
 * an error. */
int protocol_int(struct httpd_request *r, const json_t *o, const char *key, bool need, int64_t min, int64_t max,
                 int64_t *out);
int protocol_double(struct httpd_request *r, const json_t *o, const char *key, double min, double max, double *out);
int protocol_bool(struct httpd_request *r, const json_t *o, const char *key, bool *out);
/* Ids of the vocabulary; *out is owned by the caller, NULL and 0 when absent. */
int protocol_tokens(struct server *s, struct httpd_request *r, const json_t *o, const char *key, bool need,
                    int32_t **out, size_t *n);

/* session, keep and tokens: where a job stands. */
int protocol_place(struct server *s, struct httpd_request *r, const json_t *o, struct node_job *job);
/* "logprobs": how many alternatives, at most PROTOCOL_TOP_MAX; -1 when absent. */
int protocol_logprobs(struct httpd_request *r, const json_t *o, int *out);
/* "text": a string, or an array of byte values.  Owned by the caller. */
int protocol_text(struct httpd_request *r, const json_t *o, char **text, size_t *len);
/* Sampling parameters from a value that may be NULL; finish them with sampler_params_finish when 0 was returned. */
int protocol_sampling(struct server *s, struct httpd_request *r, const json_t *o, struct sampler_params *out);
/* The tokens of the prompt that a list of {"role","content"} makes (*text: the prompt, NULL if it is not wanted).  Both
 * are owned by the caller. */
int protocol_chat(struct server *s, struct httpd_request *r, const json_t *messages, char **text, int32_t **tokens,
                  size_t *n);
/* The tokens of a text as a prompt (special) or as plain text that goes on. */
int protocol_tokenize(struct server *s, struct httpd_request *r, const char *text, size_t len, bool special, bool bos,
                      int32_t **tokens, size_t *n);

/* 400 with a cause, which is freed. */
void protocol_refuse(struct httpd_request *r, const char *param, char *cause);
/* An error object with one more number beside it. */
void protocol_error_with(struct httpd_request *r, int status, const char *code, const char *key, int64_t value,
                         const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Compact JSON by hand: jansson writes 17 digits for a number that needs 3. */
void protocol_add_piece(struct buf *b, const char *piece, size_t len); /* "text" or [bytes] */
/* Exact for a float; -1e9 for a probability of 0, null for NaN. */
void protocol_add_logprob(struct buf *b, double logprob);
/* {"logprob":x,"top":[[id,logprob,piece],…]} for out[i] of a job. */
void protocol_add_entry(struct buf *b, struct server *s, const struct node_job *job, size_t i);

/* The calls, one file each. */
void protocol_on_info(struct server *s, struct httpd_request *r);
void protocol_on_vocab(struct server *s, struct httpd_request *r);
void protocol_on_session(struct server *s, struct httpd_request *r);
void protocol_on_draft(struct server *s, struct httpd_request *r);
void protocol_on_verify(struct server *s, struct httpd_request *r);
void protocol_on_score(struct server *s, struct httpd_request *r);
void protocol_on_generate(struct server *s, struct httpd_request *r);
void protocol_on_tokenize(struct server *s, struct httpd_request *r);
void protocol_on_detokenize(struct server *s, struct httpd_request *r);
void protocol_on_template(struct server *s, struct httpd_request *r);

#endif
