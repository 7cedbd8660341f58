#include "node/core.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <llama.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/context.h"
#include "node/scheduler.h"
#include "node/selftest.h"
#include "node/work.h"

enum message_kind { MESSAGE_OPEN, MESSAGE_CLOSE, MESSAGE_JOB };

/* From the loop to the inference thread. */
struct message {
    enum message_kind kind;
    int64_t session;
    struct sampler_params params; /* OPEN: owned */
    size_t prompt_len;
    struct node_work *work; /* JOB */
    struct message *next;
};

struct node_core {
    struct node_model *model;
    struct llama_context *ctx;
    struct node_core_info info;
    struct sched sched;
    struct outbox outbox;
    struct event *wake;
    int64_t next_session;
    pthread_t thread;
    bool running;
    atomic_bool stop;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t news;
    struct message *first, **last;
    bool kicked; /* something was cancelled, paused or resumed */
};

/* How the load's progress is shared out: reading the file, then testing. */
static const double LOADED = 0.9;

struct progress {
    node_progress_fn *fn;
    void *arg;
};

static bool on_load(double fraction, void *arg)
{
    struct progress *p = arg;
    return p->fn == NULL || p->fn(fraction * LOADED, p->arg);
}

static bool on_test(double fraction, void *arg)
{
    struct progress *p = arg;
    return p->fn == NULL || p->fn(LOADED + fraction * (1 - LOADED), p->arg);
}

void node_core_options_init(struct node_core_options *o)
{
    *o = (struct node_core_options){.model = {.n_gpu_layers = -1, .mmap = true},
                                    .ctx = -1,
                                    .slots = 4,
                                    .batch = 512,
                                    .flash = NODE_FLASH_OFF,
                                    .selftest = true,
                                    .noise = NAN};
}

static bool on_abort(void *arg)
{
    struct node_core *c = arg;
    return atomic_load_explicit(&c->stop, memory_order_relaxed);
}

static void report(const struct node_core *c)
{
    const struct node_core_info *i = &c->info;
    const char *verdict = !c->info.selftest.rows ? isnan(i->noise) ? "not tested" : "not tested again"
                          : i->batch_invariant   ? "batched and single passes agree bit for bit"
                                                 : "batched and single passes differ";
    log_info("%s: %s, %d slots of %d tokens, %d threads, rollback by %s; %s%s", c->model->name, c->model->description,
             i->slots, i->n_ctx, i->threads, node_rollback_name(i->rollback), verdict,
             i->selftest.rows && !i->batch_invariant ? " (near-ties may fall either way)" : "");
}

/* Makes the context and tests it. */
static int make_context(struct node_core *c, const struct node_core_options *o, size_t *n_outputs, struct progress *p,
                        char **cause)
{
    llama_free(c->ctx);
    c->ctx = context_create(c->model, o, &c->info, n_outputs, cause);
    if (c->ctx == NULL || selftest_rollback(c->ctx, c->model, &c->info.rollback, cause) < 0)
        return -1;
    if (!isnan(o->noise)) {
        c->info.noise = o->noise;
        c->info.batch_invariant = o->noise == 0;
        return 0;
    }
    return o->selftest ? selftest_run(c->ctx, c->model, *n_outputs, &c->info, on_test, p, cause) : 0;
}

static bool on_cpu_alone(const struct node_model *m)
{
    return strcmp(m->devices[0], "CPU") == 0 && m->devices[1] == NULL;
}

/* ggml has kernels for many tokens that give other bits than those for few, on this CPU or the next.  A CPU takes about
 * the same time either way, so there fewer are taken at once; on a GPU, or over a network, it would be far too dear. */
static int settle_context(struct node_core *c, const struct node_core_options *o, size_t *n_outputs, struct progress *p,
                          char **cause)
{
    static const int32_t fewer[] = {4, 1};
    if (make_context(c, o, n_outputs, p, cause) < 0)
        return -1;
    struct node_core_options less = *o;
    for (size_t i = 0;
         i < ARRAY_LEN(fewer) && o->selftest && o->ubatch == 0 && o->flash == NODE_FLASH_OFF && on_cpu_alone(c->model);
         i++) {
        if (c->info.batch_invariant)
            break;
        log_info("%s: computing %d tokens at once gives other bits than one by one (by up to %.3g): trying %d",
                 c->model->name, c->info.ubatch, c->info.noise, fewer[i]);
        less.ubatch = fewer[i];
        if (make_context(c, &less, n_outputs, p, cause) < 0)
            return -1;
    }
    return 0;
}

