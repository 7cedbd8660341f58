#include "cmd/demo-drawer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/self.h"

enum {
    UP_MS = 20000,    /* for a program to listen */
    READY_MS = 180000 /* for a model to load, over a slow link */
};

int drawer_link_parse(struct drawer_link *link, const char *option, const char *text, char **cause)
{
    char *end = NULL;
    *link = (struct drawer_link){.given = text != NULL};
    if (text == NULL)
        return 0;
    link->delay_ms = strtod(text, &end);
    bool wrong = end == text || !(link->delay_ms >= 0 && link->delay_ms <= 10000);
    if (!wrong && *end == ',') {
        const char *rate = end + 1;
        link->rate_mbit = strtod(rate, &end);
        wrong = end == rate || !(link->rate_mbit > 0 && link->rate_mbit <= 1000000);
    }
    if (wrong || *end != '\0')
        return cause_set(cause, "--%s is \"%s\": MS or MS,MBIT is wanted, such as 2 or 2,100", option, text);
    return 0;
}

char *drawer_link_text(const struct drawer_link *link)
{
    if (!link->given)
        return xstrdup("no emulated link");
    if (link->rate_mbit > 0)
        return xasprintf("%g ms one way, %g Mbit/s", link->delay_ms, link->rate_mbit);
    return xasprintf("%g ms one way", link->delay_ms);
}

char *drawer_front(struct stack *s, const struct drawer_link *link, const char *address, char **cause)
{
    if (!link->given)
        return xstrdup(address);
    struct stack_argv a = {0};
    char *self = self_program();
    stack_arg(&a, "%s", self);
    free(self);
    stack_arg(&a, "relay");
    stack_arg(&a, "--to");
    stack_arg(&a, "%s", address);
    stack_arg(&a, "--listen");
    stack_arg(&a, "127.0.0.1:0");
    stack_arg(&a, "--delay");
    stack_arg(&a, "%g", link->delay_ms);
    stack_arg(&a, "--rate");
    stack_arg(&a, "%g", link->rate_mbit);
    struct stack_program *p = stack_start(s, "a link", &a, cause);
    if (p == NULL || stack_wait_line(s, p, UP_MS, cause) != 0)
        return NULL;
    return xstrdup(p->address);
}

static int start_worker(struct drawer *d, size_t i, char **cause)
{
    struct stack_argv a = {0};
    stack_arg(&a, "%s", d->node);
    stack_arg(&a, "worker");
    stack_arg(&a, "--listen");
    stack_arg(&a, "127.0.0.1:0");
    stack_arg(&a, "--no-cache");
    stack_arg(&a, "--device");
    stack_arg(&a, "CPU");
    stack_arg(&a, "--threads");
    stack_arg(&a, "%d", d->opts.threads);
    char *name = xasprintf("worker %zu", i + 1);
    d->worker[i] = stack_start(d->stack, name, &a, cause);
    free(name);
    return d->worker[i] != NULL ? 0 : -1;
}

static void node_args(const struct drawer *d, struct stack_argv *a, const char *model)
{
    stack_arg(a, "%s", d->node);
    stack_arg(a, "-m");
    stack_arg(a, "%s", model);
    stack_arg(a, "--listen");
    stack_arg(a, "127.0.0.1:0");
    if (d->opts.ctx > 0) {
        stack_arg(a, "--ctx");
        stack_arg(a, "%d", d->opts.ctx);
    }
    stack_arg(a, "--slots");
    stack_arg(a, "%d", d->opts.slots);
    if (d->opts.threads > 0) {
        stack_arg(a, "--threads");
        stack_arg(a, "%d", d->opts.threads);
    }
}

char *drawer_model_name(const char *path)
{
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    const char *dot = strrchr(name, '.');
    return xstrndup(name, dot != NULL && dot > name ? (size_t)(dot - name) : strlen(name));
}

