/* Which worker gets which layers beforehand, and what becomes of it with agents that do it, can't, are old, are not
 * there or get stuck. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "engines/pool-preseed.h"
#include "http/httpd.h"
#include "swarm/manifest-make.h"

struct rig {
    struct event_base *base;
    struct httpc *http;
    char dir[64], model[96];
    struct config *cfg;
    struct pool_shares shares;
    /* the agent */
    struct httpd *agent;
    int port;
    const char *const *script; /* states that it tells, one after the other; the last again and again */
    size_t step;
    unsigned asked;
    json_t *order; /* the last */
    /* what came of it */
    bool over;
    char note[1024];
};

static void made(void *arg, struct manifest *m, uint64_t hashed, const char *why)
{
    struct rig *r = arg;
    assert_non_null(m);
    (void)hashed;
    (void)why;
    manifest_destroy(m);
    event_base_loopbreak(r->base);
}

static void make_manifest(struct rig *r)
{
    struct crew *crew = crew_create(r->base, 1);
    const struct manifest_make_opts o = {.path = r->model, .store = true};
    manifest_make(crew, &o, made, r);
    event_base_dispatch(r->base);
    crew_destroy(crew);
}

static int open_rig(void **state)
{
    struct rig *r = xcalloc(1, sizeof(*r));
    char *command;
    strcpy(r->dir, "/tmp/tightwad-preseed-XXXXXX");
    if (mkdtemp(r->dir) == NULL)
        return -1;
    setenv("XDG_CACHE_HOME", r->dir, 1);
    snprintf(r->model, sizeof(r->model), "%s/draft.gguf", r->dir);
    command = xasprintf("cp %s/draft.gguf %s", getenv("TIGHTWAD_MODELS"), r->model);
    int rc = system(command);
    free(command);
    r->base = event_base_new();
    r->http = httpc_create(r->base);
    *state = r;
    return rc;
}

static int close_rig(void **state)
{
    struct rig *r = *state;
    char *command = xasprintf("rm -r %s", r->dir);
    int rc = system(command);
    free(command);
    unsetenv("XDG_CACHE_HOME");
    httpc_destroy(r->http);
    httpd_destroy(r->agent);
    config_destroy(r->cfg);
    json_decref(r->order);
    event_base_free(r->base);
    free(r);
    return rc;
}

/* agents, preseed: as the configuration has them. */
static void configure(struct rig *r, const char *agents, const char *preseed)
{
    struct config_findings f = {0};
    char *yaml = xasprintf(
        "models: {big: {path: %s}}\n"
        "coordinator: {port: 8080}\n"
        "workers:\n"
        "  - {host: 10.0.0.1, name: one, gpus: [{vram_gb: 1, rpc_port: 50052}, {vram_gb: 1, rpc_port: 50053}]}\n"
        "  - {host: two, gpus: [{vram_gb: 1, rpc_port: 50052}]}\n"
        "  - {host: 10.0.0.3, gpus: [{vram_gb: 1, rpc_port: 50052}]}\n"
        "agents: {hosts: [%s], token: sesame}\n"
        "swarm: {preseed: \"%s\", peers: [10.0.0.9, \"10.0.0.8:1\"]}\n",
        r->model, agents, preseed);
    config_destroy(r->cfg);
    r->cfg = config_load_text("/etc/t.yaml", yaml, strlen(yaml), &f);
    config_findings_print(&f, stderr);
    config_findings_finish(&f);
    free(yaml);
    assert_non_null(r->cfg);
}

/* Two devices of one server, one of another at the same machine, one of a second machine, and one here. */
static void share_out(struct rig *r, bool by_hand)
{
    static struct split_device devices[] = {
        {.endpoint = "10.0.0.1:50052", .kind = SPLIT_RPC}, {.endpoint = "10.0.0.1:50052", .kind = SPLIT_RPC},
        {.endpoint = "10.0.0.1:50053", .kind = SPLIT_RPC}, {.endpoint = "two:50052", .kind = SPLIT_RPC},
        {.endpoint = "10.0.0.3:50052", .kind = SPLIT_RPC}, {.kind = SPLIT_GPU},
    };
    static struct split_part parts[] = {
        {.device = 0, .first = 0, .n = 3}, {.device = 1, .first = 3, .n = 2},
        {.device = 2, .first = 5, .n = 0}, {.device = 3, .first = 5, .n = 1, .output = true},
        {.device = 4, .first = 6, .n = 1}, {.device = 5, .first = 7, .n = 2},
    };
    struct split_plan split = {.parts = parts, .n_parts = ARRAY_LEN(parts)};
    struct pool_plan plan = {.path = r->model, .devices = devices, .n_devices = 6, .split = &split, .by_hand = by_hand};
    pool_shares_make(&r->shares, r->cfg, &plan);
}

