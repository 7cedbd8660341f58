/* tightwad swarm seed: gives models out until it is ended. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/show-machine.h"
#include "cmd/swarm-run.h"
#include "cmd/swarm-show.h"

extern const struct cmd cmd_swarm_seed;

static const struct cmd_option options[] = {
    SWARM_RUN_OPTIONS,
    {0},
};

struct seeding {
    struct swarm_run run;
    struct swarm_show show;
    size_t shared, failed;
};

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct seeding *s = arg;
    event_base_loopbreak(s->run.base);
}

static void on_shared(void *arg, const char *path, const struct manifest *m, const char *why)
{
    struct seeding *s = arg;
    swarm_show_clear(&s->show);
    if (m == NULL) {
        s->failed++;
        if (s->run.json)
            swarm_show_event("skipped", json_pack("{s:s, s:s}", "path", path, "why", why));
        else
            cmd_fail("%s", why);
        return;
    }
    s->shared++;
    if (s->run.json) {
        swarm_show_event("shared",
                         json_pack("{s:s, s:s, s:s, s:I, s:i}", "path", path, "id", m->id, "filename", m->filename,
                                   "size", (json_int_t)m->total_size, "pieces", (int)m->n_pieces));
        return;
    }
    char *size = show_bytes((int64_t)m->total_size);
    printf("%s  %s in %zu piece%s\n  id %s\n", path, size, m->n_pieces, m->n_pieces == 1 ? "" : "s", m->id);
    fflush(stdout);
    free(size);
}

/* Ends it where nothing of what was named could be given out. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct seeding *s = arg;
    if (s->shared == 0 && !swarm_is_sharing(s->run.swarm)) {
        event_base_loopbreak(s->run.base);
        return;
    }
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    swarm_fill(s->run.swarm, v);
    swarm_show_given(&s->show, v);
    free(v);
}

static void greet(const struct seeding *s)
{
    char *listen = swarm_run_listen(&s->run);
    if (s->run.json)
        swarm_show_event("serving", json_pack("{s:s}", "listen", listen));
    else
        printf("gives out at %s%s\n", listen,
               swarm_run_is_open(&s->run) ? "" : ", to this machine alone; --listen 0.0.0.0 opens it");
    fflush(stdout);
    free(listen);
}

static void farewell(struct seeding *s)
{
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    swarm_fill(s->run.swarm, v);
    char *sent = show_bytes((int64_t)v->sent);
    swarm_show_clear(&s->show);
    if (s->run.json)
        swarm_show_event("stopped", json_pack("{s:I, s:f}", "sent", (json_int_t)v->sent, "slowest_ms", v->slowest_ms));
    else if (s->shared > 0)
        printf("stopped; %s given\n", sent);
    free(sent);
    free(v);
}

static int seed(struct seeding *s, const struct cmd_args *args)
{
    char *cause = NULL;
    if (swarm_run_start(&s->run, on_signal, s, &cause) != 0)
        return cmd_fail_cause(cause);
    greet(s);
    for (size_t i = 0; i < args->n_words; i++) {
        if (swarm_share(s->run.swarm, args->words[i], on_shared, s, &cause) != 0)
            return cmd_fail_cause(cause);
    }
    struct event *tick = event_new(s->run.base, -1, EV_PERSIST, on_tick, s);
    event_add(tick, &(struct timeval){.tv_usec = SWARM_SHOW_MS * 1000});
    event_base_dispatch(s->run.base);
    event_free(tick);
    farewell(s);
    return s->shared > 0 ? CMD_OK : CMD_FAILED;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct seeding s = {0};
    int rc = swarm_run_init(&s.run, env, args);
    swarm_show_init(&s.show, s.run.json);
    if (rc == CMD_OK)
        rc = seed(&s, args);
    swarm_run_finish(&s.run);
    return rc;
}

const struct cmd cmd_swarm_seed = {
    .name = "seed",
    .usage = "MODEL|DIR… [--listen HOST[:PORT]] [options]",
    .summary = "give models to others, until Ctrl-C",
    .help =
        "Files, and all .gguf files in folders and below.  A file is hashed once, on all cores; its manifest is kept\n"
        "beside it.  Loopback and private networks are served; a token is wanted where one is configured.\n\n"
        "    tightwad swarm seed ~/models --listen 0.0.0.0 --upload-limit 50MB",
    .options = options,
    .min_words = 1,
    .max_words = 256,
    .run = run,
};
