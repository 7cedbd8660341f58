/* The promise of the program: whatever is drafted, batched, evicted or rolled back, the tokens are those that the model
 * writes one at a time. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { LENGTH = 60, ROOM = 512 };

static const char *const prompts[] = {"Tell me a story about a fox.", "What is 17 + 25?", "Count from 3 to 12.",
                                      "Repeat: the blue stone", "What is the capital of France?"};

/* One answer, made of rounds with wrong and right drafts. */
struct answer {
    struct sampler_params params;
    int64_t session;
    int32_t path[ROOM]; /* prompt and what was made so far */
    size_t n_prompt, n_path;
    int32_t right[ROOM]; /* prompt and what should be made */
    size_t n_right;
    size_t known; /* tokens that the session on the node has */
};

static void answer_start(struct rig *r, struct answer *a, const char *prompt, double temperature, uint64_t seed)
{
    a->params = rig_params(temperature, seed);
    int32_t *tokens = rig_prompt(r, prompt, &a->n_prompt);
    memcpy(a->path, tokens, a->n_prompt * sizeof(*tokens));
    memcpy(a->right, tokens, a->n_prompt * sizeof(*tokens));
    free(tokens);
    a->n_path = a->n_prompt;
    a->n_right = a->n_prompt + rig_reference(r, &a->params, a->right, a->n_prompt, LENGTH, NULL);
    a->session = node_session_open(r->core, &a->params, a->n_prompt);
    a->known = 0;
}

static void append(struct answer *a, const struct node_job *job)
{
    assert_int_equal(job->status, NODE_JOB_OK);
    assert_true(a->n_path + job->n_out <= ROOM);
    for (size_t i = 0; i < job->n_out; i++)
        a->path[a->n_path++] = job->out[i].id;
    assert_true(a->n_path <= a->n_right + 40);
    size_t n = a->n_path < a->n_right ? a->n_path : a->n_right;
    assert_memory_equal(a->path, a->right, n * sizeof(*a->path));
}

static bool answer_over(const struct answer *a)
{
    return a->n_path >= a->n_right;
}

/* A draft that is right for a while, then wrong. */
static struct node_job *verify_job(struct rig *r, struct answer *a, uint64_t *rng)
{
    int32_t draft[40];
    size_t n = rig_random(rng, 18), right = rig_random(rng, 18);
    for (size_t i = 0; i < n; i++) {
        size_t at = a->n_path + i;
        draft[i] = i < right && at < a->n_right ? a->right[at] : (int32_t)rig_random(rng, 600);
    }
    size_t keep = a->known;
    if (keep > a->n_prompt + 3 && rig_random(rng, 4) == 0)
        keep -= 3; /* some that the node has are sent again */
    struct node_job *job = rig_job(NODE_JOB_VERIFY, a->session, keep, a->path + keep, a->n_path - keep);
    rig_set_draft(job, draft, n);
    return job;
}

static void verify_round(struct rig *r, struct answer *a, uint64_t *rng)
{
    struct node_job *job = verify_job(r, a, rng);
    size_t before = a->n_path;
    rig_run(r, job);
    append(a, job);
    assert_int_equal(job->n_out, job->accepted + 1);
    assert_true(job->margin >= 0);
    a->known = before + job->accepted;
    node_job_destroy(r->core, job);
}

static void generate_some(struct rig *r, struct answer *a, size_t n)
{
    struct node_job *job = rig_job(NODE_JOB_GENERATE, a->session, a->known, a->path + a->known, a->n_path - a->known);
    job->n = n;
    rig_run(r, job);
    append(a, job);
    a->known = a->n_path;
    node_job_destroy(r->core, job);
}

static void run_mixed(struct rig *r, struct answer *a, uint64_t *rng)
{
    while (!answer_over(a)) {
        if (rig_random(rng, 5) == 0)
            generate_some(r, a, 1 + rig_random(rng, 6));
        else
            verify_round(r, a, rng);
    }
}

static void check_model(const char *name, int slots, int threads)
{
    static const double temperatures[] = {0, 0.7, 1};
    struct rig r;
    uint64_t rng = 5;
    rig_open(&r, name, slots, 64, 512, threads);
    for (size_t t = 0; t < 3; t++) {
        for (size_t i = 0; i < 2; i++) {
            struct answer a, b;
            answer_start(&r, &a, prompts[t + i], temperatures[t], 100 + i);
            run_mixed(&r, &a, &rng);
            answer_start(&r, &b, prompts[t + i], temperatures[t], 100 + i);
            generate_some(&r, &b, LENGTH);
            assert_int_equal(b.n_path, b.n_right);
            assert_memory_equal(b.path, b.right, b.n_right * sizeof(*b.path));
        }
    }
    struct node_core_counters c;
    node_core_counters(r.core, &c);
    assert_int_equal(c.restored > 5, node_core_info(r.core)->rollback == NODE_ROLLBACK_SNAPSHOT);
    rig_close(&r);
}

