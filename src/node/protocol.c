#include "node/protocol.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "node/model.h"

static const double LOGPROB_NEVER = -1e9;

static const struct {
    enum httpd_method method;
    const char *path;
    server_handler *fn;
} calls[] = {
    {HTTPD_GET, "/v1/node", protocol_on_info},
    {HTTPD_GET, "/v1/node/vocab", protocol_on_vocab},
    {HTTPD_POST, "/v1/node/detokenize", protocol_on_detokenize},
    {HTTPD_POST, "/v1/node/draft", protocol_on_draft},
    {HTTPD_POST, "/v1/node/generate", protocol_on_generate},
    {HTTPD_POST, "/v1/node/score", protocol_on_score},
    {HTTPD_POST, "/v1/node/session", protocol_on_session},
    {HTTPD_POST, "/v1/node/template", protocol_on_template},
    {HTTPD_POST, "/v1/node/tokenize", protocol_on_tokenize},
    {HTTPD_POST, "/v1/node/verify", protocol_on_verify},
};

void protocol_register(struct server *s)
{
    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        server_route(s, calls[i].method, calls[i].path, calls[i].fn);
}

void protocol_refuse(struct httpd_request *r, const char *param, char *cause)
{
    httpd_reply_error(r, 400, param, NULL, "%s", cause != NULL ? cause : "malformed request");
    free(cause);
}

int protocol_keys(struct httpd_request *r, const json_t *o, const char *const *keys)
{
    const char *key;
    json_t *value;
    if (!json_is_object(o)) {
        httpd_reply_error(r, 400, NULL, NULL, "expected an object with \"%s\"", keys[0]);
        return -1;
    }
    json_object_foreach((json_t *)o, key, value)
    {
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0)
            i++;
        if (keys[i] == NULL) {
            httpd_reply_error(r, 400, key, NULL, "%s: this call has no such field", key);
            return -1;
        }
    }
    return 0;
}

