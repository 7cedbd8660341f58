#include "probe/here.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/task.h"
#include "probe/cards.h"
#include "probe/gpu.h"
#include "probe/models-here.h"
#include "probe/tools.h"
#include "probe/topology.h"

enum { TOOL_MS = 5000 }; /* one question to a tool; the first after a boot can take seconds */

/* What one thread looks at.  It is the thread's until its work has ended, but for stop. */
struct part {
    struct here *h; /* the loop's business alone */
    const struct part_ops *ops;
    struct task *task; /* NULL: it has ended */
    atomic_bool stop;
    int64_t until; /* clock_us */
    struct here_opts opts;
    struct machine m;
};

struct part_ops {
    enum here_part part;
    const char *name; /* for the note when it takes too long */
    void (*work)(struct part *p);
};

enum { PARTS = 5 };

struct here {
    struct part *part[PARTS]; /* NULL: not asked for */
    int left;
    int timeout_ms;
    struct event *deadline;
    here_cb *cb;
    void *arg;
};

static int left_ms(const struct part *p, int most)
{
    int64_t left = (p->until - clock_us()) / 1000;
    return left < 1 ? 1 : left < most ? (int)left : most;
}

/* A tool that has ended badly, in words. */
static void explain(const struct child_result *r, char **cause)
{
    char *both = xasprintf("%s\n%s", r->out, r->err), *complaint = gpu_complaint(both);
    if (r->fate == CHILD_KILLED)
        cause_set(cause, "a signal ended it");
    else
        cause_set(cause, "%s", complaint);
    free(complaint);
    free(both);
}

static enum gpu_ran run_tool(const struct gpu_probe_ops *ops, const struct gpu_command *command, char **out,
                             char **cause, void *arg)
{
    struct part *p = arg;
    struct child_result r;
    const char *argv[GPU_ARGUMENTS + 1] = {NULL};
    char *path = tools_find(ops->name, ops->folders);
    enum gpu_ran ran = GPU_RAN_NOT;
    int timeout_ms = left_ms(p, TOOL_MS);
    if (path == NULL) {
        cause_set(cause, "not installed");
        return ran;
    }
    memcpy(argv, command->argv, sizeof(command->argv));
    argv[0] = path;
    child_run(argv, &(struct child_limits){timeout_ms, GPU_OUTPUT_MAX, &p->stop}, &r);
    switch (r.fate) {
    case CHILD_ENDED:
    case CHILD_KILLED:
        ran = r.fate == CHILD_ENDED && r.status == 0 ? GPU_RAN : GPU_RAN_BADLY;
        if (ran == GPU_RAN_BADLY)
            explain(&r, cause);
        *out = r.out;
        r.out = NULL;
        break;
    case CHILD_TOO_LATE:
        cause_set(cause, "no answer within %d s: the driver may hang", (timeout_ms + 500) / 1000);
        break;
    case CHILD_TOO_LONG:
        cause_set(cause, "it writes without end");
        break;
    case CHILD_FAILED:
        cause_set(cause, "%s cannot be started", path);
        break;
    }
    child_result_finish(&r);
    free(path);
    return ran;
}

static void work_hardware(struct part *p)
{
    topology_probe(&p->m);
    cards_probe(&p->m, "");
}

static void work_nvidia(struct part *p)
{
    gpu_probe_vendor(&p->m, GPU_NVIDIA, run_tool, p);
}

static void work_amd(struct part *p)
{
    gpu_probe_vendor(&p->m, GPU_AMD, run_tool, p);
}

static void work_tools(struct part *p)
{
    tools_probe(&p->m, p->opts.node, &p->stop);
}

static void work_models(struct part *p)
{
    struct models_here s = {p->opts.folders, p->opts.n_folders, left_ms(p, p->opts.timeout_ms) * 2 / 3, &p->stop};
    models_here_disks(&p->m, &s);
    models_here_probe(&p->m, &s);
}

static const struct part_ops parts[PARTS] = {
    {HERE_HARDWARE, "processor and buses", work_hardware}, {HERE_NVIDIA, "nvidia-smi", work_nvidia},
    {HERE_AMD, "amd-smi and rocm-smi", work_amd},          {HERE_TOOLS, "programs", work_tools},
    {HERE_MODELS, "models and disks", work_models},
};

static struct part *part_create(struct here *h, const struct part_ops *ops, const struct here_opts *opts,
                                int timeout_ms)
{
    struct part *p = xcalloc(1, sizeof(*p));
    char **folders = xcalloc(opts->n_folders + 1, sizeof(*folders));
    for (size_t i = 0; i < opts->n_folders; i++)
        folders[i] = xstrdup(opts->folders[i]);
    *p = (struct part){.h = h, .ops = ops, .until = clock_us() + (int64_t)timeout_ms * 1000};
    p->opts = (struct here_opts){.folders = (const char *const *)folders,
                                 .n_folders = opts->n_folders,
                                 .node = xstrdup(opts->node),
                                 .timeout_ms = timeout_ms};
    atomic_init(&p->stop, false);
    machine_init(&p->m, MACHINE_HERE);
    return p;
}