struct node_core *node_core_load(const struct node_core_options *o, node_progress_fn *progress, void *arg, char **cause)
{
    int64_t start = clock_us();
    size_t n_outputs;
    struct progress p = {.fn = progress, .arg = arg};
    struct node_core *c = xcalloc(1, sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->news, &monotonic);
    pthread_condattr_destroy(&monotonic);
    outbox_init(&c->outbox);
    c->last = &c->first;
    c->info.noise = NAN;
    c->model = node_model_load(&o->model, on_load, &p, cause);
    if (c->model == NULL)
        goto fail;
    if (settle_context(c, o, &n_outputs, &p, cause) < 0)
        goto fail;
    if (c->info.rollback == NODE_ROLLBACK_TRUNCATE)
        c->info.branches = c->info.slots - 1 < NODE_BRANCHES_MAX ? c->info.slots - 1 : NODE_BRANCHES_MAX;
    sched_init(&c->sched, c->ctx, c->model, &c->outbox, &c->info, n_outputs);
    if (o->draft_rate > 0)
        c->sched.draft_us = 1e6 / o->draft_rate;
    sched_warm_up(&c->sched);
    llama_set_abort_callback(c->ctx, on_abort, c);
    /* Large and random: a node that was restarted must not take an old session for one of its own. */
    c->next_session = (int64_t)(sampler_random_seed() | 1) + 1;
    c->info.load_us = clock_us() - start;
    report(c);
    return c;
fail:
    node_core_destroy(c);
    return NULL;
}

/* The inference thread: true when there was something. */
static bool take_messages(struct node_core *c)
{
    pthread_mutex_lock(&c->lock);
    struct message *m = c->first;
    c->first = NULL;
    c->last = &c->first;
    c->kicked = false;
    pthread_mutex_unlock(&c->lock);
    bool any = m != NULL;
    while (m != NULL) {
        struct message *next = m->next;
        if (m->kind == MESSAGE_OPEN)
            sched_open(&c->sched, m->session, &m->params, m->prompt_len);
        else if (m->kind == MESSAGE_CLOSE)
            sched_close(&c->sched, m->session);
        else
            sched_submit(&c->sched, m->work);
        free(m);
        m = next;
    }
    return any;
}

/* With the lock held.  false: it is time for what the scheduler holds back. */
static bool wait_for_news(struct node_core *c)
{
    int64_t until = c->sched.wake_us;
    if (until == 0)
        return pthread_cond_wait(&c->news, &c->lock) == 0;
    struct timespec t = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
    return pthread_cond_timedwait(&c->news, &c->lock, &t) != ETIMEDOUT;
}

static void *inference_thread(void *arg)
{
    struct node_core *c = arg;
    while (!atomic_load(&c->stop)) {
        take_messages(c);
        bool worked = sched_step(&c->sched);
        outbox_publish(&c->outbox);
        pthread_mutex_lock(&c->lock);
        bool late = false;
        while (!worked && !late && c->first == NULL && !c->kicked && !atomic_load(&c->stop))
            late = !wait_for_news(c);
        pthread_mutex_unlock(&c->lock);
    }
    return NULL;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct node_core *c = arg;
    outbox_deliver(&c->outbox);
}

void node_core_start(struct node_core *c, struct event_base *base)
{
    c->wake = event_new(base, c->outbox.wake, EV_READ | EV_PERSIST, on_wake, c);
    if (c->wake == NULL || event_add(c->wake, NULL) != 0 ||
        pthread_create(&c->thread, NULL, inference_thread, c) != 0) {
        log_error("the inference thread could not be started");
        abort();
    }
    c->running = true;
}

static void kick(struct node_core *c)
{
    pthread_mutex_lock(&c->lock);
    c->kicked = true;
    pthread_cond_signal(&c->news);
    pthread_mutex_unlock(&c->lock);
}

