/* tightwad distribute: a model of this machine to every machine of the cluster. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/token.h"
#include "base/cause.h"
#include "base/clock.h"
#include "base/crew.h"
#include "base/mem.h"
#include "cmd/bar.h"
#include "cmd/cmd.h"
#include "cmd/distribute-show.h"
#include "cmd/distribute.h"
#include "cmd/seeder.h"
#include "cmd/show-machine.h"
#include "probe/ollama-store.h"
#include "probe/parts.h"
#include "swarm/manifest-make.h"

extern const struct cmd cmd_distribute;

enum { BAR_MS = 200, BAR_COLUMNS = 40 };

/* One run of the verb. */
struct work {
    struct event_base *base;
    struct httpc *http;
    struct crew *crew;
    struct config *cfg;
    char *path, *token; /* of the model, absolute; of the agents, NULL: none was named */
    bool json, broken;  /* Ctrl-C */
    struct event *sigint;
    struct distribute d;
    struct distribute_show show;
    struct manifest_making *making;
    struct manifest *manifest;
    char *why; /* there is no manifest; NULL */
    int64_t began_us;
};

/* ---- what ---- */

/* The path of a model of the configuration, or of a file.  Owned by the caller; NULL and a cause. */
static char *find_model(const struct config *cfg, const char *what, char **cause)
{
    const struct config_model *m = config_model_find(cfg, what);
    const char *path = m != NULL ? m->path : what;
    if (strncmp(path, "ollama:", 7) == 0)
        return ollama_store_find(path + 7, cause);
    char *real = realpath(path, NULL);
    if (real != NULL)
        return real;
    const char *names[CONFIG_MODELS_MAX];
    size_t n = 0;
    int error = errno;
    for (size_t i = 0; i < cfg->pool.n_models; i++)
        names[n++] = cfg->pool.models[i].name;
    char *near = cmd_did_you_mean("", what, names, n);
    cause_set(cause, "%s: %s; expected a .gguf file, or the name of one of `models` in cluster.yaml%s", path,
              strerror(error), near);
    free(near);
    return NULL;
}

static void on_made(void *arg, struct manifest *m, uint64_t hashed, const char *why)
{
    struct work *w = arg;
    (void)hashed;
    w->making = NULL;
    w->manifest = m;
    w->why = m == NULL ? xstrdup(why) : NULL;
    event_base_loopbreak(w->base);
}

static void on_bar(evutil_socket_t fd, short what, void *arg)
{
    const struct work *w = arg;
    char bar[BAR_COLUMNS + 2];
    uint64_t done, total;
    (void)fd;
    (void)what;
    if (w->making == NULL)
        return;
    manifest_making_progress(w->making, &done, &total);
    double part = total > 0 ? (double)done / (double)total : NAN;
    bar_draw(bar, sizeof(bar), part, BAR_COLUMNS);
    fprintf(stderr, "\rhashing %s %3.0f %%\033[K", bar, total > 0 ? part * 100 : 0);
    fflush(stderr);
}

/* At once where it is stored, else with a bar. */
static int make_manifest(struct work *w)
{
    const struct manifest_make_opts o = {.path = w->path};
    struct event *timer = event_new(w->base, -1, EV_PERSIST, on_bar, w);
    bool shown = !w->json && isatty(STDERR_FILENO);
    if (shown)
        event_add(timer, &(struct timeval){0, BAR_MS * 1000});
    w->making = manifest_make(w->crew, &o, on_made, w);
    event_base_dispatch(w->base);
    event_free(timer);
    if (shown)
        fprintf(stderr, "\r\033[K");
    if (w->manifest != NULL)
        return CMD_OK;
    return w->broken ? CMD_FAILED : cmd_fail("%s: %s", w->path, w->why != NULL ? w->why : "no manifest");
}

/* ---- to whom ---- */

static int add(struct work *w, const char *where, const char *name)
{
    char *cause = NULL;
    const char *token = w->token != NULL ? w->token : w->cfg->agents.token;
    return distribute_add(&w->d, where, name, token, &cause) == 0 ? CMD_OK : cmd_fail_cause(cause);
}

