/* Text to tokens and back, and chat templates. */
#include "node/protocol.h"

#include <stdlib.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "node/core.h"
#include "node/model.h"

enum { REPLY_MAX = 256 << 20 };

void protocol_on_tokenize(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"text", "special", "bos", NULL};
    json_t *o = protocol_body(r, keys);
    bool special = false, bos = false;
    char *text = NULL;
    size_t len = 0, n = 0;
    if (o == NULL)
        return;
    if (protocol_bool(r, o, "special", &special) != 0 || protocol_bool(r, o, "bos", &bos) != 0) {
        json_decref(o);
        return;
    }
    const json_t *value = json_object_get(o, "text");
    if (value == NULL || json_piece_get(value, &text, &len) != 0) {
        httpd_reply_error(r, 400, "text", NULL, "text: expected a string, or an array of byte values");
        json_decref(o);
        return;
    }
    int32_t *tokens = model_tokenize(node_core_model(s->core), text, len, bos, special, &n);
    httpd_reply_json(r, 200, json_pack("{s:o}", "tokens", json_tokens(tokens, n)));
    free(tokens);
    free(text);
    json_decref(o);
}

void protocol_on_detokenize(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"tokens", NULL};
    json_t *o = protocol_body(r, keys);
    int32_t *tokens;
    size_t n;
    if (o == NULL)
        return;
    int rc = protocol_tokens(s, r, o, "tokens", true, &tokens, &n);
    json_decref(o);
    if (rc != 0)
        return;
    struct buf text, reply;
    json_t *pieces = json_array();
    buf_init(&text, REPLY_MAX);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *piece = model_piece(node_core_model(s->core), tokens[i], &len);
        json_array_append_new(pieces, json_piece(piece, len));
        (void)buf_add(&text, piece, len);
    }
    buf_init(&reply, REPLY_MAX);
    httpd_reply_json(r, 200, json_pack("{s:o,s:o}", "text", json_piece(text.data, text.len), "pieces", pieces));
    buf_finish(&text);
    buf_finish(&reply);
    free(tokens);
}
