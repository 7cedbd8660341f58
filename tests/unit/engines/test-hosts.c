/* How machines are doing: this one by its /proc, another by what its agent answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engines/hosts.h"
#include "http/httpd.h"

struct rig {
    char root[64];
    struct event_base *base;
    struct httpc *http;
    struct config cfg;
    struct snapshot *snap;
};

static void put(const struct rig *r, const char *name, const char *text)
{
    char *path = xasprintf("%s/proc/%s", r->root, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(path);
}

static int open_rig(void **state)
{
    struct rig *r = xcalloc(1, sizeof(*r));
    char *proc;
    strcpy(r->root, "/tmp/tightwad-hosts-XXXXXX");
    if (mkdtemp(r->root) == NULL)
        return -1;
    proc = xasprintf("%s/proc", r->root);
    mkdir(proc, 0700);
    free(proc);
    r->base = event_base_new();
    r->http = httpc_create(r->base);
    r->snap = xcalloc(1, sizeof(*r->snap));
    *state = r;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *r = *state;
    static const char *const names[] = {"/proc/stat", "/proc/meminfo", "/proc", ""};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *path = xasprintf("%s%s", r->root, names[i]);
        remove(path);
        free(path);
    }
    httpc_destroy(r->http);
    event_base_free(r->base);
    free(r->snap);
    free(r);
    return 0;
}

static void nap(struct rig *r, int ms)
{
    event_base_loopexit(r->base, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
    event_base_loop(r->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void this_machine_is_read_from_proc(void **state)
{
    struct rig *r = *state;
    put(r, "meminfo", "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\n");
    put(r, "stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n");
    struct hosts *h = hosts_create(r->base, r->http, &r->cfg, r->root);
    hosts_tick(h, true);
    hosts_fill(h, r->snap);
    assert_int_equal(r->snap->n_machines, 1);
    const struct snapshot_machine *m = &r->snap->machine[0];
    assert_int_equal(m->memory, 1000 * 1024);
    assert_int_equal(m->memory_used, 400 * 1024);
    assert_true(isnan(m->cpu)); /* one look tells of no load */
    assert_int_equal(m->health, HEALTH_UP);
    put(r, "stat", "cpu  150 0 125 750 175 0 0 0 0 0\n"); /* 75 of 200 */
    nap(r, 1100);
    hosts_tick(h, true);
    hosts_fill(h, r->snap);
    assert_true(fabs(m->cpu - 0.375) < 1e-9);
    put(r, "stat", "nonsense\n");
    nap(r, 1100);
    hosts_tick(h, true);
    hosts_fill(h, r->snap);
    assert_true(isnan(m->cpu));
    hosts_destroy(h);
}

static void on_agent(struct httpd_request *q, void *arg)
{
    (*(int *)arg)++;
    httpd_reply_json(q, 200,
                     json_pack("{s:i, s:{s:s, s:I, s:I, s:{s:i, s:f}, s:[{s:s, s:s, s:I, s:I, s:f}]}}", "protocol", 1,
                               "machine", "name", "big", "memory", (json_int_t)4096, "memory_available",
                               (json_int_t)1024, "cpu", "threads", 16, "utilisation", 0.5, "gpus", "vendor", "nvidia",
                               "name", "Card", "memory", (json_int_t)2048, "memory_used", (json_int_t)512,
                               "utilisation", 0.25));
}

static void an_agent_is_asked_while_somebody_looks(void **state)
{
    struct rig *r = *state;
    int asked = 0;
    struct httpd *server =
        httpd_create(r->base, &(struct httpd_opts){.max_body = 1000, .max_headers = 4000, .token = "sesame"});
    httpd_route(server, HTTPD_GET, "/v1/agent", false, on_agent, &asked);
    int port = httpd_listen(server, "127.0.0.1", 0, NULL);
    char *where = xasprintf("127.0.0.1:%d", port), *list[] = {where, (char *)"127.0.0.1:1"};
    r->cfg.agents.hosts = (struct config_words){.list = list, .n = 2};
    r->cfg.agents.token = (char *)"sesame";
    struct hosts *h = hosts_create(r->base, r->http, &r->cfg, r->root);
    const struct snapshot_machine *m = &r->snap->machine[1], *gone = &r->snap->machine[2];
    hosts_tick(h, false);
    nap(r, 50);
    hosts_fill(h, r->snap);
    assert_int_equal(r->snap->n_machines, 3);
    assert_int_equal(asked, 0);
    assert_int_equal(m->health, HEALTH_UNKNOWN);
    assert_int_equal(m->memory, -1);
    for (int64_t until = clock_us() + 5000000;
         (m->health != HEALTH_UP || gone->health != HEALTH_DOWN) && clock_us() < until;) {
        hosts_tick(h, true);
        nap(r, 20);
        hosts_fill(h, r->snap);
    }
    assert_int_equal(asked, 1); /* and not at every tick */
    assert_int_equal(m->health, HEALTH_UP);
    assert_string_equal(m->name, "big");
    assert_string_equal(m->address, "127.0.0.1");
    assert_int_equal(m->memory, 4096);
    assert_int_equal(m->memory_used, 3072);
    assert_int_equal(m->cores, 16);
    assert_true(m->cpu == 0.5 && m->rtt_us > 0);
    assert_int_equal(m->n_gpus, 1);
    assert_string_equal(m->gpu[0].name, "Card");
    assert_int_equal(m->gpu[0].memory_used, 512);
    assert_true(m->gpu[0].utilisation == 0.25 && isnan(m->gpu[0].power));
    assert_int_equal(gone->health, HEALTH_DOWN);
    assert_true(gone->reason[0] != '\0' && gone->memory == -1);

    r->cfg.agents.token = (char *)"wrong";
    hosts_reload(h, &r->cfg);
    for (int64_t until = clock_us() + 5000000; m->health != HEALTH_DOWN && clock_us() < until;) {
        hosts_tick(h, true);
        nap(r, 20);
        hosts_fill(h, r->snap);
    }
    assert_non_null(strstr(m->reason, "agents.token"));
    assert_int_equal(m->n_gpus, 0);
    hosts_destroy(h);
    httpd_destroy(server);
    free(where);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)

const struct CMUnitTest hosts_tests[] = {
    TEST(this_machine_is_read_from_proc),
    TEST(an_agent_is_asked_while_somebody_looks),
};
const size_t hosts_test_count = sizeof(hosts_tests) / sizeof(*hosts_tests);