json_t *protocol_body(struct httpd_request *r, const char *const *keys)
{
    size_t len;
    const char *text = httpd_body(r, &len);
    char *cause = NULL;
    json_t *o = json_parse_object(text, len, &cause);
    if (o == NULL) {
        protocol_refuse(r, NULL, cause);
        return NULL;
    }
    if (protocol_keys(r, o, keys) != 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* rc: what a json_get_… returned. */
static int check(struct httpd_request *r, const char *key, bool need, int rc, char *cause)
{
    if (rc < 0) {
        protocol_refuse(r, key, cause);
        return -1;
    }
    if (rc == 0 && need) {
        httpd_reply_error(r, 400, key, NULL, "%s is missing", key);
        return -1;
    }
    return 0;
}

int protocol_int(struct httpd_request *r, const json_t *o, const char *key, bool need, int64_t min, int64_t max,
                 int64_t *out)
{
    char *cause = NULL;
    int rc = json_get_int(o, key, min, max, out, &cause);
    return check(r, key, need, rc, cause);
}

int protocol_double(struct httpd_request *r, const json_t *o, const char *key, double min, double max, double *out)
{
    char *cause = NULL;
    int rc = json_get_double(o, key, min, max, out, &cause);
    return check(r, key, false, rc, cause);
}

int protocol_bool(struct httpd_request *r, const json_t *o, const char *key, bool *out)
{
    char *cause = NULL;
    int rc = json_get_bool(o, key, out, &cause);
    return check(r, key, false, rc, cause);
}

int protocol_tokens(struct server *s, struct httpd_request *r, const json_t *o, const char *key, bool need,
                    int32_t **out, size_t *n)
{
    char *cause = NULL;
    *out = NULL;
    *n = 0;
    int rc = json_get_tokens(o, key, out, n, &cause);
    if (check(r, key, need, rc, cause) != 0)
        return -1;
    int32_t n_vocab = node_core_model(s->core)->n_vocab;
    for (size_t i = 0; i < *n; i++) {
        if ((*out)[i] >= n_vocab) {
            httpd_reply_error(r, 400, key, NULL, "%s[%zu] is %d: this vocabulary has the ids 0 to %d", key, i,
                              (*out)[i], n_vocab - 1);
            free(*out);
            *out = NULL;
            return -1;
        }
    }
    return 0;
}

int protocol_logprobs(struct httpd_request *r, const json_t *o, int *out)
{
    int64_t n = -1;
    if (protocol_int(r, o, "logprobs", false, 0, PROTOCOL_TOP_MAX, &n) != 0)
        return -1;
    *out = (int)n;
    return 0;
}

int protocol_text(struct httpd_request *r, const json_t *o, char **text, size_t *len)
{
    const json_t *value = json_object_get(o, "text");
    *text = NULL;
    if (value != NULL && json_piece_get(value, text, len) == 0)
        return 0;
    httpd_reply_error(r, 400, "text", NULL, "text: expected a string, or an array of byte values");
    return -1;
}

int protocol_sampling(struct server *s, struct httpd_request *r, const json_t *o, struct sampler_params *out)
{
    char *cause = NULL;
    sampler_params_init(out);
    if (o != NULL && sampler_params_from_json(out, o, &cause) != 0) {
        protocol_refuse(r, "sampling", cause);
        sampler_params_finish(out);
        return -1;
    }
    int32_t n_vocab = node_core_model(s->core)->n_vocab;
    for (size_t i = 0; i < out->n_bias; i++) {
        if (out->bias[i].token >= n_vocab) {
            httpd_reply_error(r, 400, "logit_bias", NULL,
                              "logit_bias: %d is no token, this vocabulary has the ids 0 to %d", out->bias[i].token,
                              n_vocab - 1);
            sampler_params_finish(out);
            return -1;
        }
    }
    return 0;
}

int protocol_tokenize(struct server *s, struct httpd_request *r, const char *text, size_t len, bool special, bool bos,
                      int32_t **tokens, size_t *n)
{
    char *cause = NULL;
    if (node_model_tokenize(node_core_model(s->core), text, len, special, bos, tokens, n, &cause) == 0)
        return 0;
    protocol_refuse(r, NULL, cause);
    return -1;
}

/* Borrowed from the list.  NULL: a 400 was sent. */
static struct node_message *read_messages(struct httpd_request *r, const json_t *list, size_t *n)
{
    *n = json_array_size(list);
    if (*n == 0) {
        httpd_reply_error(r, 400, "messages", NULL, "messages: expected an array with at least one message");
        return NULL;
    }
    struct node_message *messages = xcalloc(*n, sizeof(*messages));
    for (size_t i = 0; i < *n; i++) {
        const json_t *m = json_array_get(list, i);
        messages[i].role = json_string_value(json_object_get(m, "role"));
        messages[i].content = json_string_value(json_object_get(m, "content"));
        if (messages[i].role == NULL || messages[i].content == NULL) {
            httpd_reply_error(r, 400, "messages", NULL,
                              "messages[%zu]: expected an object with the strings role and content", i);
            free(messages);
            return NULL;
        }
    }
    return messages;
}

int protocol_chat(struct server *s, struct httpd_request *r, const json_t *list, char **text, int32_t **tokens,
                  size_t *n)
{
    size_t n_messages;
    char *cause = NULL;
    struct node_message *messages = read_messages(r, list, &n_messages);
    if (messages == NULL)
        return -1;
    char *prompt = node_model_template(node_core_model(s->core), messages, n_messages, &cause);
    free(messages);
    if (prompt == NULL) {
        httpd_reply_error(r, 400, "messages", "no_chat_template", "%s", cause != NULL ? cause : "no chat template");
        free(cause);
        return -1;
    }
    int rc = protocol_tokenize(s, r, prompt, strlen(prompt), true, true, tokens, n);
    if (rc == 0 && text != NULL)
        *text = prompt;
    else
        free(prompt);
    return rc;
}

void protocol_error_with(struct httpd_request *r, int status, const char *code, const char *key, int64_t value,
                         const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *message = xvasprintf(fmt, ap);
    va_end(ap);
    httpd_reply_json(r, status,
                     json_pack("{s:{s:s,s:s,s:n,s:s},s:I}", "error", "message", message, "type",
                               "invalid_request_error", "param", "code", code, key, (json_int_t)value));
    free(message);
}

void protocol_add_piece(struct buf *b, const char *piece, size_t len)
{
    json_t *o = json_piece(piece, len);
    char *text = json_dumps(o, JSON_COMPACT | JSON_ENCODE_ANY);
    (void)buf_adds(b, text);
    free(text);
    json_decref(o);
}

void protocol_add_logprob(struct buf *b, double logprob)
{
    if (isnan(logprob))
        (void)buf_adds(b, "null");
    else
        (void)buf_printf(b, "%.9g", isfinite(logprob) ? logprob : LOGPROB_NEVER);
}

void protocol_add_entry(struct buf *b, struct server *s, const struct node_job *job, size_t i)
{
    (void)buf_adds(b, "{\"logprob\":");
    protocol_add_logprob(b, (double)job->out[i].logprob);
    (void)buf_adds(b, ",\"top\":[");
    for (size_t j = 0; j < job->n_top; j++) {
        const struct sampler_logprob *top = &job->top[i * job->n_top + j];
        size_t len;
        const char *piece = node_model_piece(node_core_model(s->core), top->token, true, &len);
        (void)buf_printf(b, "%s[%d,", j > 0 ? "," : "", top->token);
        protocol_add_logprob(b, (double)top->logprob);
        (void)buf_addc(b, ',');
        protocol_add_piece(b, piece, len);
        (void)buf_addc(b, ']');
    }
    (void)buf_adds(b, "]}");
}
