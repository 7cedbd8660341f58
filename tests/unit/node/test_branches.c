/* Branches: whatever is drafted or verified beside the line, and whoever takes its slots away, the tokens and their
 * logits are those of the model one token at a time. */
#include "rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/grove.h"
#include "node/passes.h"
#include "node/shapes.h"

enum { LENGTH = 48, ROOM = 512 };

static const char *const prompts[] = {"Tell me a story about a fox.", "What is 17 + 25?", "Count from 3 to 12.",
                                      "Repeat: the blue stone"};

/* An answer and what it should be. */
struct answer {
    struct sampler_params params;
    int64_t session;
    int32_t path[ROOM], right[ROOM];
    float logprob[ROOM]; /* of right[i] */
    size_t n_prompt, n_path, n_right, known;
    size_t taken, used; /* branches */
    size_t branches;    /* of the draft under way */
    size_t best;        /* of it and them, how many tokens the longest path has that is right */
};

static void answer_start(struct rig *r, struct answer *a, size_t which, double temperature)
{
    size_t n_vocab = (size_t)r->model->n_vocab;
    float *logits = xmalloc(LENGTH * n_vocab * sizeof(*logits));
    *a = (struct answer){.params = rig_params(temperature, 7 + which)};
    int32_t *tokens = rig_prompt(r, prompts[which % ARRAY_LEN(prompts)], &a->n_prompt);
    memcpy(a->path, tokens, a->n_prompt * sizeof(*tokens));
    memcpy(a->right, tokens, a->n_prompt * sizeof(*tokens));
    free(tokens);
    a->n_path = a->n_prompt;
    a->n_right = a->n_prompt + rig_reference(r, &a->params, a->right, a->n_prompt, LENGTH, logits);
    for (size_t i = a->n_prompt; i < a->n_right; i++)
        sampler_logprobs(logits + (i - a->n_prompt) * n_vocab, n_vocab, a->right[i], &a->logprob[i], NULL, 0);
    a->session = node_session_open(r->core, &a->params, a->n_prompt);
    free(logits);
}

/* n tokens that are right for `good` of them. */
static void make_draft(const struct answer *a, size_t from, int32_t *draft, size_t n, size_t good, uint64_t *rng)
{
    for (size_t i = 0; i < n; i++)
        draft[i] = i < good && from + i < a->n_right ? a->right[from + i] : (int32_t)rig_random(rng, 600);
}

static size_t agree(const struct answer *a, size_t at, const int32_t *tokens, size_t n)
{
    size_t i = 0;
    while (i < n && a->n_path + at + i < a->n_right && tokens[i] == a->right[a->n_path + at + i])
        i++;
    return i;
}

/* A draft that goes wrong somewhere, with up to four branches, one of which may be right there; others begin as that
 * one does, or as the draft does, and may be right for longer. */
static struct node_job *tree_job(struct answer *a, uint64_t *rng)
{
    int32_t draft[24], other[24];
    size_t n = 1 + rig_random(rng, 20), good = rig_random(rng, 20), branches = rig_random(rng, 5);
    make_draft(a, a->n_path, draft, n, good, rng);
    size_t line = a->best = agree(a, 0, draft, n);
    struct node_job *job = rig_job(NODE_JOB_VERIFY, a->session, a->known, a->path + a->known, a->n_path - a->known);
    rig_set_draft(job, draft, n);
    job->n_logprobs = 0;
    a->branches = branches;
    for (size_t i = 0; i < branches; i++) {
        size_t at = i == 0 && good < n ? good : rig_random(rng, (uint32_t)n), len = 1 + rig_random(rng, 16);
        size_t right = i == 0 ? rig_random(rng, 17) : 0;
        if (i > 0 && rig_random(rng, 2) == 0) {
            at = good < n ? rig_random(rng, (uint32_t)good + 1) : at;
            right = rig_random(rng, 17);
        }
        make_draft(a, a->n_path + at, other, len, right, rng);
        if (at <= line && at + agree(a, at, other, len) > a->best)
            a->best = at + agree(a, at, other, len);
        job->branch[job->n_branches++] =
            (struct node_branch){.at = at, .tokens = xmemdup(other, len * sizeof(*other)), .n = len};
    }
    return job;
}

static void take(struct answer *a, const struct node_job *job)
{
    assert_int_equal(job->status, NODE_JOB_OK);
    assert_int_equal(job->n_out, job->accepted + 1);
    assert_true(job->accepted <= a->best || a->n_path + a->best == a->n_right);
    if (job->branches_used == a->branches && a->n_path + a->best < a->n_right)
        assert_int_equal(job->accepted, a->best);
    a->known = a->n_path + job->accepted;
    a->taken += job->taken >= 0;
    a->used += job->branches_used;
    for (size_t i = 0; i < job->n_out; i++, a->n_path++) {
        a->path[a->n_path] = job->out[i].id;
        if (a->n_path >= a->n_right)
            continue;
        assert_int_equal(job->out[i].id, a->right[a->n_path]);
        assert_true(job->out[i].logprob == a->logprob[a->n_path]); /* all of the row: it is the softmax over it */
    }
}

