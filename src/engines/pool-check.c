#include "engines/pool-check.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/mem.h"

/* Under 5 s in all.  A worker that was there a moment ago answers sooner, and open answers wait for it. */
enum { ASK_MS = 3000, ASK_AGAIN_MS = 1200, BUSY_MS = 1500, BUSY_LOOK_MS = 50 };

static void finding(struct pool_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One more thing that is wrong; all are told at once. */
static void finding(struct pool_check *c, const char *fmt, ...)
{
    size_t n = strlen(c->why);
    if (n > 0 && n + 2 < sizeof(c->why))
        n += (size_t)snprintf(c->why + n, sizeof(c->why) - n, "; ");
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->why + n, sizeof(c->why) - n, fmt, ap);
    va_end(ap);
    c->ok = false;
}

/* ---- the port ---- */

/* 0, or an errno value. */
static int try_bind(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0), on = 1, error = 0;
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, 1) != 0)
        error = errno;
    close(fd);
    return error;
}

static void check_port(struct pool_check *c)
{
    const struct config_coordinator *k = &c->cfg->pool.coordinator;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    char port[16];
    snprintf(port, sizeof(port), "%d", (int)k->port);
    int rc = getaddrinfo(k->host, port, &hints, &found);
    if (rc != 0) {
        finding(c, "this machine: coordinator.host %s: %s", k->host, gai_strerror(rc));
        return;
    }
    int error = try_bind(found);
    freeaddrinfo(found);
    if (error == EADDRINUSE)
        finding(c,
                "this machine: port %d of %s is taken by another program: end it (`ss -ltnp sport = :%d` names it), or "
                "choose another coordinator.port",
                (int)k->port, k->host, (int)k->port);
    else if (error == EADDRNOTAVAIL)
        finding(c, "this machine: coordinator.host %s is no address of this machine: 127.0.0.1 is one", k->host);
    else if (error != 0)
        finding(c, "this machine: nothing can listen at %s:%d: %s", k->host, (int)k->port, strerror(error));
}

/* ---- what it takes ---- */

/* The program, as it was found before where that is at hand. */
static bool find_program(struct pool_check *c)
{
    const char *path = c->cfg->pool.binaries.coordinator != NULL ? c->cfg->pool.binaries.coordinator : c->node;
    char *cause = NULL;
    if (path == NULL) {
        finding(c, "this machine: %s", c->node_cause);
        return false;
    }
    if (c->program.path != NULL && strcmp(c->program.path, path) != 0)
        pool_program_finish(&c->program);
    if ((c->program.path == NULL && pool_program_find(c->cfg, c->node, &c->program, &cause) != 0) ||
        pool_argv_check_extra(c->cfg, c->program.help, &cause) != 0)
        finding(c, "%s", cause);
    bool found = cause == NULL;
    free(cause);
    return found;
}

static bool is_busy(const struct pool_facts *f)
{
    bool busy = false;
    for (size_t i = 0; i < f->n_servers; i++)
        busy = busy || f->servers[i].state == RPC_CLOSED;
    return busy;
}

/* Who is there.  Workers that serve now are not asked: one that has a client answers nobody else. */
static void find_workers(struct pool_check *c, char **trouble)
{
    if (c->serving) {
        *trouble = NULL;
        return;
    }
    struct pool_facts before = c->facts;
    size_t n_missing;
    /* One that has just lost its client may need a moment to see that. */
    for (int64_t until = clock_us() + BUSY_MS * 1000; clock_us() < until;) {
        pool_facts_ask(c->cfg, c->can_do_without ? ASK_AGAIN_MS : ASK_MS, false, &before, &c->facts);
        if (!is_busy(&c->facts))
            break;
        nanosleep(&(struct timespec){0, BUSY_LOOK_MS * 1000000}, NULL);
    }
    *trouble = pool_facts_trouble(&c->facts, &n_missing);
    if (*trouble == NULL || c->can_do_without)
        return;
    finding(c, "%s", *trouble);
    c->worker_trouble = true;
}

static bool uses_cpu(const struct pool_plan *plan)
{
    for (size_t i = 0; i < plan->split->n_parts; i++) {
        const struct split_part *x = &plan->split->parts[i];
        if (plan->devices[x->device].kind == SPLIT_CPU && (x->n > 0 || x->output))
            return true;
    }
    return false;
}

