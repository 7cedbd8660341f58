/* What a verifier is asked about an answer, as messages. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engines/review-internal.h"

enum { QUESTION_MAX = 64 << 20 };

static void add_content(struct buf *b, const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    buf_add(b, json_string_length(content) > 0 ? json_string_value(content) : "", json_string_length(content));
}

/* The last message of the user's; the last one at all where there is none. */
static size_t find_question(const json_t *messages)
{
    size_t n = json_array_size(messages);
    for (size_t i = n; i > 0; i--) {
        const char *role = json_string_value(json_object_get(json_array_get(messages, i - 1), "role"));
        if (role != NULL && strcmp(role, "user") == 0)
            return i - 1;
    }
    return n > 0 ? n - 1 : 0;
}

static void add_chat(struct buf *b, const json_t *messages)
{
    size_t question = find_question(messages), n = json_array_size(messages);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        if (i == question)
            continue;
        if (b->len == 0)
            buf_adds(b, "Conversation:\n");
        buf_adds(b, role != NULL ? role : "user");
        buf_adds(b, ": ");
        add_content(b, m);
        buf_addc(b, '\n');
    }
    buf_adds(b, "Question: ");
    if (n > 0)
        add_content(b, json_array_get(messages, question));
}

json_t *review_messages(const struct review_opts *o, const char *text)
{
    const struct oai_request *q = o->request;
    struct buf b;
    buf_init(&b, QUESTION_MAX);
    if (q->chat) {
        add_chat(&b, q->messages);
    } else {
        buf_adds(&b, "Question: ");
        buf_adds(&b, q->prompt != NULL ? q->prompt : text != NULL ? text : "");
    }
    buf_adds(&b, "\nDraft: ");
    buf_add(&b, o->text, o->len);
    json_t *content = json_stringn(b.data, b.len);
    buf_finish(&b);
    if (content == NULL)
        return NULL;
    return json_pack("[{s:s,s:s},{s:s,s:o}]", "role", "system", "content", o->prompt, "role", "user", "content",
                     content);
}
