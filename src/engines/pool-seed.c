/* The moment before a start in which workers get their share of the model beforehand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "engines/pool-internal.h"

static void on_done(void *arg, const char *note)
{
    struct pool *p = arg;
    p->preseed = NULL;
    snprintf(p->preseed_note, sizeof(p->preseed_note), "%.511s", note);
    p->preseed_then(p);
}

bool pool_seed_begin(struct pool *p, const struct pool_launch *l, const char *model, void (*then)(struct pool *p))
{
    pool_seed_end(p);
    if (p->preseeded != NULL && strcmp(p->preseeded, model) == 0)
        return false;
    pool_seed_forget(p);
    p->preseeded = xstrdup(model);
    if (l->shares.why[0] != '\0')
        log_info("the workers get all of %s from here: %s", model, l->shares.why);
    p->preseed_then = then;
    p->preseed = pool_preseed_start(p->base, p->http, p->cfg, &l->shares, 0, on_done, p);
    return p->preseed != NULL;
}

void pool_seed_end(struct pool *p)
{
    pool_preseed_cancel(p->preseed);
    p->preseed = NULL;
}

void pool_seed_forget(struct pool *p)
{
    free(p->preseeded);
    p->preseeded = NULL;
    p->preseed_note[0] = '\0';
}
