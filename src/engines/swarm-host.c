#include "engines/swarm-host.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engines/swarm-settings.h"
#include "probe/parts.h"

struct pull {
    TAILQ_ENTRY(pull) entry;
    struct swarm_host *host;
    char *what;
    struct swarm_pull *swarm_pull;
};

/* What is shared from the start, once each. */
struct path {
    TAILQ_ENTRY(path) entry;
    char *text;
};

/* A call that waits for the manifest of that file. */
struct sharing {
    TAILQ_ENTRY(sharing) entry;
    char *path;
    struct command_call *call;
};

struct swarm_host {
    struct swarm *swarm;
    char *dir;
    TAILQ_HEAD(, pull) pulls;
    size_t n_pulls;
    TAILQ_HEAD(, path) paths;
    TAILQ_HEAD(, sharing) sharings;
    size_t n_sharings;
};

/* ---- what is given out ---- */

static void on_shared(void *arg, const char *path, const struct manifest *m, const char *why)
{
    (void)arg;
    if (m == NULL)
        log_warn("%s is not given out: %s", path, why);
    else
        log_info("%s is given out: %s", m->filename, m->id);
}

/* The folder for what is pulled is made by the first pull. */
static void on_folder(void *arg, const char *path, const struct manifest *m, const char *why)
{
    if (m == NULL && strcmp(path, (const char *)arg) == 0)
        log_debug("%s is not given out: %s", path, why);
    else
        on_shared(NULL, path, m, why);
}

static void share(struct swarm_host *h, const char *path)
{
    struct path *p;
    char *cause = NULL;
    TAILQ_FOREACH(p, &h->paths, entry)
    {
        if (strcmp(p->text, path) == 0)
            return;
    }
    p = xcalloc(1, sizeof(*p));
    p->text = xstrdup(path);
    TAILQ_INSERT_TAIL(&h->paths, p, entry);
    bool own = h->dir != NULL && strcmp(path, h->dir) == 0;
    if (swarm_share(h->swarm, path, own ? on_folder : on_shared, h->dir, &cause) != 0)
        log_warn("%s is not given out: %s", path, cause);
    free(cause);
}

static void share_all(struct swarm_host *h, const struct config *cfg)
{
    for (size_t i = 0; i < cfg->pool.n_models; i++) {
        const char *path = cfg->pool.models[i].path;
        int own, parts = parts_of(path, &own);
        for (int part = 1; path[0] == '/' && part <= parts; part++) {
            char *at = parts_path(path, part);
            share(h, at);
            free(at);
        }
    }
    if (cfg->swarm.folder != NULL)
        share(h, cfg->swarm.folder);
    for (size_t i = 0; i < cfg->swarm.folders.n; i++)
        share(h, cfg->swarm.folders.list[i]);
}

/* ---- life ---- */

struct swarm_host *swarm_host_create(struct event_base *base, struct httpc *http, const struct config *cfg,
                                     char **cause)
{
    struct swarm_settings s;
    struct swarm_host *h = xcalloc(1, sizeof(*h));
    TAILQ_INIT(&h->pulls);
    TAILQ_INIT(&h->paths);
    TAILQ_INIT(&h->sharings);
    swarm_settings_init(&s, cfg);
    h->dir = cfg->swarm.folder != NULL ? xstrdup(cfg->swarm.folder) : swarm_default_dir();
    h->swarm = swarm_create(base, http, &s.opts, cause);
    swarm_settings_finish(&s);
    if (h->swarm == NULL) {
        swarm_host_destroy(h);
        return NULL;
    }
    share_all(h, cfg);
    return h;
}

static void pull_free(struct pull *q)
{
    TAILQ_REMOVE(&q->host->pulls, q, entry);
    q->host->n_pulls--;
    free(q->what);
    free(q);
}

static void sharing_end(struct swarm_host *h, struct sharing *s, json_t *reply, const char *why)
{
    TAILQ_REMOVE(&h->sharings, s, entry);
    h->n_sharings--;
    command_end(s->call, reply, why);
    free(s->path);
    free(s);
}

void swarm_host_destroy(struct swarm_host *h)
{
    if (h == NULL)
        return;
    while (!TAILQ_EMPTY(&h->pulls)) {
        swarm_pull_cancel(TAILQ_FIRST(&h->pulls)->swarm_pull);
        pull_free(TAILQ_FIRST(&h->pulls));
    }
    while (!TAILQ_EMPTY(&h->sharings))
        sharing_end(h, TAILQ_FIRST(&h->sharings), NULL, "the instance ends");
    for (struct path *p; (p = TAILQ_FIRST(&h->paths)) != NULL; free(p)) {
        TAILQ_REMOVE(&h->paths, p, entry);
        free(p->text);
    }
    swarm_destroy(h->swarm);
    free(h->dir);
    free(h);
}