static void check_verify(const char *name, int slots, int threads, size_t sessions)
{
    struct rig r;
    struct answer a[6];
    struct node_job *job[6];
    uint64_t rng = 11;
    size_t used = 0, taken = 0, finished;
    rig_open(&r, name, slots, 128, 512, threads);
    for (size_t i = 0; i < sessions; i++)
        answer_start(&r, &a[i], i, i % 3 * 0.5);
    for (size_t running = sessions; running > 0;) {
        size_t started = 0;
        finished = running = 0;
        for (size_t i = 0; i < sessions; i++) {
            job[i] = NULL;
            if (a[i].n_path >= a[i].n_right || rig_random(&rng, 4) == 0)
                continue; /* a session that rests gives others room now and then */
            job[i] = tree_job(&a[i], &rng);
            rig_submit(&r, job[i], &finished);
            started++;
        }
        rig_wait(&r, &finished, started);
        for (size_t i = 0; i < sessions; i++) {
            if (job[i] != NULL)
                take(&a[i], job[i]);
            node_job_destroy(r.core, job[i]);
            running += a[i].n_path < a[i].n_right;
        }
    }
    for (size_t i = 0; i < sessions; i++) {
        used += a[i].used;
        taken += a[i].taken;
    }
    bool able = node_core_info(r.core)->branches > 0;
    assert_int_equal(used > 0, able);
    assert_true(!able || sessions > 1 || taken > 0);
    struct node_core_counters c;
    node_core_counters(r.core, &c);
    assert_int_equal(c.branches, used);
    assert_int_equal(c.branches_taken, taken);
    rig_close(&r);
}

static void test_verify(void **state)
{
    check_verify("target", 4, 1, 1);
    check_verify("target", 2, 2, 1);
    check_verify("transformer", 5, 1, 1);
}

static void test_verify_together(void **state)
{
    check_verify("target", 6, 1, 3);
    check_verify("target", 4, 2, 6);
}

/* They keep their promise by having no branches. */
static void test_no_branches(void **state)
{
    check_verify("recurrent", 4, 1, 2);
    check_verify("hybrid", 4, 1, 1);
    check_verify("target", 1, 1, 1);
}

/* What a draft has told. */
struct told {
    int32_t line[ROOM];
    size_t n_line;
    struct {
        int64_t id;
        size_t at, n;
        int32_t token[64];
        float prob[64];
    } branch[GROVE_BRANCHES];
    size_t n_branches;
};

static void read_told(const struct node_job *job, struct told *t)
{
    *t = (struct told){0};
    assert_int_equal(job->status, NODE_JOB_OK);
    for (size_t i = 0; i < job->n_out; i++)
        t->line[t->n_line++] = job->out[i].id;
    for (size_t i = 0; i < job->n_grown; i++) {
        const struct node_branch_token *g = &job->grown[i];
        size_t b = 0;
        while (b < t->n_branches && t->branch[b].id != g->branch)
            b++;
        if (b == t->n_branches) {
            assert_true(t->n_branches < GROVE_BRANCHES);
            t->branch[t->n_branches].id = g->branch;
            t->branch[t->n_branches++].at = g->at;
        }
        assert_int_equal(t->branch[b].at, g->at);
        assert_true(g->prob >= 0 && g->prob <= 1);
        t->branch[b].prob[t->branch[b].n] = g->prob;
        t->branch[b].token[t->branch[b].n++] = g->id;
    }
}

static struct node_job *draft_job(const struct answer *a, int64_t epoch, size_t n, size_t branches, size_t depth)
{
    struct node_job *job = rig_job(NODE_JOB_DRAFT, a->session, a->known, a->path + a->known, a->n_path - a->known);
    job->epoch = epoch;
    job->n = n;
    job->stream = true;
    job->from = a->n_path;
    job->first = n / 2;
    job->branches = branches;
    job->depth = depth;
    return job;
}

/* Branches say what the model would write on their path. */
static void check_told(struct rig *r, const struct answer *a, const struct told *t, size_t depth)
{
    int32_t path[ROOM];
    for (size_t b = 0; b < t->n_branches; b++) {
        size_t at = t->branch[b].at;
        assert_true(at >= a->n_path && at < a->n_path + t->n_line && t->branch[b].n <= depth);
        memcpy(path, a->path, a->n_path * sizeof(*path));
        memcpy(path + a->n_path, t->line, (at - a->n_path) * sizeof(*path));
        assert_int_not_equal(t->branch[b].token[0], t->line[at - a->n_path]);
        path[at] = t->branch[b].token[0];
        /* the reference counts what it is given as prompt: nothing here has penalties */
        size_t n = rig_reference(r, &a->params, path, at + 1, t->branch[b].n, NULL);
        assert_true(n + 1 >= t->branch[b].n);
        assert_memory_equal(path + at, t->branch[b].token, t->branch[b].n * sizeof(*path));
    }
}

