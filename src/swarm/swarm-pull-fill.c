/* What can be seen of a pull. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "swarm/swarm-pull.h"

static void fill_looking(const struct swarm_pull *p, struct swarm_view_model *m)
{
    m->state = SWARM_FINDING;
    if (p->ask != NULL)
        ask_state(p->ask, m->why, sizeof(m->why));
    else if (p->web != NULL)
        snprintf(m->why, sizeof(m->why), "its manifest is looked for at the URL");
    snprintf(m->name, sizeof(m->name), "%s", p->what.kind == WHAT_ID ? p->what.id : p->what.text);
    snprintf(m->id, sizeof(m->id), "%s", p->what.kind == WHAT_ID ? p->what.id : "");
}

/* The manifest is known and no transfer is on. */
static void fill_here(const struct swarm_pull *p, struct swarm_view_model *m)
{
    struct store *store = pull_store(p);
    const struct share *here = store != NULL && p->phase != PULL_OPENING ? store_share(store) : NULL;
    const char *why = "";
    m->size = p->m->total_size;
    m->pieces = (uint32_t)p->m->n_pieces;
    for (size_t i = 0; i < p->m->n_pieces; i++) {
        uint64_t size = p->m->piece[i].size;
        m->wanted += !p->layers || bits_has(&p->want, i) ? size : 0;
        m->have += here != NULL && bits_has(&here->have, i) && (!p->layers || bits_has(&p->want, i)) ? size : 0;
    }
    m->pieces_have = here != NULL ? (uint32_t)here->have.count : 0;
    if (p->phase == PULL_LANDING) {
        m->state = p->why != NULL ? SWARM_WAITING : SWARM_LANDING;
        why = p->why != NULL ? p->why : "";
    } else {
        m->state = SWARM_HASHING;
        why = p->phase == PULL_OPENING     ? "what is on the disk of it is checked"
              : p->phase == PULL_COMPARING ? "local models are looked through for pieces of it"
              : p->phase == PULL_COPYING   ? "pieces are copied from local models"
              : p->phase == PULL_READING   ? "its head is read, for where the layers lie"
                                           : "";
    }
    snprintf(m->why, sizeof(m->why), "%s", why);
    if (p->phase == PULL_OPENING && store != NULL)
        store_progress(store, &m->have, &m->wanted);
}

void swarm_pull_view(const struct swarm_pull *p, struct swarm_view_model *m, struct swarm_view *v)
{
    struct swarm_view *own = v == NULL ? xcalloc(1, sizeof(*own)) : NULL;
    *m = (struct swarm_view_model){.eta = NAN, .availability = NAN};
    if (p->m != NULL) {
        snprintf(m->id, sizeof(m->id), "%s", p->m->id);
        snprintf(m->name, sizeof(m->name), "%s", p->m->model != NULL ? p->m->model : p->m->filename);
        snprintf(m->file, sizeof(m->file), "%s", p->m->filename);
    }
    if (p->transfer != NULL && p->phase == PULL_FETCHING)
        transfer_fill(p->transfer, m, v != NULL ? v : own);
    else if (p->phase == PULL_WEB && p->web != NULL)
        web_fill(p->web, m);
    else if (p->m == NULL)
        fill_looking(p, m);
    else
        fill_here(p, m);
    if (p->phase == PULL_ENDED && !p->ok) {
        m->state = SWARM_FAILED;
        snprintf(m->why, sizeof(m->why), "%s", p->why);
    }
    m->fetched += p->fetched;
    m->wasted += p->wasted;
    m->copied = p->copied;
    if (p->item != NULL) {
        m->sent = p->item->share->sent;
        m->up = p->item->up;
    }
    free(own);
}

void swarm_pull_fill(const struct swarm_pull *p, struct swarm_view_model *m)
{
    swarm_pull_view(p, m, NULL);
}
