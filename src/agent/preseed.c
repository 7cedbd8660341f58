#include "agent/preseed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "agent/from.h"
#include "base/cause.h"
#include "base/clock.h"
#include "base/crew.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "probe/worker-note.h"
#include "swarm/manifest-make.h"
#include "swarm/rpc-cache.h"

enum {
    LAYERS_MAX = 4096,
    NAME_MAX_SHOWN = 200,
    LOOK_MS = 250,
    ALONE_US = 5 * 1000 * 1000, /* without any peer: nobody has it */
    AGAIN_US = 500 * 1000,      /* between two attempts at a folder that another one fills */
    BUSY_US = 120 * 1000 * 1000,
};

enum step {
    STEP_LOOKING,  /* which local file is it */
    STEP_FETCHING, /* from the swarm */
    STEP_WAITING,  /* another one fetches the same model, or fills the same folder */
    STEP_WRITING,  /* into the cache */
    STEP_DONE,
    STEP_FAILED,
    STEP_STOPPED,
};

static const char *const step_names[] = {
    [STEP_LOOKING] = "looking", [STEP_FETCHING] = "fetching", [STEP_WAITING] = "waiting", [STEP_WRITING] = "writing",
    [STEP_DONE] = "done",       [STEP_FAILED] = "failed",     [STEP_STOPPED] = "stopped",
};

/* Which of this machine's files is that model?  Looked up by the crew. */
struct look {
    struct preseed *owner; /* NULL: nobody wants to know any more */
    char id[MANIFEST_ID + 1];
    char **path;
    size_t n;
    size_t found; /* n: none */
};

struct preseed {
    TAILQ_ENTRY(preseed) entry;
    struct preseeds *all;
    int number;
    enum step step;
    char id[MANIFEST_ID + 1], *name;
    int worker; /* port */
    struct needed needed;
    struct agent_order_from from;
    struct worker_note note;
    struct look *look;
    struct swarm_pull *pull;
    bool holds; /* the swarm */
    struct swarm_view_model moved;
    struct rpc_cache *cache;
    char *path; /* of the model, or of the .part with its layers */
    char *why;
    uint64_t total, done, written;
    int64_t asked_us, alone_us, tried_us, busy_us;
};

struct preseeds {
    struct event_base *base;
    struct agent_pulls *pulls;
    struct crew *crew; /* NULL: nothing was asked for yet */
    struct event *tick;
    TAILQ_HEAD(preseed_list, preseed) list; /* the newest first */
    size_t n;
    int numbers;
};

/* ---- the end of one ---- */

static bool has_ended(const struct preseed *x)
{
    return x->step >= STEP_DONE;
}

/* Lets go of all that goes on. */
static void let_go(struct preseed *x)
{
    if (x->look != NULL)
        x->look->owner = NULL;
    x->look = NULL;
    if (x->pull != NULL)
        swarm_pull_cancel(x->pull);
    x->pull = NULL;
    if (x->holds)
        agent_pulls_hold(x->all->pulls, -1);
    x->holds = false;
    rpc_cache_cancel(x->cache);
    x->cache = NULL;
}

static void preseed_free(struct preseed *x)
{
    let_go(x);
    TAILQ_REMOVE(&x->all->list, x, entry);
    x->all->n--;
    agent_order_from_finish(&x->from);
    worker_note_finish(&x->note);
    free(x->name);
    free(x->path);
    free(x->why);
    free(x);
}

static void end(struct preseed *x, enum step step, const char *why)
{
    let_go(x);
    x->step = step;
    free(x->why);
    x->why = xstrdup(why);
    if (step == STEP_DONE)
        log_info("layers of %s are in the cache of the worker at port %d: %.1f MiB, %.1f MiB of them written now",
                 x->name, x->worker, (double)x->total / (1 << 20), (double)x->written / (1 << 20));
    else
        log_warn("layers of %s were not put into the cache of the worker at port %d: %s", x->name, x->worker, why);
}

/* ---- writing ---- */

static void write_to_cache(struct preseed *x);

