/* What each kind of job answers, and what becomes of those that are broken off, late, absurd or in the way. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static struct rig r;

static int open_rig(void **state)
{
    rig_open(&r, "target", 2, 64, 512, 1);
    return 0;
}

static int close_rig(void **state)
{
    rig_close(&r);
    return 0;
}

static size_t finished;

static void on_done(struct node_job *job)
{
    finished++;
}

static int64_t open_session(double temperature, size_t prompt_len)
{
    struct sampler_params p = rig_params(temperature, 1);
    return node_session_open(r.core, &p, prompt_len);
}

static struct node_core_counters counters(void)
{
    struct node_core_counters c;
    node_core_counters(r.core, &c);
    return c;
}

static void test_verify_is_one_decode(void **state)
{
    size_t n;
    int32_t path[256], *prompt = rig_prompt(&r, "Tell me a story about a fox.", &n);
    struct sampler_params p = rig_params(0, 1);
    memcpy(path, prompt, n * sizeof(*path));
    rig_reference(&r, &p, path, n, 40, NULL);
    int64_t session = open_session(0, n);
    struct node_job *job = rig_job(NODE_JOB_VERIFY, session, 0, path, n);
    rig_run(&r, job);
    assert_int_equal(job->accepted, 0);
    assert_int_equal(job->out[0].id, path[n]);
    node_job_destroy(r.core, job);
    struct node_core_counters before = counters();
    job = rig_job(NODE_JOB_VERIFY, session, n, path + n, 1);
    rig_set_draft(job, path + n + 1, 32);
    job->n_logprobs = 2;
    rig_run(&r, job);
    struct node_core_counters after = counters();
    assert_int_equal(job->accepted, 32);
    assert_int_equal(after.decodes - before.decodes, 1);
    assert_int_equal(after.tokens - before.tokens, 33);
    assert_int_equal(after.verified - before.verified, 32);
    assert_int_equal(after.accepted - before.accepted, 32);
    assert_int_equal(job->n_top, 2);
    for (size_t i = 0; i < job->n_out; i++) {
        assert_int_equal(job->top[2 * i].token, job->out[i].id); /* greedy: the most likely one */
        assert_true(job->top[2 * i].logprob == job->out[i].logprob);
        assert_true(job->top[2 * i + 1].logprob <= job->out[i].logprob);
    }
    node_job_destroy(r.core, job);

    /* No new tokens: the last one that is kept is computed again. */
    job = rig_job(NODE_JOB_VERIFY, session, n + 1, NULL, 0);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_OK);
    assert_int_equal(job->out[0].id, path[n + 1]);
    node_job_destroy(r.core, job);
    free(prompt);
}

static void test_end_of_generation(void **state)
{
    size_t n;
    int32_t path[128], *prompt = rig_prompt(&r, "What is 2 + 2?", &n);
    struct sampler_params p = rig_params(0, 1);
    memcpy(path, prompt, n * sizeof(*path));
    size_t made = rig_reference(&r, &p, path, n, 60, NULL);
    assert_true(node_model_is_eog(r.model, path[n + made - 1]));
    struct node_job *job = rig_job(NODE_JOB_VERIFY, open_session(0, n), 0, path, n);
    rig_set_draft(job, path + n, made); /* the draft holds the end as well: it is next, not accepted */
    rig_run(&r, job);
    assert_int_equal(job->accepted, made - 1);
    assert_true(job->eog);
    assert_int_equal(job->out[job->n_out - 1].id, path[n + made - 1]);
    node_job_destroy(r.core, job);
    static const enum node_job_kind kinds[] = {NODE_JOB_DRAFT, NODE_JOB_GENERATE};
    for (size_t k = 0; k < 2; k++) {
        job = rig_job(kinds[k], open_session(0, n), 0, path, n);
        job->n = 60;
        rig_run(&r, job);
        assert_int_equal(job->n_out, made);
        assert_int_equal(job->reason, NODE_REASON_EOG);
        assert_true(job->eog);
        node_job_destroy(r.core, job);
    }
    free(prompt);
}

