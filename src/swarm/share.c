#include "swarm/share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

struct share *share_create(struct manifest *m, const char *path, int fd)
{
    struct share *s = xcalloc(1, sizeof(*s));

    s->manifest = manifest_keep(m);
    s->path = xstrdup(path);
    s->fd = fd;
    bits_init(&s->have, m->n_pieces);
    bits_init(&s->fetching, m->n_pieces);
    return s;
}

struct share_stamp share_stamp_of(const struct stat *st)
{
    return (struct share_stamp){
        .set = true, .size = st->st_size, .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec};
}

bool share_stamp_differs(const struct share_stamp *stamp, int fd)
{
    struct stat st;
    struct share_stamp now;

    if (!stamp->set || fstat(fd, &st) != 0)
        return false;
    now = share_stamp_of(&st);
    return now.size != stamp->size || now.mtime_ns != stamp->mtime_ns;
}

static void tell(struct share *s, enum share_change what, size_t piece)
{
    struct share_watch *w = s->watches;

    while (w) {
        s->next_watch = w->next;
        w->fn(w->arg, what, piece);
        w = s->next_watch;
    }
}

void share_destroy(struct share *s)
{
    if (!s)
        return;
    tell(s, SHARE_GONE, 0);
    if (s->fd >= 0)
        close(s->fd);
    bits_finish(&s->have);
    bits_finish(&s->fetching);
    manifest_destroy(s->manifest);
    free(s->path);
    free(s);
}

void share_watch(struct share *s, struct share_watch *w, share_watch_cb *fn, void *arg)
{
    *w = (struct share_watch){.fn = fn, .arg = arg, .next = s->watches};
    s->watches = w;
}

void share_unwatch(struct share *s, struct share_watch *w)
{
    for (struct share_watch **at = &s->watches; *at; at = &(*at)->next) {
        if (*at != w)
            continue;
        *at = w->next;
        if (s->next_watch == w)
            s->next_watch = w->next;
        w->next = NULL;
        return;
    }
}

void share_set_have(struct share *s, size_t piece)
{
    bits_set(&s->fetching, piece, false);
    if (bits_set(&s->have, piece, true))
        tell(s, SHARE_HAVE, piece);
}

void share_set_fetching(struct share *s, size_t piece, bool on)
{
    if (bits_has(&s->have, piece) || !bits_set(&s->fetching, piece, on))
        return;
    tell(s, on ? SHARE_FETCHING : SHARE_DROPPED, piece);
}

static size_t find_peer(const struct share *s, const char *address)
{
    size_t i = 0;

    while (i < s->n_peers && strcmp(s->peer[i], address) != 0)
        i++;
    return i;
}

static void take_out(struct share *s, size_t i)
{
    s->n_peers--;
    memmove(s->peer[i], s->peer[i + 1], (s->n_peers - i) * sizeof(s->peer[0]));
}

void share_add_peer(struct share *s, const char *address)
{
    if (address[0] == '\0' || strlen(address) >= SHARE_ADDRESS || find_peer(s, address) < s->n_peers)
        return;
    if (s->n_peers == SHARE_PEERS_MAX)
        take_out(s, 0);
    snprintf(s->peer[s->n_peers++], SHARE_ADDRESS, "%s", address);
    tell(s, SHARE_PEERS, 0);
}

void share_remove_peer(struct share *s, const char *address)
{
    size_t i = find_peer(s, address);

    if (i < s->n_peers)
        take_out(s, i);
}