static void on_written(void *arg, const struct rpc_cache_result *r)
{
    struct preseed *x = arg;
    int64_t now = clock_us();
    x->cache = NULL;
    x->total = r->bytes;
    x->written += r->written;
    if (r->ok) {
        x->done = r->bytes;
        end(x, STEP_DONE, "");
    } else if (r->busy && (x->busy_us == 0 || now - x->busy_us < BUSY_US)) {
        x->step = STEP_WAITING;
        x->tried_us = now;
        if (x->busy_us == 0)
            x->busy_us = now;
    } else {
        end(x, STEP_FAILED, r->why);
    }
}

static void write_to_cache(struct preseed *x)
{
    const struct rpc_cache_opts o = {
        .model = x->path, .id = x->id, .folder = x->note.cache, .max = x->note.cache_max, .needed = x->needed};
    x->step = STEP_WRITING;
    x->cache = rpc_cache_fill(x->all->crew, &o, on_written, x);
}

/* ---- from the swarm ---- */

static void on_pulled(void *arg, const struct swarm_pull_result *r)
{
    struct preseed *x = arg;
    swarm_pull_fill(x->pull, &x->moved);
    x->pull = NULL;
    x->moved.fetched = r->fetched;
    if (r->ok && r->path != NULL) {
        x->path = xstrdup(r->path);
        write_to_cache(x);
    } else {
        char *why = utf8_one_line(r->why);
        end(x, STEP_FAILED, why);
        free(why);
    }
}

/* Local models that have not been hashed are not looked through: the node that starts waits for this. */
static void fetch(struct preseed *x)
{
    const struct swarm_pull_opts o = {.what = x->id,
                                      .peers = (const char *const *)x->from.list,
                                      .n_peers = x->from.n,
                                      .first_layer = x->needed.first,
                                      .last_layer = x->needed.last,
                                      .output = x->needed.output,
                                      .no_local = true};
    const struct swarm_pull_calls calls = {.on_done = on_pulled, .arg = x};
    char *cause = NULL;
    struct swarm *s = agent_pulls_swarm(x->all->pulls, x->from.token, &cause);
    x->tried_us = clock_us();
    if (s != NULL && swarm_is_pulling(s, x->id)) {
        x->step = STEP_WAITING;
        return;
    }
    if (s != NULL) {
        agent_pulls_hold(x->all->pulls, 1);
        x->holds = true;
        x->step = STEP_FETCHING;
        x->alone_us = clock_us();
        x->pull = swarm_pull(s, &o, &calls, &cause);
    }
    if (x->pull == NULL)
        end(x, STEP_FAILED, cause);
    free(cause);
}

/* ---- from here ---- */

static void look_free(void *data)
{
    struct look *l = data;
    for (size_t i = 0; i < l->n; i++)
        free(l->path[i]);
    free(l->path);
    free(l);
}

static void look(void *data)
{
    struct look *l = data;
    bool found = false;
    for (l->found = 0; l->found < l->n && !found; l->found += !found) {
        struct manifest *m = manifest_stored(l->path[l->found]);
        found = m != NULL && strcmp(m->id, l->id) == 0;
        manifest_destroy(m);
    }
}

static void looked(void *data)
{
    struct look *l = data;
    struct preseed *x = l->owner;
    if (x != NULL) {
        x->look = NULL;
        if (l->found < l->n) {
            x->path = xstrdup(l->path[l->found]);
            write_to_cache(x);
        } else {
            fetch(x);
        }
    }
    look_free(l);
}

static void start_look(struct preseed *x, const struct machine *here)
{
    struct look *l = xcalloc(1, sizeof(*l));
    l->owner = x;
    memcpy(l->id, x->id, sizeof(l->id));
    l->path = xcalloc(here->n_models + 1, sizeof(*l->path));
    for (size_t i = 0; i < here->n_models; i++) {
        if (here->model[i].path != NULL)
            l->path[l->n++] = xstrdup(here->model[i].path);
    }
    x->look = l;
    crew_add(x->all->crew, &(struct crew_job){.work = look, .done = looked, .drop = look_free, .data = l});
}

