/* tightwad proxy stop, proxy status: a running instance, over its control socket. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/instance.h"
#include "cmd/measure.h"
#include "cmd/show-machine.h"
#include "cmd/show-modes.h"
#include "cmd/show-pool.h"
#include "cmd/term.h"

extern const struct cmd cmd_proxy, cmd_proxy_start, cmd_proxy_status, cmd_proxy_stop;

static const struct cmd_option stop_options[] = {
    {'p', "port", "PORT", "the one that listens on this port"},
    {0},
};

static const struct cmd_option status_options[] = {
    {'p', "port", "PORT", "the one that listens on this port"},
    {0, "json", NULL, "the whole snapshot as JSON"},
    {0},
};

static int connect_to(struct client *c, struct cmd_env *env, const struct cmd_args *args, char **cause)
{
    int64_t port = 0;
    if (cmd_args_int(args, "port", 1, 65535, &port, cause) != 0)
        return CMD_USAGE;
    return instance_find(c, env, (int)port, cause) == 0 ? CMD_OK : CMD_FAILED;
}

static int run_stop(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c = {0};
    char *cause = NULL;
    int rc = connect_to(&c, env, args, &cause);
    if (rc != CMD_OK)
        return cmd_fail_cause(cause), rc;
    json_t *request = json_pack("{s:s}", "command", "stop");
    json_t *reply = client_get(&c, "/v1/tightwad/command", request, 10000, &cause);
    json_decref(request);
    if (reply == NULL) {
        rc = cmd_fail_cause(cause);
    } else {
        /* It answers, drains and goes; its socket goes last. */
        int64_t until = clock_us() + 600 * 1000000LL, tell = clock_us() + 1000000;
        json_decref(reply);
        while ((reply = client_get(&c, "/v1/tightwad/status", NULL, 2000, NULL)) != NULL && clock_us() < until) {
            if (tell != 0 && clock_us() > tell) {
                fprintf(stderr, "tightwad: it finishes the answers under way …\n");
                tell = 0;
            }
            json_decref(reply);
            event_base_loopexit(c.base, &(struct timeval){0, 100000});
            event_base_loop(c.base, EVLOOP_NO_EXIT_ON_EMPTY);
        }
        printf("stopped\n");
        json_decref(reply);
    }
    client_finish(&c);
    return rc;
}

