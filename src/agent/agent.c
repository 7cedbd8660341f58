#include "agent/agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/order.h"
#include "agent/preseed.h"
#include "agent/pulls.h"
#include "agent/runs.h"
#include "base/cause.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/httpc.h"
#include "http/httpd.h"
#include "http/peer.h"
#include "probe/here.h"
#include "probe/load.h"

enum {
    MAX_BODY = 64 * 1024,
    MAX_HEADERS = 16 * 1024,
    IDLE_TIMEOUT_S = 30,
    FRESH_US = 3 * 1000 * 1000,  /* a probe of this age still tells how things are */
    STALE_US = 60 * 1000 * 1000, /* and one of this age is told at once, while the next one is made */
    LIVE_PARTS =
        HERE_HARDWARE | HERE_NVIDIA | HERE_AMD, /* what changes; models and programs are looked for less often */
    LOG_LINES = 100,
};

typedef void waiting_then(struct agent *a, struct httpd_request *r);

/* A request that waits for a probe. */
struct waiting {
    struct httpd_request *request;
    waiting_then *then;
    bool whole; /* for one of everything */
};

struct agent {
    struct event_base *base;
    struct httpd *http;
    char *host, *token, *node, *node_cause;
    char **folders;
    size_t n_folders;
    int port;
    struct agent_runs *runs;
    struct httpc *client; /* to peers of the swarm */
    struct agent_pulls *pulls;
    struct preseeds *preseeds;
    struct here *here; /* a probe under way, or NULL */
    bool whole;        /* it is one of everything */
    bool outdated;     /* and something has changed since it began */
    struct machine machine;
    int64_t probed_us, whole_us; /* when something, and when everything was last probed; 0: not yet */
    struct load load;
    struct waiting *waiting;
    size_t n_waiting;
};

/* ---- who may ask ---- */

/* Answers and returns false when the request may not be served.  look: it changes nothing, so this machine's own
 * programs need no token. */
static bool may(const struct agent *a, struct httpd_request *r, bool look)
{
    if (httpd_header(r, "Origin") != NULL) {
        httpd_reply_error(r, 403, NULL, "web_page", "requests of web pages are refused");
        return false;
    }
    if (httpd_bears(r, a->token))
        return true;
    if (look && httpd_peer_is_local(r) && httpd_header(r, "Authorization") == NULL &&
        peer_host_is_plain(httpd_header(r, "Host")))
        return true;
    if (httpd_header(r, "Authorization") != NULL)
        log_warn("a request of %s with a wrong token was refused", httpd_peer(r));
    httpd_reply_unauthorized(r, "token");
    return false;
}

/* ---- the probe ---- */

static int64_t age_of(int64_t since_us)
{
    return since_us != 0 ? clock_us() - since_us : INT64_MAX;
}

static void probe(struct agent *a, bool whole);

/* What was not looked at this time is as it was. */
static void take(struct agent *a, struct machine *m)
{
    if (!a->whole) {
        a->machine.n_gpus = 0;
        machine_move_lists(m, &a->machine);
    }
    machine_finish(&a->machine);
    a->machine = *m;
    double load = load_read(&a->load, "");
    a->machine.cpu.utilisation = load;
    a->probed_us = clock_us();
    if (a->whole)
        a->whole_us = a->outdated ? 0 : a->probed_us;
    a->outdated = false;
}

static void on_probed(struct machine *m, void *arg)
{
    struct agent *a = arg;
    a->here = NULL;
    take(a, m);
    struct waiting *list = a->waiting;
    size_t n = a->n_waiting;
    a->waiting = NULL;
    a->n_waiting = 0;
    for (size_t i = 0; i < n; i++) {
        if (a->whole || !list[i].whole) {
            list[i].then(a, list[i].request);
        } else {
            a->waiting = xreallocarray(a->waiting, a->n_waiting + 1, sizeof(*a->waiting));
            a->waiting[a->n_waiting++] = list[i];
        }
    }
    free(list);
    if (a->n_waiting > 0)
        probe(a, true);
}

static void probe(struct agent *a, bool whole)
{
    const struct here_opts opts = {.parts = whole ? HERE_ALL : LIVE_PARTS,
                                   .folders = (const char *const *)a->folders,
                                   .n_folders = a->n_folders,
                                   .node = a->node};
    if (a->here != NULL)
        return; /* who waits for more gets it after this one */
    a->whole = whole;
    a->here = here_probe(a->base, &opts, on_probed, a);
}