/* ---- the order ---- */

static int read_layers(struct needed *n, const json_t *order, char **cause)
{
    int64_t first = 0, last = -1;
    if (json_get_int(order, "first_layer", 0, LAYERS_MAX - 1, &first, cause) < 0 ||
        json_get_int(order, "last_layer", -1, LAYERS_MAX - 1, &last, cause) < 0 ||
        json_get_bool(order, "output", &n->output, cause) < 0)
        return -1;
    n->first = (int)first;
    n->last = (int)last;
    if (last < first && !n->output)
        return cause_set(cause, "last_layer: expected a layer from %d on, or output", n->first);
    return 0;
}

static int read_order(struct preseed *x, const json_t *order, const char *sender, char **cause)
{
    const char *id = NULL, *name = NULL;
    int64_t worker = 0;
    if (json_get_string(order, "id", &id, cause) < 0 || json_get_string(order, "name", &name, cause) < 0 ||
        json_get_int(order, "worker", 1, 65535, &worker, cause) < 0 || read_layers(&x->needed, order, cause) != 0 ||
        agent_order_from_read(&x->from, order, sender, cause) != 0)
        return -1;
    if (id == NULL || !manifest_id_read(id, x->id))
        return cause_set(cause, "id: expected the id of a manifest, 64 hex digits");
    if (worker == 0)
        return cause_set(cause, "worker: expected the port of a worker on this machine");
    x->worker = (int)worker;
    if (name == NULL)
        name = x->id;
    x->name = utf8_printable(name, strnlen(name, NAME_MAX_SHOWN));
    return 0;
}

/* Whose cache is it?  0, or -1 and a cause. */
static int find_worker(struct preseed *x, char **cause)
{
    if (worker_note_read(x->worker, &x->note, cause) != 0)
        return -1;
    return x->note.cache != NULL
               ? 0
               : cause_set(cause, "the worker at port %d keeps no tensors (it was started with --no-cache)", x->worker);
}

/* One for the same worker makes room, else the oldest that has ended.  False: there is none. */
static bool make_room(struct preseeds *p, int worker)
{
    struct preseed *x, *old = NULL;
    TAILQ_FOREACH(x, &p->list, entry)
    {
        if (x->worker == worker) {
            preseed_free(x);
            break;
        }
    }
    TAILQ_FOREACH(x, &p->list, entry)
    {
        if (has_ended(x))
            old = x;
    }
    if (p->n >= PRESEEDS_MAX && old != NULL)
        preseed_free(old);
    return p->n < PRESEEDS_MAX;
}

static json_t *to_json(struct preseed *x);

json_t *preseeds_start(struct preseeds *p, const json_t *order, const struct machine *here, const char *sender,
                       int *status, char **cause)
{
    struct preseed *x = xcalloc(1, sizeof(*x));
    *x = (struct preseed){.all = p, .number = ++p->numbers, .asked_us = clock_us()};
    TAILQ_INSERT_HEAD(&p->list, x, entry);
    p->n++;
    *status = 400;
    if (read_order(x, order, sender, cause) != 0)
        goto wrong;
    *status = 409;
    TAILQ_REMOVE(&p->list, x, entry);
    p->n--;
    bool room = make_room(p, x->worker);
    TAILQ_INSERT_HEAD(&p->list, x, entry);
    p->n++;
    if (!room) {
        cause_set(cause, "%d caches are being filled here, and no more are taken", PRESEEDS_MAX);
        goto wrong;
    }
    if (p->crew == NULL)
        p->crew = crew_create(p->base, 0);
    if (p->crew == NULL) {
        cause_set(cause, "this machine gives no further thread");
        goto wrong;
    }
    if (find_worker(x, cause) != 0)
        goto wrong;
    start_look(x, here);
    event_add(p->tick, &(struct timeval){.tv_usec = LOOK_MS * 1000});
    return to_json(x);
wrong:
    preseed_free(x);
    return NULL;
}

