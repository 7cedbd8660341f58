/* POST /v1/node/generate: the model alone, token by token, broken off by closing the connection. */
#include "node/protocol.h"

#include <stdlib.h>

#include "node/call.h"

enum {
    LINE_MAX_BYTES = 64 << 20,
    LINE_EVERY_US = 3000, /* between two lines of a stream; tokens that come in between share one */
};

static const char ndjson[] = "application/x-ndjson";

static void add_ids(struct buf *b, const struct node_job *job, size_t first)
{
    for (size_t i = first; i < job->n_out; i++)
        (void)buf_printf(b, "%s%d", i > first ? "," : "", job->out[i].id);
}

static void add_pieces(struct buf *b, struct call *c)
{
    for (size_t i = c->shown; i < c->job->n_out; i++) {
        size_t len;
        const char *piece = node_model_piece(node_core_model(c->server->core), c->job->out[i].id, false, &len);
        if (i > c->shown)
            (void)buf_addc(b, ',');
        protocol_add_piece(b, piece, len);
    }
}

/* One line with all tokens that were not shown yet.  The end token is always the last of them. */
static void add_line(struct buf *b, struct call *c)
{
    const struct node_job *job = c->job;
    bool eog = node_model_is_eog(node_core_model(c->server->core), job->out[job->n_out - 1].id);
    (void)buf_adds(b, "{\"t\":[");
    add_ids(b, job, c->shown);
    (void)buf_adds(b, "],\"s\":[");
    add_pieces(b, c);
    (void)buf_addc(b, ']');
    if (job->n_logprobs >= 0) {
        (void)buf_adds(b, ",\"p\":[");
        for (size_t i = c->shown; i < job->n_out; i++) {
            if (i > c->shown)
                (void)buf_addc(b, ',');
            protocol_add_entry(b, c->server, job, i);
        }
        (void)buf_addc(b, ']');
    }
    (void)buf_adds(b, eog ? ",\"eog\":true}\n" : "}\n");
    c->shown = job->n_out;
}

static void send_line(struct call *c)
{
    struct buf b;
    if (c->shown >= c->job->n_out)
        return;
    buf_init(&b, LINE_MAX_BYTES);
    add_line(&b, c);
    call_send(c, ndjson, b.data, b.len);
    buf_finish(&b);
}

static void on_tokens(struct call *c)
{
    call_pace(c, LINE_EVERY_US, send_line);
}

static void on_done(struct call *c)
{
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES);
    if (c->shown < c->job->n_out)
        add_line(&b, c);
    (void)buf_printf(&b, "{\"done\":true,\"n\":%zu,\"reason\":\"%s\"}\n", c->job->n_out,
                     node_reason_name(c->job->reason));
    call_send(c, ndjson, b.data, b.len);
    buf_finish(&b);
    call_end(c);
}

static void on_error(struct call *c, const char *message)
{
    json_t *o = json_pack("{s:{s:s,s:s}}", "error", "message", message, "type", "server_error");
    char *text = json_dumps(o, JSON_COMPACT);
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES);
    (void)buf_printf(&b, "%s\n", text != NULL ? text : "{\"error\":{}}");
    call_send(c, ndjson, b.data, b.len);
    buf_finish(&b);
    free(text);
    json_decref(o);
}

void protocol_on_generate(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"session", "keep", "tokens", "n", "logprobs", NULL};
    json_t *o = protocol_body(r, keys);
    if (o == NULL)
        return;
    struct node_job *job = node_job_create(NODE_JOB_GENERATE, 0);
    int64_t n = 0;
    if (protocol_place(s, r, o, job) != 0 || protocol_int(r, o, "n", true, 0, INT32_MAX, &n) != 0 ||
        protocol_logprobs(r, o, &job->n_logprobs) != 0) {
        node_job_destroy(s->core, job);
    } else {
        struct call *c = call_create(s, r, NULL, NULL);
        job->n = (size_t)n;
        c->on_tokens = on_tokens;
        c->on_done = on_done;
        c->on_error = on_error;
        call_run(c, job);
    }
    json_decref(o);
}