/* At once when there is a probe, of everything if whole, that is no older than that; else after the next one. */
static void when_probed(struct agent *a, bool whole, int64_t age_us, struct httpd_request *r, waiting_then *then)
{
    if (age_of(a->whole_us) > (whole ? FRESH_US : STALE_US))
        probe(a, true);
    else if (age_of(a->probed_us) > FRESH_US)
        probe(a, false);
    if (age_of(whole ? a->whole_us : a->probed_us) <= age_us) {
        then(a, r);
        return;
    }
    a->waiting = xreallocarray(a->waiting, a->n_waiting + 1, sizeof(*a->waiting));
    a->waiting[a->n_waiting++] = (struct waiting){r, then, whole};
}

/* ---- calls ---- */

static void handle_health(struct httpd_request *r, void *arg)
{
    (void)arg;
    httpd_reply_json(
        r, 200, json_pack("{s:s, s:s, s:i}", "status", "ok", "service", "tightwad-agent", "protocol", AGENT_PROTOCOL));
}

static void tell(struct agent *a, struct httpd_request *r)
{
    double age = (double)(clock_us() - a->probed_us) / 1e6;
    httpd_reply_json(r, 200,
                     json_pack("{s:i, s:s, s:b, s:s?, s:f, s:o, s:o, s:o}", "protocol", AGENT_PROTOCOL, "version",
                               TIGHTWAD_VERSION, "starts", a->node != NULL, "starts_not", a->node_cause, "age", age,
                               "machine", machine_to_json(&a->machine), "options", agent_order_options(), "running",
                               agent_runs_json(a->runs)));
}

static void handle_agent(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    if (may(a, r, true))
        when_probed(a, false, STALE_US, r, tell);
}

static void handle_running(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    if (may(a, r, true))
        httpd_reply_json(r, 200, json_pack("{s:o}", "running", agent_runs_json(a->runs)));
}

static void handle_log(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    if (!may(a, r, true))
        return;
    const char *name = httpd_query(r, "name"), *text = httpd_query(r, "lines");
    char *end = NULL;
    errno = 0;
    long n = text != NULL && *text != '\0' ? strtol(text, &end, 10) : LOG_LINES;
    if (text != NULL && (end == NULL || *end != '\0' || errno != 0 || n < 1 || n > AGENT_LINES_KEPT)) {
        httpd_reply_error(r, 400, "lines", NULL, "lines: expected a number from 1 to %d", AGENT_LINES_KEPT);
        return;
    }
    json_t *lines = name != NULL ? agent_runs_log(a->runs, name, (size_t)n) : NULL;
    if (lines == NULL)
        httpd_reply_error(r, 404, "name", "unknown_name", "nothing of the name \"%.80s\" was started here",
                          name != NULL ? name : "");
    else
        httpd_reply_json(r, 200, json_pack("{s:s, s:o}", "name", name, "lines", lines));
}

static json_t *body_of(struct httpd_request *r)
{
    size_t len;
    char *cause = NULL;
    const char *body = httpd_body(r, &len);
    json_t *o = json_parse_object(body, len, &cause);
    if (o == NULL)
        httpd_reply_error(r, 400, NULL, NULL, "%s", cause);
    free(cause);
    return o;
}

static void start(struct agent *a, struct httpd_request *r)
{
    struct agent_order order;
    char *cause = NULL;
    json_t *body = body_of(r);
    if (body == NULL)
        return;
    bool right = agent_order_read(&order, body, a->node, a->host, &a->machine, &cause) == 0;
    bool started = right && agent_runs_start(a->runs, &order, &cause) == 0;
    if (started) {
        httpd_reply_json(r, 200, agent_run_json(a->runs, order.name));
    } else {
        log_warn("an order of %s was refused: %s", httpd_peer(r), cause);
        httpd_reply_error(r, right ? 409 : 400, NULL, right ? "not_started" : "refused", "%s", cause);
    }
    if (right)
        agent_order_finish(&order);
    free(cause);
    json_decref(body);
}