static void part_destroy(void *data)
{
    struct part *p = data;
    for (size_t i = 0; i < p->opts.n_folders; i++)
        free((char *)p->opts.folders[i]);
    free((void *)p->opts.folders);
    free((char *)p->opts.node);
    machine_finish(&p->m);
    free(p);
}

static void on_thread(void *data)
{
    struct part *p = data;
    p->ops->work(p);
}

/* Frees the part, or leaves it to its thread. */
static void part_leave(struct part *p)
{
    if (p == NULL)
        return;
    atomic_store(&p->stop, true);
    if (p->task != NULL)
        task_forget(p->task, part_destroy);
    else
        part_destroy(p);
}

static void here_free(struct here *h)
{
    for (size_t i = 0; i < PARTS; i++)
        part_leave(h->part[i]);
    event_free(h->deadline);
    free(h);
}

/* Whether a card of the bus is one that a tool has told of.  A tool that gives no buses stands for all of its vendor.
 */
static bool told(const struct machine *m, size_t first, const struct machine_gpu *card)
{
    for (size_t i = 0; i < first; i++) {
        const struct machine_gpu *g = &m->gpu[i];
        if (g->bus[0] != '\0' ? strcmp(g->bus, card->bus) == 0 : g->vendor == card->vendor)
            return true;
    }
    return false;
}

void here_settle_gpus(struct machine *m, size_t first)
{
    size_t to = first;
    for (size_t i = first; i < m->n_gpus; i++) {
        if (!told(m, first, &m->gpu[i]))
            m->gpu[to++] = m->gpu[i];
    }
    m->n_gpus = to;
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].unified && m->gpu[i].memory < 0)
            m->gpu[i].memory = m->memory;
    }
}

/* Puts the parts together: tools' cards first, then those which only the bus knows. */
static void merge(struct here *h, struct machine *m)
{
    struct machine bus;
    machine_init(m, MACHINE_HERE);
    machine_init(&bus, MACHINE_HERE);
    for (size_t i = 0; i < PARTS; i++) {
        struct part *p = h->part[i];
        if (p == NULL || p->task != NULL)
            continue;
        if (p->ops->part == HERE_HARDWARE) {
            struct machine lists = p->m;
            *m = p->m;
            machine_init(&p->m, MACHINE_HERE);
            m->gpu = NULL;
            m->n_gpus = 0;
            bus.gpu = lists.gpu;
            bus.n_gpus = lists.n_gpus;
        } else {
            machine_move_lists(m, &p->m);
        }
    }
    size_t first = m->n_gpus;
    machine_move_lists(m, &bus);
    machine_finish(&bus);
    here_settle_gpus(m, first);
    for (size_t i = 0; i < PARTS; i++) {
        if (h->part[i] != NULL && h->part[i]->task != NULL)
            machine_add_note(m, "%s: no answer within %d s", h->part[i]->ops->name, (h->timeout_ms + 500) / 1000);
    }
}

static void finish(struct here *h)
{
    struct machine m;
    here_cb *cb = h->cb;
    void *arg = h->arg;
    merge(h, &m);
    here_free(h);
    cb(&m, arg);
}

static void on_ended(void *data)
{
    struct part *p = data;
    p->task = NULL;
    if (--p->h->left == 0)
        finish(p->h);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    finish(arg);
}

struct here *here_probe(struct event_base *base, const struct here_opts *opts, here_cb *cb, void *arg)
{
    static const struct here_opts usual = {0};
    struct here *h = xcalloc(1, sizeof(*h));
    opts = opts != NULL ? opts : &usual;
    *h = (struct here){.cb = cb, .arg = arg, .timeout_ms = opts->timeout_ms > 0 ? opts->timeout_ms : HERE_TIMEOUT_MS};
    unsigned wanted = opts->parts != 0 ? opts->parts : HERE_ALL;
    for (size_t i = 0; i < PARTS; i++) {
        if ((wanted & parts[i].part) == 0)
            continue;
        struct part *p = h->part[i] = part_create(h, &parts[i], opts, h->timeout_ms);
        p->task = task_start(base, on_thread, on_ended, p);
        if (p->task != NULL)
            h->left++;
        else
            machine_add_note(&p->m, "%s: no thread to be had for it", parts[i].name);
    }
    struct timeval tv = {h->timeout_ms / 1000, h->timeout_ms % 1000 * 1000};
    h->deadline = event_new(base, -1, 0, on_deadline, h);
    if (h->left > 0)
        event_add(h->deadline, &tv);
    else
        event_active(h->deadline, EV_TIMEOUT, 0);
    return h;
}

void here_cancel(struct here *h)
{
    if (h != NULL)
        here_free(h);
}
