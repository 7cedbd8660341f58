#include "swarm/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"
#include "swarm/store-internal.h"
#include "swarm/store-part.h"

enum { ROOM_US = 500 * 1000 }; /* what is known of the room is that old at most */

/* Work on the crew: of one piece, or of the store as a whole. */
struct job {
    struct store *store;
    struct store_piece *piece; /* NULL: of the store */
    struct store_ops ops;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void free_op(struct store_op *op)
{
    free(op->data);
    free(op->why);
    free(op);
}

/* Of a store that has been destroyed.  Who writes hears of each call, once, and can free what goes with it. */
static void free_ops(struct store_ops *ops)
{
    struct store_op *op;

    while ((op = STAILQ_FIRST(ops))) {
        STAILQ_REMOVE_HEAD(ops, entry);
        if (op->done && (op->kind == OP_WRITE || op->kind == OP_CHECK))
            op->done(op->arg, STORE_FAILED, "the store is closed");
        free_op(op);
    }
}

static void free_piece(struct store *s, struct store_piece *p)
{
    s->piece[p->index] = NULL;
    free_ops(&p->queued);
    store_piece_finish(p);
    free(p);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Another manifest's .part was not replaced: what was to take its place goes, while that one is still locked. */
static void drop_new(struct store *s)
{
    if (!s->opening.replacing)
        return;
    s->opening.replacing = false;
    store_map_drop_new(s->dir_fd, s->map_name);
    unlinkat(s->dir_fd, s->new_name, 0);
}

/* No job uses them any more. */
static void close_all(struct store *s)
{
    struct store_source *src;

    while ((src = TAILQ_FIRST(&s->sources)))
        store_source_free(src);
    store_map_close(&s->map);
    drop_new(s);
    close_fd(&s->opening.old_fd);
    close_fd(&s->opening.whole_fd);
    close_fd(&s->fd);
    close_fd(&s->dir_fd);
}

/* Nobody is left who could use it: all but what store_destroy has freed. */
static void unref(struct store *s)
{
    if (--s->users > 0)
        return;
    close_all(s);
    for (size_t i = 0; i < s->manifest->n_pieces; i++) {
        if (s->piece[i])
            free_piece(s, s->piece[i]);
    }
    free(s->piece);
    bits_finish(&s->want);
    bits_finish(&s->opening.check);
    bits_finish(&s->opening.good);
    bits_finish(&s->opening.old_had);
    manifest_destroy(s->opening.old);
    manifest_destroy(s->manifest);
    free(s->opening.call.why);
    free(s->settling.why);
    free(s->landing.why);
    free(s->dir);
    free(s->path);
    free(s->part);
    free(s->part_new);
    free(s->part_name);
    free(s->map_name);
    free(s->new_name);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void work_job(void *data)
{
    struct job *j = data;
    struct store *s = j->store;
    struct store_op *op;
    bool go;

    pthread_mutex_lock(&s->lock);
    go = !atomic_load(&s->stop);
    s->running += go;
    pthread_mutex_unlock(&s->lock);
    if (!go)
        return;
    if (j->work)
        j->work(j->arg);
    STAILQ_FOREACH(op, &j->ops, entry)
    store_piece_run(s, j->piece, op);
    pthread_mutex_lock(&s->lock);
    s->running--;
    pthread_cond_signal(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

static void drop_job(void *data)
{
    struct job *j = data;

    free_ops(&j->ops);
    unref(j->store);
    free(j);
}

static void start_piece(struct store *s, struct store_piece *p);

/* The callbacks, in the order of the calls; they may ask for more. */
static void end_ops(struct store *s, struct job *j)
{
    struct store_piece *p = j->piece;
    struct store_op *op;

    while ((op = STAILQ_FIRST(&j->ops))) {
        STAILQ_REMOVE_HEAD(&j->ops, entry);
        if (op->had)
            share_set_have(s->share, p->index);
        if (op->done)
            op->done(op->arg, op->result, op->why ? op->why : "");
        free_op(op);
    }
    p->busy = false;
    if (!STAILQ_EMPTY(&p->queued))
        start_piece(s, p);
    else if (p->n_ranges == 0 && !p->full)
        free_piece(s, p);
}

static void job_done(void *data)
{
    struct job *j = data;
    struct store *s = j->store;

    if (s->closed) {
        drop_job(j);
        return;
    }
    if (j->piece)
        end_ops(s, j);
    else if (j->done)
        j->done(j->arg);
    drop_job(j);
}

static void add_job(struct store *s, struct job *j)
{
    s->users++;
    crew_add(s->crew, &(struct crew_job){.work = work_job, .done = job_done, .drop = drop_job, .data = j});
}

void store_run(struct store *s, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct job *j = xcalloc(1, sizeof(*j));

    *j = (struct job){.store = s, .work = work, .done = done, .arg = arg};
    STAILQ_INIT(&j->ops);
    add_job(s, j);
}

/* All that is asked for by now, in one go. */
static void start_piece(struct store *s, struct store_piece *p)
{
    struct job *j = xcalloc(1, sizeof(*j));

    *j = (struct job){.store = s, .piece = p};
    STAILQ_INIT(&j->ops);
    STAILQ_CONCAT(&j->ops, &p->queued);
    p->busy = true;
    add_job(s, j);
}

struct store_op *store_op(enum store_op_kind kind, store_cb *done, void *arg)
{
    struct store_op *op = xcalloc(1, sizeof(*op));

    *op = (struct store_op){.kind = kind, .done = done, .arg = arg};
    return op;
}

void store_add_op(struct store *s, size_t piece, struct store_op *op)
{
    struct store_piece *p = s->piece[piece];

    if (!p) {
        p = s->piece[piece] = xcalloc(1, sizeof(*p));
        p->index = piece;
        p->had = bits_has(&s->share->have, piece);
        STAILQ_INIT(&p->queued);
    }
    STAILQ_INSERT_TAIL(&p->queued, op, entry);
    if (!p->busy)
        start_piece(s, p);
}

void store_write(struct store *s, size_t piece, uint64_t at, void *data, size_t len, store_cb *done, void *arg)
{
    struct store_op *op = store_op(OP_WRITE, done, arg);

    op->at = at;
    op->data = data;
    op->len = len;
    store_add_op(s, piece, op);
}

void store_check(struct store *s, size_t piece, store_cb *done, void *arg)
{
    store_add_op(s, piece, store_op(OP_CHECK, done, arg));
}

void store_forget(struct store *s, size_t piece)
{
    if (s->piece[piece])
        store_add_op(s, piece, store_op(OP_FORGET, NULL, NULL));
}

void store_look_room(void *store)
{
    struct store *s = store;

    atomic_store(&s->room, store_part_room(s->dir_fd));
}

struct share *store_share(struct store *s)
{
    return s->share;
}

bool store_complete(const struct store *s)
{
    return s->complete;
}

const char *store_path(const struct store *s)
{
    return s->path;
}

void store_progress(const struct store *s, uint64_t *done, uint64_t *total)
{
    *done = s->checked;
    *total = s->to_check;
}

static void room_seen(void *arg)
{
    struct store *s = arg;
    s->room_asked = false;
}

void store_room(struct store *s, uint64_t *missing, int64_t *room)
{
    int64_t now = clock_us();

    *missing = 0;
    for (size_t i = 0; i < s->manifest->n_pieces; i++) {
        if (bits_has(&s->want, i) && !(s->share && bits_has(&s->share->have, i)))
            *missing += s->manifest->piece[i].size;
    }
    *room = atomic_load(&s->room);
    if (s->room_asked || now - s->room_us < ROOM_US)
        return;
    s->room_asked = true;
    s->room_us = now;
    store_run(s, store_look_room, room_seen, s);
}

static void land_work(void *arg)
{
    struct store *s = arg;
    struct store_part_names n = {s->dir_fd, s->part_name, s->map_name, s->manifest->filename, s->path};
    struct store_call *l = &s->landing;

    if (s->unsound) {
        l->result = STORE_FAILED;
        cause_set(&l->why, "%s: not all of it could be put on the disk; the next start looks what is there", s->part);
        return;
    }
    l->result = store_part_sync(s->dir_fd, s->part, s->fd, &l->why);
    if (l->result == STORE_OK)
        l->result = store_part_land(&n, s->fd, s->manifest, &l->why);
    else
        s->unsound = true;
}

static void landed(void *arg)
{
    struct store *s = arg;
    struct store_call call = s->landing;

    s->landing = (struct store_call){.result = STORE_OK};
    if (call.result == STORE_OK && !s->complete) {
        s->complete = true;
        free(s->share->path);
        s->share->path = xstrdup(s->path);
    }
    call.done(call.arg, call.result, call.why ? call.why : "");
    free(call.why);
}

void store_land(struct store *s, store_cb *done, void *arg)
{
    s->landing = (struct store_call){.result = STORE_OK, .done = done, .arg = arg};
    if (s->opening.replacing) {
        s->landing.result = STORE_FAILED;
        cause_set(&s->landing.why, "%s is still that of another model", s->part);
        store_run(s, NULL, landed, s);
    } else if (!bits_full(&s->share->have)) {
        s->landing.result = STORE_FAILED;
        cause_set(&s->landing.why, "%s: pieces are missing", s->part);
        store_run(s, NULL, landed, s);
    } else {
        store_run(s, s->complete ? NULL : land_work, landed, s);
    }
}

void store_discard(struct store *s, bool all)
{
    if (s->complete || !s->share || (s->share->have.count > 0 && !all) || s->opening.replacing)
        return;
    unlinkat(s->dir_fd, s->part_name, 0);
    unlinkat(s->dir_fd, s->map_name, 0);
}

void store_destroy(struct store *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    s->closed = true;
    if (!s->landing.done) {
        pthread_mutex_lock(&s->lock);
        while (s->running > 0)
            pthread_cond_wait(&s->idle, &s->lock);
        pthread_mutex_unlock(&s->lock);
        close_all(s);
    }
    share_destroy(s->share);
    s->share = NULL;
    unref(s);
}

/* The opening is over, for better or worse. */
static void opened(void *arg)
{
    struct store *s = arg;
    struct store_call call = s->opening.call;

    s->opening.call = (struct store_call){.result = STORE_OK};
    call.done(call.arg, call.result, call.why ? call.why : "");
    free(call.why);
}

static void end_opening(struct store *s)
{
    bits_copy(&s->opening.good, &s->share->have);
    s->complete = s->opening.whole;
    store_run(s, store_open_end, opened, s);
}

static void settled(void *arg)
{
    struct store *s = arg;
    struct store_call call = s->settling;

    s->settling = (struct store_call){.result = STORE_OK};
    if (!s->opening.replacing && s->opening.old_fd >= 0) {
        close_fd(&s->opening.old_fd);
        free(s->share->path);
        s->share->path = xstrdup(s->part);
    }
    call.done(call.arg, call.result, call.why ? call.why : "");
    free(call.why);
}

void store_settle(struct store *s, store_cb *done, void *arg)
{
    s->settling = (struct store_call){.result = STORE_OK, .done = done, .arg = arg};
    bits_copy(&s->opening.good, &s->share->have);
    store_run(s, s->opening.replacing ? store_open_settle : NULL, settled, s);
}

static void after_old(void *arg, enum store_result result, const char *why)
{
    struct store *s = arg;

    if (result == STORE_OK) {
        end_opening(s);
        return;
    }
    s->opening.call.result = result;
    s->opening.call.why = xstrdup(why);
    opened(s);
}

static void take_old(struct store *s)
{
    uint64_t found;
    struct store_source *src = store_source(s, s->opening.old, &s->opening.old_had, after_old, s, &found);

    src->fd = s->opening.old_fd;
    store_source_start(src);
}

/* What is there has been looked at. */
static void after_check(struct store *s)
{
    struct store_opening *o = &s->opening;

    if (o->wrong)
        cause_set(&o->call.why, STORE_OTHER_FILE, s->path);
    else if (!o->whole && o->foreign && s->share->have.count == 0)
        cause_set(&o->call.why, "%s is there, with nothing of this model in it and no map beside it: move it away",
                  s->part);
    if (o->call.why)
        o->call.result = STORE_FAILED;
    if (o->call.result != STORE_OK)
        opened(s);
    else if (o->old)
        take_old(s);
    else
        end_opening(s);
}

static void check_on(struct store *s);

/* A piece of a .part that can't be read is fetched again. */
static void checked(void *arg, enum store_result result, const char *why)
{
    struct store *s = arg;
    struct store_opening *o = &s->opening;

    o->under_way--;
    o->wrong |= o->whole && result != STORE_OK;
    check_on(s);
}

/* As many at a time as there are threads. */
static void check_on(struct store *s)
{
    struct store_opening *o = &s->opening;

    for (; !o->wrong && o->next < s->manifest->n_pieces && o->under_way < crew_threads(s->crew); o->next++) {
        if (!bits_has(&o->check, o->next))
            continue;
        o->under_way++;
        s->checked += s->manifest->piece[o->next].size;
        store_add_op(s, o->next, store_op(OP_VERIFY, checked, s));
    }
    if (o->under_way == 0)
        after_check(s);
}

/* The file is open, as far as there is one. */
static void begun(void *arg)
{
    struct store *s = arg;
    struct store_opening *o = &s->opening;
    int fd = o->whole_fd;

    o->whole_fd = -1;
    if (o->call.result == STORE_OK && !o->whole && (fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0)) < 0)
        o->call.result = store_part_error(s->dir_fd, s->part, errno, "could not be opened", &o->call.why);
    if (o->call.result != STORE_OK) {
        close_fd(&fd);
        opened(s);
        return;
    }
    s->share = share_create(s->manifest, o->whole ? s->path : o->replacing ? s->part_new : s->part, fd);
    if (o->whole && o->check.count == 0) { /* known to be right */
        for (size_t i = 0; i < s->manifest->n_pieces; i++)
            share_set_have(s->share, i);
    }
    for (size_t i = 0; i < s->manifest->n_pieces; i++)
        s->to_check += bits_has(&o->check, i) ? s->manifest->piece[i].size : 0;
    check_on(s);
}

struct store *store_open(struct event_base *base, struct crew *crew, struct manifest *m, const struct store_opts *o,
                         store_cb *done, void *arg)
{
    struct store *s = xcalloc(1, sizeof(*s));

    signal(SIGXFSZ, SIG_IGN); /* a limit on the size of files is an error of the write that meets it */
    s->base = base;
    s->crew = crew;
    s->manifest = manifest_keep(m);
    s->users = 1;
    if (o->want)
        bits_copy(&s->want, o->want);
    else
        bits_init(&s->want, m->n_pieces);
    if (!o->want)
        bits_fill(&s->want);
    s->dir = xstrdup(o->dir);
    s->path = xasprintf("%s/%s", o->dir, m->filename);
    s->part = xasprintf("%s.part", s->path);
    s->part_new = xasprintf("%s.new", s->part);
    s->part_name = xasprintf("%s.part", m->filename);
    s->map_name = xasprintf("%s.part.map", m->filename);
    s->new_name = xasprintf("%s.part.new", m->filename);
    s->dir_fd = s->fd = s->map.fd = s->opening.old_fd = s->opening.whole_fd = -1;
    s->piece = xcalloc(m->n_pieces + 1, sizeof(*s->piece));
    s->opening.call = (struct store_call){.result = STORE_OK, .done = done, .arg = arg};
    bits_init(&s->opening.check, m->n_pieces);
    TAILQ_INIT(&s->sources);
    atomic_init(&s->room, -1);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    store_run(s, store_open_begin, begun, s);
    return s;
}