static int64_t whole(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void print_duration(double seconds)
{
    if (seconds < 120)
        printf("%.0f s", seconds);
    else if (seconds < 7200)
        printf("%.0f min", seconds / 60);
    else if (seconds < 172800)
        printf("%.0f h", seconds / 3600);
    else
        printf("%.0f days", seconds / 86400);
}

/* several: there are other drafters. */
static void print_backend(const json_t *b, bool several, bool colour)
{
    bool target = strcmp(json_text(b, "role"), "target") == 0, up = strcmp(json_text(b, "health"), "up") == 0;
    const char *reason = json_text(b, "reason");
    printf("%s%s%s %-8s %s", term_escape(colour, up ? TERM_GOOD : TERM_BAD), up ? "✓" : "✗",
           term_escape(colour, TERM_PLAIN), target ? "target" : "drafter", json_text(b, "name"));
    if (json_text(b, "model")[0] != '\0')
        printf("  %s", json_text(b, "model"));
    char ms[32];
    if (!isnan(json_number(b, "rtt_us")))
        printf("  %s ms", measure_format(ms, sizeof(ms), json_number(b, "rtt_us") / 1000));
    if (!target && json_number(b, "drafted") > 0)
        printf("  %.1f %% of %" PRId64 " accepted", 100 * json_number(b, "accepted") / json_number(b, "drafted"),
               whole(b, "drafted"));
    if (!target && several && json_number(b, "offered") > 0)
        printf("  furthest in %.0f %% of %" PRId64 " rounds", 100 * json_number(b, "wins") / json_number(b, "offered"),
               whole(b, "offered"));
    if (json_number(b, "tokens_per_second") > 0)
        printf("  %.0f tokens/s", json_number(b, "tokens_per_second"));
    if (json_is_true(json_object_get(b, "paused")))
        printf("  paused");
    else if (json_is_true(json_object_get(b, "resting")))
        printf("  rests: it adds too little to the others");
    else if (!target && up && !json_is_true(json_object_get(b, "active")))
        printf("  stands by");
    printf("%s%s\n", reason[0] != '\0' ? "\n           " : "", reason);
}

static char *rate_of(const json_t *o, const char *key)
{
    double rate = json_number(o, key);
    return show_bytes(isfinite(rate) ? (int64_t)rate : -1);
}

/* What it gives out, in a line, and a line for each model that is on its way. */
static void print_swarm(const json_t *swarm)
{
    size_t i;
    json_t *m;
    if (!json_is_object(swarm))
        return;
    char *in = rate_of(swarm, "down"), *out = rate_of(swarm, "up");
    int64_t n = whole(swarm, "models_in_all");
    printf("swarm at %s: %" PRId64 " model%s, %s/s in, %s/s out\n", json_text(swarm, "listen"), n, n == 1 ? "" : "s",
           in, out);
    free(in);
    free(out);
    json_array_foreach(json_object_get(swarm, "models"), i, m)
    {
        double wanted = json_number(m, "wanted"), share = json_number(m, "have") / wanted;
        if (strcmp(json_text(m, "state"), "seeding") == 0)
            continue;
        printf("           %s: %s", json_text(m, "name"), json_text(m, "state"));
        if (wanted > 0 && share <= 1)
            printf(", %.0f %%", share * 100);
        printf("%s%s\n", json_text(m, "why")[0] != '\0' ? ": " : "", json_text(m, "why"));
    }
}

static void print_status(const json_t *s)
{
    bool colour = term_colour(stdout);
    size_t i;
    json_t *b;
    printf("%s at %s, up for ", json_text(s, "model"), json_text(s, "listen"));
    print_duration(json_number(s, "uptime_ms") / 1000);
    printf(", tightwad %s\n", json_text(s, "version"));
    show_pool(json_object_get(s, "pool"), colour);
    json_array_foreach(json_object_get(s, "backends"), i, b)
    {
        print_backend(b, json_array_size(json_object_get(s, "backends")) > 2, colour);
    }
    if (json_is_true(json_object_get(s, "speculating")))
        printf("speculating, %sanswers are the target's %s; governor: %s",
               strcmp(json_text(s, "mode"), "exact") == 0 ? "" : "exact ", json_text(s, "exactness"),
               json_text(s, "governor"));
    else
        printf("not speculating: %s", json_text(s, "why_not"));
    printf("\n");
    show_modes(s, colour);
    print_swarm(json_object_get(s, "swarm"));
    printf("%" PRId64 " answered, %" PRId64 " failed, %" PRId64 " cancelled, %" PRId64 " refused; %" PRId64
           " running, %" PRId64 " queued\n",
           whole(s, "requests_ok"), whole(s, "requests_failed"), whole(s, "requests_cancelled"),
           whole(s, "requests_refused"), whole(s, "running"), whole(s, "queued"));
    if (json_number(s, "drafted") > 0) {
        printf("%" PRId64 " tokens in %" PRId64 " rounds; %.1f %% of %" PRId64 " drafted ones accepted (%s)",
               whole(s, "emitted"), whole(s, "rounds"), 100 * json_number(s, "accepted") / json_number(s, "drafted"),
               whole(s, "drafted"), json_text(s, "acceptance_source"));
        if (!isnan(json_number(s, "acceptance")))
            printf(", lately %.1f %%", 100 * json_number(s, "acceptance"));
        printf("\n");
    }
}

static int run_status(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c = {0};
    char *cause = NULL;
    int rc = connect_to(&c, env, args, &cause);
    if (rc != CMD_OK)
        return cmd_fail_cause(cause), rc;
    json_t *s = client_get(&c, "/v1/tightwad/status", NULL, 10000, &cause);
    if (s == NULL) {
        rc = cmd_fail_cause(cause);
    } else if (cmd_args_has(args, "json")) {
        char *dump = json_dumps(s, JSON_INDENT(2));
        puts(dump);
        free(dump);
    } else {
        print_status(s);
    }
    json_decref(s);
    client_finish(&c);
    return rc;
}

const struct cmd cmd_proxy_stop = {
    .name = "stop",
    .usage = "[--port PORT]",
    .summary = "end the running proxy when the answers under way are finished",
    .options = stop_options,
    .run = run_stop,
};

const struct cmd cmd_proxy_status = {
    .name = "status",
    .usage = "[--port PORT] [--json]",
    .summary = "what the running proxy does, its servers and what they accept",
    .options = status_options,
    .run = run_status,
};

static const struct cmd *const subs[] = {&cmd_proxy_start, &cmd_proxy_status, &cmd_proxy_stop, NULL};

const struct cmd cmd_proxy = {
    .name = "proxy",
    .usage = "start|status|stop",
    .summary = "run the endpoint: drafters, the target and the OpenAI-compatible address",
    .subs = subs,
};
