/* Pieces on their way out.  A block of the file that does not lie in the page cache is read by the crew, and then goes
 * out by sendfile while the crew reads the next: nothing on the loop waits for the disk.  The crew looks too whether
 * the file is still what was verified: whoever gives out wrong pieces is banned.
 *
 * A slot is a turn, not a reply: whoever has had one for a while gives it up, in the middle of what is being sent, when
 * others wait who have no more of them.  So a slow reader or a long reply keeps nobody waiting. */
#include "swarm/server-parts.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    SLOTS = 8,
    BLOCK = 1 << 20,         /* bytes that are read ahead and then given to the socket at once */
    BLOCK_MIN = 16 << 10,    /* with a limit they are smaller, so that it is kept evenly */
    SCRATCH = 64 << 10,      /* the crew reads through that much memory */
    WAITING_MAX = 256,       /* replies without a slot */
    ADDRESS_MAX = 96,        /* replies to one address; several processes there are one */
    SAME_US = 100000,        /* a file in which nothing had changed so long ago counts as the same still */
    WATCH_MS = 250,          /* between two looks at turns and stalls */
    TURN_US = 2 * 1000000,   /* what a slot is had for at least */
    STALL_US = 20 * 1000000, /* without a byte the reader is given up */
    WAIT_US = 20 * 1000000,  /* for a first slot; then 429 */
};

/* A block that the crew reads, or none: then it only looks whether the file has changed. */
struct touch {
    struct upload *upload; /* NULL: none, or it has ended meanwhile */
    struct swarm_server *server;
    struct source *source;
    uint64_t at;
    size_t len;
    struct share_stamp stamp;
    int error; /* errno, 0: it is there; ESTALE: the file has changed */
};

/* An address, as long as anything is sent to it or waits there: whose turn it is is decided often, among many. */
struct caller {
    char address[64];
    size_t uploads, slots; /* slots: those of them that have one */
};

struct upload {
    TAILQ_ENTRY(upload) entry; /* in active or waiting */
    struct swarm_server *server;
    struct served *served; /* NULL: it is given out no more, this one ends as it would */
    struct source *source;
    struct httpd_request *request;
    struct caller *caller;
    int status;
    uint64_t len;     /* of the reply */
    uint64_t at, end; /* what the crew has not been asked for yet */
    uint64_t ready_at;
    size_t ready;        /* bytes that may be sent, 0: none */
    size_t sending;      /* bytes that are on their way, 0: none */
    struct touch *touch; /* NULL: none under way */
    uint64_t turn;       /* who waits is served in the order of these: see next_turn */
    bool has_slot, started, paced;
    int64_t since_us; /* when it got its slot, or began to wait */
    uint64_t owed;    /* bytes not sent when that was looked at last, and changed: */
    int64_t moved_us;
};

static void advance(struct upload *u);
static void schedule(struct swarm_server *s);

/* --- Lists --- */

static struct caller *caller_in(const struct upload_list *list, const char *address)
{
    const struct upload *u;
    TAILQ_FOREACH(u, list, entry)
    {
        if (strcmp(u->caller->address, address) == 0)
            return u->caller;
    }
    return NULL;
}

/* NULL: nothing is sent there, and nothing waits. */
static struct caller *caller_of(const struct swarm_server *s, const char *address)
{
    struct caller *c = caller_in(&s->active, address);
    return c != NULL ? c : caller_in(&s->waiting, address);
}

static struct caller *caller_get(const struct swarm_server *s, const char *address)
{
    struct caller *c = caller_of(s, address);
    if (c == NULL) {
        c = xcalloc(1, sizeof(*c));
        snprintf(c->address, sizeof(c->address), "%s", address);
    }
    c->uploads++;
    return c;
}

static void caller_put(struct caller *c)
{
    if (--c->uploads == 0)
        free(c);
}

/* Start-time fair queueing: the n-th request of one address has its turn with the n-th of any other, however many it
 * has sent at once, and who comes new begins with the turn that is on. */
