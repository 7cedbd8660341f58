#include "swarm/web.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/event.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/head.h"
#include "swarm/web-file.h"

enum {
    REDIRECTS_MAX = 10,
    CONNECT_MS = 10000,
    IDLE_MS = 30000,
    RECEIVE = 256 * 1024,
    PENDING_MAX = 4 << 20, /* bytes that wait for the disk; the server is held up above */
    RETRIES = 8,           /* in a row without a byte */
    RETRY_MAX_S = 30,
    FULL_RETRY_S = 2,
    RATE_US = 1000 * 1000, /* rates are of the last one or two of these */
};

struct web {
    struct httpc *http;
    struct crew *crew;
    char *url, *at; /* as given; where redirects have led */
    unsigned redirects;
    struct httpc_call *call;
    struct disk_job *job; /* on the crew, or waiting for room */
    void *arg;

    web_manifest_cb *on_manifest; /* of a manifest */

    /* Of a download. */
    web_done_cb *on_file;
    struct web_file *file;
    struct event *timer;      /* the next try of the server, or `hopeless` is told */
    struct event *room_timer; /* the next try of the disk */
    char *why;                /* nothing can be done: told on the loop; or why it waits */
    bool hopeless, over;      /* the former; it is told */
    bool opened, ended;       /* ended: all has come */
    bool begun;               /* bytes of the reply under way are taken */
    bool afresh;              /* a resumed reply made no sense: the next try is without a range */
    bool begin;               /* the file is to begin anew before `pending` is written */
    char *validator;          /* of what comes, NULL: it can't be resumed */
    uint64_t total;           /* bytes, 0 unknown */
    uint64_t expected;        /* bytes that the file has once `pending` is written */
    struct buf pending;       /* arrived, for the next job */
    bool paused, full;
    int64_t limit, open_us; /* bytes a second, 0 none; nothing is taken before that */
    struct event *limit_timer;
    bool limited;
    unsigned tries;
    uint64_t fetched;
    int64_t rate_us; /* since then `rate_bytes` were fetched */
    uint64_t rate_bytes;
    double rate; /* bytes a second */
};

enum disk_work { DISK_PARSE, DISK_OPEN, DISK_WRITE, DISK_LAND };

/* What the crew does: one at a time for each web. */
struct disk_job {
    struct web *web; /* NULL: cancelled, and the file is the job's */
    struct web_file *file;
    enum disk_work work;
    bool begin;
    char *validator;
    uint64_t total;
    char *data;
    size_t len;
    struct manifest *manifest;
    enum store_result result;
    char *why;
    bool waiting; /* for room: not on the crew */
};

static void fetch(struct web *w);
static void job_done(void *data);

/* ---- the crew ---- */

static void write_out(struct disk_job *j)
{
    if (j->begin)
        j->result = web_file_begin(j->file, j->validator, j->total, &j->why);
    if (j->result != STORE_OK)
        return;
    j->begin = false;
    if (j->len > 0)
        j->result = web_file_write(j->file, j->data, j->len, &j->why);
}

static void work(void *data)
{
    struct disk_job *j = data;

    j->result = STORE_OK;
    free(j->why);
    j->why = NULL;
    switch (j->work) {
    case DISK_PARSE:
        j->manifest = manifest_parse(j->data, j->len, &j->why);
        break;
    case DISK_OPEN:
        j->result = web_file_open(j->file, &j->why);
        break;
    case DISK_WRITE:
        write_out(j);
        break;
    case DISK_LAND:
        j->result = web_file_land(j->file, &j->why);
        break;
    }
}

static void free_file(struct web_file *f)
{
    if (f)
        web_file_finish(f);
    free(f);
}

static void free_job(struct disk_job *j)
{
    if (j->web)
        j->web->job = NULL;
    else
        free_file(j->file);
    manifest_destroy(j->manifest);
    free(j->validator);
    free(j->data);
    free(j->why);
    free(j);
}