static int start_drafter(struct drawer *d, size_t i, char **cause)
{
    struct stack_argv a = {0};
    char *model = drawer_model_name(d->opts.drafters[i]);
    char *name = d->opts.n_drafters > 1 ? xasprintf("the drafter %s", model) : xstrdup("the drafter");
    node_args(d, &a, d->opts.drafters[i]);
    if (d->opts.draft_rate > 0) {
        stack_arg(&a, "--draft-rate");
        stack_arg(&a, "%d", d->opts.draft_rate);
    }
    d->drafter[i] = stack_start(d->stack, name, &a, cause);
    free(name);
    free(model);
    return d->drafter[i] != NULL ? 0 : -1;
}

/* Waits for a drafter, and puts its link before it. */
static int await_drafter(struct drawer *d, size_t i, char **cause)
{
    struct stack_program *p = d->drafter[i];
    if (p != NULL && (stack_wait_line(d->stack, p, UP_MS, cause) != 0 ||
                      stack_wait_http(d->stack, p, "/health", NULL, READY_MS, cause) != 0))
        return -1;
    d->drafter_at[i] =
        drawer_front(d->stack, &d->opts.drafter_link, p != NULL ? p->address : d->opts.drafter_at, cause);
    return d->drafter_at[i] != NULL ? 0 : -1;
}

int drawer_start(struct drawer *d, struct stack *s, const struct drawer_opts *opts, char **cause)
{
    *d = (struct drawer){.stack = s, .opts = *opts};
    d->node = self_node(cause);
    if (d->node == NULL)
        return -1;
    /* All at once, then each is waited for. */
    for (size_t i = 0; opts->workers == NULL && i < opts->n_workers; i++) {
        if (start_worker(d, i, cause) != 0)
            return -1;
    }
    for (size_t i = 0; opts->drafter_at == NULL && i < opts->n_drafters; i++) {
        if (start_drafter(d, i, cause) != 0)
            return -1;
    }
    for (size_t i = 0; i < opts->n_workers; i++) {
        if (d->worker[i] != NULL && stack_wait_line(s, d->worker[i], UP_MS, cause) != 0)
            return -1;
        const char *at = d->worker[i] != NULL ? d->worker[i]->address : opts->workers[i];
        d->worker_at[i] = drawer_front(d->stack, &opts->link, at, cause);
        if (d->worker_at[i] == NULL)
            return -1;
    }
    for (size_t i = 0; i < opts->n_drafters; i++) {
        if (await_drafter(d, i, cause) != 0)
            return -1;
    }
    return 0;
}

char *drawer_workers(const struct drawer *d)
{
    char *list = xstrdup("");
    for (size_t i = 0; i < d->opts.n_workers; i++) {
        char *longer = xasprintf("%s%s%s", list, i > 0 ? "," : "", d->worker_at[i]);
        free(list);
        list = longer;
    }
    return list;
}

static void target_args(const struct drawer *d, struct stack_argv *a)
{
    node_args(d, a, d->opts.target);
    if (d->opts.n_workers == 0)
        return;
    char *rpc = drawer_workers(d);
    stack_arg(a, "--rpc");
    stack_arg(a, "%s", rpc);
    free(rpc);
}

int drawer_start_target(struct drawer *d, struct stack_argv *made, int port, char **cause)
{
    struct stack_argv a = {0};
    if (made == NULL)
        target_args(d, &a);
    d->target = stack_start(d->stack, "the target", made != NULL ? made : &a, cause);
    if (d->target != NULL && made != NULL)
        d->target->address = xasprintf("127.0.0.1:%d", port);
    if (d->target != NULL && stack_wait_line(d->stack, d->target, UP_MS, cause) == 0 &&
        stack_wait_http(d->stack, d->target, "/health", NULL, READY_MS, cause) == 0)
        return 0;
    drawer_end_target(d);
    return -1;
}

void drawer_end_target(struct drawer *d)
{
    stack_end(d->stack, d->target);
    d->target = NULL;
}

void drawer_finish(struct drawer *d)
{
    for (size_t i = 0; i < DRAWER_WORKERS; i++)
        free(d->worker_at[i]);
    for (size_t i = 0; i < DRAWER_DRAFTERS; i++)
        free(d->drafter_at[i]);
    free(d->node);
    *d = (struct drawer){0};
}
