/* The calls of a round: draft and verify; and score. */
#include "node/protocol.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/call.h"
#include "node/core.h"

enum { REPLY_MAX = 64 << 20 };

static const char json_type[] = "application/json";

static void reply_text(struct call *c, struct buf *b)
{
    httpd_reply_text(c->request, 200, json_type, b->data, b->len);
    buf_finish(b);
}

/* session, keep and tokens.  0, or -1: an error was sent. */
static int read_place(struct server *s, struct httpd_request *r, const json_t *o, struct node_job *job)
{
    int64_t keep = 0;
    if (protocol_int(r, o, "session", true, 0, INT64_MAX, &job->session) != 0 ||
        protocol_int(r, o, "keep", true, 0, INT32_MAX, &keep) != 0 ||
        protocol_tokens(s, r, o, "tokens", true, &job->tokens, &job->n_tokens) != 0)
        return -1;
    job->keep = (size_t)keep;
    if (keep == 0 && job->n_tokens == 0) {
        httpd_reply_error(r, 400, "tokens", NULL, "tokens: expected at least one where keep is 0");
        return -1;
    }
    return 0;
}

/* The next 3 digits are enough to order drafts by; every byte counts here. */
static void reply_draft(struct call *c)
{
    const struct node_job *job = c->job;
    struct buf b;
    buf_init(&b, REPLY_MAX);
    (void)buf_adds(&b, "{\"tokens\":[");
    for (size_t i = 0; i < job->n_out; i++)
        (void)buf_printf(&b, "%s%d", i > 0 ? "," : "", job->out[i].id);
    (void)buf_adds(&b, "],\"probs\":[");
    for (size_t i = 0; i < job->n_out; i++)
        (void)buf_printf(&b, "%s%.3g", i > 0 ? "," : "", (double)job->out[i].prob);
    (void)buf_adds(&b, "]}");
    reply_text(c, &b);
}

void protocol_on_draft(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"session", "epoch", "keep", "tokens", "n", "p_min", NULL};
    json_t *o = protocol_body(r, keys);
    if (o == NULL)
        return;
    struct node_job *job = node_job_create(NODE_DRAFT);
    int64_t n = 0;
    if (read_place(s, r, o, job) != 0 || protocol_int(r, o, "epoch", true, 0, INT64_MAX, &job->epoch) != 0 ||
        protocol_int(r, o, "n", true, 0, INT32_MAX, &n) != 0 ||
        protocol_double(r, o, "p_min", 0, 1, &job->p_min) != 0) {
        node_job_destroy(job);
    } else {
        job->n = (size_t)n;
        protocol_run(s, r, job, reply_draft);
    }
    json_decref(o);
}

static void reply_verify(struct call *c)
{
    const struct node_job *job = c->job;
    const struct node_token *next = &job->out[job->accepted];
    struct buf b;
    buf_init(&b, REPLY_MAX);
    (void)buf_printf(&b, "{\"accepted\":%zu,\"next\":%d,\"text\":[", job->accepted, next->id);
    for (size_t i = 0; i <= job->accepted; i++) {
        if (i > 0)
            (void)buf_addc(&b, ',');
        protocol_add_piece(&b, job->out[i].piece, job->out[i].len);
    }
    (void)buf_printf(&b, "],\"margin\":%.4g", isfinite(job->margin) ? (double)job->margin : MARGIN_ALONE);
    if (next->eog)
        (void)buf_adds(&b, ",\"eog\":true");
    if (job->n_logprobs >= 0) {
        (void)buf_adds(&b, ",\"logprobs\":");
        protocol_add_logprobs(&b, job->out, job->accepted + 1);
    }
    (void)buf_addc(&b, '}');
    reply_text(c, &b);
}

void protocol_on_verify(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"session", "keep", "tokens", "draft", "logprobs", NULL};
    json_t *o = protocol_body(r, keys);
    if (o == NULL)
        return;
    struct node_job *job = node_job_create(NODE_VERIFY);
    if (read_place(s, r, o, job) != 0 ||
        protocol_tokens(s, r, o, "draft", true, &job->draft, &job->n_draft) != 0 ||
        protocol_logprobs(r, o, &job->n_logprobs) != 0)
        node_job_destroy(job);
    else
        protocol_run(s, r, job, reply_verify);
    json_decref(o);
}

static void reply_score(struct call *c)
{
    const struct node_job *job = c->job;
    struct buf b;
    buf_init(&b, REPLY_MAX);
    (void)buf_adds(&b, "{\"logprobs\":[");
    for (size_t i = 0; i < job->n_tokens; i++) {
        if (i > 0)
            (void)buf_addc(&b, ',');
        protocol_add_logprob(&b, (double)job->logprobs[i]);
    }
    (void)buf_adds(&b, "],\"gaps\":[");
    for (size_t i = 0; i < job->n_tokens; i++)
        (void)buf_printf(&b, "%s%.4g", i > 0 ? "," : "", (double)job->gaps[i]);
    (void)buf_adds(&b, "]}");
    reply_text(c, &b);
}

void protocol_on_score(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"session", "keep", "tokens", NULL};
    json_t *o = protocol_body(r, keys);
    if (o == NULL)
        return;
    struct node_job *job = node_job_create(NODE_SCORE);
    if (read_place(s, r, o, job) != 0)
        node_job_destroy(job);
    else
        protocol_run(s, r, job, reply_score);
    json_decref(o);
}