static void detach(struct node_work *w)
{
    if (w->job != NULL)
        w->job->work = NULL;
    w->job = NULL;
}

/* The thread has ended: whatever is on its way goes no further. */
static void drop_everything(struct node_core *c)
{
    take_messages(c);
    for (size_t i = 0; i < c->sched.n_active; i++)
        detach(c->sched.active[i]);
    /* Works in the outbox that are done are nobody else's; the others are among the active ones. */
    for (struct node_work *w = c->outbox.first, *next; w != NULL; w = next) {
        next = w->next_ready;
        if (!w->done)
            continue;
        detach(w);
        work_free(w);
    }
}

void node_core_destroy(struct node_core *c)
{
    if (c == NULL)
        return;
    if (c->running) {
        atomic_store(&c->stop, true);
        kick(c);
        pthread_join(c->thread, NULL);
    }
    if (c->sched.ctx != NULL) {
        drop_everything(c);
        sched_finish(&c->sched);
    }
    if (c->wake != NULL)
        event_free(c->wake);
    outbox_finish(&c->outbox);
    llama_free(c->ctx);
    node_model_destroy(c->model);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->news);
    free(c);
}

const struct node_model *node_core_model(const struct node_core *c)
{
    return c->model;
}

const struct node_core_info *node_core_info(const struct node_core *c)
{
    return &c->info;
}

void node_core_counters(struct node_core *c, struct node_core_counters *out)
{
    pthread_mutex_lock(&c->outbox.lock);
    *out = c->outbox.counters;
    pthread_mutex_unlock(&c->outbox.lock);
}

const char *node_rollback_name(enum node_rollback r)
{
    static const char *const names[] = {"truncate", "snapshot", "reprefill"};
    return names[r];
}

const char *node_reason_name(enum node_job_reason r)
{
    static const char *const names[] = {"n", "eog", "ctx", "p_min", "superseded"};
    return names[r];
}

static void post(struct node_core *c, struct message m)
{
    struct message *copy = xmemdup(&m, sizeof(m));
    pthread_mutex_lock(&c->lock);
    *c->last = copy;
    c->last = &copy->next;
    pthread_cond_signal(&c->news);
    pthread_mutex_unlock(&c->lock);
}

int64_t node_session_open(struct node_core *c, const struct sampler_params *params, size_t prompt_len)
{
    struct message m = {.kind = MESSAGE_OPEN, .session = c->next_session++, .prompt_len = prompt_len};
    sampler_params_copy(&m.params, params);
    post(c, m);
    return m.session;
}

void node_session_close(struct node_core *c, int64_t session)
{
    post(c, (struct message){.kind = MESSAGE_CLOSE, .session = session});
}

struct node_job *node_job_create(enum node_job_kind kind, int64_t session)
{
    struct node_job *job = xcalloc(1, sizeof(*job));
    job->kind = kind;
    job->session = session;
    job->n_logprobs = -1;
    job->taken = -1;
    return job;
}

void node_job_destroy(struct node_core *c, struct node_job *job)
{
    if (job == NULL)
        return;
    node_core_cancel(c, job);
    free(job->tokens);
    free(job->draft);
    for (size_t i = 0; i < job->n_branches; i++)
        free(job->branch[i].tokens);
    free(job->out);
    free(job->grown);
    free(job->top);
    free(job->message);
    free(job);
}

void node_core_submit(struct node_core *c, struct node_job *job)
{
    post(c, (struct message){.kind = MESSAGE_JOB, .work = work_create(job, (size_t)c->model->n_vocab)});
}

void node_core_cancel(struct node_core *c, struct node_job *job)
{
    struct node_work *w = job->work;
    if (w == NULL)
        return;
    detach(w);
    atomic_store(&w->cancelled, true);
    kick(c);
}

static void set_paused(struct node_core *c, struct node_job *job, bool paused)
{
    if (job->work == NULL)
        return;
    atomic_store(&job->work->paused, paused);
    kick(c);
}

void node_core_pause(struct node_core *c, struct node_job *job)
{
    set_paused(c, job, true);
}

void node_core_resume(struct node_core *c, struct node_job *job)
{
    set_paused(c, job, false);
}
