/* The calls of a round: draft and verify; and score. */
#include "node/protocol.h"

#include <math.h>
#include <stdlib.h>

#include "node/call.h"

enum {
    REPLY_MAX = 64 << 20,
    DRAFT_EVERY_US = 500, /* between two lines of a draft: somebody may be waiting for them */
};

/* The margin of a token that had no rival. */
static const double MARGIN_ALONE = 1e9;

static void run(struct server *s, struct httpd_request *r, struct node_job *job, void (*reply)(struct call *c))
{
    struct call *c = call_create(s, r, NULL, NULL);
    c->on_done = reply;
    call_run(c, job);
}

static void reply_text(struct call *c, struct buf *b)
{
    call_reply(c, "application/json", b->data, b->len);
    buf_finish(b);
}

int protocol_place(struct server *s, struct httpd_request *r, const json_t *o, struct node_job *job)
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

/* Three digits are enough to choose a length by; every byte counts here. */
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

/* A line for each branch that has grown. */
static void add_branch_lines(struct buf *b, struct call *c)
{
    const struct node_job *job = c->job;
    while (c->shown_grown < job->n_grown) {
        const struct node_branch_token *t = &job->grown[c->shown_grown];
        size_t n = 1;
        while (c->shown_grown + n < job->n_grown && t[n].branch == t->branch)
            n++;
        (void)buf_printf(b, "{\"b\":%lld,\"at\":%zu,\"t\":[", (long long)t->branch, t->at);
        for (size_t i = 0; i < n; i++)
            (void)buf_printf(b, "%s%d", i > 0 ? "," : "", t[i].id);
        (void)buf_adds(b, "],\"p\":[");
        for (size_t i = 0; i < n; i++)
            (void)buf_printf(b, "%s%.3g", i > 0 ? "," : "", (double)t[i].prob);
        (void)buf_adds(b, "]}\n");
        c->shown_grown += n;
    }
}

/* One line with the tokens that were not shown yet. */
static void add_draft_line(struct buf *b, struct call *c)
{
    const struct node_job *job = c->job;
    if (c->shown == job->n_out)
        return;
    (void)buf_adds(b, "{\"t\":[");
    for (size_t i = c->shown; i < job->n_out; i++)
        (void)buf_printf(b, "%s%d", i > c->shown ? "," : "", job->out[i].id);
    (void)buf_adds(b, "],\"p\":[");
    for (size_t i = c->shown; i < job->n_out; i++)
        (void)buf_printf(b, "%s%.3g", i > c->shown ? "," : "", (double)job->out[i].prob);
    (void)buf_adds(b, "]}\n");
    c->shown = job->n_out;
}

static void send_draft(struct call *c)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    add_draft_line(&b, c);
    add_branch_lines(&b, c);
    if (b.len > 0)
        call_send(c, "application/x-ndjson", b.data, b.len);
    buf_finish(&b);
}

static void stream_draft(struct call *c)
{
    call_pace(c, DRAFT_EVERY_US, send_draft);
}

static void end_draft(struct call *c)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    add_draft_line(&b, c);
    add_branch_lines(&b, c);
    (void)buf_printf(&b, "{\"done\":true,\"n\":%zu,\"reason\":\"%s\"}\n", c->job->n_out,
                     node_reason_name(c->job->reason));
    call_send(c, "application/x-ndjson", b.data, b.len);
    buf_finish(&b);
    call_end(c);
}

static void run_draft(struct server *s, struct httpd_request *r, struct node_job *job)
{
    struct call *c = call_create(s, r, NULL, NULL);
    c->on_tokens = job->stream ? stream_draft : NULL;
    c->on_done = job->stream ? end_draft : reply_draft;
    call_run(c, job);
}

/* What a draft with branches says of them. */
static int read_branches(struct httpd_request *r, const json_t *o, struct node_job *job)
{
    int64_t from = (int64_t)(job->keep + job->n_tokens), first = (int64_t)job->n, branches = 0, depth = (int64_t)job->n;
    if (protocol_int(r, o, "from", false, 0, INT32_MAX, &from) != 0 ||
        protocol_int(r, o, "first", false, 0, INT32_MAX, &first) != 0 ||
        protocol_int(r, o, "branches", false, 0, INT32_MAX, &branches) != 0 ||
        protocol_int(r, o, "depth", false, 0, INT32_MAX, &depth) != 0)
        return -1;
    if (branches > 0 && !job->stream) {
        httpd_reply_error(r, 400, "branches", NULL, "branches: told only where \"stream\" is true");
        return -1;
    }
    job->from = (size_t)from;
    job->first = (size_t)first;
    job->branches = (size_t)branches;
    job->depth = (size_t)depth;
    return 0;
}

void protocol_on_draft(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"session", "epoch", "keep",  "tokens",   "n",     "p_min",
                                       "stream",  "from",  "first", "branches", "depth", NULL};
    json_t *o = protocol_body(r, keys);
    if (o == NULL)
        return;
    struct node_job *job = node_job_create(NODE_JOB_DRAFT, 0);
    int64_t n = 0;
    double p_min = 0;
    if (protocol_place(s, r, o, job) != 0 || protocol_int(r, o, "epoch", true, 0, INT64_MAX, &job->epoch) != 0 ||
        protocol_int(r, o, "n", true, 0, INT32_MAX, &n) != 0 || protocol_double(r, o, "p_min", 0, 1, &p_min) != 0 ||
        protocol_bool(r, o, "stream", &job->stream) != 0) {
        node_job_destroy(s->core, job);
        json_decref(o);
        return;
    }
    job->n = (size_t)n;
    job->p_min = (float)p_min;
    if (read_branches(r, o, job) != 0)
        node_job_destroy(s->core, job);
    else
        run_draft(s, r, job);
    json_decref(o);
}