static uint64_t next_turn(const struct swarm_server *s, const struct caller *caller)
{
    const struct upload_list *const lists[] = {&s->active, &s->waiting};
    const struct upload *u;
    uint64_t turn = s->turn;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        TAILQ_FOREACH(u, lists[i], entry)
        {
            if (u->caller == caller && u->turn >= turn)
                turn = u->turn + 1;
        }
    }
    return turn;
}

/* Whose turn it is among those who have fewest slots.  *slots: how many. */
static struct upload *next_waiting(const struct swarm_server *s, size_t *slots)
{
    struct upload *u, *best = NULL;
    *slots = SIZE_MAX;
    TAILQ_FOREACH(u, &s->waiting, entry)
    {
        size_t n = u->caller->slots;
        if (n < *slots || (n == *slots && u->turn < best->turn)) {
            *slots = n;
            best = u;
        }
    }
    return best;
}

static void enlist(struct upload *u, bool active)
{
    struct swarm_server *s = u->server;
    u->has_slot = active;
    u->since_us = clock_us();
    if (active) {
        s->turn = u->turn > s->turn ? u->turn : s->turn;
        TAILQ_INSERT_TAIL(&s->active, u, entry);
        s->n_active++;
        u->caller->slots++;
    } else {
        u->turn = next_turn(s, u->caller);
        TAILQ_INSERT_TAIL(&s->waiting, u, entry);
        s->n_waiting++;
    }
}

static void delist(struct upload *u)
{
    struct swarm_server *s = u->server;
    TAILQ_REMOVE(u->has_slot ? &s->active : &s->waiting, u, entry);
    if (u->has_slot) {
        s->n_active--;
        u->caller->slots--;
    } else {
        s->n_waiting--;
    }
    u->paced = false;
}

/* The request has been ended. */
static void destroy(struct upload *u)
{
    delist(u);
    if (u->touch != NULL)
        u->touch->upload = NULL;
    source_put(u->source);
    caller_put(u->caller);
    free(u);
}

static void on_close(void *arg)
{
    struct upload *u = arg;
    struct swarm_server *s = u->server;
    httpd_cut(u->request);
    destroy(u);
    schedule(s);
}

static void cut(struct upload *u)
{
    httpd_cut(u->request);
    destroy(u);
}

/* --- Reading ahead --- */

static void touch_work(void *data)
{
    struct touch *t = data;
    char scratch[SCRATCH];
    for (size_t done = 0; done < t->len && t->error == 0;) {
        size_t want = t->len - done < sizeof(scratch) ? t->len - done : sizeof(scratch);
        ssize_t n = pread(t->source->fd, scratch, want, (off_t)(t->at + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0)
            t->error = ENODATA;
        else if (errno != EINTR)
            t->error = errno;
    }
    if (share_stamp_differs(&t->stamp, t->source->fd))
        t->error = ESTALE;
}

static void touch_drop(void *data)
{
    struct touch *t = data;
    if (t->upload != NULL)
        t->upload->touch = NULL;
    source_put(t->source);
    free(t);
}

static void unreadable(struct upload *u, int error)
{
    struct swarm_server *s = u->server;
    log_warn("swarm: can't read %s: %s", u->served != NULL ? u->served->share->path : "a file that was given out",
             error == ENODATA ? "it is shorter than it was" : strerror(error));
    if (u->started)
        httpd_cut(u->request);
    else
        httpd_reply_error(u->request, 500, NULL, "unreadable", "the file can't be read here any more");
    destroy(u);
    schedule(s);
}

/* Nothing more of it goes out: what is being sent is wrong perhaps. */
static void cut_all(struct swarm_server *s, const struct source *source)
{
    const struct upload_list *const lists[] = {&s->active, &s->waiting};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        for (struct upload *u = TAILQ_FIRST(lists[i]), *next; u != NULL; u = next) {
            next = TAILQ_NEXT(u, entry);
            if (u->source != source)
                continue;
            if (!u->started)
                httpd_reply_error(u->request, 500, NULL, "unreadable", "the file has been changed here");
            else
                httpd_cut(u->request);
            destroy(u);
        }
    }
}

