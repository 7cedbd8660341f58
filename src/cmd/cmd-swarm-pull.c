/* tightwad swarm pull: fetches a model from everybody who has pieces of it, and gives those on meanwhile. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/bar.h"
#include "cmd/show-machine.h"
#include "cmd/swarm-run.h"
#include "cmd/swarm-show.h"
#include "swarm/needed.h"

extern const struct cmd cmd_swarm_pull;

enum { PEERS_MAX = 64, STAY_TICKS = 3000 / SWARM_SHOW_MS };

static const struct cmd_option options[] = {
    {'d', "dest", "DIR", "where it goes (swarm.folder, else ~/models or ~/.local/share/tightwad/models)"},
    {0, "download-limit", "SIZE", "bytes a second that are fetched: 50MB"},
    {0, "estimate", NULL, "tell what would move, and move nothing"},
    {0, "layers", "A-B[,output]", "only what these layers need; it stays a .part"},
    {0, "no-local", NULL, "take nothing from other models that lie here"},
    {'p', "peer", "HOST[:PORT]", "ask this one too; may be given several times"},
    {'s', "seed", NULL, "go on giving it out when it is here, until Ctrl-C"},
    SWARM_RUN_OPTIONS,
    {0},
};

struct pulling {
    struct swarm_run run;
    struct swarm_show show;
    struct swarm_pull_opts opts;
    struct swarm_pull *pull; /* NULL: it has ended */
    const char *what;
    char *dir; /* where models go when nothing is said */
    bool seed, estimated, interrupted;
    unsigned idle; /* ticks since it was needed last, once it is here */
    bool staying;
    int rc;
};

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct pulling *p = arg;
    p->interrupted = true;
    event_base_loopbreak(p->run.base);
}

static char *printable(const char *text)
{
    return utf8_printable(text, strlen(text));
}

static const char *folder(const struct pulling *p)
{
    return p->opts.dir != NULL ? p->opts.dir : p->dir;
}

static void show_estimate(const struct pulling *p, const struct manifest *m, const struct swarm_estimate *e)
{
    char *size = show_bytes((int64_t)e->size), *have = show_bytes((int64_t)e->have);
    char *local = show_bytes((int64_t)e->local), *fetch = show_bytes((int64_t)e->fetch), *room = show_bytes(e->room);
    char *quant = printable(m->quantisation != NULL ? m->quantisation : ""), *listen = swarm_run_listen(&p->run);
    printf("%s  %s in %zu piece%s%s%s\n  id %s\n", m->filename, size, m->n_pieces, m->n_pieces == 1 ? "" : "s",
           quant[0] != '\0' ? ", " : "", quant, m->id);
    printf("  to fetch %s", fetch);
    if (e->have > 0)
        printf("; here already %s", have);
    if (e->local > 0)
        printf("; from other models here %s", local);
    printf("\n  goes to %s, where %s are free\n", folder(p), room);
    if (!p->opts.only_estimate)
        printf("  given on at %s%s\n", listen,
               swarm_run_is_open(&p->run) ? "" : ", to this machine alone; --listen 0.0.0.0 opens it");
    fflush(stdout);
    free(size);
    free(have);
    free(local);
    free(fetch);
    free(room);
    free(quant);
    free(listen);
}

static bool on_estimate(void *arg, const struct manifest *m, const struct swarm_estimate *e, char **why)
{
    struct pulling *p = arg;
    swarm_show_clear(&p->show);
    p->estimated = true;
    if (p->run.json)
        swarm_show_event("estimate",
                         json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:o}", "id", m->id, "filename", m->filename,
                                   "pieces", (int)m->n_pieces, "size", (json_int_t)e->size, "have", (json_int_t)e->have,
                                   "local", (json_int_t)e->local, "fetch", (json_int_t)e->fetch, "room",
                                   e->room >= 0 ? json_integer(e->room) : json_null()));
    else
        show_estimate(p, m, e);
    char *no_room = p->opts.only_estimate ? NULL : swarm_no_room(m, e, folder(p));
    if (no_room == NULL)
        return !p->opts.only_estimate;
    p->rc = CMD_FAILED;
    if (p->run.json)
        swarm_show_event("failed", json_pack("{s:s}", "why", no_room));
    else
        cmd_fail("%s; make room, or name another folder with --dest", no_room);
    *why = no_room;
    return false;
}

static uint64_t given(const struct pulling *p)
{
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    swarm_fill(p->run.swarm, v);
    uint64_t sent = v->sent;
    free(v);
    return sent;
}