static void handle_start(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    if (!may(a, r, false))
        return;
    if (a->node == NULL)
        httpd_reply_error(r, 501, NULL, "no_programs", "%s", a->node_cause);
    else
        when_probed(a, true, FRESH_US, r, start); /* what models there are may just have changed */
}

static void handle_stop(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    char *cause = NULL;
    const char *name = NULL;
    if (!may(a, r, false))
        return;
    json_t *body = body_of(r);
    if (body == NULL)
        return;
    if (json_get_string(body, "name", &name, &cause) < 0 || name == NULL)
        httpd_reply_error(r, 400, "name", NULL, "%s", cause != NULL ? cause : "name: expected what is to be stopped");
    else if (agent_runs_stop(a->runs, name, &cause) != 0)
        httpd_reply_error(r, 404, "name", "unknown_name", "%s", cause);
    else
        httpd_reply_json(r, 200, json_pack("{s:s, s:o}", "stopped", name, "running", agent_runs_json(a->runs)));
    free(cause);
    json_decref(body);
}

/* ---- the swarm ---- */

/* What models there are is looked up anew. */
static void on_arrived(void *arg)
{
    struct agent *a = arg;
    a->whole_us = 0;
    a->outdated = a->here != NULL && a->whole;
}

static void handle_pulls(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    if (may(a, r, true))
        httpd_reply_json(r, 200, agent_pulls_json(a->pulls));
}

static void handle_pull(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    char *cause = NULL;
    int status = 400;
    if (!may(a, r, false))
        return;
    json_t *body = body_of(r);
    if (body == NULL)
        return;
    json_t *pull = agent_pulls_start(a->pulls, body, httpd_peer(r), &status, &cause);
    if (pull != NULL) {
        httpd_reply_json(r, 200, pull);
    } else {
        log_warn("an order of %s was refused: %s", httpd_peer(r), cause);
        httpd_reply_error(r, status, NULL, status == 409 ? "not_started" : "refused", "%s", cause);
    }
    free(cause);
    json_decref(body);
}

static void handle_pull_stop(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    char *cause = NULL;
    const char *what = NULL;
    if (!may(a, r, false))
        return;
    json_t *body = body_of(r);
    if (body == NULL)
        return;
    if (json_get_string(body, "what", &what, &cause) < 0 || what == NULL)
        httpd_reply_error(r, 400, "what", NULL, "%s", cause != NULL ? cause : "what: expected an id or a name");
    else if (agent_pulls_stop(a->pulls, what, &cause) != 0)
        httpd_reply_error(r, 404, "what", "unknown_name", "%s", cause);
    else
        httpd_reply_json(r, 200, agent_pulls_json(a->pulls));
    free(cause);
    json_decref(body);
}

static void preseed(struct agent *a, struct httpd_request *r)
{
    char *cause = NULL;
    int status = 400;
    json_t *body = body_of(r);
    if (body == NULL)
        return;
    json_t *work = preseeds_start(a->preseeds, body, &a->machine, httpd_peer(r), &status, &cause);
    if (work != NULL) {
        httpd_reply_json(r, 200, work);
    } else {
        log_warn("an order of %s was refused: %s", httpd_peer(r), cause);
        httpd_reply_error(r, status, NULL, status == 409 ? "not_started" : "refused", "%s", cause);
    }
    free(cause);
    json_decref(body);
}

static void handle_preseed(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    if (may(a, r, false))
        when_probed(a, true, FRESH_US, r, preseed); /* what models there are may just have changed */
}

static void handle_preseed_look(struct httpd_request *r, void *arg)
{
    struct agent *a = arg;
    if (!may(a, r, true))
        return;
    const char *text = httpd_query(r, "number");
    char *end = NULL;
    long n = text != NULL && *text != '\0' ? strtol(text, &end, 10) : -1;
    json_t *work = end != NULL && *end == '\0' && n >= 0 && n <= INT32_MAX ? preseeds_json(a->preseeds, (int)n) : NULL;
    if (work == NULL)
        httpd_reply_error(r, 404, "number", "unknown_number", "no cache is filled here under that number");
    else
        httpd_reply_json(r, 200, work);
}

/* ---- the whole ---- */

/* Where the programs listen unless an order says otherwise: where the agent does.  A name is no address to bind to. */
static char *default_host(const char *host)
{
    unsigned char bytes[16];
    bool numeric = inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
    return xstrdup(numeric ? host : strcmp(host, "localhost") == 0 ? "127.0.0.1" : "0.0.0.0");
}

