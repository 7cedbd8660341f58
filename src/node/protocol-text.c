/* Text to tokens and back, and chat templates. */
#include "node/protocol.h"

#include <stdlib.h>

#include "base/json.h"

enum { TEXT_MAX = 256 << 20 };

void protocol_on_tokenize(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"text", "special", "bos", NULL};
    json_t *o = protocol_body(r, keys);
    bool special = false, bos = false;
    char *text = NULL;
    int32_t *tokens = NULL;
    size_t len = 0, n = 0;
    if (o == NULL)
        return;
    if (protocol_bool(r, o, "special", &special) == 0 && protocol_bool(r, o, "bos", &bos) == 0 &&
        protocol_text(r, o, &text, &len) == 0 && protocol_tokenize(s, r, text, len, special, bos, &tokens, &n) == 0)
        httpd_reply_json(r, 200, json_pack("{s:o}", "tokens", json_tokens(tokens, n)));
    free(tokens);
    free(text);
    json_decref(o);
}

void protocol_on_detokenize(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"tokens", "special", NULL};
    json_t *o = protocol_body(r, keys);
    bool special = true;
    int32_t *tokens;
    size_t n;
    if (o == NULL)
        return;
    int rc = protocol_bool(r, o, "special", &special) != 0 ? -1 : protocol_tokens(s, r, o, "tokens", true, &tokens, &n);
    json_decref(o);
    if (rc != 0)
        return;
    struct buf text;
    json_t *pieces = json_array();
    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *piece = node_model_piece(node_core_model(s->core), tokens[i], special, &len);
        json_array_append_new(pieces, json_piece(piece, len));
        (void)buf_add(&text, piece, len);
    }
    httpd_reply_json(r, 200, json_pack("{s:o,s:o}", "text", json_piece(text.data, text.len), "pieces", pieces));
    buf_finish(&text);
    free(tokens);
}

void protocol_on_template(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"messages", NULL};
    json_t *o = protocol_body(r, keys);
    char *text;
    int32_t *tokens;
    size_t n;
    if (o == NULL)
        return;
    if (protocol_chat(s, r, json_object_get(o, "messages"), &text, &tokens, &n) == 0) {
        httpd_reply_json(r, 200, json_pack("{s:s,s:o}", "text", text, "tokens", json_tokens(tokens, n)));
        free(text);
        free(tokens);
    }
    json_decref(o);
}
