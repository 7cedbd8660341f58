/* What a reply that is no answer means, in words. */
#include "backends/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/wire.h"
#include "base/json.h"
#include "base/mem.h"

/* The server's own words: {"error":{"message":…,"code":…}}, {"error":"…"}, {"message":…}, {"detail":…}, else the text.
 */
static char *error_words(const struct httpc_result *r, const char **code)
{
    static char code_text[64];
    *code = "";
    json_t *o = r->len > 0 ? json_parse(r->body, r->len, NULL) : NULL;
    json_t *e = json_object_get(o, "error");
    const char *words = json_string_value(e);
    if (json_is_object(e)) {
        const char *type = json_string_value(json_object_get(e, "type"));
        const char *text = json_string_value(json_object_get(e, "code"));
        words = json_string_value(json_object_get(e, "message"));
        if (text == NULL)
            text = type;
        if (text != NULL) {
            snprintf(code_text, sizeof(code_text), "%s", text);
            *code = code_text;
        }
    }
    if (words == NULL)
        words = json_string_value(json_object_get(o, "message"));
    if (words == NULL)
        words = json_string_value(json_object_get(o, "detail"));
    char *out = words != NULL ? xasprintf("%.400s", words) : NULL;
    json_decref(o);
    if (out == NULL && r->len > 0) {
        out = xasprintf("%.120s", r->body);
        for (char *p = out; *p != '\0'; p++)
            if ((unsigned char)*p < 0x20)
                *p = ' ';
    }
    return out;
}

static enum backend_error error_of_status(int status, const char *code)
{
    if (strcmp(code, "context_full") == 0 || strcmp(code, "exceed_context_size_error") == 0 ||
        strcmp(code, "context_length_exceeded") == 0)
        return BACKEND_TOO_LONG;
    if (status == 429 || status == 503)
        return BACKEND_OVERLOADED;
    if (status >= 400 && status < 500)
        return BACKEND_REFUSED;
    return BACKEND_BROKEN;
}

enum backend_error call_reply_error(const struct backend_call *c, const struct httpc_result *r, char **message)
{
    const char *code;
    switch (r->error) {
    case HTTPC_OK:
        break;
    case HTTPC_UNREACHABLE:
        *message = xasprintf("%s: %s", c->b->cfg.url, r->message);
        return BACKEND_UNREACHABLE;
    case HTTPC_TIMEOUT:
        *message = xasprintf("%s: %s", c->b->cfg.url, r->message);
        return BACKEND_TIMEOUT;
    case HTTPC_BROKEN:
    case HTTPC_TOO_LARGE:
        *message = xasprintf("%s: %s", c->b->cfg.url, r->message);
        return BACKEND_BROKEN;
    }
    if (r->status == 200)
        return BACKEND_OK;
    char *words = error_words(r, &code);
    enum backend_error e = error_of_status(r->status, code);
    if (r->status == 401 || r->status == 403)
        *message = xasprintf("%s wants another api_key: HTTP %d, %s", c->b->cfg.url, r->status,
                             words != NULL ? words : "no reason given");
    else
        *message =
            xasprintf("%s says HTTP %d: %s", c->b->cfg.url, r->status, words != NULL ? words : "no reason given");
    free(words);
    return e;
}

json_t *call_reply_object(struct backend_call *c, const struct httpc_result *r)
{
    char *message = NULL;
    enum backend_error e = call_reply_error(c, r, &message);
    json_t *o = NULL;
    if (e != BACKEND_OK) {
        call_fail(c, e, "%s", message);
    } else if ((o = json_parse_object(r->body, r->len, &message)) == NULL) {
        call_fail(c, BACKEND_BROKEN, "%s answers with something that is not JSON: %s", c->b->cfg.url, message);
    }
    free(message);
    return o;
}

void call_reply_tokens(struct backend_call *c, const struct httpc_result *r)
{
    char *cause = NULL;
    int32_t *tokens = NULL;
    size_t n;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    int ok = wire_get_tokens(json_object_get(o, "tokens"), "tokens", c->b->info.n_vocab, SIZE_MAX, &tokens, &n, &cause);
    json_decref(o);
    if (ok < 0)
        call_fail(c, BACKEND_BROKEN, "%s: %s", c->b->cfg.url, cause);
    else
        call_end_tokens(c, tokens, n);
    free(cause);
    free(tokens);
}