static void add_entries(struct buf *b, struct call *c)
{
    for (size_t i = 0; i < c->job->n_out; i++) {
        if (i > 0)
            (void)buf_addc(b, ',');
        protocol_add_entry(b, c->server, c->job, i);
    }
}

static void reply_verify(struct call *c)
{
    const struct node_job *job = c->job;
    struct buf b;
    buf_init(&b, REPLY_MAX);
    (void)buf_printf(&b, "{\"accepted\":%zu,\"next\":%d,\"text\":[", job->accepted, job->out[job->accepted].id);
    for (size_t i = 0; i <= job->accepted; i++) {
        size_t len;
        const char *piece = node_model_piece(node_core_model(c->server->core), job->out[i].id, false, &len);
        if (i > 0)
            (void)buf_addc(&b, ',');
        protocol_add_piece(&b, piece, len);
    }
    (void)buf_addc(&b, ']');
    if (job->taken >= 0)
        (void)buf_printf(&b, ",\"branch\":%d", job->taken);
    if (job->tree)
        (void)buf_printf(&b, ",\"branches\":%zu", job->branches_used);
    (void)buf_printf(&b, ",\"margin\":%.4g", isfinite(job->margin) ? (double)job->margin : MARGIN_ALONE);
    if (job->eog)
        (void)buf_adds(&b, ",\"eog\":true");
    if (job->n_logprobs >= 0) {
        (void)buf_adds(&b, ",\"logprobs\":[");
        add_entries(&b, c);
        (void)buf_addc(&b, ']');
    }
    (void)buf_addc(&b, '}');
    reply_text(c, &b);
}

/* "branches":[{"at":I,"t":[…]},…] */
static int read_tree(struct server *s, struct httpd_request *r, const json_t *list, struct node_job *job)
{
    static const char *const keys[] = {"at", "t", NULL};
    size_t n = json_array_size(list);
    job->tree = list != NULL;
    if (list != NULL && (!json_is_array(list) || n > NODE_BRANCHES_MAX)) {
        httpd_reply_error(r, 400, "branches", NULL, "branches: expected a list of at most %d", NODE_BRANCHES_MAX);
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);
        struct node_branch *b = &job->branch[job->n_branches++];
        int64_t at = 0;
        if (protocol_keys(r, o, keys) != 0 || protocol_int(r, o, "at", true, 0, INT32_MAX, &at) != 0 ||
            protocol_tokens(s, r, o, "t", true, &b->tokens, &b->n) != 0)
            return -1;
        b->at = (size_t)at;
        if (b->at >= job->n_draft || b->n == 0) {
            httpd_reply_error(r, 400, "branches", NULL,
                              "branches[%zu]: expected a token or more, in the place of one of the draft's %zu", i,
                              job->n_draft);
            return -1;
        }
    }
    return 0;
}

void protocol_on_verify(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"session", "keep", "tokens", "draft", "branches", "logprobs", NULL};
    json_t *o = protocol_body(r, keys);
    if (o == NULL)
        return;
    struct node_job *job = node_job_create(NODE_JOB_VERIFY, 0);
    if (protocol_place(s, r, o, job) != 0 || protocol_tokens(s, r, o, "draft", true, &job->draft, &job->n_draft) != 0 ||
        protocol_logprobs(r, o, &job->n_logprobs) != 0 || read_tree(s, r, json_object_get(o, "branches"), job) != 0)
        node_job_destroy(s->core, job);
    else
        run(s, r, job, reply_verify);
    json_decref(o);
}

static void reply_score(struct call *c)
{
    const struct node_job *job = c->job;
    struct buf b;
    buf_init(&b, REPLY_MAX);
    (void)buf_adds(&b, "{\"logprobs\":[");
    for (size_t i = 0; i < job->n_out; i++) {
        if (i > 0)
            (void)buf_addc(&b, ',');
        protocol_add_logprob(&b, (double)job->out[i].logprob);
    }
    (void)buf_adds(&b, "],\"gaps\":[");
    for (size_t i = 0; i < job->n_out; i++) {
        if (i > 0)
            (void)buf_addc(&b, ',');
        if (isfinite(job->out[i].gap))
            (void)buf_printf(&b, "%.4g", (double)job->out[i].gap);
        else
            (void)buf_adds(&b, "null");
    }
    (void)buf_adds(&b, "]}");
    reply_text(c, &b);
}

void protocol_on_score(struct server *s, struct httpd_request *r)
{
    static const char *const keys[] = {"session", "keep", "tokens", "n", NULL};
    json_t *o = protocol_body(r, keys);
    int64_t n = 0;
    if (o == NULL)
        return;
    struct node_job *job = node_job_create(NODE_JOB_SCORE, 0);
    if (protocol_place(s, r, o, job) != 0 || protocol_int(r, o, "n", false, 1, INT32_MAX, &n) != 0) {
        node_job_destroy(s->core, job);
    } else {
        job->n = (size_t)n;
        run(s, r, job, reply_score);
    }
    json_decref(o);
}