static int add_targets(struct work *w, const struct cmd_args *args)
{
    const struct config *cfg = w->cfg;
    int rc = CMD_OK;
    for (size_t i = 1; i < args->n_words && rc == CMD_OK; i++)
        rc = add(w, args->words[i], NULL);
    /* Those of agents.hosts first: they may name a port, and a worker is the same machine then. */
    for (size_t i = 0; i < cfg->agents.hosts.n && args->n_words == 1 && rc == CMD_OK; i++)
        rc = add(w, cfg->agents.hosts.list[i], NULL);
    for (size_t i = 0; i < cfg->pool.n_workers && args->n_words == 1 && rc == CMD_OK; i++)
        rc = add(w, cfg->pool.workers[i].host, cfg->pool.workers[i].name);
    if (rc == CMD_OK && w->d.n == 0)
        rc = cmd_usage_error(
            "distribute: to whom?  Name machines (HOST[:PORT] of their agents) after the model, or list "
            "them in cluster.yaml: agents.hosts, workers");
    return rc;
}

/* ---- the whole ---- */

static void on_sigint(evutil_socket_t fd, short what, void *arg)
{
    struct work *w = arg;
    (void)fd;
    (void)what;
    w->broken = true;
    event_base_loopbreak(w->base);
}

static void introduce(const struct work *w, const struct seeder *s)
{
    size_t n = distribute_count(&w->d, DISTRIBUTE_READY);
    const struct manifest *m = w->manifest;
    if (w->json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:i, s:s, s:b, s:s?}", "event", "model", "id", m->id, "file",
                              m->filename, "bytes", (json_int_t)m->total_size, "pieces", (int)m->n_pieces, "from",
                              s->at, "instance", s->swarm == NULL, "note", s->note);
        char *text = json_dumps(o, JSON_COMPACT);
        printf("%s\n", text);
        fflush(stdout);
        free(text);
        json_decref(o);
        return;
    }
    char *size = show_bytes((int64_t)m->total_size), *all = show_bytes((int64_t)(m->total_size * n));
    printf("%s, %s in %zu pieces, to %zu machine%s (%s in all), from %s%s\n", m->filename, size, m->n_pieces, n,
           n == 1 ? "" : "s", all, s->at, s->swarm == NULL ? " (the running instance)" : "");
    if (s->note != NULL)
        printf("%s\n", s->note);
    fflush(stdout);
    free(size);
    free(all);
}

/* From here to those that are ready. */
static int distribute(struct work *w, const char *listen, int64_t *sent)
{
    struct route routes[DISTRIBUTE_TARGETS];
    struct seeder_opts o = {
        .base = w->base, .http = w->http, .cfg = w->cfg, .path = w->path, .listen = listen, .routes = routes};
    struct seeder s;
    char *cause = NULL;
    int rc = CMD_OK;
    for (size_t i = 0; i < w->d.n; i++) {
        if (w->d.target[i].state == DISTRIBUTE_READY)
            routes[o.n_routes++] = w->d.target[i].route;
    }
    if (seeder_open(&s, &o, &cause) == 0) {
        introduce(w, &s);
        w->d.changed = distribute_show_progress;
        w->d.arg = &w->show;
        distribute_run(&w->d, w->manifest->id, s.port);
        *sent = seeder_sent(&s);
        if (w->broken && s.swarm == NULL)
            fprintf(stderr, "tightwad: interrupted; the agents go on, from the running instance and from each other\n");
        else if (w->broken)
            fprintf(stderr, "tightwad: interrupted; the agents keep what they have and go on from each other as far as "
                            "that goes.  The same command again brings the rest\n");
    } else {
        rc = cmd_fail_cause(cause);
    }
    seeder_close(&s);
    return rc;
}