static void route(struct agent *a)
{
    static const struct {
        enum httpd_method method;
        const char *path;
        httpd_handler *fn;
    } routes[] = {
        {HTTPD_GET, "/health", handle_health},
        {HTTPD_GET, "/v1/agent", handle_agent},
        {HTTPD_GET, "/v1/agent/running", handle_running},
        {HTTPD_GET, "/v1/agent/log", handle_log},
        {HTTPD_POST, "/v1/agent/start", handle_start},
        {HTTPD_POST, "/v1/agent/stop", handle_stop},
        {HTTPD_GET, "/v1/agent/pulls", handle_pulls},
        {HTTPD_POST, "/v1/agent/pull", handle_pull},
        {HTTPD_POST, "/v1/agent/pull/stop", handle_pull_stop},
        {HTTPD_POST, "/v1/agent/preseed", handle_preseed},
        {HTTPD_GET, "/v1/agent/preseed", handle_preseed_look},
    };
    for (size_t i = 0; i < ARRAY_LEN(routes); i++)
        httpd_route(a->http, routes[i].method, routes[i].path, true, routes[i].fn, a); /* may() decides */
}

/* Where pulled models go is looked into like the others. */
static void take_folders(struct agent *a, const struct agent_opts *opts)
{
    const struct agent_pulls_opts pulls = {.host = a->host,
                                           .dir = opts->n_folders > 0 ? opts->folders[0] : NULL,
                                           .folders = opts->folders,
                                           .n_folders = opts->n_folders,
                                           .discovery = opts->discovery,
                                           .arrived = on_arrived,
                                           .arg = a};
    a->pulls = agent_pulls_create(a->base, a->client, &pulls);
    a->preseeds = preseeds_create(a->base, a->pulls);
    a->folders = xcalloc(opts->n_folders + 2, sizeof(char *));
    for (; a->n_folders < opts->n_folders; a->n_folders++)
        a->folders[a->n_folders] = xstrdup(opts->folders[a->n_folders]);
    if (opts->n_folders == 0 && agent_pulls_dir(a->pulls) != NULL)
        a->folders[a->n_folders++] = xstrdup(agent_pulls_dir(a->pulls));
}

struct agent *agent_create(struct event_base *base, const struct agent_opts *opts, char **cause)
{
    /* The token crosses the network in the clear, so it is for private ones. */
    const struct httpd_opts http = {
        .max_body = MAX_BODY, .max_headers = MAX_HEADERS, .idle_timeout_s = IDLE_TIMEOUT_S, .private_peers_only = true};
    struct agent *a = xcalloc(1, sizeof(*a));
    *a = (struct agent){.base = base,
                        .host = default_host(opts->host),
                        .token = xstrdup(opts->token),
                        .node = xstrdup(opts->node),
                        .node_cause = xstrdup(opts->node_cause)};
    machine_init(&a->machine, MACHINE_HERE);
    a->runs = agent_runs_create(base);
    a->client = httpc_create(base);
    take_folders(a, opts);
    a->http = httpd_create(base, &http);
    route(a);
    a->port = httpd_listen(a->http, opts->host, opts->port, cause);
    if (a->port < 0) {
        agent_destroy(a);
        return NULL;
    }
    load_read(&a->load, "");
    probe(a, true); /* so that the first question finds it done */
    return a;
}

void agent_destroy(struct agent *a)
{
    if (a == NULL)
        return;
    httpd_destroy(a->http);
    for (size_t i = 0; i < a->n_waiting; i++)
        httpd_reply_error(a->waiting[i].request, 503, NULL, NULL, "the agent ends");
    free(a->waiting);
    here_cancel(a->here);
    agent_runs_destroy(a->runs);
    preseeds_destroy(a->preseeds);
    agent_pulls_destroy(a->pulls);
    httpc_destroy(a->client);
    machine_finish(&a->machine);
    for (size_t i = 0; i < a->n_folders; i++)
        free(a->folders[i]);
    free(a->folders);
    free(a->host);
    free(a->token);
    free(a->node);
    free(a->node_cause);
    free(a);
}

int agent_port(const struct agent *a)
{
    return a->port;
}