static void changed(struct swarm_server *s, struct source *source)
{
    struct share *share = source->served != NULL ? source->served->share : NULL;
    source->same_us = 0;
    cut_all(s, source);
    schedule(s);
    if (share != NULL && s->on_changed != NULL)
        s->on_changed(s->on_changed_arg, share);
}

static void touch_done(void *data)
{
    struct touch *t = data;
    struct swarm_server *s = t->server;
    struct held held = held_begin();
    if (t->len == 0)
        t->source->checking = false;
    if (t->error == ESTALE)
        changed(s, t->source);
    else
        t->source->same_us = clock_us();
    struct upload *u = t->upload;
    int error = t->error;
    if (u != NULL) {
        u->ready_at = t->at;
        u->ready = t->len;
    }
    touch_drop(t);
    if (u != NULL && error != 0)
        unreadable(u, error);
    else if (u != NULL)
        advance(u);
    server_took(s, &held);
}

/* len 0: only whether it has changed. */
static void touch(struct swarm_server *s, struct source *source, struct upload *u, uint64_t at, size_t len)
{
    struct touch *t = xcalloc(1, sizeof(*t));
    *t = (struct touch){.upload = u, .server = s, .source = source, .at = at, .len = len, .stamp = source->stamp};
    source->users++;
    if (u != NULL)
        u->touch = t;
    else
        source->checking = true;
    crew_add(s->crew, &(struct crew_job){.work = touch_work, .done = touch_done, .drop = touch_drop, .data = t});
}

static bool is_same(const struct source *s)
{
    return !s->stamp.set || (s->same_us > 0 && clock_us() - s->same_us < SAME_US);
}

static size_t block_size(const struct swarm_server *s)
{
    int64_t even = s->limit / 16;
    if (s->limit == 0 || even > BLOCK)
        return BLOCK;
    return even < BLOCK_MIN ? BLOCK_MIN : (size_t)even;
}

/* Whether all of it is in the page cache.  False also where the system can't tell: Linux before 6.5, and files of
 * others. */
static bool is_cached(int fd, uint64_t at, size_t len)
{
    enum { CACHESTAT = 451 }; /* the number of the system call everywhere but on alpha */
    struct {
        uint64_t at, len;
    } range = {at, len};
    struct {
        uint64_t cached, dirty, written_back, evicted, recently_evicted;
    } stat = {0};
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return syscall(CACHESTAT, fd, &range, &stat, 0) == 0 && stat.cached >= (at + len - 1) / page - at / page + 1;
}

static void read_ahead(struct upload *u)
{
    if (u->touch != NULL || u->ready > 0 || u->at == u->end)
        return;
    uint64_t left = u->end - u->at, at = u->at;
    size_t len = left < block_size(u->server) ? (size_t)left : block_size(u->server);
    u->at += len;
    if (is_same(u->source) && is_cached(u->source->fd, at, len)) {
        u->ready_at = at;
        u->ready = len;
        return;
    }
    touch(u->server, u->source, u, at, len);
}

/* --- The limit --- */

static void refill(struct swarm_server *s)
{
    int64_t now = clock_us();
    double most = s->limit / 8 > BLOCK_MIN ? (double)(s->limit / 8) : BLOCK_MIN;
    s->tokens = fmin(s->tokens + (double)(now - s->filled_us) / 1e6 * (double)s->limit, most);
    s->filled_us = now;
}

static bool may_send(struct swarm_server *s)
{
    if (s->limit == 0)
        return true;
    refill(s);
    return s->tokens > 0;
}

static void wait_for_tokens(struct swarm_server *s)
{
    int64_t us = (int64_t)fmin((1 - s->tokens) * 1e6 / (double)s->limit + 1000, 1e6);
    if (!event_pending(s->paced, EV_TIMEOUT, NULL))
        event_add(s->paced, &(struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000});
}

/* Who has waited for tokens, in turn. */
static void on_tokens(evutil_socket_t fd, short what, void *arg)
{
    struct swarm_server *s = arg;
    struct held held = held_begin();
    struct upload *u;
    (void)fd;
    (void)what;
    do {
        TAILQ_FOREACH(u, &s->active, entry)
        {
            if (u->paced)
                break;
        }
        if (u != NULL) {
            u->paced = false;
            advance(u);
        }
    } while (u != NULL && may_send(s));
    TAILQ_FOREACH(u, &s->active, entry)
    {
        if (u->paced)
            wait_for_tokens(s);
    }
    server_took(s, &held);
}