static void test_transformer(void **state)
{
    check_model("target", 2, 1);
    check_model("target", 2, 2);
    check_model("transformer", 1, 1);
}

static void test_recurrent(void **state)
{
    check_model("recurrent", 2, 1);
}

static void test_hybrid(void **state)
{
    check_model("hybrid", 2, 1);
}

static size_t finished;

static void on_done(struct node_job *job)
{
    finished++;
}

/* More sessions than slots, all of them with a round under way at any time. */
static void check_together(const char *name, int slots, size_t n)
{
    struct rig r;
    struct answer *a = xcalloc(n, sizeof(*a));
    struct node_job **job = xcalloc(n, sizeof(*job));
    uint64_t rng = 9;
    rig_open(&r, name, slots, 64, 512, 1);
    for (size_t i = 0; i < n; i++)
        answer_start(&r, &a[i], prompts[i % ARRAY_LEN(prompts)], i % 2, i);
    for (size_t running = n; running > 0;) {
        size_t started = 0;
        finished = 0;
        for (size_t i = 0; i < n; i++) {
            if (answer_over(&a[i]))
                continue;
            job[i] = verify_job(&r, &a[i], &rng);
            job[i]->on_done = on_done;
            node_core_submit(r.core, job[i]);
            started++;
        }
        rig_wait(&r, &finished, started);
        running = 0;
        for (size_t i = 0; i < n; i++) {
            if (job[i] == NULL)
                continue;
            size_t before = a[i].n_path;
            append(&a[i], job[i]);
            a[i].known = before + job[i]->accepted;
            node_job_destroy(r.core, job[i]);
            job[i] = NULL;
            running += !answer_over(&a[i]);
        }
    }
    struct node_core_counters c;
    node_core_counters(r.core, &c);
    assert_true(c.batches > 0 && c.jobs_shared > 0);
    if (n > (size_t)slots)
        assert_true(c.evictions > 0);
    rig_close(&r);
    free(a);
    free(job);
}

static void test_together(void **state)
{
    check_together("target", 4, 4);
    check_together("hybrid", 3, 3);
}

static void test_evicted(void **state)
{
    check_together("target", 2, 5);
    check_together("recurrent", 2, 4);
    check_together("hybrid", 2, 4);
}

/* A drafter with the same weights and noise is right every time; its drafts are cut and corrected as a target would. */
static void check_drafts(const char *name)
{
    struct rig r;
    struct answer a;
    uint64_t rng = 3;
    rig_open(&r, name, 2, 64, 512, 1);
    answer_start(&r, &a, prompts[0], 0.7, 4);
    for (int64_t epoch = 1; a.n_path + 12 < a.n_right; epoch++) {
        struct node_job *job = rig_job(NODE_JOB_DRAFT, a.session, a.known, a.path + a.known, a.n_path - a.known);
        job->n = 8;
        job->epoch = epoch;
        rig_run(&r, job);
        assert_int_equal(job->status, NODE_JOB_OK);
        assert_int_equal(job->n_out, 8);
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal(job->out[i].id, a.right[a.n_path + i]);
            assert_true(job->out[i].prob > 0 && job->out[i].prob <= 1);
        }
        /* So many are taken; then comes a token that was not drafted, for which the path is cut. */
        size_t take = rig_random(&rng, 9);
        for (size_t i = 0; i < take; i++, a.n_path++)
            a.path[a.n_path] = a.right[a.n_path];
        a.known = a.n_path;
        if (a.known < a.n_right)
            a.path[a.n_path++] = a.right[a.known];
        node_job_destroy(r.core, job);
    }
    rig_close(&r);
}

static void test_drafts(void **state)
{
    check_drafts("draft");
    check_drafts("recurrent");
    check_drafts("hybrid");
}

/* Penalties look at the path: a rejected draft must not count. */
static void test_penalties(void **state)
{
    struct rig r;
    struct answer a;
    uint64_t rng = 8;
    rig_open(&r, "target", 1, 64, 512, 1);
    for (int which = 0; which < 2; which++) {
        struct sampler_params p = rig_params(which, 6);
        p.frequency_penalty = 0.5;
        p.presence_penalty = 0.3;
        p.repeat_penalty = 1.2;
        p.top_k = which ? 20 : 0;
        p.top_p = which ? 0.95 : 1;
        answer_start(&r, &a, prompts[0], 1, 6);
        a.params = p;
        a.n_right = a.n_prompt + rig_reference(&r, &p, a.right, a.n_prompt, LENGTH, NULL);
        a.session = node_session_open(r.core, &p, a.n_prompt);
        run_mixed(&r, &a, &rng);
    }
    rig_close(&r);
}

const struct CMUnitTest exact_tests[] = {
    cmocka_unit_test(test_transformer), cmocka_unit_test(test_recurrent), cmocka_unit_test(test_hybrid),
    cmocka_unit_test(test_together),    cmocka_unit_test(test_evicted),   cmocka_unit_test(test_drafts),
    cmocka_unit_test(test_penalties),
};
const size_t exact_count = sizeof(exact_tests) / sizeof(exact_tests[0]);