static void test_score(void **state)
{
    enum { N = 12 };
    size_t n, n_vocab = (size_t)r.model->n_vocab;
    int32_t path[128], *prompt = rig_prompt(&r, "What is 3 + 4?", &n);
    struct sampler_params p = rig_params(1, 77);
    float *logits = xcalloc(N * n_vocab, sizeof(*logits));
    memcpy(path, prompt, n * sizeof(*path));
    size_t made = rig_reference(&r, &p, path, n, N, logits);
    int64_t session = open_session(0, n);
    struct node_job *job = rig_job(NODE_JOB_SCORE, session, 0, path, n + made);
    job->n_logprobs = 3;
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_OK);
    assert_int_equal(job->n_out, n + made);
    assert_true(isnan(job->out[0].logprob) && isnan(job->out[0].gap));
    for (size_t i = 0; i < made; i++) {
        float logprob;
        struct sampler_logprob top[3];
        sampler_logprobs(logits + i * n_vocab, n_vocab, path[n + i], &logprob, top, 3);
        assert_true(job->out[n + i].logprob == logprob);
        assert_int_equal(job->top[3 * (n + i)].token, top[0].token);
        assert_true(fabsf(job->out[n + i].gap - (top[0].logprob - logprob)) < 1e-4f);
    }
    struct node_job *part = rig_job(NODE_JOB_SCORE, session, n, path + n, made);
    rig_run(&r, part);
    assert_int_equal(part->n_out, made);
    for (size_t i = 0; i < made; i++)
        assert_true(part->out[i].logprob == job->out[n + i].logprob);
    node_job_destroy(r.core, part);
    /* the last few of what is new, and more of them than there are */
    const size_t few[] = {1, 3, made, n + made, n + made + 50};
    for (size_t k = 0; k < ARRAY_LEN(few); k++) {
        size_t want = few[k] < n + made ? few[k] : n + made;
        part = rig_job(NODE_JOB_SCORE, open_session(0, n), 0, path, n + made);
        part->n = few[k];
        rig_run(&r, part);
        assert_int_equal(part->status, NODE_JOB_OK);
        assert_int_equal(part->n_out, want);
        for (size_t i = 0; i < want; i++)
            if (n + made - want + i > 0)
                assert_true(part->out[i].logprob == job->out[n + made - want + i].logprob);
        node_job_destroy(r.core, part);
    }
    node_job_destroy(r.core, job);
    free(logits);
    free(prompt);
}

static void test_refused(void **state)
{
    const int32_t good[] = {5, 6, 7}, bad[] = {5, 640};
    int64_t session = open_session(0, 3);
    struct node_job *job = rig_job(NODE_JOB_VERIFY, session + 100000, 0, good, 3);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_SESSION_LOST);
    assert_int_equal(job->have, 0);
    node_job_destroy(r.core, job);

    job = rig_job(NODE_JOB_VERIFY, session, 0, good, 3);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_OK);
    node_job_destroy(r.core, job);
    job = rig_job(NODE_JOB_VERIFY, session, 4, good, 1);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_SESSION_LOST);
    assert_int_equal(job->have, 3);
    node_job_destroy(r.core, job);

    job = rig_job(NODE_JOB_VERIFY, session, 0, bad, 2);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_INVALID);
    assert_string_equal(job->message, "640 is no token of this model (it has 640)");
    node_job_destroy(r.core, job);
    job = rig_job(NODE_JOB_GENERATE, session, 0, NULL, 0);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_INVALID);
    node_job_destroy(r.core, job);

    int32_t many[600] = {0};
    for (size_t n = 512; n <= 600; n += 44) {
        job = rig_job(NODE_JOB_VERIFY, session, 0, many, n);
        rig_set_draft(job, good, n == 512);
        rig_run(&r, job);
        assert_int_equal(job->status, NODE_JOB_CONTEXT_FULL);
        node_job_destroy(r.core, job);
    }
}

static void test_context_end(void **state)
{
    int32_t tokens[511];
    for (size_t i = 0; i < 511; i++)
        tokens[i] = 300 + (int32_t)(i % 50);
    struct sampler_params p = rig_params(0, 1);
    struct sampler_bias *bias = xcalloc(r.model->n_eog, sizeof(*bias));
    for (size_t i = 0; i < r.model->n_eog; i++)
        bias[i] = (struct sampler_bias){.token = r.model->eog[i], .bias = -100};
    p.bias = bias;
    p.n_bias = r.model->n_eog;
    int64_t session = node_session_open(r.core, &p, 500);
    struct node_job *job = rig_job(NODE_JOB_GENERATE, session, 0, tokens, 500);
    job->n = 100;
    rig_run(&r, job);
    assert_int_equal(job->n_out, 12);
    assert_int_equal(job->reason, NODE_REASON_CTX);
    node_job_destroy(r.core, job);
    job = rig_job(NODE_JOB_VERIFY, session, 0, tokens, 511);
    rig_set_draft(job, tokens, 1);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_OK);
    node_job_destroy(r.core, job);
    free(bias);
}