static void test_drafts(void **state)
{
    struct rig r;
    struct answer a;
    struct told t;
    struct node_core_counters before, after;
    rig_open(&r, "draft", 4, 64, 512, 1);
    for (size_t which = 0; which < 3; which++) {
        answer_start(&r, &a, 0, which * 0.5);
        a.known = 0;
        for (int64_t epoch = 1; epoch < 4 && a.n_path + 20 < a.n_right; epoch++) {
            struct node_job *job = draft_job(&a, epoch, 16, 6, 5);
            rig_run(&r, job);
            read_told(job, &t);
            node_job_destroy(r.core, job);
            assert_memory_equal(t.line, a.right + a.n_path, t.n_line * sizeof(*t.line));
            assert_true(t.n_branches > 0 && t.n_branches <= 6);
            check_told(&r, &a, &t, 5);
            /* The next path goes along a branch that has grown to its end. */
            size_t b = 0;
            while (b + 1 < t.n_branches && t.branch[b].n < 5)
                b++;
            a.known = t.branch[b].at;
            memcpy(a.path + a.n_path, t.line, (a.known - a.n_path) * sizeof(*a.path));
            a.path[a.known] = t.branch[b].token[0];
            a.n_path = a.known + 1;
            a.known = a.n_path - 1;
            node_core_counters(r.core, &before);
            job = draft_job(&a, epoch * 10, t.branch[b].n - 1, 0, 0);
            rig_run(&r, job);
            node_core_counters(r.core, &after);
            assert_int_equal(job->n_out, t.branch[b].n - 1);
            for (size_t i = 0; i < job->n_out; i++)
                assert_int_equal(job->out[i].id, t.branch[b].token[1 + i]);
            assert_int_equal(after.decodes, before.decodes); /* all of it was known */
            node_job_destroy(r.core, job);
            break;
        }
    }
    rig_close(&r);
}

/* Other sessions take the slots of branches at once, and the branches come to no harm. */
static void test_stolen(void **state)
{
    struct rig r;
    struct answer a, b[3];
    struct told t;
    uint64_t rng = 2;
    size_t finished = 0;
    rig_open(&r, "target", 4, 64, 512, 1);
    answer_start(&r, &a, 0, 1);
    for (size_t i = 0; i < 3; i++)
        answer_start(&r, &b[i], 1 + i, 0);
    struct node_job *job = draft_job(&a, 1, 24, 16, 12);
    rig_submit(&r, job, &finished);
    for (size_t round = 0; round < 4; round++) {
        for (size_t i = 0; i < 3; i++) {
            struct node_job *v = tree_job(&b[i], &rng);
            rig_run(&r, v);
            take(&b[i], v);
            node_job_destroy(r.core, v);
        }
    }
    size_t one = 1;
    rig_wait(&r, &finished, one);
    read_told(job, &t);
    check_told(&r, &a, &t, 12);
    assert_int_equal(t.n_line, 24);
    node_job_destroy(r.core, job);
    rig_close(&r);
}

/* A newer request of the session does not wait for branches, and an absurd number of them does no harm. */
static void test_superseded(void **state)
{
    struct rig r;
    struct answer a;
    size_t finished = 0;
    rig_open(&r, "draft", 4, 64, 512, 1);
    answer_start(&r, &a, 0, 0);
    struct node_job *first = draft_job(&a, 1, 300, 1000000, 100), *second = draft_job(&a, 2, 4, 0, 0);
    rig_submit(&r, first, &finished);
    rig_submit(&r, second, &finished);
    rig_wait(&r, &finished, 2);
    assert_int_equal(first->reason, NODE_REASON_SUPERSEDED);
    assert_int_equal(second->n_out, 4);
    assert_int_equal(second->n_grown, 0);
    assert_memory_equal(&second->out[0].id, &a.right[a.n_path], sizeof(int32_t));
    node_job_destroy(r.core, first);
    node_job_destroy(r.core, second);
    rig_close(&r);
}

static void test_steps(void **state)
{
    assert_int_equal(pass_steps((size_t[]){0, 0, 0}, 3), 0);
    assert_int_equal(pass_steps((size_t[]){5, 5, 5}, 3), 1);
    assert_int_equal(pass_steps((size_t[]){5, 0, 5}, 3), 2);
    assert_int_equal(pass_steps((size_t[]){24, 8, 24}, 3), 3);
    assert_int_equal(pass_steps((size_t[]){17, 9, 5, 1}, 4), 4);
}

