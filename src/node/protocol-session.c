/* POST /v1/node/session: the sampling parameters and the prompt's length, once. */
#include "node/protocol.h"

#include <stdlib.h>

#include "base/json.h"

/* Sessions that their owner is done with, told beside the next one: a request of their own would be too dear. */
static void close_sessions(struct server *s, const json_t *closed)
{
    for (size_t i = 0; i < json_array_size(closed); i++)
        node_session_close(s->core, json_integer_value(json_array_get(closed, i)));
}

static int check_closed(struct httpd_request *r, const json_t *closed)
{
    bool ok = closed == NULL || json_is_array(closed);
    for (size_t i = 0; ok && i < json_array_size(closed); i++)
        ok = json_is_integer(json_array_get(closed, i));
    if (!ok)
        httpd_reply_error(r, 400, "closed", NULL, "closed: expected a list of sessions");
    return ok ? 0 : -1;
}

static void open_session(struct server *s, struct httpd_request *r, const json_t *o,
                         const struct sampler_params *params)
{
    const json_t *closed = json_object_get(o, "closed");
    const json_t *count = json_object_get(o, "prompt"), *messages = json_object_get(o, "messages"),
                 *given = json_object_get(o, "text");
    int64_t prompt = 0;
    int32_t *tokens = NULL;
    char *text = NULL;
    size_t n = 0, len;
    int rc;
    if ((count != NULL) + (messages != NULL) + (given != NULL) != 1) {
        httpd_reply_error(r, 400, "prompt", NULL, "expected one of prompt (a number of tokens), messages and text");
        return;
    }
    if (check_closed(r, closed) != 0)
        return;
    if (count != NULL)
        rc = protocol_int(r, o, "prompt", true, 0, INT32_MAX, &prompt);
    else if (messages != NULL)
        rc = protocol_chat(s, r, messages, NULL, &tokens, &n);
    else if ((rc = protocol_text(r, o, &text, &len)) == 0)
        rc = protocol_tokenize(s, r, text, len, true, true, &tokens, &n);
    free(text);
    if (rc != 0)
        return;
    close_sessions(s, closed);
    int64_t id = node_session_open(s->core, params, count != NULL ? (size_t)prompt : n);
    json_t *reply = json_pack("{s:I}", "session", (json_int_t)id);
    if (count == NULL)
        json_object_set_new(reply, "tokens", json_tokens(tokens, n));
    free(tokens);
    httpd_reply_json(r, 200, reply);
}

void protocol_on_session(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"sampling", "prompt", "messages", "text", "closed", NULL};
    struct sampler_params params;
    json_t *o = protocol_body(r, keys);
    if (o == NULL)
        return;
    if (protocol_sampling(s, r, json_object_get(o, "sampling"), &params) == 0) {
        open_session(s, r, o, &params);
        sampler_params_finish(&params);
    }
    json_decref(o);
}