static void show_done(const struct pulling *p, const struct swarm_pull_result *r)
{
    char took[32], *fetched = show_bytes((int64_t)r->fetched), *copied = show_bytes((int64_t)r->copied);
    char *rate = swarm_show_rate(r->seconds > 0 ? (double)r->fetched / r->seconds : 0);
    char *sent = show_bytes((int64_t)given(p)), *wasted = show_bytes((int64_t)r->wasted);
    if (r->seconds < 60)
        snprintf(took, sizeof(took), "%.*f s", r->seconds < 10 ? 1 : 0, r->seconds);
    else
        bar_time(took, r->seconds);
    if (p->opts.first_layer >= 0 || p->opts.output)
        printf("these layers are in %s\n", r->path);
    else if (r->fetched == 0 && r->copied == 0 && !p->estimated)
        printf("%s is here already\n", r->path);
    else
        printf("%s is here\n", r->path);
    if (r->fetched > 0)
        printf("  %s fetched in %s (%s)%s%s\n", fetched, took, rate, r->copied > 0 ? ", from other models here " : "",
               r->copied > 0 ? copied : "");
    else if (r->copied > 0)
        printf("  %s from other models here, in %s\n", copied, took);
    if (r->wasted > 0)
        printf("  %s came and were of no use: corrupt, or twice\n", wasted);
    if (given(p) > 0)
        printf("  %s given to others meanwhile\n", sent);
    free(fetched);
    free(copied);
    free(rate);
    free(sent);
    free(wasted);
}

/* It is here.  Who leaves at once leaves those behind who get from it what nobody else has. */
static void stay(struct pulling *p)
{
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    bool needed = swarm_needed(p->run.swarm);
    p->idle = needed ? 0 : p->idle + 1;
    if (!p->seed && p->idle >= (p->staying ? STAY_TICKS : 1)) {
        event_base_loopbreak(p->run.base);
    } else {
        if (needed && !p->staying && !p->seed && !p->run.json) {
            swarm_show_clear(&p->show);
            printf("stays until others have what only this machine has; Ctrl-C ends it\n");
        }
        p->staying = p->staying || needed;
        swarm_fill(p->run.swarm, v);
        swarm_show_given(&p->show, v);
    }
    free(v);
}

static void tell_done(const struct pulling *p, const struct swarm_pull_result *r)
{
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    swarm_fill(p->run.swarm, v);
    swarm_show_event("done", json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f}", "path", r->path, "id",
                                       r->manifest != NULL ? r->manifest->id : "", "fetched", (json_int_t)r->fetched,
                                       "copied", (json_int_t)r->copied, "wasted", (json_int_t)r->wasted, "sent",
                                       (json_int_t)v->sent, "seconds", r->seconds, "slowest_ms", v->slowest_ms));
    free(v);
}

