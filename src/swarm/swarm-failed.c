/* Pulls that have failed, and files that are given out no more: who has ordered one from a dashboard sees there what
 * has become of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "swarm/swarm-internal.h"

static void take_out(struct swarm *s, size_t i)
{
    free(s->failed[i].what);
    s->n_failed--;
    memmove(&s->failed[i], &s->failed[i + 1], (s->n_failed - i) * sizeof(s->failed[0]));
}

void swarm_failed_add(struct swarm *s, const char *what, const struct swarm_view_model *m, int64_t ms)
{
    swarm_failed_forget(s, what, m->id);
    if (s->n_failed == SWARM_FAILED_MAX)
        take_out(s, SWARM_FAILED_MAX - 1);
    memmove(&s->failed[1], &s->failed[0], s->n_failed * sizeof(s->failed[0]));
    s->failed[0] = (struct swarm_failed){
        .what = xstrdup(what), .until_ms = ms > 0 ? clock_us() / 1000 + ms : INT64_MAX, .model = *m};
    char *why = utf8_one_line(m->why);
    snprintf(s->failed[0].model.why, sizeof(s->failed[0].model.why), "%s", why);
    free(why);
    s->n_failed++;
}

void swarm_failed_forget(struct swarm *s, const char *what, const char *id)
{
    for (size_t i = s->n_failed; i-- > 0;) {
        const struct swarm_failed *f = &s->failed[i];
        bool same = what != NULL && strcmp(f->what, what) == 0;
        if (same || (id != NULL && id[0] != '\0' && strcmp(f->model.id, id) == 0))
            take_out(s, i);
    }
}

void swarm_failed_tick(struct swarm *s)
{
    int64_t now = clock_us() / 1000;
    for (size_t i = s->n_failed; i-- > 0;) {
        if (now >= s->failed[i].until_ms)
            take_out(s, i);
    }
}

void swarm_failed_fill(const struct swarm *s, struct swarm_view *v)
{
    for (size_t i = 0; i < s->n_failed; i++) {
        const struct swarm_view_model *m = &s->failed[i].model;
        if (m->id[0] != '\0' && swarm_item_of(s, m->id) != NULL)
            continue;
        v->models_in_all++;
        if (v->n_models < SWARM_VIEW_MODELS)
            v->model[v->n_models++] = *m;
    }
}

void swarm_failed_finish(struct swarm *s)
{
    while (s->n_failed > 0)
        take_out(s, s->n_failed - 1);
}