/* --- Sending --- */

static void on_sent(void *arg)
{
    struct upload *u = arg;
    struct swarm_server *s = u->server;
    s->sent += u->sending;
    if (u->served != NULL)
        u->served->share->sent += u->sending;
    u->sending = 0;
    if (httpd_file_owed(u->request) > 0) {
        advance(u);
        return;
    }
    httpd_file_end(u->request);
    destroy(u);
    schedule(s);
}

static void send_ready(struct upload *u)
{
    struct swarm_server *s = u->server;
    if (!u->started) {
        httpd_file_start(u->request, u->status, "application/octet-stream", u->len);
        httpd_on_drain(u->request, on_sent, u);
        u->started = true;
        u->owed = u->len;
    }
    u->sending = u->ready;
    u->ready = 0;
    u->moved_us = clock_us();
    if (s->limit > 0) {
        s->tokens -= (double)u->sending;
        TAILQ_REMOVE(&s->active, u, entry); /* the others come first now */
        TAILQ_INSERT_TAIL(&s->active, u, entry);
    }
    httpd_file_send(u->request, u->source->fd, u->ready_at, u->sending);
}

/* Does what can be done next. */
static void advance(struct upload *u)
{
    struct swarm_server *s = u->server;
    if (!u->has_slot)
        return;
    read_ahead(u);
    if (u->ready > 0 && u->sending == 0) {
        if (!is_same(u->source)) {
            size_t len = u->ready;
            u->ready = 0;
            touch(s, u->source, u, u->ready_at, len);
        } else if (may_send(s)) {
            send_ready(u);
        } else {
            u->paced = true;
            wait_for_tokens(s);
        }
    }
    read_ahead(u);
}

/* --- Turns --- */

static void schedule(struct swarm_server *s)
{
    size_t slots;
    struct upload *u;
    while (!s->leaving && s->n_active < (size_t)s->slots && (u = next_waiting(s, &slots)) != NULL) {
        delist(u);
        enlist(u, true);
        advance(u);
    }
    if (s->n_active + s->n_waiting == 0)
        event_del(s->watch);
    else if (!event_pending(s->watch, EV_TIMEOUT, NULL))
        event_add(s->watch, &(struct timeval){.tv_usec = WATCH_MS * 1000});
}

/* Takes slots from those who have had them for a turn, as long as others wait who have no more of them. */
static void take_turns(struct swarm_server *s, int64_t now)
{
    struct upload *u, *next;
    size_t n = s->n_active, slots;
    for (u = TAILQ_FIRST(&s->active); u != NULL && n-- > 0 && next_waiting(s, &slots) != NULL; u = next) {
        next = TAILQ_NEXT(u, entry);
        if (now - u->since_us < TURN_US || u->caller->slots < slots)
            continue;
        delist(u);
        enlist(u, false);
        schedule(s);
    }
}

/* Whether its reader has taken nothing for too long. */
static bool is_stalled(struct upload *u, int64_t now)
{
    uint64_t owed = httpd_file_owed(u->request);
    if (u->sending == 0 || owed != u->owed) {
        u->owed = owed;
        u->moved_us = now;
    }
    return now - u->moved_us > STALL_US;
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct swarm_server *s = arg;
    struct upload *u, *next;
    struct held held = held_begin();
    int64_t now = clock_us();
    (void)fd;
    (void)what;
    for (u = TAILQ_FIRST(&s->active); u != NULL; u = next) {
        next = TAILQ_NEXT(u, entry);
        if (is_stalled(u, now))
            cut(u);
    }
    TAILQ_FOREACH(u, &s->active, entry)
    {
        if (u->sending > 0 && !u->source->checking && !is_same(u->source))
            touch(s, u->source, NULL, 0, 0);
    }
    for (u = TAILQ_FIRST(&s->waiting); u != NULL; u = next) {
        next = TAILQ_NEXT(u, entry);
        if (!u->started && now - u->since_us > WAIT_US) {
            server_refuse(s, u->request, "others are served here, ask again in a moment");
            destroy(u);
        } else if (u->started && is_stalled(u, now)) {
            cut(u);
        }
    }
    schedule(s);
    take_turns(s, now);
    server_took(s, &held);
}

