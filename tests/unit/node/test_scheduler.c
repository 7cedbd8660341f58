/* llama_decode fails in two ways: nothing happened (no room), or anything may have.  Neither may wedge the node, lose
 * other sessions' work, or cost a right token. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "base/mem.h"
#include "node/context.h"
#include "node/scheduler.h"

static struct outbox outbox;
static struct sched sched;
static struct node_core_info info;
static struct node_model *model;
static struct llama_context *ctx;
static int aborts; /* so many of the next passes are broken off */

static bool on_abort(void *arg)
{
    if (aborts == 0)
        return false;
    aborts--;
    return true;
}

/* shrink: the context has less room than the scheduler believes. */
static void open_sched(bool shrink)
{
    struct node_core_options o;
    char *cause = NULL, *path = rig_model_path("target");
    size_t n_outputs;
    rig_init();
    node_core_options_init(&o);
    o.model.path = path;
    o.slots = 2;
    o.threads = 1;
    o.batch = 64;
    o.ctx = shrink ? 256 : 512;
    model = node_model_load(&o.model, NULL, NULL, &cause);
    assert_non_null(model);
    ctx = context_create(model, &o, &info, &n_outputs, &cause);
    assert_non_null(ctx);
    info.rollback = NODE_ROLLBACK_TRUNCATE;
    info.n_ctx = 512;
    outbox_init(&outbox);
    sched_init(&sched, ctx, model, &outbox, &info, n_outputs);
    llama_set_abort_callback(ctx, on_abort, NULL);
    free(path);
}

static void close_sched(void)
{
    sched_finish(&sched);
    outbox_finish(&outbox);
    llama_free(ctx);
    node_model_destroy(model);
}

static struct node_job *submit(enum node_job_kind kind, int64_t session, const int32_t *tokens, size_t n_tokens,
                               size_t n)
{
    struct sampler_params p = rig_params(0, 1);
    struct node_job *job = rig_job(kind, session, 0, tokens, n_tokens);
    job->n = n;
    sched_open(&sched, session, &p, n_tokens);
    sched_submit(&sched, work_create(job, (size_t)model->n_vocab));
    return job;
}

static void run(void)
{
    int passes = 0;
    while (sched_step(&sched))
        assert_true(++passes < 1000);
    outbox_deliver(&outbox);
}

static void test_broken_pass(void **state)
{
    const int32_t tokens[] = {300, 301, 302, 303};
    open_sched(false);
    struct node_job *right = submit(NODE_JOB_GENERATE, 1, tokens, 4, 20);
    run();
    assert_int_equal(right->n_out, 20);

    /* Once, in the middle of two answers: both go on as if nothing had been. */
    struct node_job *job[2] = {submit(NODE_JOB_GENERATE, 2, tokens, 4, 20),
                               submit(NODE_JOB_GENERATE, 3, tokens, 4, 20)};
    for (int i = 0; i < 7; i++)
        assert_true(sched_step(&sched));
    aborts = 1;
    run();
    assert_int_equal(aborts, 0);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(job[k]->status, NODE_JOB_OK);
        assert_int_equal(job[k]->n_out, 20);
        for (size_t i = 0; i < 20; i++)
            assert_int_equal(job[k]->out[i].id, right->out[i].id);
        node_job_destroy(NULL, job[k]);
    }

    /* Again and again: the job fails and says so; the next one runs. */
    job[0] = submit(NODE_JOB_VERIFY, 4, tokens, 4, 0);
    aborts = 2;
    run();
    assert_int_equal(job[0]->status, NODE_JOB_FAILED);
    assert_string_equal(job[0]->message, "the model could not be computed (llama_decode returned 2)");
    job[1] = submit(NODE_JOB_GENERATE, 5, tokens, 4, 20);
    run();
    assert_int_equal(job[1]->n_out, 20);
    assert_int_equal(job[1]->out[19].id, right->out[19].id);
    node_job_destroy(NULL, job[0]);
    node_job_destroy(NULL, job[1]);
    node_job_destroy(NULL, right);
    close_sched();
}

static void test_no_room(void **state)
{
    int32_t tokens[400];
    for (size_t i = 0; i < 400; i++)
        tokens[i] = 300 + (int32_t)(i % 90);
    open_sched(true);
    struct node_job *large = submit(NODE_JOB_SCORE, 1, tokens, 400, 0);
    struct node_job *small = submit(NODE_JOB_SCORE, 2, tokens, 200, 0);
    run();
    assert_int_equal(small->status, NODE_JOB_OK);
    assert_int_equal(small->n_out, 200);
    assert_int_equal(large->status, NODE_JOB_FAILED);
    assert_string_equal(large->message, "no room in the KV cache (llama_decode returned 1)");
    struct node_job *next = submit(NODE_JOB_SCORE, 3, tokens, 200, 0);
    run();
    assert_int_equal(next->status, NODE_JOB_OK);
    for (size_t i = 1; i < 200; i++)
        assert_true(next->out[i].logprob == small->out[i].logprob);
    node_job_destroy(NULL, large);
    node_job_destroy(NULL, small);
    node_job_destroy(NULL, next);
    close_sched();
}

const struct CMUnitTest scheduler_tests[] = {cmocka_unit_test(test_broken_pass), cmocka_unit_test(test_no_room)};
const size_t scheduler_count = sizeof(scheduler_tests) / sizeof(scheduler_tests[0]);
