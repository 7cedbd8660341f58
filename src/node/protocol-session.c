/* POST /v1/node/session: the sampling parameters and the prompt's length, once. */
#include "node/protocol.h"

#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sampler.h"
#include "node/chat.h"
#include "node/core.h"

/* The prompt's tokens from "messages" or "text".  0, or -1: an error was sent. */
static int read_prompt(struct server *s, struct httpd_request *r, const json_t *o, int32_t **tokens, size_t *n)
{
    const json_t *messages = json_object_get(o, "messages"), *text = json_object_get(o, "text");
    char *bytes = NULL;
    size_t len;
    if (messages != NULL) {
        bytes = chat_render(s, r, messages, &len);
        if (bytes == NULL)
            return -1;
    } else if (json_piece_get(text, &bytes, &len) != 0) {
        httpd_reply_error(r, 400, "text", NULL, "text: expected a string, or an array of byte values");
        return -1;
    }
    *tokens = node_tokenize(s->core, bytes, len, true, true, n);
    free(bytes);
    return 0;
}

static void open_session(struct server *s, struct httpd_request *r, const json_t *o, const struct sampler_params *params)
{
    bool count = json_object_get(o, "prompt") != NULL;
    if (count + (json_object_get(o, "messages") != NULL) + (json_object_get(o, "text") != NULL) != 1) {
        httpd_reply_error(r, 400, "prompt", NULL, "expected one of prompt (a number of tokens), messages and text");
        return;
    }
    int64_t prompt = 0;
    int32_t *tokens = NULL;
    size_t n = 0;
    if (count ? protocol_int(r, o, "prompt", true, 0, INT32_MAX, &prompt) != 0 : read_prompt(s, r, o, &tokens, &n) != 0)
        return;
    int64_t id = node_session_open(s->core, params, count ? (size_t)prompt : n);
    json_t *reply = json_pack("{s:I}", "session", (json_int_t)id);
    if (!count)
        json_object_set_new(reply, "tokens", json_tokens(tokens, n));
    free(tokens);
    httpd_reply_json(r, 200, reply);
}

void protocol_on_session(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"sampling", "prompt", "messages", "text", NULL};
    struct sampler_params params;
    char *cause = NULL;
    json_t *o = protocol_body(r, keys), *sampling;
    if (o == NULL)
        return;
    sampling = json_object_get(o, "sampling");
    sampler_params_init(&params);
    if (sampling != NULL && sampler_params_from_json(&params, sampling, &cause) != 0)
        protocol_refuse(r, "sampling", cause);
    else
        open_session(s, r, o, &params);
    sampler_params_finish(&params);
    json_decref(o);
}