static void job_dropped(void *data)
{
    free_job(data);
}

static void run(struct disk_job *j)
{
    j->waiting = false;
    crew_add(j->web->crew, &(struct crew_job){.work = work, .done = job_done, .drop = job_dropped, .data = j});
}

static struct disk_job *start(struct web *w, enum disk_work what)
{
    struct disk_job *j = xcalloc(1, sizeof(*j));

    *j = (struct disk_job){.web = w, .work = what, .file = w->file};
    w->job = j;
    return j;
}

/* ---- the loop ---- */

static void after(struct web *w, int seconds)
{
    event_add(w->timer, &(struct timeval){.tv_sec = seconds});
}

static void finish(struct web *w, struct manifest *m, const char *why)
{
    w->over = true;
    event_del(w->timer);
    event_del(w->room_timer);
    event_del(w->limit_timer);
    if (w->call)
        httpc_cancel(w->call);
    w->call = NULL;
    free(w->why);
    w->why = xstrdup(why);
    w->on_file(w->arg, m, m ? w->file->path : NULL, w->why);
}

/* Never from inside the call that began it, nor from inside httpc's. */
static void give_up(struct web *w, char *why)
{
    free(w->why);
    w->why = why;
    w->hopeless = true;
    after(w, 0);
}

static void next_job(struct web *w)
{
    struct disk_job *j;

    if (w->job || !w->opened || w->hopeless || w->over)
        return;
    if (w->pending.len > 0 || w->begin) {
        j = start(w, DISK_WRITE);
        j->begin = w->begin;
        j->validator = w->begin ? xstrdup(w->validator) : NULL;
        j->total = w->total;
        j->len = w->pending.len;
        j->data = buf_steal(&w->pending);
        w->begin = false;
        run(j);
    } else if (w->ended) {
        run(start(w, DISK_LAND));
    }
}

static void retry(struct web *w, const char *why)
{
    unsigned wait = 1u << (w->tries < 5 ? w->tries : 5);

    if (++w->tries > RETRIES) {
        give_up(w, xasprintf("%s; what has come is kept, the same command goes on with it", why));
        return;
    }
    free(w->why);
    w->why = xstrdup(why);
    free(w->at);
    w->at = xstrdup(w->url); /* where a redirect leads may be open for a while only */
    w->redirects = 0;
    after(w, wait < RETRY_MAX_S ? (int)wait : RETRY_MAX_S);
}

/* "bytes 5-9/10": whether it goes on where the file ends. */
static bool goes_on(const struct web *w, const char *range)
{
    uint64_t from, to, total;

    return range && sscanf(range, "bytes %20" SCNu64 "-%20" SCNu64 "/%20" SCNu64, &from, &to, &total) == 3 &&
           from == w->expected && total == w->total;
}

/* What the reply says of itself, before its first byte.  False: it is of no use, and broken off. */
static bool look_at_head(struct web *w)
{
    char *range, *length, *etag;

    if (httpc_status(w->call) == 206) {
        range = httpc_header(w->call, "Content-Range");
        w->begun = goes_on(w, range);
        free(range);
        if (w->begun)
            return true;
        httpc_cancel(w->call);
        w->call = NULL;
        w->afresh = true;
        retry(w, "the server does not go on where the file ends");
        return false;
    }
    length = httpc_header(w->call, "Content-Length");
    etag = httpc_header(w->call, "ETag");
    if (etag && etag[0] != '"') { /* a weak one: its bytes may be others */
        free(etag);
        etag = NULL;
    }
    free(w->validator);
    w->validator = etag ? etag : httpc_header(w->call, "Last-Modified");
    w->total = length ? strtoull(length, NULL, 10) : 0;
    w->expected = 0;
    w->begin = w->begun = true;
    w->afresh = false;
    buf_clear(&w->pending);
    free(length);
    return true;
}