void swarm_host_reload(struct swarm_host *h, const struct config *cfg)
{
    const struct config_swarm *c = &cfg->swarm;
    swarm_set_limits(h->swarm, c->upload_limit, c->download_limit, (int)c->upload_slots);
    share_all(h, cfg);
}

void swarm_host_fill(const struct swarm_host *h, struct swarm_view *v)
{
    *v = (struct swarm_view){.down = NAN, .up = NAN, .slowest_ms = NAN};
    if (h == NULL)
        return;
    swarm_fill(h->swarm, v);
    v->on = true;
}

/* ---- pulls ---- */

static bool on_estimate(void *arg, const struct manifest *m, const struct swarm_estimate *e, char **why)
{
    struct pull *q = arg;
    *why = swarm_no_room(m, e, q->host->dir != NULL ? q->host->dir : ".");
    return *why == NULL;
}

static void on_done(void *arg, const struct swarm_pull_result *r)
{
    struct pull *q = arg;
    char *what = utf8_printable(q->what, strlen(q->what));
    if (r->ok)
        log_info("%s is here: %s", what, r->path);
    else
        log_warn("%s was not pulled: %s", what, r->why);
    free(what);
    pull_free(q);
}

static bool is_called(const struct pull *q, const char *what)
{
    struct swarm_view_model m;
    if (strcmp(q->what, what) == 0)
        return true;
    swarm_pull_fill(q->swarm_pull, &m);
    return strcasecmp(m.id, what) == 0 || strcmp(m.name, what) == 0 || strcmp(m.file, what) == 0;
}

static struct pull *find(struct swarm_host *h, const char *what)
{
    struct pull *q;
    TAILQ_FOREACH(q, &h->pulls, entry)
    {
        if (is_called(q, what))
            return q;
    }
    return NULL;
}

int swarm_host_pull(struct swarm_host *h, const char *what, const char *peer, char **cause)
{
    if (!swarm_is_remote(what))
        return cause_set(cause, "what: expected the id of a manifest, the name of a model or an http(s) URL");
    struct pull *q = find(h, what);
    if (q != NULL && peer != NULL)
        swarm_pull_add_peer(q->swarm_pull, peer);
    if (q != NULL)
        return 0;
    if (h->n_pulls == SWARM_HOST_PULLS)
        return cause_set(cause, "%d pulls are under way, and no more are taken", SWARM_HOST_PULLS);
    q = xcalloc(1, sizeof(*q));
    *q = (struct pull){.host = h, .what = xstrdup(what)};
    TAILQ_INSERT_TAIL(&h->pulls, q, entry);
    h->n_pulls++;
    const struct swarm_pull_opts o = {
        .what = what, .peers = &peer, .n_peers = peer != NULL, .first_layer = -1, .last_layer = -1};
    const struct swarm_pull_calls calls = {.on_estimate = on_estimate, .on_done = on_done, .arg = q};
    q->swarm_pull = swarm_pull(h->swarm, &o, &calls, cause);
    if (q->swarm_pull != NULL)
        return 0;
    pull_free(q);
    return -1;
}

int swarm_host_cancel(struct swarm_host *h, const char *what, char **cause)
{
    struct pull *q = find(h, what);
    if (q == NULL)
        return cause_set(cause, "nothing of the name \"%.80s\" is being pulled", what);
    swarm_pull_cancel(q->swarm_pull);
    pull_free(q);
    return 0;
}

/* ---- a model more ---- */

static void on_call_shared(void *arg, const char *path, const struct manifest *m, const char *why)
{
    struct swarm_host *h = arg;
    on_shared(NULL, path, m, why);
    for (struct sharing *s = TAILQ_FIRST(&h->sharings), *next; s != NULL; s = next) {
        next = TAILQ_NEXT(s, entry);
        if (strcmp(s->path, path) != 0)
            continue;
        json_t *reply = m != NULL
                            ? json_pack("{s:s, s:s?, s:s, s:I, s:i}", "id", m->id, "name", m->model, "file",
                                        m->filename, "bytes", (json_int_t)m->total_size, "port", swarm_port(h->swarm))
                            : NULL;
        sharing_end(h, s, reply, why);
    }
}

int swarm_host_share(struct swarm_host *h, const char *path, struct command_call *call, char **cause)
{
    if (path[0] != '/')
        return cause_set(cause, "path: expected that of a model file, from / on");
    if (h->n_sharings == SWARM_HOST_PULLS)
        return cause_set(cause, "%d manifests are being made: try again", SWARM_HOST_PULLS);
    struct sharing *s = xcalloc(1, sizeof(*s));
    *s = (struct sharing){.path = xstrdup(path), .call = call};
    TAILQ_INSERT_TAIL(&h->sharings, s, entry);
    h->n_sharings++;
    if (swarm_share_file(h->swarm, path, on_call_shared, h, cause) == 0)
        return 0;
    TAILQ_REMOVE(&h->sharings, s, entry);
    h->n_sharings--;
    free(s->path);
    free(s);
    return -1;
}
