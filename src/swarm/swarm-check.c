/* A file that is given out may be written to by others.  Its pieces would then be wrong ones, and whoever got them
 * would ban this machine: so each file is looked at now and then, beside what the server sees as it sends. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "swarm/swarm-internal.h"

/* What the crew looks at. */
struct check {
    struct swarm *swarm;
    struct {
        uint64_t serial; /* of the item, which may go meanwhile */
        int fd;          /* its own */
        struct share_stamp stamp;
        bool differs;
    } file[SWARM_CHECKS];
    size_t n;
};

static void check_free(void *data)
{
    struct check *c = data;
    for (size_t i = 0; i < c->n; i++)
        close(c->file[i].fd);
    free(c);
}

static void check_work(void *data)
{
    struct check *c = data;
    for (size_t i = 0; i < c->n; i++) {
        struct stat st;
        if (c->file[i].stamp.set)
            c->file[i].differs = share_stamp_differs(&c->file[i].stamp, c->file[i].fd);
        else if (fstat(c->file[i].fd, &st) == 0)
            c->file[i].stamp = share_stamp_of(&st);
    }
}

static void check_done(void *data)
{
    struct check *c = data;
    struct swarm *s = c->swarm;
    s->checking = false;
    for (size_t k = 0; k < c->n; k++) {
        struct swarm_item *i = s->items;
        while (i != NULL && i->serial != c->file[k].serial)
            i = i->next;
        if (i == NULL)
            continue;
        i->changed = i->changed || c->file[k].differs;
        i->share->stamp = c->file[k].stamp;
    }
    check_free(c);
}

/* Complete, and nobody here writes to it any more. */
static bool is_settled(const struct swarm_item *i)
{
    return i->pull == NULL && bits_full(&i->share->have);
}

static void look(struct swarm *s)
{
    struct check *c = xcalloc(1, sizeof(*c));
    int64_t now = clock_us() / 1000;
    c->swarm = s;
    for (struct swarm_item *i = s->items; i != NULL && c->n < SWARM_CHECKS; i = i->next) {
        if (!is_settled(i) || (i->checked_ms > 0 && now - i->checked_ms < SWARM_CHECK_MS))
            continue;
        int fd = fcntl(i->share->fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            break;
        i->checked_ms = now;
        c->file[c->n].serial = i->serial;
        c->file[c->n].fd = fd;
        c->file[c->n++].stamp = i->share->stamp;
    }
    if (c->n == 0) {
        check_free(c);
        return;
    }
    s->checking = true;
    crew_add(s->crew, &(struct crew_job){.work = check_work, .done = check_done, .drop = check_free, .data = c});
}

static void give_up(struct swarm_item *item)
{
    struct swarm *s = item->swarm;
    const char *path = item->given != NULL ? item->given : item->share->path;
    struct swarm_view_model m;
    swarm_fill_given(item, &m);
    m.state = SWARM_FAILED;
    m.have = m.wanted = 0;
    m.pieces_have = 0;
    m.n_map = 0;
    m.up = 0;
    snprintf(m.why, sizeof(m.why),
             "its file has changed since it was hashed, and is given out no more until it is shared again");
    log_warn("swarm: %s has changed since it was hashed: it is given out no more until it is shared again", path);
    swarm_failed_add(s, path, &m, 0);
    swarm_item_remove(item);
    swarm_announce(s);
}

void swarm_check_tick(struct swarm *s)
{
    for (struct swarm_item *i = s->items, *next; i != NULL; i = next) {
        next = i->next;
        if (i->changed && i->pull == NULL)
            give_up(i);
    }
    if (!s->checking)
        look(s);
}

void swarm_check_changed(void *arg, struct share *share)
{
    struct swarm *s = arg;
    for (struct swarm_item *i = s->items; i != NULL; i = i->next)
        i->changed = i->changed || i->share == share;
}