static void count(struct web *w, size_t len)
{
    int64_t now = clock_us();

    w->fetched += len;
    if (now - w->rate_us < RATE_US)
        return;
    w->rate = (double)(w->fetched - w->rate_bytes) * 1e6 / (double)(now - w->rate_us);
    w->rate_us = now;
    w->rate_bytes = w->fetched;
}

static void go_on(struct web *w)
{
    if (w->call && !w->paused && !w->limited)
        httpc_resume(w->call);
}

static void on_limit_timer(evutil_socket_t fd, short what, void *arg)
{
    struct web *w = arg;

    w->limited = false;
    go_on(w);
}

/* Whether more bytes would be too many for the limit; then it goes on later. */
static bool is_early(struct web *w)
{
    int64_t wait = w->open_us - clock_us();

    if (w->limit == 0 || wait <= 0)
        return false;
    w->limited = true;
    event_add(w->limit_timer, &(struct timeval){.tv_sec = wait / 1000000, .tv_usec = wait % 1000000});
    return true;
}

static void count_limit(struct web *w, size_t len)
{
    int64_t now = clock_us();

    if (w->limit == 0)
        return;
    w->open_us = (w->open_us > now ? w->open_us : now) + (int64_t)((double)len * 1e6 / (double)w->limit);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct web *w = arg;

    if (!w->begun && !look_at_head(w))
        return true;
    if (is_early(w))
        return false;
    if (!buf_add(&w->pending, data, len)) {
        w->paused = true;
        return false;
    }
    w->expected += len;
    w->tries = 0;
    count(w, len);
    count_limit(w, len);
    next_job(w);
    return true;
}

