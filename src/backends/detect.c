/* `backend: auto`: asks the server what it is, by what only its kind answers, and then is that kind. */
#include <stdlib.h>
#include <string.h>

#include "backends/calls.h"
#include "base/json.h"
#include "base/mem.h"

struct detect_call {
    struct backend_call c;
    size_t next; /* question to ask */
    struct backend_call *inner;
    bool refused; /* 401 or 403 somewhere: an api_key is wanted */
};

static bool is_node(const json_t *o)
{
    return json_is_integer(json_object_get(o, "protocol")) && json_object_get(o, "fingerprint") != NULL;
}

static bool is_llamacpp(const json_t *o)
{
    return json_is_object(json_object_get(o, "default_generation_settings"));
}

static bool is_ollama(const json_t *o)
{
    return json_is_string(json_object_get(o, "version"));
}

static bool is_openai(const json_t *o)
{
    return json_is_array(json_object_get(o, "data"));
}

/* Asked in this order: some servers also answer what is asked further down. */
static const struct {
    const char *path;
    bool (*match)(const json_t *o);
    const char *kind;
} questions[] = {
    {"/v1/node", is_node, "node"},       {"/props", is_llamacpp, "llamacpp"}, {"/api/version", is_ollama, "ollama"},
    {"/v1/models", is_openai, "openai"}, {"/models", is_openai, "openai"},
};

static void release(struct backend_call *c)
{
    struct detect_call *d = (struct detect_call *)c;
    if (d->inner != NULL)
        call_cancel(d->inner);
}

static void on_probed(void *arg, const struct backend_status *st, const struct backend_info *info)
{
    struct detect_call *d = arg;
    d->inner = NULL;
    d->c.bytes_out += st->bytes_out;
    d->c.bytes_in += st->bytes_in;
    if (st->error == BACKEND_OK)
        call_end_probe(&d->c);
    else
        call_fail(&d->c, st->error, "%s", st->message);
}

static void become(struct detect_call *d, const char *kind)
{
    struct backend *b = d->c.b;
    b->ops = backend_kind(kind);
    if (b->ops->init != NULL)
        b->ops->init(b);
    d->inner = b->ops->probe(b, 0, on_probed, d);
}

static void on_answer(struct backend_call *c, const struct httpc_result *r)
{
    struct detect_call *d = (struct detect_call *)c;
    char *message = NULL;
    enum backend_error e = call_reply_error(c, r, &message);
    if (r->error != HTTPC_OK || e == BACKEND_OVERLOADED) {
        call_fail(c, e, "%s", message);
        free(message);
        return;
    }
    free(message);
    d->refused = d->refused || r->status == 401 || r->status == 403;
    json_t *o = e == BACKEND_OK ? json_parse_object(r->body, r->len, NULL) : NULL;
    bool match = o != NULL && questions[d->next].match(o);
    const char *kind = questions[d->next].kind;
    json_decref(o);
    if (match)
        become(d, kind);
    else if (++d->next < ARRAY_LEN(questions))
        call_get(c, questions[d->next].path, on_answer);
    else if (d->refused)
        call_fail(c, BACKEND_REFUSED, "%s wants an api_key, or another one", c->b->cfg.url);
    else
        call_fail(c, BACKEND_REFUSED, "%s answers HTTP, but is no tightwad-node, llama-server, Ollama or OpenAI API",
                  c->b->cfg.url);
}

static struct backend_call *probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg)
{
    struct detect_call *d = call_create(sizeof(*d), b, NULL, CALL_PROBE, timeout_ms, arg);
    d->c.cb.probe = cb;
    d->c.release = release;
    call_get(&d->c, questions[0].path, on_answer);
    return &d->c;
}

const struct backend_ops backend_auto_ops = {
    .name = "auto",
    .probe = probe,
};
