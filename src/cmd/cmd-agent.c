/* tightwad agent: tells other machines what this one has, and starts and stops nodes and workers for them. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/token.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/self.h"
#include "probe/scan-place.h"

extern const struct cmd cmd_agent;
extern const struct cmd cmd_agent_list;
extern const struct cmd cmd_agent_log;
extern const struct cmd cmd_agent_start;
extern const struct cmd cmd_agent_stop;

static const struct cmd *const subs[] = {&cmd_agent_list, &cmd_agent_log, &cmd_agent_start, &cmd_agent_stop, NULL};

static const struct cmd_option options[] = {
    {'l', "listen", "HOST:PORT", "where it serves (127.0.0.1:9191); 0.0.0.0 is for the private networks"},
    {'t', "token-file", "FILE", "the file with the token, made if it is missing (~/.local/state/tightwad/agent-token)"},
    {'m', "models", "FOLDER", "look for models here too, and put those that are pulled here"},
    {0, "no-discovery", NULL, "don't look for peers of the swarm by multicast"},
    {0},
};

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    (void)number;
    (void)what;
    event_base_loopbreak(arg);
}

static void greet(const char *host, int port, const char *path, const char *token, bool made)
{
    printf(strchr(host, ':') != NULL ? "agent     http://[%s]:%d\n" : "agent     http://%s:%d\n", host, port);
    if (made)
        printf("token     %s\n          made just now and kept in %s; it is not shown again\n", token, path);
    else
        printf("token     the one in %s\n", path);
    fflush(stdout);
}

static int serve(const struct agent_opts *o, const char *path, bool made)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct event *events[ARRAY_LEN(signals)];
    struct event_base *base = event_base_new();
    char *cause = NULL;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        events[i] = evsignal_new(base, signals[i], on_signal, base);
        event_add(events[i], NULL);
    }
    struct agent *a = agent_create(base, o, &cause);
    if (a != NULL) {
        greet(o->host, agent_port(a), path, o->token, made);
        log_info("tightwad agent " TIGHTWAD_VERSION " serves at %s port %d", o->host, agent_port(a));
        event_base_dispatch(base);
        log_info("stopped");
    }
    bool served = a != NULL;
    agent_destroy(a);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        event_free(events[i]);
    event_base_free(base);
    return served ? CMD_OK : cmd_fail_cause(cause);
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    char *cause = NULL, *why_not = NULL, *host = NULL, *token = NULL, *node = NULL;
    const char *listen = cmd_args_get(args, "listen"), *folder = cmd_args_get(args, "models");
    char *path = xstrdup(cmd_args_get(args, "token-file"));
    int port = 0, rc = CMD_FAILED;
    bool made = false;
    (void)env;
    if (scan_host_parse(listen != NULL ? listen : "127.0.0.1", &host, &port, &cause) != 0) {
        rc = cmd_usage_error("--listen: %s", cause);
        free(cause);
    } else if ((path == NULL && (path = agent_token_path(&cause)) == NULL) ||
               (token = agent_token_load(path, &made, &cause)) == NULL) {
        rc = cmd_fail_cause(cause);
    } else {
        node = self_node(&why_not);
        const struct agent_opts opts = {.host = host,
                                        .port = port != 0 ? port : AGENT_PORT,
                                        .token = token,
                                        .node = node,
                                        .node_cause = why_not,
                                        .folders = &folder,
                                        .n_folders = folder != NULL,
                                        .discovery = !cmd_args_has(args, "no-discovery")};
        rc = serve(&opts, path, made);
    }
    free(why_not);
    free(host);
    free(path);
    free(token);
    free(node);
    return rc;
}

const struct cmd cmd_agent = {
    .name = "agent",
    .usage = "[--listen HOST:PORT] [--token-file FILE] [--models FOLDER] [--no-discovery]",
    .summary = "let another machine see what this one has, start nodes and workers and send models here",
    .help =
        "It tells this machine's hardware and the models on its disks, and starts and stops `tightwad node` and\n"
        "`tightwad worker` by name, and no other program.  `tightwad distribute` sends models to it: it pulls them "
        "from\n"
        "its peers, and gives them out as well as long as it runs.  Orders want the token, and so does what comes\n"
        "from another machine; the token crosses the network unencrypted, so only loopback and private networks are\n"
        "served.  What it has started ends with it.\n\n"
        "  tightwad agent --listen 0.0.0.0                          there\n"
        "  tightwad agent start there node qwen3:8b --token-file FILE   here",
    .options = options,
    .subs = subs,
    .run = run,
};