/* A pass takes 10000 us and 100 for each token. */
static struct pass_cost network(void)
{
    struct pass_cost c = {0};
    for (size_t i = 0; i < 10; i++)
        pass_cost_add(&c, 1, 1 + i * 7, 10000 + 100 * (1 + (double)i * 7));
    return c;
}

static void test_padding(void **state)
{
    struct pass_cost c = network();
    size_t out[4], most[] = {400, 400, 400, 400};
    assert_true(c.known && fabs(c.token_us - 100) < 5 && fabs(c.first_us - 10000) < 500);
    assert_int_equal(pass_pad(&c, (size_t[]){24, 8, 0, 0}, most, 4, 512, out), 1);
    assert_memory_equal(out, ((size_t[]){24, 24, 0, 0}), sizeof(out));
    /* an idle one between them is put in */
    assert_int_equal(pass_pad(&c, (size_t[]){8, 0, 8, 0}, most, 4, 512, out), 1);
    assert_memory_equal(out, ((size_t[]){8, 8, 8, 0}), sizeof(out));
    /* what would cost more than it saves, has no room, or does not fit a context, stays as it is */
    assert_int_equal(pass_pad(&c, (size_t[]){200, 8, 0, 0}, most, 4, 512, out), 0);
    assert_int_equal(pass_pad(&c, (size_t[]){24, 8, 0, 0}, most, 4, 40, out), 0);
    assert_int_equal(pass_pad(&c, (size_t[]){24, 8, 0, 0}, (size_t[]){400, 20, 400, 400}, 4, 512, out), 0);
    /* two lengths where one would be too dear */
    assert_int_equal(pass_pad(&c, (size_t[]){200, 8, 10, 0}, most, 4, 512, out), 1);
    assert_memory_equal(out, ((size_t[]){200, 10, 10, 0}), sizeof(out));
    /* steps that turn out cheap are left alone */
    for (size_t i = 0; i < 40; i++)
        pass_cost_add(&c, 2, 32, 13300);
    assert_int_equal(pass_pad(&c, (size_t[]){24, 8, 0, 0}, most, 4, 512, out), 0);
}

static struct shape shape_of(size_t sequences, size_t length, size_t outputs, size_t cells)
{
    return (struct shape){.sequences = sequences, .length = length, .outputs = outputs, .cells = cells};
}

static void assert_shape(struct shape got, size_t length, size_t outputs)
{
    assert_int_equal(got.length, length);
    assert_int_equal(got.outputs, outputs);
}

static void test_shapes(void **state)
{
    struct pass_cost c = network();
    struct shapes *t = xcalloc(1, sizeof(*t));
    assert_true(shapes_add(t, shape_of(1, 17, 17, 100), 50000));
    assert_false(shapes_add(t, shape_of(1, 17, 17, 200), 50000)); /* the same 256 cells */
    /* A shape that was seen serves a shorter pass, */
    assert_shape(shapes_choose(t, &c, shape_of(1, 17, 17, 90), 400), 17, 17);
    assert_shape(shapes_choose(t, &c, shape_of(1, 12, 12, 90), 400), 17, 17);
    /* but not with fewer logits than are needed, not beyond its cells, not for more sequences, not over the room */
    assert_int_equal(shapes_choose(t, &c, shape_of(1, 12, 3, 90), 400).length, 16);
    assert_int_equal(shapes_choose(t, &c, shape_of(1, 12, 12, 254), 400).length, 16);
    assert_int_equal(shapes_choose(t, &c, shape_of(2, 12, 24, 90), 400).length, 16);
    assert_int_equal(shapes_choose(t, &c, shape_of(1, 11, 11, 90), 13).length, 11);
    /* One that is needed often enough pays for its own: 5 tokens too many are 500 us, a new shape 50000. */
    size_t spared = 1;
    while (shapes_choose(t, &c, shape_of(1, 12, 12, 90), 400).length == 17)
        spared++;
    assert_true(spared > 90 && spared < 110);
    assert_shape(shapes_choose(t, &c, shape_of(1, 12, 12, 90), 400), 16, 16);
    free(t);
}

const struct CMUnitTest branches_tests[] = {
    cmocka_unit_test(test_verify), cmocka_unit_test(test_verify_together), cmocka_unit_test(test_no_branches),
    cmocka_unit_test(test_drafts), cmocka_unit_test(test_stolen),          cmocka_unit_test(test_superseded),
    cmocka_unit_test(test_steps),  cmocka_unit_test(test_padding),         cmocka_unit_test(test_shapes),
};
const size_t branches_count = sizeof(branches_tests) / sizeof(branches_tests[0]);
