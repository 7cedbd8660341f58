#include "engines/proxy-pool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"
#include "engines/gate.h"
#include "engines/proxy-internal.h"

void proxy_pool_attach(struct proxy *p, const struct proxy_pool_ops *ops, void *arg)
{
    p->pool = ops;
    p->pool_arg = arg;
    if (ops != NULL)
        proxy_fill_snapshot(p);
}

void proxy_pool_expect(struct proxy *p, enum proxy_pool_hope hope, const char *why)
{
    snprintf(p->trouble, sizeof(p->trouble), "%s", why != NULL ? why : "");
    if (p->hope == PROXY_POOL_COMING && hope != PROXY_POOL_COMING) { /* the time until now did not count */
        int64_t now = clock_us();
        if (p->target_down_us != 0)
            p->target_down_us = now;
        for (struct proxy_answer *a = p->running.first; a != NULL; a = a->next) {
            if (a->lost_us != 0 && a->target == p->target)
                a->lost_us = now;
        }
    }
    p->hope = hope;
}

void proxy_pool_hang_up(struct proxy *p)
{
    backend_hang_up(p->target->backend);
}

void proxy_pool_probe(struct proxy *p)
{
    member_probe_now(p->target);
}

bool proxy_pool_target_up(const struct proxy *p)
{
    return member_up(p->target);
}

void proxy_pool_probe_drafter(struct proxy *p, const char *url)
{
    for (size_t i = 0; i < p->n_drafters; i++) {
        const char *at = p->drafter[i]->backend->cfg.url;
        if (at != NULL && strcmp(at, url) == 0)
            member_probe_now(p->drafter[i]);
    }
}

bool proxy_pool_noise(const struct proxy *p, double *noise)
{
    const struct backend_info *info = &p->target->backend->info;
    const char *rollback = json_string_value(json_object_get(info->raw, "rollback"));
    *noise = info->noise;
    return info->known && info->batch_invariant_known && isfinite(info->noise) &&
           info->batch_invariant == (info->noise == 0) && rollback != NULL && strcmp(rollback, "truncate") == 0;
}

void proxy_pool_set_patience(struct proxy *p, int floor_ms)
{
    member_set_patience(p->target, floor_ms);
}

void proxy_pool_hold(struct proxy *p, const char *next, void (*fn)(void *arg), void *arg)
{
    free(p->next_model);
    p->next_model = xstrdup(next);
    p->held = true;
    p->held_idle = fn;
    p->held_idle_arg = arg;
    proxy_wake(p);
}

void proxy_pool_release(struct proxy *p, const char *why)
{
    p->held = false;
    p->held_idle = NULL;
    free(p->next_model);
    p->next_model = NULL;
    for (struct proxy_answer *a = p->queue.first, *next; a != NULL; a = next) {
        next = a->next;
        if (!proxy_serves_name(p, a->req.model))
            proxy_answer_fail(a, 503, "server_error", "model_not_loaded", "model %s is not there: %s", a->req.model,
                              why != NULL ? why : "it was not loaded");
    }
    proxy_wake(p);
}

bool proxy_pool_held(const struct proxy *p)
{
    return p->held;
}

int proxy_pool_set_target(struct proxy *p, const struct config_server *s, char **cause)
{
    if (p->n_leaving == ARRAY_LEN(p->leaving))
        return cause_set(cause, "too many servers leave at once: try again");
    if (p->running.n > 0)
        return cause_set(cause, "%u answers still run on %s", (unsigned)p->running.n, p->target->name);
    struct member *m = proxy_make_member(p, ROLE_TARGET, s, cause);
    if (m == NULL)
        return -1;
    for (size_t i = 0; i < p->n_drafters; i++)
        member_forget_vocab(p->drafter[i]);
    gate_target_replaced(p->gate);
    consensus_target_replaced(&p->consensus);
    p->leaving[p->n_leaving++] = p->target;
    p->target = m;
    free(p->model);
    p->model = xstrdup(s->model_name);
    p->target_down_us = clock_us();
    governor_init(&p->governor);
    proxy_wake(p);
    return 0;
}

void proxy_pool_set_predict(struct proxy *p, int64_t tokens)
{
    p->predict = tokens;
}

int proxy_pool_add_drafter(struct proxy *p, const struct config_server *s, char **cause)
{
    if (proxy_add_drafter(p, s, cause) != 0)
        return -1;
    p->drafter[p->n_drafters - 1]->pooled = true;
    return 0;
}