static void each_server_gets_its_layers(void **state)
{
    struct rig *r = *state;
    configure(r, "\"10.0.0.1:9999\", two, 10.0.0.4", "auto");
    share_out(r, false);
    assert_int_equal(r->shares.n, 0);
    assert_non_null(strstr(r->shares.why, "manifest create"));
    make_manifest(r);
    share_out(r, false);
    assert_string_equal(r->shares.why, "");
    assert_int_equal(strlen(r->shares.id), 64);
    assert_string_equal(r->shares.file, "draft.gguf");
    assert_int_equal(r->shares.n, 2); /* a device without layers, and a machine without an agent, get nothing */
    const struct pool_share *x = &r->shares.share[0];
    assert_string_equal(x->machine, "one");
    assert_int_equal(x->agent_port, 9999);
    assert_true(x->port == 50052 && x->needed.first == 0 && x->needed.last == 4 && !x->needed.output);
    x = &r->shares.share[1];
    assert_string_equal(x->agent, "two");
    assert_true(x->port == 50052 && x->needed.first == 5 && x->needed.last == 5 && x->needed.output);
}

static void nothing_where_it_is_not_wanted(void **state)
{
    struct rig *r = *state;
    make_manifest(r);
    configure(r, "two", "off");
    share_out(r, false);
    assert_true(r->shares.n == 0 && r->shares.why[0] == '\0');
    configure(r, "", "auto");
    share_out(r, false);
    assert_true(r->shares.n == 0 && r->shares.why[0] == '\0');
    configure(r, "elsewhere", "auto");
    share_out(r, false);
    assert_true(r->shares.n == 0 && r->shares.why[0] == '\0');
    configure(r, "two", "auto");
    share_out(r, true);
    assert_true(r->shares.n == 0);
    assert_non_null(strstr(r->shares.why, "extra_args"));
}

/* ---- with an agent ---- */

static void answer(struct rig *r, struct httpd_request *q)
{
    const char *state = r->script[r->step];
    json_t *o = json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:i}", "number", 7, "state", state, "why", "the disk is full",
                          "have", 5, "wanted", 10, "done", (int)r->step, "total", 4);
    if (r->script[r->step + 1] != NULL)
        r->step++;
    httpd_reply_json(q, 200, o);
}

static void on_order(struct httpd_request *q, void *arg)
{
    struct rig *r = arg;
    size_t len;
    const char *body = httpd_body(q, &len);
    json_decref(r->order);
    r->order = json_parse_object(body, len, NULL);
    assert_true(httpd_bears(q, "sesame"));
    answer(r, q);
}

static void on_look(struct httpd_request *q, void *arg)
{
    struct rig *r = arg;
    assert_string_equal(httpd_query(q, "number"), "7");
    r->asked++;
    answer(r, q);
}

static void start_agent(struct rig *r, const char *const *script)
{
    const struct httpd_opts o = {.max_body = 65536, .max_headers = 8192, .idle_timeout_s = 30};
    char *cause = NULL;
    r->agent = httpd_create(r->base, &o);
    r->script = script;
    if (script != NULL) {
        httpd_route(r->agent, HTTPD_POST, "/v1/agent/preseed", true, on_order, r);
        httpd_route(r->agent, HTTPD_GET, "/v1/agent/preseed", true, on_look, r);
    }
    r->port = httpd_listen(r->agent, "127.0.0.1", 0, &cause);
    assert_true(r->port > 0);
}

static void on_done(void *arg, const char *note)
{
    struct rig *r = arg;
    snprintf(r->note, sizeof(r->note), "%s", note);
    r->over = true;
    event_base_loopbreak(r->base);
}