static void show_devices(const struct pool_check *c, const struct pool_plan *plan, struct pool_launch *l)
{
    for (size_t i = 0; i < plan->split->n_parts && l->n_devices < SNAPSHOT_DEVICES; i++) {
        const struct split_part *x = &plan->split->parts[i];
        const struct split_device *d = &plan->devices[x->device];
        struct snapshot_device *out = &l->device[l->n_devices++];
        *out = (struct snapshot_device){.first_layer = (int32_t)x->first,
                                        .n_layers = (int32_t)x->n,
                                        .bytes = (int64_t)(x->weights + x->kv + x->compute),
                                        .memory = (int64_t)x->usable};
        snprintf(out->machine, sizeof(out->machine), "%s", d->machine);
        snprintf(out->name, sizeof(out->name), "%s", d->name);
        snprintf(out->address, sizeof(out->address), "%.95s", d->endpoint != NULL ? d->endpoint : "");
    }
    for (size_t i = 0; i < c->facts.n_servers && l->n_devices < SNAPSHOT_DEVICES; i++) {
        const struct pool_server_fact *f = &c->facts.servers[i];
        if (f->state == RPC_OK || !pool_server_is_configured(c->cfg, f))
            continue;
        struct snapshot_device *out = &l->device[l->n_devices++];
        *out = (struct snapshot_device){.first_layer = -1, .bytes = -1, .memory = -1, .health = HEALTH_DOWN};
        const struct config_worker *w = &c->cfg->pool.workers[f->worker];
        const char *name = w->gpus[f->gpu].name;
        snprintf(out->machine, sizeof(out->machine), "%s", w->name);
        snprintf(out->name, sizeof(out->name), "%s", name != NULL ? name : "");
        snprintf(out->address, sizeof(out->address), "%.95s", f->endpoint);
        snprintf(out->reason, sizeof(out->reason), "%.127s", f->text);
        l->n_missing++;
    }
}

/* ggml looks for a debugger when it gives up, which takes seconds that open answers wait for. */
static void no_backtrace(struct pool_argv *a)
{
    size_t n = 0;
    while (a->env != NULL && a->env[n] != NULL)
        n++;
    a->env = xreallocarray(a->env, n + 2, sizeof(*a->env));
    a->env[n] = xstrdup("GGML_NO_BACKTRACE=1");
    a->env[n + 1] = NULL;
}

static void make_launch(struct pool_check *c, const struct config_model *m, const struct pool_plan *plan)
{
    struct pool_launch *l = xcalloc(1, sizeof(*l));
    const char *const program[] = {c->program.path, NULL}, *const node[] = {c->node, NULL};
    struct pool_argv_ask ask = {.cfg = c->cfg,
                                .model = m,
                                .path = plan->path,
                                .binary = c->program.kind,
                                .program = program,
                                .help = c->program.help,
                                .plan = plan->split,
                                .devices = plan->devices,
                                .ctx = plan->ctx,
                                .verify_slots = plan->verify_slots};
    char *cause = NULL;
    const char *slash = strrchr(c->program.path, '/');
    c->launch = l;
    l->url = config_pool_url(c->cfg);
    l->program = xstrdup(slash != NULL ? slash + 1 : c->program.path);
    l->stock = c->program.kind == POOL_LLAMA_SERVER;
    l->path = xstrdup(plan->path);
    l->bytes = (int64_t)plan->split->weights;
    l->maps_file = uses_cpu(plan);
    show_devices(c, plan, l);
    pool_shares_make(&l->shares, c->cfg, plan);
    if (pool_argv_coordinator(&ask, &l->run, &cause) != 0) {
        finding(c, "%s", cause);
        free(cause);
        return;
    }
    no_backtrace(&l->run);
    const struct config_model *d = plan->draft_path != NULL ? config_model_find(c->cfg, m->draft) : NULL;
    if (d == NULL || c->node == NULL)
        return;
    int port = child_free_port(0);
    l->draft_url = xasprintf("http://127.0.0.1:%d", port);
    l->drafts = true;
    ask = (struct pool_argv_ask){.cfg = c->cfg,
                                 .model = d,
                                 .path = plan->draft_path,
                                 .binary = POOL_NODE,
                                 .program = node,
                                 .ctx = plan->draft_ctx};
    pool_argv_drafter(&ask, port, plan->draft_gpu, &l->draft);
    no_backtrace(&l->draft);
}

static void check_plan(struct pool_check *c, const struct config_model *m, const char *trouble)
{
    char *cause = NULL;
    struct pool_plan *plan = pool_plan_make(c->cfg, m, c->program.kind, &c->facts, &cause);
    if (plan == NULL) {
        finding(c, "this machine: %s", cause);
    } else if (!plan->split->fits) {
        /* Where a worker is missing it is the worker that is waited for. */
        c->waits_for_worker = plan->n_missing > 0;
        if (trouble != NULL)
            finding(c, "%s", trouble);
        finding(c, "%s: model %s: %s", c->cfg->pool.n_workers > 0 ? "the pool's machines" : "this machine", m->name,
                plan->split->reason);
    } else if (c->ok) {
        make_launch(c, m, plan);
    }
    pool_plan_destroy(plan);
    free(cause);
}

void pool_check_run(struct pool_check *c)
{
    const struct config_model *m = config_model_find(c->cfg, c->model);
    char *trouble = NULL;
    c->ok = true;
    if (m == NULL) {
        finding(c, "model %s is not configured any more", c->model);
        return;
    }
    if (!find_program(c))
        return;
    if (!c->serving)
        check_port(c);
    find_workers(c, &trouble);
    if (trouble == NULL || c->can_do_without)
        check_plan(c, m, trouble);
    free(trouble);
}

void pool_check_finish(struct pool_check *c)
{
    config_destroy(c->cfg);
    free(c->model);
    free(c->node);
    free(c->node_cause);
    pool_program_finish(&c->program);
}

void pool_launch_destroy(struct pool_launch *l)
{
    if (l == NULL)
        return;
    pool_argv_finish(&l->run);
    pool_argv_finish(&l->draft);
    char *texts[] = {l->url, l->draft_url, l->program, l->path, l->line};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    free(l);
}
