#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <llama.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/llama-log.h"

enum { TIMEOUT_S = 60 };

static const char *models(void)
{
    const char *dir = getenv("TIGHTWAD_MODELS");
    assert_non_null(dir);
    return dir;
}

char *rig_model_path(const char *name)
{
    static const char *const random_ones[] = {"recurrent", "hybrid", "transformer"};
    for (size_t i = 0; i < ARRAY_LEN(random_ones); i++) {
        if (strcmp(name, random_ones[i]) != 0)
            continue;
        const char *tmp = getenv("TMPDIR");
        char *path = xasprintf("%s/tightwad-unit-%d-%s.gguf", tmp != NULL ? tmp : "/tmp", (int)getpid(), name);
        char *command = xasprintf("python3 '%s/../../tests/e2e/make_gguf.py' %s '%s' 1>&2", models(), name, path);
        if (access(path, R_OK) != 0)
            assert_int_equal(system(command), 0);
        free(command);
        return path;
    }
    return xasprintf("%s/%s.gguf", models(), name);
}

void rig_model_done(char *path)
{
    if (strncmp(path, models(), strlen(models())) != 0)
        unlink(path);
    free(path);
}

void rig_init(void)
{
    static bool ready;
    if (ready)
        return;
    log_set_level(LOG_ERROR);
    llama_log_install();
    node_model_init();
    ready = true;
}

void rig_open(struct rig *r, const char *name, int slots, int batch, int ctx, int threads)
{
    rig_init();
    struct node_core_options o;
    char *cause = NULL, *path = rig_model_path(name);
    node_core_options_init(&o);
    o.model.path = path;
    o.slots = slots;
    o.batch = batch;
    o.ctx = ctx;
    o.threads = threads;
    o.selftest = false; /* test_model.c has it */
    r->core = node_core_load(&o, NULL, NULL, &cause);
    if (r->core == NULL)
        fail_msg("%s", cause);
    rig_model_done(path);
    r->model = node_core_model(r->core);
    r->base = event_base_new();
    node_core_start(r->core, r->base);
}

void rig_close(struct rig *r)
{
    node_core_destroy(r->core);
    event_base_free(r->base);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    *(bool *)arg = true;
}

void rig_wait(struct rig *r, const size_t *count, size_t n)
{
    bool late = false;
    struct event *timer = evtimer_new(r->base, on_timeout, &late);
    evtimer_add(timer, &(struct timeval){.tv_sec = TIMEOUT_S});
    while (*count < n && !late)
        event_base_loop(r->base, EVLOOP_ONCE);
    event_free(timer);
    assert_false(late);
}

static void on_done(struct node_job *job)
{
    ++*(size_t *)job->arg;
}

void rig_submit(struct rig *r, struct node_job *job, size_t *count)
{
    job->on_done = on_done;
    job->arg = count;
    node_core_submit(r->core, job);
}

void rig_run(struct rig *r, struct node_job *job)
{
    size_t done = 0;
    rig_submit(r, job, &done);
    rig_wait(r, &done, 1);
}

struct node_job *rig_job(enum node_job_kind kind, int64_t session, size_t keep, const int32_t *tokens, size_t n_tokens)
{
    struct node_job *job = node_job_create(kind, session);
    job->keep = keep;
    job->n_tokens = n_tokens;
    job->tokens = n_tokens > 0 ? xmemdup(tokens, n_tokens * sizeof(*tokens)) : NULL;
    return job;
}

void rig_set_draft(struct node_job *job, const int32_t *draft, size_t n)
{
    job->n_draft = n;
    job->draft = n > 0 ? xmemdup(draft, n * sizeof(*draft)) : NULL;
}

int32_t *rig_prompt(const struct rig *r, const char *text, size_t *n)
{
    struct node_message m = {.role = "user", .content = text};
    char *cause = NULL, *rendered = node_model_template(r->model, &m, 1, &cause);
    int32_t *tokens = NULL;
    assert_non_null(rendered);
    assert_int_equal(node_model_tokenize(r->model, rendered, strlen(rendered), true, true, &tokens, n, &cause), 0);
    free(rendered);
    return tokens;
}

size_t rig_reference(const struct rig *r, const struct sampler_params *p, int32_t *path, size_t n_path, size_t n,
                     float *logits)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = 1024;
    params.n_batch = params.n_ubatch = 1;
    params.n_seq_max = 1;
    params.n_threads = params.n_threads_batch = 1;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    params.kv_unified = false;
    params.no_perf = true;
    struct llama_context *ctx = llama_init_from_model(r->model->llama, params);
    assert_non_null(ctx);
    struct sampler *s = sampler_create((size_t)r->model->n_vocab);
    size_t made = 0, prompt_len = n_path;
    for (size_t at = 0; made < n; at++) {
        assert_int_equal(llama_decode(ctx, llama_batch_get_one(&path[at], 1)), 0);
        if (at + 1 < n_path)
            continue;
        const float *row = llama_get_logits_ith(ctx, 0);
        if (logits != NULL)
            memcpy(logits + made * (size_t)r->model->n_vocab, row, (size_t)r->model->n_vocab * sizeof(*row));
        path[n_path] = sampler_pick(s, p, row, path, n_path, prompt_len).token;
        n_path++;
        made++;
        if (node_model_is_eog(r->model, path[n_path - 1]))
            break;
    }
    sampler_destroy(s);
    llama_free(ctx);
    return made;
}

struct sampler_params rig_params(double temperature, uint64_t seed)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.temperature = temperature;
    p.seed = seed;
    return p;
}

uint32_t rig_random(uint64_t *state, uint32_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*state >> 33) % below);
}
