#include "agent/pulls.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "agent/from.h"
#include "base/cause.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"

enum state { PULL_MOVES, PULL_COMPLETE, PULL_FAILED, PULL_STOPPED };

struct pull {
    TAILQ_ENTRY(pull) entry;
    struct agent_pulls *pulls;
    char *what;
    enum state state;
    struct swarm_pull *swarm_pull; /* NULL: it has ended */
    struct swarm_view_model model; /* as it was last seen */
    char *why, *path;              /* how it ended; NULL */
    bool refused;                  /* why is our own: there is no room */
    int64_t started_us;
    double seconds; /* it took, NAN while it goes on */
};

struct agent_pulls {
    struct event_base *base;
    struct httpc *http;
    char *host, *dir, *token;
    char **folders;
    size_t n_folders;
    bool discovery;
    void (*arrived)(void *arg);
    void *arg;
    int held;
    struct swarm *swarm;              /* NULL: nobody has asked for it */
    TAILQ_HEAD(pull_list, pull) list; /* the newest first */
    size_t n;
};

static void pull_free(struct pull *q)
{
    struct agent_pulls *p = q->pulls;
    TAILQ_REMOVE(&p->list, q, entry);
    p->n--;
    if (q->swarm_pull != NULL)
        swarm_pull_cancel(q->swarm_pull);
    free(q->what);
    free(q->why);
    free(q->path);
    free(q);
}

struct agent_pulls *agent_pulls_create(struct event_base *base, struct httpc *http, const struct agent_pulls_opts *o)
{
    struct agent_pulls *p = xcalloc(1, sizeof(*p));
    *p = (struct agent_pulls){.base = base,
                              .http = http,
                              .host = xstrdup(o->host),
                              .dir = o->dir != NULL ? xstrdup(o->dir) : swarm_default_dir(),
                              .discovery = o->discovery,
                              .arrived = o->arrived,
                              .arg = o->arg};
    p->folders = xcalloc(o->n_folders + 1, sizeof(char *));
    for (; p->n_folders < o->n_folders; p->n_folders++)
        p->folders[p->n_folders] = xstrdup(o->folders[p->n_folders]);
    TAILQ_INIT(&p->list);
    return p;
}

void agent_pulls_destroy(struct agent_pulls *p)
{
    if (p == NULL)
        return;
    while (!TAILQ_EMPTY(&p->list))
        pull_free(TAILQ_FIRST(&p->list));
    swarm_destroy(p->swarm);
    for (size_t i = 0; i < p->n_folders; i++)
        free(p->folders[i]);
    free(p->folders);
    free(p->host);
    free(p->dir);
    free(p->token);
    free(p);
}

const char *agent_pulls_dir(const struct agent_pulls *p)
{
    return p->dir;
}

/* ---- the swarm ---- */