static void test_superseded(void **state)
{
    size_t n;
    int32_t *prompt = rig_prompt(&r, "Tell me a story about a cat.", &n);
    int64_t session = open_session(1, n);
    struct node_job *job[3];
    finished = 0;
    for (int i = 0; i < 3; i++) {
        job[i] = rig_job(NODE_JOB_DRAFT, session, i == 0 ? 0 : n, i == 0 ? prompt : NULL, i == 0 ? n : 0);
        job[i]->epoch = i == 2 ? 1 : i + 7;
        job[i]->n = i == 0 ? 100 : 4;
        job[i]->on_done = on_done;
        node_core_submit(r.core, job[i]);
    }
    rig_wait(&r, &finished, 3);
    assert_int_equal(job[0]->status, NODE_JOB_OK);
    assert_int_equal(job[0]->reason, NODE_REASON_SUPERSEDED);
    assert_true(job[0]->n_out < 100);
    assert_int_equal(job[1]->n_out, 4);
    assert_int_equal(job[1]->reason, NODE_REASON_N);
    assert_int_equal(job[2]->n_out, 0); /* of an epoch that is over */
    assert_int_equal(job[2]->reason, NODE_REASON_SUPERSEDED);
    for (int i = 0; i < 3; i++)
        node_job_destroy(r.core, job[i]);

    struct node_job *generate = rig_job(NODE_JOB_GENERATE, session, 0, prompt, n);
    generate->n = 400;
    generate->on_done = on_done;
    finished = 0;
    node_core_submit(r.core, generate);
    struct node_job *verify = rig_job(NODE_JOB_VERIFY, session, n, NULL, 0);
    rig_run(&r, verify);
    assert_int_equal(finished, 1);
    assert_int_equal(generate->reason, NODE_REASON_SUPERSEDED);
    assert_int_equal(verify->status, NODE_JOB_OK);
    node_job_destroy(r.core, verify);
    node_job_destroy(r.core, generate);
    free(prompt);
}

static void on_first_tokens(struct node_job *job)
{
    node_core_pause(r.core, job);
    finished++;
}

static void on_tokens_destroy(struct node_job *job)
{
    finished++;
    node_job_destroy(r.core, job);
}

static void test_cancel_and_pause(void **state)
{
    size_t n;
    int32_t *prompt = rig_prompt(&r, "Tell me a story about a dog.", &n);
    int64_t session = open_session(0, n), other = open_session(0, n);
    struct node_job *job = rig_job(NODE_JOB_GENERATE, session, 0, prompt, n);
    job->n = 400;
    job->on_tokens = on_first_tokens;
    job->on_done = on_done;
    finished = 0;
    node_core_submit(r.core, job);
    node_core_pause(r.core, job);

    /* The others have the node to themselves meanwhile; at the end its tokens are the same as ever. */
    struct node_job *alone = rig_job(NODE_JOB_GENERATE, other, 0, prompt, n);
    alone->n = 400;
    rig_run(&r, alone);
    assert_true(job->n_out < alone->n_out);
    job->on_tokens = NULL;
    node_core_resume(r.core, job);
    size_t seen = finished;
    rig_wait(&r, &finished, seen + 1);
    assert_int_equal(job->n_out, alone->n_out);
    for (size_t i = 0; i < job->n_out; i++)
        assert_int_equal(job->out[i].id, alone->out[i].id);
    node_job_destroy(r.core, job);

    /* Broken off inside its callback: the work stops, the session lives on. */
    job = rig_job(NODE_JOB_GENERATE, session, 0, prompt, n);
    job->n = 400;
    job->on_tokens = on_tokens_destroy;
    job->on_done = on_done;
    finished = 0;
    node_core_submit(r.core, job);
    rig_wait(&r, &finished, 1);
    struct node_job *again = rig_job(NODE_JOB_GENERATE, session, n, NULL, 0);
    again->n = 10;
    rig_run(&r, again);
    assert_int_equal(finished, 1);
    uint64_t generated = counters().generated;
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(again->out[i].id, alone->out[i].id);
    assert_int_equal(counters().generated, generated);
    node_job_destroy(r.core, again);
    node_job_destroy(r.core, alone);

    /* Closed under a running job: no callback any more, and the session is unknown. */
    job = rig_job(NODE_JOB_GENERATE, session, 0, prompt, n);
    job->n = 400;
    node_core_submit(r.core, job);
    node_session_close(r.core, session);
    again = rig_job(NODE_JOB_GENERATE, session, 0, prompt, n);
    rig_run(&r, again);
    assert_int_equal(again->status, NODE_JOB_SESSION_LOST);
    node_job_destroy(r.core, again);
    node_job_destroy(r.core, job);
    free(prompt);
}

