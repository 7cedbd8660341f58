#include "backends/echo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/wire.h"
#include "base/json.h"
#include "base/mem.h"

enum { ECHO_BODY_MAX = 64 << 20 };

char *echo_body(const char *model, const int32_t *tokens, size_t n, int top)
{
    struct buf b;
    buf_init(&b, ECHO_BODY_MAX);
    buf_adds(&b, "{\"prompt\":");
    wire_add_tokens(&b, tokens, n);
    buf_printf(&b,
               ",\"max_tokens\":1,\"temperature\":0,\"echo\":true,\"logprobs\":%d,"
               "\"return_tokens_as_token_ids\":true",
               top);
    if (model != NULL) {
        json_t *name = json_string(model);
        char *text = json_dumps(name, JSON_ENCODE_ANY);
        buf_printf(&b, ",\"model\":%s", text != NULL ? text : "\"\"");
        free(text);
        json_decref(name);
    }
    buf_addc(&b, '}');
    return buf_steal(&b);
}

/* "token_id:123" */
static int32_t read_id(const char *s, int32_t n_vocab)
{
    static const char prefix[] = "token_id:";
    char *end;
    if (s == NULL || strncmp(s, prefix, sizeof(prefix) - 1) != 0)
        return -1;
    s += sizeof(prefix) - 1;
    long long v = strtoll(s, &end, 10);
    if (end == s || *end != '\0' || v < 0 || v > INT32_MAX || (n_vocab > 0 && v >= n_vocab))
        return -1;
    return (int32_t)v;
}

static int by_rank(const void *a, const void *b)
{
    const struct echo_top *x = a, *y = b;
    if (x->logprob != y->logprob)
        return x->logprob > y->logprob ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void read_top(struct echo_entry *e, json_t *top, int32_t n_vocab)
{
    const char *key;
    json_t *v;
    json_object_foreach(top, key, v)
    {
        if (e->n_top == ECHO_TOP_MAX)
            break;
        if (json_is_number(v))
            e->top[e->n_top++] = (struct echo_top){read_id(key, n_vocab), json_number_value(v)};
    }
    qsort(e->top, e->n_top, sizeof(e->top[0]), by_rank);
}

int echo_read_logprobs(const json_t *lp, int32_t n_vocab, struct echo_answer *a)
{
    const json_t *tokens = json_object_get(lp, "tokens"), *values = json_object_get(lp, "token_logprobs");
    const json_t *tops = json_object_get(lp, "top_logprobs");
    size_t n = json_array_size(tokens);
    bool topped = json_array_size(tops) == n;
    if (json_array_size(values) != n)
        return -1;
    a->list = xcalloc(n > 0 ? n : 1, sizeof(*a->list));
    a->n = n;
    a->ids = true;
    for (size_t i = 0; i < n; i++) {
        struct echo_entry *e = &a->list[i];
        json_t *v = json_array_get(values, i);
        e->id = read_id(json_string_value(json_array_get(tokens, i)), n_vocab);
        e->logprob = json_is_number(v) ? json_number_value(v) : NAN;
        a->ids = a->ids && e->id >= 0;
        if (topped)
            read_top(e, json_array_get(tops, i), n_vocab);
    }
    return 0;
}

int echo_read(const struct httpc_result *r, size_t n_prompt, int32_t n_vocab, struct echo_answer *a)
{
    *a = (struct echo_answer){0};
    if (r->error != HTTPC_OK || r->status != 200)
        return -1;
    json_t *doc = json_parse_object(r->body, r->len, NULL);
    json_t *choice = json_array_get(json_object_get(doc, "choices"), 0);
    int result = echo_read_logprobs(json_object_get(choice, "logprobs"), n_vocab, a);
    json_decref(doc);
    if (result < 0 || n_prompt == 0 || a->n < n_prompt || a->n > n_prompt + 1)
        return -1;
    for (size_t i = 1; i < a->n; i++)
        if (isnan(a->list[i].logprob) || a->list[i].n_top == 0)
            return -1;
    return 0;
}

void echo_finish(struct echo_answer *a)
{
    free(a->list);
    a->list = NULL;
    a->n = 0;
}
