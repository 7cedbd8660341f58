/* The pool's part of the snapshot. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "engines/pool-internal.h"

/* While answers wait for a swap their number and their time are what matters. */
static void explain(const struct pool *p, struct snapshot_pool *out)
{
    const struct snapshot *s = proxy_snapshot(p->proxy);
    double seconds = (double)(clock_us() - p->state_us) / 1e6;
    if (p->preseed != NULL) {
        int n =
            snprintf(out->why, sizeof(out->why), "the workers get %s first: ", p->next != NULL ? p->next : p->model);
        if (n > 0 && (size_t)n < sizeof(out->why))
            pool_preseed_text(p->preseed, out->why + n, sizeof(out->why) - (size_t)n);
        return;
    }
    if (p->state == POOL_DRAINING && p->next != NULL)
        snprintf(out->why, sizeof(out->why), "%u answer%s on %s before %s is loaded; %u wait, for %.1f s so far",
                 (unsigned)s->running, s->running == 1 ? " is finished" : "s are finished", p->model, p->next,
                 (unsigned)s->queued, seconds);
    else if (p->state == POOL_UP && p->next != NULL)
        snprintf(out->why, sizeof(out->why), "looking whether %s can be loaded", p->next);
    else
        snprintf(out->why, sizeof(out->why), "%s", p->why);
}

void pool_fill_snapshot(void *arg, struct snapshot_pool *out)
{
    const struct pool *p = arg;
    int64_t now = clock_us();
    out->configured = true;
    out->up = p->state == POOL_UP || p->state == POOL_DRAINING;
    snprintf(out->state, sizeof(out->state), "%s", pool_state_name(p->state));
    explain(p, out);
    out->state_ms = (now - p->state_us) / 1000;
    snprintf(out->model, sizeof(out->model), "%s", p->model);
    /* From the order to the end of the swap, also while the new one is being loaded. */
    snprintf(out->next, sizeof(out->next), "%s",
             p->next != NULL                       ? p->next
             : p->previous != NULL || p->reloading ? p->model
                                                   : "");
    if (p->drafter.wanted && p->drafter.name != NULL)
        snprintf(out->draft, sizeof(out->draft), "%s", p->drafter.name);
    long pid = (long)pool_server_pid(&p->server);
    if (pid != 0 && p->launch != NULL)
        snprintf(out->server, sizeof(out->server), "%s, pid %ld", p->launch->program, pid);
    out->pid = pid;
    out->draft_pid = (long)pool_server_pid(&p->drafter.server);
    out->progress = p->server.progress;
    out->load_ms = p->server.load_ms;
    out->pause_ms = p->pause_ms;
    out->retry_ms = p->retry_us != 0 ? (p->retry_us > now ? (p->retry_us - now) / 1000 : 0) : -1;
    out->restarts = p->restarts;
    out->swaps = p->swaps;
    snprintf(out->swap_error, sizeof(out->swap_error), "%s", p->swap_error);
    snprintf(out->log, sizeof(out->log), "%s", p->log != NULL ? p->log : "");
    if (p->drafter.wanted && p->draft_log != NULL)
        snprintf(out->draft_log, sizeof(out->draft_log), "%s", p->draft_log);
    out->reclaimed = p->reclaimed;
    out->reclaims = p->reclaims;
    snprintf(out->reclaim_note, sizeof(out->reclaim_note), "%s", p->reclaim_note);
    if (p->launch == NULL)
        return;
    memcpy(out->device, p->launch->device, sizeof(out->device));
    out->n_devices = p->launch->n_devices;
    for (size_t i = 0; i < out->n_devices; i++) {
        struct snapshot_device *d = &out->device[i];
        if (d->reason[0] == '\0')
            d->health = p->state == POOL_UP || p->state == POOL_DRAINING ? HEALTH_UP : HEALTH_UNKNOWN;
    }
}