/* A long prompt is read in chunks, and whoever writes at the same time goes on with every pass. */
static void test_prefill_starves_nobody(void **state)
{
    size_t n;
    int32_t *prompt = rig_prompt(&r, "Tell me a story about a bear.", &n), longer[480];
    for (size_t i = 0; i < 480; i++)
        longer[i] = 300 + (int32_t)(i * 7 % 200);
    struct node_job *generate = rig_job(NODE_JOB_GENERATE, open_session(0, n), 0, prompt, n);
    generate->n = 100;
    generate->on_tokens = NULL;
    generate->on_done = on_done;
    finished = 0;
    struct node_core_counters before = counters();
    node_core_submit(r.core, generate);
    struct node_job *score = rig_job(NODE_JOB_SCORE, open_session(0, 480), 0, longer, 480);
    rig_run(&r, score);
    assert_int_equal(score->n_out, 480);
    struct node_core_counters after = counters();
    assert_true(after.batches - before.batches >= 6); /* 480 tokens in passes of at most 63 beside the other's one */
    assert_true(after.generated - before.generated >= 6);
    rig_wait(&r, &finished, 1);
    node_job_destroy(r.core, generate);
    node_job_destroy(r.core, score);
    free(prompt);
}

/* A second question on top of the first answer, as a new session right behind it: only what is new is computed. */
static void test_prefix_is_kept(void **state)
{
    size_t n;
    int32_t *prompt = rig_prompt(&r, "What is 2 + 2?", &n), more[128];
    struct node_job *first = rig_job(NODE_JOB_GENERATE, open_session(0, n), 0, prompt, n);
    first->n = 60;
    rig_run(&r, first);
    assert_true(first->eog);
    memcpy(more, prompt, n * sizeof(*more));
    for (size_t i = 0; i < first->n_out; i++)
        more[n + i] = first->out[i].id;
    size_t n_more = n + first->n_out;
    memcpy(more + n_more, prompt, n * sizeof(*more));
    uint64_t before = counters().tokens;
    struct node_job *second = rig_job(NODE_JOB_VERIFY, open_session(0, n_more + n), 0, more, n_more + n);
    rig_run(&r, second);
    assert_int_equal(counters().tokens - before, n + 1); /* the end token was drawn, not computed */
    node_job_destroy(r.core, first);
    node_job_destroy(r.core, second);
    free(prompt);
}

static void test_draft_p_min(void **state)
{
    size_t n;
    int32_t *prompt = rig_prompt(&r, "Tell me a story about a fox.", &n);
    struct node_job *all = rig_job(NODE_JOB_DRAFT, open_session(0, n), 0, prompt, n);
    all->n = 60;
    rig_run(&r, all);
    size_t first = 0;
    while (first < all->n_out && all->out[first].prob >= 0.6f)
        first++;
    assert_true(first < all->n_out);
    struct node_job *sure = rig_job(NODE_JOB_DRAFT, open_session(0, n), 0, prompt, n);
    sure->n = 60;
    sure->p_min = 0.6f;
    rig_run(&r, sure);
    assert_int_equal(sure->n_out, first);
    assert_int_equal(sure->reason, NODE_REASON_P_MIN);
    node_job_destroy(r.core, all);
    node_job_destroy(r.core, sure);
    free(prompt);
}

static void test_sessions_forgotten(void **state)
{
    const int32_t token = 300;
    int64_t first = open_session(0, 1);
    struct node_job *job = rig_job(NODE_JOB_VERIFY, first, 0, &token, 1);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_OK);
    node_job_destroy(r.core, job);
    for (int i = 0; i < NODE_SESSIONS_MAX; i++)
        open_session(0, 1);
    job = rig_job(NODE_JOB_VERIFY, first, 1, &token, 1);
    rig_run(&r, job);
    assert_int_equal(job->status, NODE_JOB_SESSION_LOST);
    assert_int_equal(job->have, 0);
    node_job_destroy(r.core, job);
}

/* Last: what is left when the node ends is no leak. */
static void test_end_with_work(void **state)
{
    int32_t tokens[300] = {0};
    struct node_job *job = rig_job(NODE_JOB_GENERATE, open_session(1, 1), 0, tokens, 300);
    job->n = 200;
    node_core_submit(r.core, job);
    struct node_core *core = r.core;
    rig_close(&r);
    assert_null(job->work);
    node_job_destroy(core, job); /* not looked at any more: nothing runs */
    rig_open(&r, "draft", 1, 32, 128, 1);
}

const struct CMUnitTest jobs_tests[] = {
    cmocka_unit_test_setup(test_verify_is_one_decode, open_rig),
    cmocka_unit_test(test_end_of_generation),
    cmocka_unit_test(test_score),
    cmocka_unit_test(test_refused),
    cmocka_unit_test(test_context_end),
    cmocka_unit_test(test_superseded),
    cmocka_unit_test(test_cancel_and_pause),
    cmocka_unit_test(test_prefill_starves_nobody),
    cmocka_unit_test(test_prefix_is_kept),
    cmocka_unit_test(test_draft_p_min),
    cmocka_unit_test(test_sessions_forgotten),
    cmocka_unit_test_teardown(test_end_with_work, close_rig),
};
const size_t jobs_count = sizeof(jobs_tests) / sizeof(jobs_tests[0]);