static int work(struct work *w, const struct cmd_args *args)
{
    int64_t sent = 0;
    int rc = add_targets(w, args);
    if (rc != CMD_OK)
        return rc;
    distribute_show_init(&w->show, &w->d, w->json);
    if (distribute_ask(&w->d) > 0 && !w->broken) {
        rc = make_manifest(w);
        if (rc == CMD_OK && !w->broken)
            rc = distribute(w, cmd_args_get(args, "listen"), &sent);
    }
    if (rc != CMD_OK)
        return rc;
    distribute_show_end(&w->show, (double)(clock_us() - w->began_us) / 1e6, sent);
    return !w->broken && distribute_count(&w->d, DISTRIBUTE_COMPLETE) == w->d.n ? CMD_OK : CMD_FAILED;
}

/* One file. */
static int send_file(struct work *w, const struct cmd_args *args)
{
    int rc;
    w->base = event_base_new();
    w->http = httpc_create(w->base);
    w->crew = crew_create(w->base, 0);
    w->sigint = evsignal_new(w->base, SIGINT, on_sigint, w);
    w->began_us = clock_us();
    event_add(w->sigint, NULL);
    distribute_init(&w->d, w->base, w->http);
    w->d.token = w->cfg->swarm.token;
    rc = w->crew != NULL ? work(w, args) : cmd_fail("no threads are to be had");
    distribute_finish(&w->d);
    manifest_making_cancel(w->making);
    manifest_destroy(w->manifest);
    crew_destroy(w->crew);
    httpc_destroy(w->http);
    event_free(w->sigint);
    event_base_free(w->base);
    free(w->why);
    w->making = NULL;
    w->manifest = NULL;
    w->why = NULL;
    return rc;
}

/* A model that lies in several files goes one file after the other. */
static int send_model(struct work *w, const char *first, const struct cmd_args *args)
{
    int own, parts = parts_of(first, &own), worst = CMD_OK;
    for (int part = 1; part <= parts && worst != CMD_USAGE && !w->broken; part++) {
        w->path = own == 1 ? parts_path(first, part) : xstrdup(first);
        int rc = send_file(w, args);
        worst = rc != CMD_OK ? rc : worst;
        free(w->path);
        w->path = NULL;
        if (own != 1)
            break; /* a part that is named alone goes alone */
    }
    return worst;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct work w = {.cfg = cmd_load_config(env, false), .json = cmd_args_has(args, "json")};
    const char *file = cmd_args_get(args, "token-file");
    char *cause = NULL;
    if (w.cfg == NULL)
        return CMD_FAILED;
    char *first = find_model(w.cfg, args->words[0], &cause);
    if (first != NULL && file != NULL)
        w.token = agent_token_read(file, &cause);
    int rc = cause == NULL ? send_model(&w, first, args) : cmd_fail_cause(cause);
    config_destroy(w.cfg);
    free(first);
    free(w.token);
    return rc;
}

static const struct cmd_option options[] = {
    {'l', "listen", "HOST:PORT", "give it out here, by this command itself (an address that the machines reach)"},
    {'t', "token-file", "FILE", "a copy of the agents' file with the token (agents.token)"},
    {0, "json", NULL, "progress and result as JSON, one object a line"},
    {0},
};

const struct cmd cmd_distribute = {
    .name = "distribute",
    .usage = "MODEL [HOST[:PORT]…] [--listen HOST:PORT] [--token-file FILE] [--json]",
    .summary = "send a model to every machine of the cluster",
    .help =
        "MODEL is a .gguf file, or the name of one of `models` in cluster.yaml.  It goes to the machines of "
        "agents.hosts\n"
        "and to the workers, or to those that are named.  On each runs `tightwad agent`, which fetches it in pieces, "
        "from\n"
        "here and from the others as soon as they have some, so that it leaves this machine about once.  The running\n"
        "instance gives it out where it takes part in a swarm that they reach, else this command does until all have "
        "it.\n"
        "A machine that can't take it is named with what to do, and the others go on.  Exit code 0: all have it.\n\n"
        "  tightwad distribute ~/models/Qwen3-32B-Q4_K_M.gguf\n"
        "  tightwad distribute qwen3-32b gpu-box old-xeon:9191 --token-file agents-token",
    .options = options,
    .min_words = 1,
    .max_words = 1 + DISTRIBUTE_TARGETS,
    .run = run,
};
