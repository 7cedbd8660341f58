#include "probe/agent-client.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "probe/scan-answer.h"

enum { AGENT_PORT = 9191, TIMEOUT_MS = 20000, CONNECT_MS = 3000, ANSWER_MAX = 4 << 20 };

struct agent_call {
    struct httpc_call *call;
    char *host;
    int port;
    bool machine; /* is wanted */
    agent_answer_cb *cb;
    void *arg;
};

static void call_free(struct agent_call *c)
{
    if (c->call != NULL)
        httpc_cancel(c->call);
    free(c->host);
    free(c);
}

/* Its own words where it has some. */
static char *its_words(const json_t *body)
{
    const char *text = json_string_value(json_object_get(json_object_get(body, "error"), "message"));
    return text != NULL ? utf8_printable(text, strlen(text)) : NULL;
}

/* An agent that does not have this path. */
static bool is_old(const struct httpc_result *r, const json_t *body)
{
    return r->error == HTTPC_OK && r->status == 404 &&
           strcmp(json_text(json_object_get(body, "error"), "code"), "unknown_url") == 0;
}

static char *say(const struct agent_call *c, const struct httpc_result *r, const json_t *body)
{
    char *words = its_words(body), *text;
    if (r->error == HTTPC_UNREACHABLE)
        text = xasprintf("%s:%d: no agent answers (%s): start `tightwad agent --listen 0.0.0.0` on that machine, and "
                         "let port %d through its firewall",
                         c->host, c->port, r->message, c->port);
    else if (r->error != HTTPC_OK)
        text = xasprintf("%s:%d: the agent's answer did not come: %s", c->host, c->port, r->message);
    else if (r->status == 401)
        text =
            xasprintf("%s:%d: the agent wants its token, which it keeps in ~/.local/state/tightwad/agent-token there",
                      c->host, c->port);
    else if (is_old(r, body))
        text = xasprintf(
            "%s:%d: the agent there is of an older version, which can't do that: bring Tightwad up to date on "
            "that machine",
            c->host, c->port);
    else if (words != NULL)
        text = xasprintf("%s:%d: %s", c->host, c->port, words);
    else
        text = xasprintf("%s:%d: what answers there (status %d) is no tightwad agent", c->host, c->port, r->status);
    free(words);
    return text;
}

static void on_done(void *arg, const struct httpc_result *r)
{
    struct agent_call *c = arg;
    struct machine m;
    char *cause = NULL, *message = NULL;
    json_t *body = r->error == HTTPC_OK ? json_parse_object(r->body, r->len, NULL) : NULL;
    struct agent_answer a = {.ok = r->error == HTTPC_OK && r->status == 200 && body != NULL,
                             .needs_token = r->error == HTTPC_OK && r->status == 401,
                             .old = is_old(r, body),
                             .body = body,
                             .rtt_us = r->elapsed_us};
    c->call = NULL;
    if (!a.ok)
        message = say(c, r, body);
    if (a.ok && c->machine && scan_answer_agent(&m, body, &cause) == 0) {
        a.machine = &m;
        snprintf(m.address, sizeof(m.address), "%s", c->host);
        m.rtt_us = r->elapsed_us;
    } else if (a.ok && c->machine) {
        a.ok = false;
        message = xasprintf("%s:%d: %s", c->host, c->port, cause);
    }
    a.message = message != NULL ? message : "";
    c->cb(&a, c->arg);
    if (a.machine != NULL)
        machine_finish(&m);
    free(message);
    free(cause);
    json_decref(body);
    call_free(c);
}

/* path: after the address.  body: taken over, NULL: a GET. */
static struct agent_call *start(struct httpc *http, const struct agent_where *at, const char *path, json_t *body,
                                agent_answer_cb *cb, void *arg)
{
    struct agent_call *c = xcalloc(1, sizeof(*c));
    *c = (struct agent_call){
        .host = xstrdup(at->host), .port = at->port > 0 ? at->port : AGENT_PORT, .cb = cb, .arg = arg};
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    char *url = xasprintf(strchr(c->host, ':') != NULL ? "http://[%s]:%d%s" : "http://%s:%d%s", c->host, c->port, path);
    const struct httpc_opts opts = {.url = url,
                                    .bearer = at->token,
                                    .body = text,
                                    .len = text != NULL ? strlen(text) : 0,
                                    .connect_timeout_ms = CONNECT_MS,
                                    .timeout_ms = at->timeout_ms > 0 ? at->timeout_ms : TIMEOUT_MS,
                                    .max_reply = ANSWER_MAX,
                                    .on_done = on_done,
                                    .arg = c};
    c->call = httpc_start(http, &opts);
    json_decref(body);
    free(text);
    free(url);
    return c;
}

struct agent_call *agent_client_fetch(struct httpc *http, const struct agent_where *at, agent_answer_cb *cb, void *arg)
{
    struct agent_call *c = start(http, at, "/v1/agent", NULL, cb, arg);
    c->machine = true;
    return c;
}

struct agent_call *agent_client_start(struct httpc *http, const struct agent_where *at, json_t *order,
                                      agent_answer_cb *cb, void *arg)
{
    return start(http, at, "/v1/agent/start", order, cb, arg);
}

struct agent_call *agent_client_stop(struct httpc *http, const struct agent_where *at, const char *name,
                                     agent_answer_cb *cb, void *arg)
{
    return start(http, at, "/v1/agent/stop", json_pack("{s:s}", "name", name), cb, arg);
}

struct agent_call *agent_client_running(struct httpc *http, const struct agent_where *at, agent_answer_cb *cb,
                                        void *arg)
{
    return start(http, at, "/v1/agent/running", NULL, cb, arg);
}

struct agent_call *agent_client_log(struct httpc *http, const struct agent_where *at, const char *name, int n,
                                    agent_answer_cb *cb, void *arg)
{
    char *path = xasprintf("/v1/agent/log?lines=%d&name=", n);
    for (const char *s = name; *s != '\0'; s++) {
        bool plain = isalnum((unsigned char)*s) || *s == '.' || *s == '-' || *s == '_';
        char *longer = xasprintf(plain ? "%s%c" : "%s%%%02X", path, (unsigned char)*s);
        free(path);
        path = longer;
    }
    struct agent_call *c = start(http, at, path, NULL, cb, arg);
    free(path);
    return c;
}

struct agent_call *agent_client_pull(struct httpc *http, const struct agent_where *at, const char *what,
                                     const char *const *peers, size_t n_peers, const char *token, agent_answer_cb *cb,
                                     void *arg)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n_peers; i++)
        json_array_append_new(list, json_string(peers[i]));
    return start(http, at, "/v1/agent/pull", json_pack("{s:s, s:o, s:s*}", "what", what, "peers", list, "token", token),
                 cb, arg);
}

struct agent_call *agent_client_pulls(struct httpc *http, const struct agent_where *at, agent_answer_cb *cb, void *arg)
{
    return start(http, at, "/v1/agent/pulls", NULL, cb, arg);
}

struct agent_call *agent_client_preseed(struct httpc *http, const struct agent_where *at, json_t *order,
                                        agent_answer_cb *cb, void *arg)
{
    return start(http, at, "/v1/agent/preseed", order, cb, arg);
}

struct agent_call *agent_client_preseed_look(struct httpc *http, const struct agent_where *at, int number,
                                             agent_answer_cb *cb, void *arg)
{
    char *path = xasprintf("/v1/agent/preseed?number=%d", number);
    struct agent_call *c = start(http, at, path, NULL, cb, arg);
    free(path);
    return c;
}

void agent_client_cancel(struct agent_call *c)
{
    if (c != NULL)
        call_free(c);
}