static bool is_busy(const struct agent_pulls *p)
{
    const struct pull *q;
    TAILQ_FOREACH(q, &p->list, entry)
    {
        if (q->swarm_pull != NULL)
            return true;
    }
    return p->held > 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

struct swarm *agent_pulls_swarm(struct agent_pulls *p, const char *token, char **cause)
{
    if (p->swarm != NULL && same_text(p->token, token))
        return p->swarm;
    if (p->swarm != NULL && is_busy(p)) {
        cause_set(cause, "a pull from a swarm with another token is under way here: wait for its end, or stop it");
        return NULL;
    }
    const struct swarm_opts o = {.host = p->host,
                                 .token = token,
                                 .dir = p->dir,
                                 .folders = (const char *const *)p->folders,
                                 .n_folders = p->n_folders,
                                 .discovery = p->discovery};
    swarm_destroy(p->swarm);
    p->swarm = NULL;
    free(p->token);
    p->token = xstrdup(token);
    if (p->dir == NULL)
        cause_set(cause, "there is no folder for models here: start the agent with --models FOLDER");
    else
        p->swarm = swarm_create(p->base, p->http, &o, cause);
    if (p->swarm != NULL)
        log_info("pieces of models are given out at %s port %d", p->host, swarm_port(p->swarm));
    return p->swarm;
}

void agent_pulls_hold(struct agent_pulls *p, int change)
{
    p->held += change;
}

/* ---- one pull ---- */

static const char *name_of(const struct pull *q)
{
    return q->model.file[0] != '\0' ? q->model.file : q->what;
}

static bool on_estimate(void *arg, const struct manifest *m, const struct swarm_estimate *e, char **why)
{
    struct pull *q = arg;
    char *no_room = swarm_no_room(m, e, q->pulls->dir);
    if (no_room == NULL)
        return true;
    q->refused = true;
    free(q->why);
    q->why = xasprintf("%s: make room there, or start the agent with --models FOLDER on another disk", no_room);
    *why = no_room;
    return false;
}

/* What is known of it in the end. */
static void take_manifest(struct swarm_view_model *to, const struct manifest *m, bool whole)
{
    if (m == NULL)
        return;
    snprintf(to->id, sizeof(to->id), "%s", m->id);
    snprintf(to->file, sizeof(to->file), "%s", m->filename);
    snprintf(to->name, sizeof(to->name), "%.*s", (int)sizeof(to->name) - 1, m->model != NULL ? m->model : m->filename);
    to->size = to->wanted = m->total_size;
    if (whole)
        to->have = m->total_size;
}

static void on_done(void *arg, const struct swarm_pull_result *r)
{
    struct pull *q = arg;
    q->swarm_pull = NULL;
    take_manifest(&q->model, r->manifest, r->ok);
    q->state = r->ok ? PULL_COMPLETE : PULL_FAILED;
    q->seconds = r->seconds;
    if (!q->refused) {
        free(q->why);
        q->why = r->ok ? NULL : xstrdup(r->why);
    }
    free(q->path);
    q->path = r->path != NULL ? xstrdup(r->path) : NULL;
    q->model.fetched = r->fetched;
    q->model.copied = r->copied;
    q->model.wasted = r->wasted;
    if (r->ok)
        log_info("%s is here: %s", name_of(q), q->path != NULL ? q->path : "");
    else
        log_warn("%s was not pulled: %s", name_of(q), q->why);
    if (r->ok && q->pulls->arrived != NULL)
        q->pulls->arrived(q->pulls->arg);
}

static struct pull *find(struct agent_pulls *p, const char *what)
{
    struct pull *q;
    TAILQ_FOREACH(q, &p->list, entry)
    {
        bool here = strcmp(q->what, what) == 0 || strcasecmp(q->model.id, what) == 0 ||
                    strcmp(q->model.file, what) == 0 || strcmp(q->model.name, what) == 0;
        if (here)
            return q;
    }
    return NULL;
}

static json_t *to_json(struct pull *q);

/* The oldest that has ended makes room.  False: all are under way. */
static bool make_room(struct agent_pulls *p)
{
    struct pull *q;
    if (p->n < AGENT_PULLS_MAX)
        return true;
    TAILQ_FOREACH_REVERSE(q, &p->list, pull_list, entry)
    {
        if (q->swarm_pull == NULL) {
            pull_free(q);
            return true;
        }
    }
    return false;
}

static struct pull *begin(struct agent_pulls *p, struct swarm *s, const char *what, const struct agent_order_from *from,
                          char **cause)
{
    struct pull *q = xcalloc(1, sizeof(*q));
    *q = (struct pull){.pulls = p, .what = xstrdup(what), .started_us = clock_us(), .seconds = NAN};
    TAILQ_INSERT_HEAD(&p->list, q, entry);
    p->n++;
    const struct swarm_pull_opts o = {.what = what,
                                      .peers = (const char *const *)from->list,
                                      .n_peers = from->n,
                                      .first_layer = -1,
                                      .last_layer = -1};
    const struct swarm_pull_calls calls = {.on_estimate = on_estimate, .on_done = on_done, .arg = q};
    q->swarm_pull = swarm_pull(s, &o, &calls, cause);
    if (q->swarm_pull == NULL) {
        pull_free(q);
        return NULL;
    }
    char *shown = utf8_printable(what, strlen(what));
    log_info("%s is being pulled", shown);
    free(shown);
    return q;
}

/* The one that is asked for, new or under way. */
static struct pull *begin_or_join(struct agent_pulls *p, struct swarm *s, const char *what,
                                  const struct agent_order_from *from, char **cause)
{
    struct pull *q = find(p, what);
    if (q != NULL && q->swarm_pull != NULL) {
        for (size_t i = 0; i < from->n; i++)
            swarm_pull_add_peer(q->swarm_pull, from->list[i]);
        return q;
    }
    if (q != NULL)
        pull_free(q);
    if (make_room(p))
        return begin(p, s, what, from, cause);
    cause_set(cause, "%d pulls are under way here, and no more are taken", AGENT_PULLS_MAX);
    return NULL;
}

static int read_order(const json_t *order, const char *sender, const char **what, struct agent_order_from *from,
                      char **cause)
{
    if (agent_order_from_read(from, order, sender, cause) != 0 || json_get_string(order, "what", what, cause) < 0)
        return -1;
    if (*what == NULL || !swarm_is_remote(*what))
        return cause_set(cause, "what: expected the id of a manifest, the name of a model or an http(s) URL");
    return 0;
}

json_t *agent_pulls_start(struct agent_pulls *p, const json_t *order, const char *sender, int *status, char **cause)
{
    const char *what = NULL;
    struct agent_order_from from;
    json_t *answer = NULL;
    *status = 400;
    if (read_order(order, sender, &what, &from, cause) == 0) {
        *status = 409;
        struct swarm *s = agent_pulls_swarm(p, from.token, cause);
        struct pull *q = s != NULL ? begin_or_join(p, s, what, &from, cause) : NULL;
        answer = q != NULL ? to_json(q) : NULL;
    }
    agent_order_from_finish(&from);
    return answer;
}

int agent_pulls_stop(struct agent_pulls *p, const char *what, char **cause)
{
    struct pull *q = find(p, what);
    if (q == NULL)
        return cause_set(cause, "nothing of the name \"%.80s\" is pulled here", what);
    if (q->swarm_pull == NULL) {
        pull_free(q);
        return 0;
    }
    swarm_pull_fill(q->swarm_pull, &q->model);
    swarm_pull_cancel(q->swarm_pull);
    q->swarm_pull = NULL;
    q->state = PULL_STOPPED;
    q->seconds = (double)(clock_us() - q->started_us) / 1e6;
    return 0;
}

/* ---- what is told ---- */

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *text(const char *s)
{
    char *line = s != NULL && *s != '\0' ? utf8_one_line(s) : NULL;
    json_t *o = line != NULL ? json_string(line) : json_null();
    free(line);
    return o;
}

static json_t *to_json(struct pull *q)
{
    static const char *const ended[] = {
        [PULL_COMPLETE] = "complete", [PULL_FAILED] = "failed", [PULL_STOPPED] = "stopped"};
    struct swarm_view_model *m = &q->model;
    bool moves = q->swarm_pull != NULL;
    if (moves)
        swarm_pull_fill(q->swarm_pull, m);
    bool known = m->size > 0;
    json_t *o =
        json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "what", text(q->what), "id", text(m->id), "name",
                  text(m->name), "file", text(m->file), "state", moves ? swarm_state_name(m->state) : ended[q->state],
                  "why", text(moves && !q->refused ? m->why : q->why), "path", text(q->path));
    json_object_set_new(o, "size", known ? json_integer((json_int_t)m->size) : json_null());
    json_object_set_new(o, "wanted", known ? json_integer((json_int_t)m->wanted) : json_null());
    json_object_set_new(o, "have", known ? json_integer((json_int_t)m->have) : json_null());
    json_object_set_new(o, "fetched", json_integer((json_int_t)m->fetched));
    json_object_set_new(o, "copied", json_integer((json_int_t)m->copied));
    json_object_set_new(o, "wasted", json_integer((json_int_t)m->wasted));
    json_object_set_new(o, "down", moves ? number(m->down) : json_null());
    json_object_set_new(o, "eta", moves ? number(m->eta) : json_null());
    json_object_set_new(o, "peers", moves ? json_integer(m->peers) : json_null());
    json_object_set_new(o, "seconds", number(moves ? (double)(clock_us() - q->started_us) / 1e6 : q->seconds));
    return o;
}

static json_t *swarm_json(const struct agent_pulls *p)
{
    if (p->swarm == NULL)
        return json_null();
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    swarm_fill(p->swarm, v);
    json_t *o =
        json_pack("{s:s, s:i, s:I, s:I, s:o, s:o}", "host", p->host, "port", swarm_port(p->swarm), "fetched",
                  (json_int_t)v->fetched, "sent", (json_int_t)v->sent, "down", number(v->down), "up", number(v->up));
    free(v);
    return o;
}

json_t *agent_pulls_json(struct agent_pulls *p)
{
    json_t *list = json_array();
    struct pull *q;
    TAILQ_FOREACH(q, &p->list, entry)
    json_array_append_new(list, to_json(q));
    return json_pack("{s:o, s:o, s:o}", "swarm", swarm_json(p), "folder", text(p->dir), "pulls", list);
}
