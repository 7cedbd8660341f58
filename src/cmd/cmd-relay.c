/* tightwad relay: an emulated network link in front of one server.  Not listed: for measuring and for tests. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/relay.h"

extern const struct cmd cmd_relay;

static const struct cmd_option options[] = {
    {'l', "listen", "HOST:PORT", "where it listens (127.0.0.1:0: a free port, which it prints)"},
    {'t', "to", "HOST:PORT", "the server that it stands before"},
    {'d', "delay", "MS", "one-way delay, each way, in milliseconds (0)"},
    {'r', "rate", "MBIT", "10^6 bits a second, each way, shared by all connections (0: no limit)"},
    {0},
};

/* *host is owned by the caller. */
static int parse_address(const char *option, const char *text, char **host, int *port, char **cause)
{
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;
    char *end = NULL;
    long n = colon != NULL ? strtol(colon + 1, &end, 10) : -1;
    if (colon == NULL || colon == text || end == colon + 1 || *end != '\0' || n < 0 || n > 65535)
        return cause_set(cause, "--%s is %s%s%s: HOST:PORT is wanted, such as 127.0.0.1:50052", option,
                         text != NULL ? "\"" : "", text != NULL ? text : "missing", text != NULL ? "\"" : "");
    bool six = text[0] == '[' && colon[-1] == ']';
    *host = six ? xstrndup(text + 1, (size_t)(colon - text) - 2) : xstrndup(text, (size_t)(colon - text));
    *port = (int)n;
    return 0;
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    event_base_loopbreak(arg);
}

static int serve(const struct relay_opts *o)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct event *events[ARRAY_LEN(signals)];
    struct event_base *base = event_base_new();
    char *cause = NULL;
    int port, rc = CMD_OK;
    struct relay *r = relay_create(base, o, &port, &cause);
    if (r == NULL) {
        event_base_free(base);
        return cmd_fail_cause(cause);
    }
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        events[i] = evsignal_new(base, signals[i], on_signal, base);
        event_add(events[i], NULL);
    }
    printf("listening on %s:%d, for %s:%d behind %g ms one way", o->listen_host, port, o->to_host, o->to_port,
           (double)o->delay_us / 1000);
    if (o->rate_mbit > 0)
        printf(" and %g Mbit/s", o->rate_mbit);
    printf("\n");
    fflush(stdout);
    event_base_dispatch(base);
    relay_destroy(r);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        event_free(events[i]);
    event_base_free(base);
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    char *cause = NULL, *listen_host = NULL, *to_host = NULL;
    const char *listen = cmd_args_get(args, "listen");
    double delay_ms = 0;
    struct relay_opts o = {0};
    int rc;
    if (parse_address("to", cmd_args_get(args, "to"), &to_host, &o.to_port, &cause) != 0 ||
        parse_address("listen", listen != NULL ? listen : "127.0.0.1:0", &listen_host, &o.listen_port, &cause) != 0 ||
        cmd_args_double(args, "delay", 0, 60000, &delay_ms, &cause) != 0 ||
        cmd_args_double(args, "rate", 0, 1000000, &o.rate_mbit, &cause) != 0) {
        cmd_fail_cause(cause);
        rc = CMD_USAGE;
    } else {
        o.listen_host = listen_host;
        o.to_host = to_host;
        o.delay_us = (int64_t)(delay_ms * 1000 + 0.5);
        rc = serve(&o);
    }
    free(listen_host);
    free(to_host);
    return rc;
}

const struct cmd cmd_relay = {
    .name = "relay",
    .usage = "--to HOST:PORT [--listen HOST:PORT] [--delay MS] [--rate MBIT]",
    .summary = "emulate a network link in front of a server",
    .help =
        "Everything that passes comes out later by the delay, in order and unchanged; connections share the rate.\n\n"
        "  tightwad relay --to 127.0.0.1:50052 --delay 2 --rate 100",
    .options = options,
    .hidden = true,
    .run = run,
};
