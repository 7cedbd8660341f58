#include "node/protocol.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "node/core.h"

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

json_t *protocol_body(struct httpd_request *r, const char *const *keys)
{
    size_t len;
    const char *text = httpd_body(r, &len), *key;
    char *cause = NULL;
    json_t *o = json_parse_object(text, len, &cause), *value;
    if (o == NULL) {
        protocol_refuse(r, NULL, cause);
        return NULL;
    }
    json_object_foreach(o, key, value) {
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0)
            i++;
        if (keys[i] == NULL) {
            httpd_reply_error(r, 400, key, NULL, "%s: this call has no such field", key);
            json_decref(o);
            return NULL;
        }
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
    return check(r, key, need, json_get_int(o, key, min, max, out, &cause), cause);
}

int protocol_text(struct httpd_request *r, const json_t *o, const char *key, bool need, const char **out)
{
    char *cause = NULL;
    return check(r, key, need, json_get_string(o, key, out, &cause), cause);
}

int protocol_bool(struct httpd_request *r, const json_t *o, const char *key, bool *out)
{
    char *cause = NULL;
    return check(r, key, false, json_get_bool(o, key, out, &cause), cause);
}

int protocol_tokens(struct server *s, struct httpd_request *r, const json_t *o, const char *key, bool need, int32_t **out,
                    size_t *n)
{
    char *cause = NULL;
    *out = NULL;
    *n = 0;
    if (check(r, key, need, json_get_tokens(o, key, out, n, &cause), cause) != 0)
        return -1;
    int32_t n_vocab = node_core_info(s->core)->n_vocab;
    for (size_t i = 0; i < *n; i++) {
        if ((*out)[i] >= n_vocab) {
            httpd_reply_error(r, 400, key, NULL, "%s[%zu] is %d: this vocabulary has the ids 0 to %d", key, i, (*out)[i],
                              n_vocab - 1);
            free(*out);
            *out = NULL;
            return -1;
        }
    }
    return 0;
}

void protocol_error_with(struct httpd_request *r, int status, const char *code, const char *key, int64_t value,
                         const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *message = xvasprintf(fmt, ap);
    va_end(ap);
    httpd_reply_json(r, status, json_pack("{s:{s:s,s:s,s:n,s:s},s:I}", "error", "message", message, "type",
                                          "invalid_request_error", "param", "code", code, key, (json_int_t)value));
    free(message);
}

void protocol_add_tokens(struct buf *b, const int32_t *tokens, size_t n)
{
    (void)buf_addc(b, '[');
    for (size_t i = 0; i < n; i++)
        (void)buf_printf(b, "%s%d", i > 0 ? "," : "", tokens[i]);
    (void)buf_addc(b, ']');
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
    (void)buf_printf(b, "%.9g", isfinite(logprob) ? logprob : -1e9);
}
