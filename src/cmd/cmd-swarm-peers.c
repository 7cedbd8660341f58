/* tightwad swarm peers: whom the swarms of this machine know, and who announces itself on the local network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/show-machine.h"
#include "cmd/swarm-look.h"
#include "cmd/swarm-show.h"
#include "engines/swarm-settings.h"
#include "swarm/find.h"
#include "swarm/message.h"
#include "swarm/swarm-what.h"

extern const struct cmd cmd_swarm_peers;

enum { LISTEN_MS = 1500, ANSWER_MS = 3000, PEERS_MAX = 128 };

static const struct cmd_option options[] = {
    {0, "json", NULL, "one JSON object a line for each peer"},
    {0, "no-discovery", NULL, "those that are configured or known, without a multicast on the local network"},
    {0},
};

struct asking {
    char address[PEERS_MAX][SWARM_ADDRESS];
    size_t n;
};

static void add(struct asking *a, const char *address)
{
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->address[i], address) == 0)
            return;
    }
    if (a->n < PEERS_MAX)
        snprintf(a->address[a->n++], SWARM_ADDRESS, "%s", address);
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
    struct event_base *base = event_base_new();
    const struct find_opts o = {.peer = "00000000000000000000000000000000"};
    struct find *f = find_create(base, &o, on_found, a, cause);
    if (f != NULL) {
        find_ask(f);
        event_base_loopexit(base, &(struct timeval){.tv_sec = LISTEN_MS / 1000, .tv_usec = LISTEN_MS % 1000 * 1000});
        event_base_dispatch(base);
    }
    find_destroy(f);
    event_base_free(base);
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
static void show_peer(const char *address, const char *token, bool json)
{
    struct client c;
    char *cause = NULL;
    size_t i;
    json_t *share;
    client_init(&c, NULL, address);
    c.token = xstrdup(token);
    json_t *o = client_get(&c, "/v1/swarm", NULL, ANSWER_MS, &cause);
    const char *name = json_text(o, "name");
    char *who = utf8_printable(name, strlen(name));
    if (json) {
        json_t *line = json_pack("{s:s, s:b, s:O?, s:o*}", "address", address, "answers", o != NULL, "swarm", o, "why",
                                 cause != NULL ? json_string(cause) : NULL);
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    } else if (o == NULL) {
        printf("%s  %s\n", address, cause);
    } else {
        printf("%s%s%s\n", address, who[0] != '\0' ? "  " : "", who);
        json_array_foreach(json_object_get(o, "shares"), i, share) show_share(share);
    }
    fflush(stdout);
    free(who);
    free(cause);
    json_decref(o);
    client_finish(&c);
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
    for (size_t i = 0; i < a->n; i++)
        show_peer(a->address[i], s.opts.token, json);
    if (a->n == 0 && n == 0 && !json)
        printf("nobody: no peer is configured, and none has announced itself on the local network\n");
    swarm_look_free(list, n);
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
