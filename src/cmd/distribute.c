#include "cmd/distribute.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/token.h"
#include "base/cause.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "probe/scan-place.h"
#include "swarm/message.h"

enum {
    TICK_MS = 250,
    ASK_MS = 8000,                  /* for an agent to answer at first */
    ANSWER_MS = 10000,              /* and later: a machine that hashes and writes may be slow */
    GONE_US = 30 * 1000 * 1000,     /* without an answer: it is gone */
    STUCK_US = 120 * 1000 * 1000LL, /* without a byte while nobody else moves: it waits for something */
};

/* ---- targets ---- */

void distribute_init(struct distribute *d, struct event_base *base, struct httpc *http)
{
    *d = (struct distribute){.base = base, .http = http};
}

void distribute_finish(struct distribute *d)
{
    for (size_t i = 0; i < d->n; i++) {
        struct distribute_target *t = &d->target[i];
        agent_client_cancel(t->call);
        free(t->name);
        free(t->host);
        free(t->token);
        free(t->why);
    }
    if (d->tick != NULL)
        event_free(d->tick);
    free(d->target);
    free(d->id);
    *d = (struct distribute){0};
}

static int port_of(const struct distribute_target *t)
{
    return t->port > 0 ? t->port : AGENT_PORT;
}

/* An agent of this very machine keeps its token where it can be read. */
static char *own_token(void)
{
    char *path = agent_token_path(NULL), *token = path != NULL ? agent_token_read(path, NULL) : NULL;
    free(path);
    return token;
}

int distribute_add(struct distribute *d, const char *where, const char *name, const char *token, char **cause)
{
    struct distribute_target t = {.all = d,
                                  .size = NAN,
                                  .have = NAN,
                                  .fetched = NAN,
                                  .copied = NAN,
                                  .down = NAN,
                                  .eta = NAN,
                                  .seconds = NAN,
                                  .peers = -1};
    if (scan_host_parse(where, &t.host, &t.port, cause) != 0)
        return -1;
    for (size_t i = 0; i < d->n; i++) {
        if (strcmp(d->target[i].host, t.host) == 0 && (t.port == 0 || port_of(&d->target[i]) == port_of(&t))) {
            free(t.host);
            return 0;
        }
    }
    if (d->n == DISTRIBUTE_TARGETS) {
        free(t.host);
        return cause_set(cause, "%d machines at most", DISTRIBUTE_TARGETS);
    }
    t.name = xstrdup(name != NULL ? name : where);
    if (route_find(t.host, &t.route, &t.why) != 0)
        t.state = DISTRIBUTE_FAILED;
    t.token = token != NULL ? xstrdup(token) : t.route.here ? own_token() : NULL;
    d->target = xreallocarray(d->target, d->n + 1, sizeof(*d->target));
    d->target[d->n++] = t;
    return 0;
}

size_t distribute_count(const struct distribute *d, enum distribute_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++)
        n += d->target[i].state == state;
    return n;
}

static struct agent_where where(const struct distribute_target *t, int ms)
{
    return (struct agent_where){.host = t->host, .port = t->port, .token = t->token, .timeout_ms = ms};
}

static void say(struct distribute_target *t, const char *text)
{
    free(t->why);
    t->why = text != NULL && *text != '\0' ? utf8_printable(text, strlen(text)) : NULL;
}

static void fail(struct distribute_target *t, const struct agent_answer *a)
{
    char *text = a->needs_token
                     ? xasprintf("%s; agents.token in cluster.yaml or --token-file FILE names a copy of it", a->message)
                     : xstrdup(a->message);
    t->state = DISTRIBUTE_FAILED;
    say(t, text);
    free(text);
}

static void changed(struct distribute *d)
{
    if (d->changed != NULL)
        d->changed(d->arg);
}

/* ---- who can ---- */

static void on_pulls(const struct agent_answer *a, void *arg)
{
    struct distribute_target *t = arg;
    struct distribute *d = t->all;
    t->call = NULL;
    if (a->ok) {
        const json_t *port = json_object_get(json_object_get(a->body, "swarm"), "port");
        long long n = json_integer_value(port);
        t->swarm_port = n > 0 && n <= 65535 ? (int)n : 0;
        t->state = DISTRIBUTE_READY;
    } else {
        fail(t, a);
    }
    changed(d);
    if (distribute_count(d, DISTRIBUTE_ASKED) == 0)
        event_base_loopbreak(d->base);
}

size_t distribute_ask(struct distribute *d)
{
    for (size_t i = 0; i < d->n; i++) {
        struct distribute_target *t = &d->target[i];
        struct agent_where at = where(t, ASK_MS);
        if (t->state == DISTRIBUTE_ASKED)
            t->call = agent_client_pulls(d->http, &at, on_pulls, t);
    }
    if (distribute_count(d, DISTRIBUTE_ASKED) > 0)
        event_base_dispatch(d->base);
    return distribute_count(d, DISTRIBUTE_READY);
}

/* ---- pulls ---- */

static void end_if_over(struct distribute *d)
{
    if (distribute_count(d, DISTRIBUTE_READY) + distribute_count(d, DISTRIBUTE_PULLS) == 0)
        event_base_loopbreak(d->base);
}

static int64_t count(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_integer(v) && json_integer_value(v) >= 0 ? json_integer_value(v) : -1;
}

