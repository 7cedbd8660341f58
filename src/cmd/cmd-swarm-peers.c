/* tightwad swarm peers: whom the swarms of this machine know, and who announces itself on the local network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/cmd.h"
#include "cmd/show-machine.h"
#include "cmd/swarm-look.h"
#include "cmd/swarm-show.h"
#include "engines/swarm-settings.h"
#include "http/httpc.h"
#include "swarm/find.h"
#include "swarm/message.h"
#include "swarm/swarm-what.h"

extern const struct cmd cmd_swarm_peers;

enum { LISTEN_MS = 1500, ANSWER_MS = 3000, ANSWER_MAX = 512 << 10, PEERS_MAX = 128 };

static const struct cmd_option options[] = {
    {0, "json", NULL, "one JSON object a line for each peer"},
    {0, "no-discovery", NULL, "those that are configured or known, without a multicast on the local network"},
    {0},
};

struct asked {
    struct asking *asking;
    char address[SWARM_ADDRESS];
    json_t *answer; /* NULL: none, and why */
    char *why;
};

struct asking {
    struct event_base *base;
    struct httpc *http;
    struct asked peer[PEERS_MAX];
    size_t n, open; /* open: that have not answered yet */
};

static void add(struct asking *a, const char *address)
{
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->peer[i].address, address) == 0)
            return;
    }
    if (a->n == PEERS_MAX)
        return;
    a->peer[a->n].asking = a;
    snprintf(a->peer[a->n++].address, SWARM_ADDRESS, "%s", address);
}

static void on_found(void *arg, const char *address, const char *peer, const char *const *ids, size_t n_ids)
{
    (void)peer;
    (void)ids;
    (void)n_ids;
    add(arg, address);
}

/* Who answers on the local network within a moment. */
static void listen_around(struct asking *a, char **cause)
{
    const struct find_opts o = {.peer = "00000000000000000000000000000000"};
    struct find *f = find_create(a->base, &o, on_found, a, cause);
    if (f != NULL) {
        find_ask(f);
        event_base_loopexit(a->base, &(struct timeval){.tv_sec = LISTEN_MS / 1000, .tv_usec = LISTEN_MS % 1000 * 1000});
        event_base_dispatch(a->base);
    }
    find_destroy(f);
}

static void on_answer(void *arg, const struct httpc_result *r)
{
    struct asked *p = arg;
    if (r->error != HTTPC_OK)
        p->why = xstrdup(r->message);
    else if (r->status != 200)
        p->why = xasprintf(r->status == 401 ? "it wants a token, or another one" : "it answers with HTTP status %d",
                           r->status);
    else
        p->answer = json_parse_object(r->body, r->len, &p->why);
    if (--p->asking->open == 0)
        event_base_loopbreak(p->asking->base);
}

/* All at once, so that those who do not answer are waited for together. */
static void ask_all(struct asking *a, const char *token)
{
    a->open = a->n;
    for (size_t i = 0; i < a->n; i++) {
        char *url = xasprintf("http://%s/v1/swarm", a->peer[i].address);
        const struct httpc_opts o = {.url = url,
                                     .bearer = token,
                                     .timeout_ms = ANSWER_MS,
                                     .max_reply = ANSWER_MAX,
                                     .on_done = on_answer,
                                     .arg = &a->peer[i]};
        httpc_start(a->http, &o);
        free(url);
    }
    if (a->n > 0)
        event_base_dispatch(a->base);
}

static void show_share(const json_t *share)
{
    const char *file = json_text(share, "filename");
    double pieces = json_number(share, "pieces"), have = json_number(share, "have"), size = json_number(share, "size");
    char *name = utf8_printable(file, strlen(file)), *bytes = show_bytes(size >= 0 && size < 1e18 ? (int64_t)size : -1);
    printf("  %s  %s", name, bytes);
    if (pieces > 0 && have >= 0 && have < pieces)
        printf("  %.0f %% of it so far", 100 * have / pieces);
    printf("\n");
    free(name);
    free(bytes);
}

/* One peer: what it gives out, or why not. */
static void show_peer(const struct asked *p, bool json)
{
    const char *name = json_text(p->answer, "name");
    char *who = utf8_printable(name, strlen(name));
    size_t i;
    json_t *share;
    if (json) {
        json_t *line = json_pack("{s:s, s:O?, s:s?}", "address", p->address, "swarm", p->answer, "why", p->why);
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    } else if (p->answer == NULL) {
        char *why = utf8_one_line(p->why);
        printf("%s  %s\n", p->address, why);
        free(why);
    } else {
        printf("%s%s%s\n", p->address, who[0] != '\0' ? "  " : "", who);
        json_array_foreach(json_object_get(p->answer, "shares"), i, share) show_share(share);
    }
    free(who);
}

static void show_connected(const struct swarm_seen *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i].view.n_peers == 0)
            continue;
        printf("process %ld at %s\n", list[i].pid, list[i].view.listen);
        swarm_show_peers(&list[i].view, stdout);
    }
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    bool json = cmd_args_has(args, "json");
    struct config *cfg = cmd_load_config(env, false);
    struct swarm_settings s;
    size_t n;
    if (cfg == NULL)
        return CMD_FAILED;
    swarm_settings_init(&s, cfg);
    struct asking *a = xcalloc(1, sizeof(*a));
    a->base = event_base_new();
    a->http = httpc_create(a->base);
    struct swarm_seen *list = swarm_look(&n);
    char *cause = NULL, address[SWARM_ADDRESS];
    for (size_t i = 0; i < s.opts.n_peers; i++) {
        if (swarm_peer_read(s.opts.peers[i], address, NULL) == 0)
            add(a, address);
    }
    if (!json)
        show_connected(list, n);
    if (cfg->swarm.discovery && !cmd_args_has(args, "no-discovery"))
        listen_around(a, &cause);
    if (cause != NULL)
        cmd_fail_cause(cause);
    ask_all(a, s.opts.token);
    for (size_t i = 0; i < a->n; i++)
        show_peer(&a->peer[i], json);
    if (a->n == 0 && n == 0 && !json)
        printf("nobody: no peer is configured, and none has announced itself on the local network\n");
    swarm_look_free(list, n);
    for (size_t i = 0; i < a->n; i++) {
        json_decref(a->peer[i].answer);
        free(a->peer[i].why);
    }
    httpc_destroy(a->http);
    event_base_free(a->base);
    free(a);
    swarm_settings_finish(&s);
    config_destroy(cfg);
    return CMD_OK;
}

const struct cmd cmd_swarm_peers = {
    .name = "peers",
    .usage = "[--json] [--no-discovery]",
    .summary = "who can be asked, what they have, and how it goes with those that are connected",
    .help = "The peers of running pulls with what comes from them, then the machines of swarm.peers, agents.hosts and\n"
            "workers, and those that announce themselves on the local network within 1.5 s, with what they give out.",
    .options = options,
    .run = run,
};