static void on_done(void *arg, const struct swarm_pull_result *r)
{
    struct pulling *p = arg;
    p->pull = NULL;
    swarm_show_clear(&p->show);
    if (r->ok && p->run.json)
        tell_done(p, r);
    else if (r->ok)
        show_done(p, r);
    if (r->ok && p->seed && !p->run.json)
        printf("goes on giving it out; Ctrl-C ends it\n");
    fflush(stdout);
    if (r->ok) {
        p->rc = CMD_OK;
        stay(p);
        return;
    }
    if (p->opts.only_estimate && p->estimated) {
        p->rc = CMD_OK;
    } else if (!p->estimated || p->rc == CMD_OK) {
        p->rc = CMD_FAILED;
        if (p->run.json)
            swarm_show_event("failed", json_pack("{s:s}", "why", r->why));
        else
            cmd_fail("\"%s\": %s", p->what, r->why);
    }
    event_base_loopbreak(p->run.base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct pulling *p = arg;
    if (p->pull == NULL) {
        stay(p);
        return;
    }
    struct swarm_view_model *m = xcalloc(1, sizeof(*m));
    swarm_pull_fill(p->pull, m);
    swarm_show_pull(&p->show, m);
    free(m);
}

/* Ctrl-C on the way. */
static void broken_off(struct pulling *p)
{
    struct swarm_view_model *m = xcalloc(1, sizeof(*m));
    swarm_pull_fill(p->pull, m);
    swarm_show_clear(&p->show);
    if (p->run.json)
        swarm_show_event("stopped",
                         json_pack("{s:I, s:I}", "have", (json_int_t)m->have, "wanted", (json_int_t)m->wanted));
    else if (m->wanted > 0 && m->have > 0)
        printf("stopped with %.0f %% of it here; the same command goes on from there\n",
               100.0 * (double)m->have / (double)m->wanted);
    else
        printf("stopped\n");
    free(m);
    swarm_pull_cancel(p->pull);
    p->pull = NULL;
    p->rc = CMD_FAILED;
}

static int pull(struct pulling *p)
{
    const struct swarm_pull_calls calls = {on_estimate, on_done, p};
    char *cause = NULL;
    if (swarm_run_start(&p->run, on_signal, p, &cause) != 0)
        return cmd_fail_cause(cause);
    p->pull = swarm_pull(p->run.swarm, &p->opts, &calls, &cause);
    if (p->pull == NULL)
        return cmd_fail_cause(cause);
    char *listen = swarm_run_listen(&p->run);
    if (p->run.json)
        swarm_show_event("pulling", json_pack("{s:s, s:s}", "what", p->what, "listen", listen));
    free(listen);
    struct event *tick = event_new(p->run.base, -1, EV_PERSIST, on_tick, p);
    event_add(tick, &(struct timeval){.tv_usec = SWARM_SHOW_MS * 1000});
    event_base_dispatch(p->run.base);
    event_free(tick);
    if (p->pull != NULL)
        broken_off(p);
    swarm_show_clear(&p->show);
    return p->rc;
}

static int read_layers(struct swarm_pull_opts *o, const char *text, char **cause)
{
    struct needed n;
    o->first_layer = o->last_layer = -1;
    if (text == NULL)
        return 0;
    if (needed_read(&n, text, cause) != 0)
        return cause_prefix(cause, "--layers");
    if (n.last >= n.first) {
        o->first_layer = n.first;
        o->last_layer = n.last;
    }
    o->output = n.output;
    return 0;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    const char *peers[PEERS_MAX];
    char *cause = NULL;
    struct pulling p = {.what = args->words[0],
                        .seed = cmd_args_has(args, "seed"),
                        .opts = {.what = args->words[0],
                                 .peers = peers,
                                 .dir = cmd_args_get(args, "dest"),
                                 .no_local = cmd_args_has(args, "no-local"),
                                 .only_estimate = cmd_args_has(args, "estimate")}};
    p.opts.n_peers = cmd_args_all(args, "peer", peers, PEERS_MAX);
    if (p.opts.n_peers > PEERS_MAX)
        return cmd_usage_error("--peer: %d at most; any one of them is enough to find the rest", PEERS_MAX);
    if (read_layers(&p.opts, cmd_args_get(args, "layers"), &cause) != 0) {
        cmd_fail_cause(cause);
        return CMD_USAGE;
    }
    int rc = swarm_run_init(&p.run, env, args);
    swarm_show_init(&p.show, p.run.json);
    if (rc == CMD_OK && swarm_run_set(&p.run, "download-limit", "swarm.download_limit",
                                      cmd_args_get(args, "download-limit"), &cause) != 0) {
        cmd_fail_cause(cause);
        rc = CMD_USAGE;
    }
    p.run.settings.opts.download_limit = rc == CMD_OK ? p.run.cfg->swarm.download_limit : 0;
    if (rc == CMD_OK) {
        p.dir = p.run.settings.opts.dir != NULL ? xstrdup(p.run.settings.opts.dir) : swarm_default_dir();
        rc = pull(&p);
    }
    swarm_run_finish(&p.run);
    free(p.dir);
    return rc;
}

const struct cmd cmd_swarm_pull = {
    .name = "pull",
    .usage = "NAME|ID|URL|MANIFEST [--peer HOST[:PORT]]… [--dest DIR] [options]",
    .summary = "get a model from everybody who has pieces of it",
    .help =
        "NAME is that of the file, with or without .gguf, or of the model.  Asked are the peers given and configured,\n"
        "the machines of agents.hosts and workers, and for a moment the local network; any one peer is enough to\n"
        "find the rest.  Where different models go by the name, they are listed and nothing is pulled.  An ID means\n"
        "these bytes and no others, whoever they come from.  A URL is a peer's (http://HOST:9192/NAME), that of a\n"
        "manifest, or that of a .gguf file anywhere, which is hashed as it comes where no manifest lies beside it.\n"
        "Ctrl-C keeps what is here; the same command goes on from there.\n\n"
        "    tightwad swarm pull qwen3-8b-q4_k_m.gguf --peer 192.168.7.2 --listen 0.0.0.0\n"
        "    tightwad swarm pull https://example.org/qwen3-8b-q4_k_m.gguf --dest ~/models",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