static bool is_redirect(int status)
{
    return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

/* True: the same again, elsewhere.  *why: where it can't be followed, else "". */
static bool redirected(struct web *w, const struct httpc_result *r, const char **why)
{
    char *location, *to;

    *why = "";
    if (r->error != HTTPC_OK || !is_redirect(r->status))
        return false;
    location = httpc_header(w->call, "Location");
    to = location && w->redirects < REDIRECTS_MAX ? httpc_redirect(w->at, location) : NULL;
    free(location);
    w->call = NULL;
    if (!to) {
        *why = w->redirects < REDIRECTS_MAX ? "the server redirects to what is no http or https URL"
                                            : "the server redirects in circles";
        return false;
    }
    w->redirects++;
    free(w->at);
    w->at = to;
    fetch(w);
    return true;
}

static bool may_pass(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static void on_reply(void *arg, const struct httpc_result *r)
{
    struct web *w = arg;
    const char *why;

    if (redirected(w, r, &why))
        return;
    w->call = NULL;
    w->paused = w->limited = false;
    event_del(w->limit_timer);
    if (why[0] != '\0') {
        give_up(w, xstrdup(why));
    } else if (r->error == HTTPC_UNREACHABLE && w->fetched == 0) {
        give_up(w, xasprintf("%s: %s", w->url, r->message));
    } else if (r->error != HTTPC_OK) {
        retry(w, r->message);
    } else if (r->status == 200 || r->status == 206) {
        w->ended = w->begun && (w->total == 0 || w->expected == w->total);
        if (!w->ended)
            retry(w, "the server has sent less than it has promised");
        next_job(w);
    } else if (may_pass(r->status) || (r->status == 416 && !w->afresh)) {
        char *text = xasprintf("the server answers %d", r->status);

        w->afresh = w->afresh || r->status == 416;
        retry(w, text);
        free(text);
    } else {
        give_up(w, xasprintf("%s: the server answers %d", w->url, r->status));
    }
}

/* There is one, there is none (a server may have a page for everything), or something is wrong. */
static void on_manifest_reply(void *arg, const struct httpc_result *r)
{
    struct web *w = arg;
    const char *why;
    struct disk_job *j;

    if (redirected(w, r, &why))
        return;
    w->call = NULL;
    if (r->error != HTTPC_OK || r->status != 200 || r->body[0] != '{') {
        w->on_manifest(w->arg, NULL, r->error != HTTPC_OK ? r->message : why);
        return;
    }
    j = start(w, DISK_PARSE);
    j->data = xmemdup(r->body, r->len);
    j->len = r->len;
    run(j);
}

static void fetch(struct web *w)
{
    bool whole = !w->on_file || w->expected == 0 || !w->validator || w->total == 0 || w->afresh;
    char *range = xasprintf("Range: bytes=%" PRIu64 "-", w->expected),
         *condition = xasprintf("If-Range: %s", w->validator ? w->validator : "");
    const char *headers[] = {range, condition, NULL};

    w->begun = false;
    w->call = httpc_start(w->http, &(struct httpc_opts){
                                       .url = w->at,
                                       .headers = whole ? NULL : headers,
                                       .connect_timeout_ms = CONNECT_MS,
                                       .idle_timeout_ms = IDLE_MS,
                                       .max_reply = w->on_file ? 0 : MANIFEST_TEXT_MAX,
                                       .on_data = w->on_file ? on_data : NULL,
                                       .keep_head = true,
                                       .receive = w->on_file ? RECEIVE : 0,
                                       .on_done = w->on_file ? on_reply : on_manifest_reply,
                                       .arg = w,
                                   });
    free(range);
    free(condition);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct web *w = arg;

    if (w->hopeless) {
        char *why = xstrdup(w->why);

        finish(w, NULL, why);
        free(why);
    } else {
        fetch(w);
    }
}

static void on_room_timer(evutil_socket_t fd, short what, void *arg)
{
    struct web *w = arg;

    run(w->job);
}

static void opened(struct web *w)
{
    struct web_file *f = w->file;

    w->opened = true;
    w->validator = xstrdup(f->validator);
    w->total = f->total;
    w->expected = f->written;
    w->ended = w->total > 0 && w->expected == w->total;
    if (w->ended)
        next_job(w);
    else
        fetch(w);
}

static void written(struct web *w)
{
    w->full = false;
    if (w->paused) {
        w->paused = false;
        go_on(w);
    }
    next_job(w);
}

static void job_done(void *data)
{
    struct disk_job *j = data;
    struct web *w = j->web;
    enum disk_work what = j->work;

    if (!w || w->over) {
        free_job(j);
        return;
    }
    if (what == DISK_WRITE && j->result == STORE_FULL) { /* the job waits, with what has come */
        if (!w->full)
            log_warn("swarm: %s", j->why);
        if (!w->hopeless) { /* a copy: the job's is the crew's again with its next try */
            free(w->why);
            w->why = xstrdup(j->why);
        }
        w->full = j->waiting = true;
        event_add(w->room_timer, &(struct timeval){.tv_sec = FULL_RETRY_S});
        return;
    }
    if (j->result != STORE_OK)
        give_up(w, xstrdup(j->why));
    else if (what == DISK_OPEN)
        opened(w);
    else if (what == DISK_LAND)
        finish(w, manifest_keep(w->file->manifest), "");
    else if (what == DISK_PARSE)
        w->on_manifest(w->arg, j->manifest ? manifest_keep(j->manifest) : NULL, j->why ? j->why : "");
    free_job(j);
    if (what == DISK_WRITE)
        written(w);
}

static struct web *create(struct httpc *http, struct crew *crew, const char *url, void *arg)
{
    struct web *w = xcalloc(1, sizeof(*w));

    w->http = http;
    w->crew = crew;
    w->url = xstrdup(url);
    w->at = xstrdup(url);
    w->arg = arg;
    return w;
}

struct web *web_manifest(struct httpc *http, struct crew *crew, const char *url, web_manifest_cb *done, void *arg)
{
    struct web *w = create(http, crew, url, arg);
    size_t path = strcspn(url, "?#"), suffix = strlen(MANIFEST_SUFFIX);

    w->on_manifest = done;
    if (path < suffix || strncmp(url + path - suffix, MANIFEST_SUFFIX, suffix) != 0) {
        free(w->at);
        w->at = xasprintf("%.*s%s%s", (int)path, url, MANIFEST_SUFFIX, url + path);
    }
    fetch(w);
    return w;
}

/* What the URL's path ends in, as the name of a file.  NULL: it can't be one.  Owned by the caller. */
static char *name_of(const char *url)
{
    const char *from = strstr(url, "://"), *end;
    char *name;

    from = from ? from + 3 : url;
    end = from + strcspn(from, "?#");
    for (const char *p = from; p < end; p++) {
        if (*p == '/')
            from = p + 1;
    }
    name = xstrndup(from, (size_t)(end - from));
    if (head_decode(name, false) && manifest_name_ok(name))
        return name;
    free(name);
    return NULL;
}

struct web *web_download(struct event_base *base, struct httpc *http, struct crew *crew, const char *url,
                         const char *dir, web_done_cb *done, void *arg)
{
    struct web *w = create(http, crew, url, arg);
    char *name = name_of(url);

    w->on_file = done;
    w->timer = evtimer_new(base, on_timer, w);
    w->room_timer = evtimer_new(base, on_room_timer, w);
    w->limit_timer = evtimer_new(base, on_limit_timer, w);
    w->rate_us = clock_us();
    buf_init(&w->pending, PENDING_MAX);
    if (name) {
        w->file = xcalloc(1, sizeof(*w->file));
        web_file_init(w->file, dir, name, url);
        run(start(w, DISK_OPEN));
    } else {
        give_up(w, xasprintf("%s: the URL does not end in the name of a model file (NAME.gguf)", url));
    }
    free(name);
    return w;
}

void web_expect(struct web *w, const struct manifest *m)
{
    if (!w->file)
        return;
    snprintf(w->file->id, sizeof(w->file->id), "%s", m->id);
    w->file->size = m->total_size;
}

void web_set_limit(struct web *w, int64_t bytes_a_second)
{
    w->limit = bytes_a_second;
}

void web_fill(const struct web *w, struct swarm_view_model *m)
{
    const struct web_file *f = w->file;

    m->state = w->over ? SWARM_FAILED : !w->opened ? SWARM_HASHING : w->ended ? SWARM_LANDING : SWARM_FETCHING;
    m->availability = m->eta = NAN;
    if (!f)
        return;
    snprintf(m->file, sizeof(m->file), "%.255s", f->name);
    m->size = m->wanted = w->total;
    m->have = f->written;
    m->fetched = w->fetched;
    m->down = clock_us() - w->rate_us < 3 * RATE_US ? w->rate : 0;
    if (m->down > 0 && w->total > m->have)
        m->eta = (double)(w->total - m->have) / m->down;
    if ((w->full || (!w->call && !w->ended)) && w->opened && !w->over) {
        m->state = SWARM_WAITING;
        snprintf(m->why, sizeof(m->why), "%.255s", w->why ? w->why : "");
    }
    m->n_map = w->total > 0 ? SWARM_VIEW_MAP : 0;
    for (size_t i = 0; i < m->n_map; i++) {
        double at = (double)m->have / (double)w->total * SWARM_VIEW_MAP - (double)i;

        m->map[i].had = at >= 1 ? 100 : at > 0 ? (uint8_t)(at * 100) : 0;
    }
}

void web_cancel(struct web *w)
{
    if (!w)
        return;
    if (w->call)
        httpc_cancel(w->call);
    if (w->timer)
        event_free(w->timer);
    if (w->room_timer)
        event_free(w->room_timer);
    if (w->limit_timer)
        event_free(w->limit_timer);
    if (w->job && w->job->waiting) {
        free_job(w->job);
    } else if (w->job) {
        if (w->file)
            atomic_store(&w->file->stop, true);
        w->job->web = NULL; /* which frees the file when it ends */
        w->file = NULL;
    }
    free_file(w->file);
    buf_finish(&w->pending);
    free(w->validator);
    free(w->why);
    free(w->at);
    free(w->url);
    free(w);
}