/* One worker, whose agent is at that port. */
static struct pool_preseed *begin(struct rig *r, int port, int stall_ms)
{
    configure(r, "127.0.0.1, other", "auto");
    r->shares = (struct pool_shares){.id = "abc", .file = "big.gguf", .n = 1};
    r->shares.share[0] = (struct pool_share){.machine = "one",
                                             .agent = "127.0.0.1",
                                             .agent_port = port,
                                             .port = 50052,
                                             .needed = {.first = 2, .last = 5, .output = true}};
    struct pool_preseed *p = pool_preseed_start(r->base, r->http, r->cfg, &r->shares, stall_ms, on_done, r);
    assert_non_null(p);
    return p;
}

static void run(struct rig *r)
{
    event_base_loopexit(r->base, &(struct timeval){.tv_sec = 20});
    event_base_dispatch(r->base);
    assert_true(r->over);
}

static void an_agent_does_it(void **state)
{
    static const char *const script[] = {"looking", "fetching", "writing", "done", NULL};
    struct rig *r = *state;
    char text[200];
    start_agent(r, script);
    struct pool_preseed *p = begin(r, r->port, 0);
    pool_preseed_text(p, text, sizeof(text));
    assert_string_equal(text, "one is asked");
    run(r);
    assert_string_equal(r->note, "");
    assert_int_equal(r->asked, 3);
    assert_int_equal(json_integer_value(json_object_get(r->order, "worker")), 50052);
    assert_int_equal(json_integer_value(json_object_get(r->order, "first_layer")), 2);
    assert_int_equal(json_integer_value(json_object_get(r->order, "last_layer")), 5);
    assert_true(json_is_true(json_object_get(r->order, "output")));
    char *peers = json_dumps(json_object_get(r->order, "peers"), JSON_COMPACT);
    assert_string_equal(peers, "[\"10.0.0.9\",\"10.0.0.8:1\",\"other\"]"); /* not itself, and not this machine */
    free(peers);
}

static void what_an_agent_can_not_do_is_told(void **state)
{
    static const char *const failed[] = {"fetching", "failed", NULL};
    struct rig *r = *state;
    start_agent(r, failed);
    begin(r, r->port, 0);
    run(r);
    assert_string_equal(r->note, "one gets its weights from here: the disk is full");
}

static void an_old_agent(void **state)
{
    struct rig *r = *state;
    start_agent(r, NULL);
    begin(r, r->port, 0);
    run(r);
    assert_non_null(strstr(r->note, "older version"));
}

static void no_agent(void **state)
{
    static const char *const script[] = {"done", NULL};
    struct rig *r = *state;
    start_agent(r, script);
    int port = r->port;
    httpd_destroy(r->agent);
    r->agent = NULL;
    begin(r, port, 0);
    run(r);
    assert_non_null(strstr(r->note, "no agent answers"));
}

static void one_that_gets_stuck(void **state)
{
    static const char *const script[] = {"fetching", NULL};
    struct rig *r = *state;
    char text[200];
    start_agent(r, script);
    struct pool_preseed *p = begin(r, r->port, 700);
    while (r->asked < 1)
        event_base_loop(r->base, EVLOOP_ONCE);
    pool_preseed_text(p, text, sizeof(text));
    assert_string_equal(text, "one is fetching: 50 %");
    run(r);
    assert_non_null(strstr(r->note, "nothing has come for 0.7 s (fetching)"));
}

static void broken_off(void **state)
{
    static const char *const script[] = {"fetching", NULL};
    struct rig *r = *state;
    start_agent(r, script);
    struct pool_preseed *p = begin(r, r->port, 0);
    while (r->asked < 1)
        event_base_loop(r->base, EVLOOP_ONCE);
    pool_preseed_cancel(p);
    event_base_loop(r->base, EVLOOP_NONBLOCK);
    assert_false(r->over);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)
const struct CMUnitTest pool_preseed_tests[] = {
    TEST(each_server_gets_its_layers),
    TEST(nothing_where_it_is_not_wanted),
    TEST(an_agent_does_it),
    TEST(what_an_agent_can_not_do_is_told),
    TEST(an_old_agent),
    TEST(no_agent),
    TEST(one_that_gets_stuck),
    TEST(broken_off),
};
const size_t pool_preseed_test_count = ARRAY_LEN(pool_preseed_tests);