/* --- Replies --- */

static bool begins(struct swarm_server *s, struct httpd_request *r)
{
    const struct caller *c = caller_of(s, httpd_peer(r));
    if (s->leaving)
        httpd_reply_error(r, 503, NULL, "leaving", "this peer is leaving");
    else if (s->n_waiting >= WAITING_MAX || (c != NULL && c->uploads >= ADDRESS_MAX))
        server_refuse(s, r, "too many requests wait here already");
    else
        return true;
    return false;
}

void upload_reply(struct served *v, struct httpd_request *r, uint64_t offset, uint64_t size, const char *etag)
{
    struct swarm_server *s = v->server;
    uint64_t first, len;
    char line[96];
    enum range_kind range = httpd_range(r, size, etag, &first, &len);
    if (!begins(s, r))
        return;
    httpd_add_header(r, "Accept-Ranges", "bytes");
    if (range == RANGE_NONE) {
        snprintf(line, sizeof(line), "bytes */%" PRIu64, size);
        httpd_add_header(r, "Content-Range", line);
        httpd_reply_error(r, 416, NULL, "no_such_range", "it has %" PRIu64 " bytes", size);
        return;
    }
    httpd_add_header(r, "ETag", etag);
    if (range == RANGE_PART) {
        snprintf(line, sizeof(line), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, first + len - 1, size);
        httpd_add_header(r, "Content-Range", line);
    }
    int status = range == RANGE_PART ? 206 : 200;
    if (httpd_is_head(r)) {
        httpd_file_start(r, status, "application/octet-stream", len);
        httpd_file_end(r);
        return;
    }
    struct source *source = source_get(v);
    if (source == NULL) {
        httpd_reply_error(r, 503, NULL, "busy", "no file can be opened here for now");
        return;
    }
    struct upload *u = xcalloc(1, sizeof(*u));
    u->server = s;
    u->served = v;
    u->source = source;
    u->request = r;
    u->caller = caller_get(s, httpd_peer(r));
    u->status = status;
    u->len = u->owed = len;
    u->at = offset + first;
    u->end = u->at + len;
    enlist(u, false);
    httpd_on_close(r, on_close, u);
    schedule(s);
}

/* --- The server's --- */

void uploads_init(struct swarm_server *s)
{
    TAILQ_INIT(&s->active);
    TAILQ_INIT(&s->waiting);
    TAILQ_INIT(&s->asks);
    s->paced = evtimer_new(s->base, on_tokens, s);
    s->watch = evtimer_new(s->base, on_watch, s);
}

void uploads_finish(struct swarm_server *s)
{
    struct upload *u;
    while ((u = TAILQ_FIRST(&s->waiting)) != NULL || (u = TAILQ_FIRST(&s->active)) != NULL) {
        if (u->started)
            httpd_cut(u->request);
        else
            httpd_reply_error(u->request, 503, NULL, "leaving", "this peer is leaving");
        destroy(u);
    }
    event_free(s->paced);
    event_free(s->watch);
}

static void forget_in(struct upload_list *list, struct served *v)
{
    struct upload *u;
    TAILQ_FOREACH(u, list, entry)
    {
        if (u->served == v)
            u->served = NULL;
    }
}

void uploads_forget(struct swarm_server *s, struct served *v)
{
    forget_in(&s->active, v);
    forget_in(&s->waiting, v);
}

void uploads_set_limits(struct swarm_server *s, int64_t limit, int slots)
{
    s->slots = slots > 0 ? slots : SLOTS;
    s->limit = limit > 0 ? limit : 0;
    s->tokens = 0;
    s->filled_us = clock_us();
    if (s->limit > 0 || TAILQ_EMPTY(&s->active))
        return;
    event_active(s->paced, EV_TIMEOUT, 0); /* who waits for tokens need not any more */
}