/* ---- life ---- */

/* A pull that has no peer is not over, but a load must not wait for it. */
static void look_after_pull(struct preseed *x, int64_t now)
{
    swarm_pull_fill(x->pull, &x->moved);
    if (x->moved.peers > 0 || x->moved.fetched > 0 || x->moved.state == SWARM_HASHING ||
        x->moved.state == SWARM_LANDING)
        x->alone_us = now;
    if (now - x->alone_us > ALONE_US) {
        char *found = utf8_one_line(x->moved.why);
        char *why = xasprintf("no peer that has the model was found%s%s", *found != '\0' ? ": " : "", found);
        end(x, STEP_FAILED, why);
        free(found);
        free(why);
    }
}

static void go_on(struct preseed *x)
{
    if (x->path != NULL)
        write_to_cache(x);
    else
        fetch(x);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct preseeds *p = arg;
    struct preseed *x;
    bool more = false;
    int64_t now = clock_us();
    (void)fd;
    (void)what;
    TAILQ_FOREACH(x, &p->list, entry)
    {
        if (!has_ended(x) && now - x->asked_us > PRESEED_LEASE_S * (int64_t)1000000)
            end(x, STEP_STOPPED, "nobody asked how it goes any more");
        if (x->pull != NULL)
            look_after_pull(x, now);
        if (x->step == STEP_WAITING && now - x->tried_us > AGAIN_US)
            go_on(x);
        more |= !has_ended(x);
    }
    if (more)
        event_add(p->tick, &(struct timeval){.tv_usec = LOOK_MS * 1000});
}

struct preseeds *preseeds_create(struct event_base *base, struct agent_pulls *pulls)
{
    struct preseeds *p = xcalloc(1, sizeof(*p));
    *p = (struct preseeds){.base = base, .pulls = pulls};
    TAILQ_INIT(&p->list);
    p->tick = evtimer_new(base, on_tick, p);
    return p;
}

void preseeds_destroy(struct preseeds *p)
{
    if (p == NULL)
        return;
    while (!TAILQ_EMPTY(&p->list))
        preseed_free(TAILQ_FIRST(&p->list));
    crew_destroy(p->crew);
    event_free(p->tick);
    free(p);
}

/* ---- what is told ---- */

static json_t *to_json(struct preseed *x)
{
    if (x->cache != NULL)
        rpc_cache_progress(x->cache, &x->done, &x->total);
    bool fetched = x->moved.size > 0, known = x->total > 0 || x->step == STEP_DONE;
    json_t *o = json_pack("{s:i, s:s, s:s, s:i, s:s}", "number", x->number, "id", x->id, "name", x->name, "worker",
                          x->worker, "state", step_names[x->step]);
    char *why = utf8_one_line(x->why != NULL ? x->why : x->moved.why);
    json_object_set_new(o, "why", *why != '\0' ? json_string(why) : json_null());
    free(why);
    json_object_set_new(o, "first_layer", json_integer(x->needed.first));
    json_object_set_new(o, "last_layer", json_integer(x->needed.last));
    json_object_set_new(o, "output", json_boolean(x->needed.output));
    json_object_set_new(o, "wanted", fetched ? json_integer((json_int_t)x->moved.wanted) : json_null());
    json_object_set_new(o, "have", fetched ? json_integer((json_int_t)x->moved.have) : json_null());
    json_object_set_new(o, "fetched", json_integer((json_int_t)x->moved.fetched));
    json_object_set_new(o, "total", known ? json_integer((json_int_t)x->total) : json_null());
    json_object_set_new(o, "done", known ? json_integer((json_int_t)x->done) : json_null());
    json_object_set_new(o, "written", json_integer((json_int_t)x->written));
    return o;
}

json_t *preseeds_json(struct preseeds *p, int number)
{
    struct preseed *x;
    TAILQ_FOREACH(x, &p->list, entry)
    {
        if (x->number == number) {
            x->asked_us = clock_us();
            return to_json(x);
        }
    }
    return NULL;
}