static void take(struct distribute_target *t, const json_t *pull)
{
    const char *state = json_text(pull, "state");
    double before = isnan(t->have) ? 0 : t->have;
    snprintf(t->word, sizeof(t->word), "%.15s", state);
    t->size = json_number(pull, "wanted");
    t->have = json_number(pull, "have");
    t->fetched = json_number(pull, "fetched");
    t->copied = json_number(pull, "copied");
    t->down = json_number(pull, "down");
    t->eta = json_number(pull, "eta");
    t->seconds = json_number(pull, "seconds");
    t->peers = count(pull, "peers");
    t->heard_us = clock_us();
    if (t->have > before || t->moved_us == 0 || strcmp(state, "hashing") == 0 || strcmp(state, "landing") == 0)
        t->moved_us = t->heard_us;
    say(t, json_text(pull, "why"));
    if (strcmp(state, "complete") == 0)
        t->state = DISTRIBUTE_COMPLETE;
    else if (strcmp(state, "failed") == 0 || strcmp(state, "stopped") == 0)
        t->state = DISTRIBUTE_FAILED;
    if (strcmp(state, "stopped") == 0)
        say(t, "somebody has stopped it there; what has come stays");
    else if (t->state == DISTRIBUTE_FAILED && t->why == NULL)
        say(t, "its agent does not say why");
}

/* That of the model, in the list of an agent. */
static const json_t *find(const struct distribute *d, const json_t *body)
{
    const json_t *list = json_object_get(body, "pulls");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pull = json_array_get(list, i);
        if (strcmp(json_text(pull, "id"), d->id) == 0 || strcmp(json_text(pull, "what"), d->id) == 0)
            return pull;
    }
    return NULL;
}

static void on_progress(const struct agent_answer *a, void *arg)
{
    struct distribute_target *t = arg;
    const json_t *pull = a->ok ? find(t->all, a->body) : NULL;
    t->call = NULL;
    if (pull != NULL) {
        take(t, pull);
    } else if (a->ok) {
        t->state = DISTRIBUTE_FAILED;
        say(t, "its agent was started anew and knows nothing of the pull: what has come stays, run this again");
    } else if (a->needs_token || clock_us() - t->heard_us > GONE_US) {
        fail(t, a);
    }
    end_if_over(t->all);
}

static void on_ordered(const struct agent_answer *a, void *arg)
{
    struct distribute_target *t = arg;
    t->call = NULL;
    if (a->ok) {
        t->state = DISTRIBUTE_PULLS;
        take(t, a->body);
    } else {
        fail(t, a);
    }
    changed(t->all);
    end_if_over(t->all);
}

/* One that gets nothing while nobody moves waits for what will not come. */
static void check_stuck(struct distribute *d)
{
    int64_t newest = 0;
    for (size_t i = 0; i < d->n; i++)
        newest = d->target[i].moved_us > newest ? d->target[i].moved_us : newest;
    if (clock_us() - newest < STUCK_US)
        return;
    for (size_t i = 0; i < d->n; i++) {
        struct distribute_target *t = &d->target[i];
        if (t->state != DISTRIBUTE_PULLS)
            continue;
        char *text = xasprintf("nothing has come for two minutes%s%s; its agent goes on by itself when it can",
                               t->why != NULL ? ": " : "", t->why != NULL ? t->why : "");
        t->state = DISTRIBUTE_FAILED;
        say(t, text);
        free(text);
    }
    end_if_over(d);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct distribute *d = arg;
    (void)fd;
    (void)what;
    for (size_t i = 0; i < d->n; i++) {
        struct distribute_target *t = &d->target[i];
        struct agent_where at = where(t, ANSWER_MS);
        if (t->state == DISTRIBUTE_PULLS && t->call == NULL)
            t->call = agent_client_pulls(d->http, &at, on_progress, t);
    }
    check_stuck(d);
    changed(d);
}

/* This machine, and the others as they are reached from here: who is here is not there. */
static void order(struct distribute *d, struct distribute_target *t, int port)
{
    char *peers[DISTRIBUTE_TARGETS + 1];
    size_t n = 0;
    struct agent_where at = where(t, ANSWER_MS);
    peers[n++] = xasprintf(":%d", port);
    for (size_t i = 0; i < d->n; i++) {
        const struct distribute_target *o = &d->target[i];
        int its = o->swarm_port > 0 ? o->swarm_port : SWARM_PORT;
        if (o != t && o->route.here == t->route.here && o->state != DISTRIBUTE_FAILED)
            peers[n++] = xasprintf(strchr(o->host, ':') != NULL ? "[%s]:%d" : "%s:%d", o->host, its);
    }
    t->call = agent_client_pull(d->http, &at, d->id, (const char *const *)peers, n, d->token, on_ordered, t);
    for (size_t i = 0; i < n; i++)
        free(peers[i]);
}

void distribute_run(struct distribute *d, const char *id, int port)
{
    d->id = xstrdup(id);
    for (size_t i = 0; i < d->n; i++) {
        if (d->target[i].state == DISTRIBUTE_READY)
            order(d, &d->target[i], port);
    }
    d->tick = event_new(d->base, -1, EV_PERSIST, on_tick, d);
    event_add(d->tick, &(struct timeval){0, TICK_MS * 1000});
    if (distribute_count(d, DISTRIBUTE_READY) > 0)
        event_base_dispatch(d->base);
}
