/* A cluster.yaml that is written from an advice says what was advised, whatever strangers call their models, and takes
 * the place of the old one whole, or not at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/compose.h"
#include "config/install.h"
#include "rig.h"

#define GIB (INT64_C(1) << 30)

static struct machine *machine(struct machine *m, enum machine_origin origin, const char *name, const char *card,
                               int gib)
{
    machine_init(m, origin);
    machine_text(m->name, sizeof(m->name), name);
    if (origin != MACHINE_HERE)
        machine_text(m->address, sizeof(m->address), "192.168.1.9");
    m->memory = 32 * GIB;
    m->cpu.cores = 8;
    for (int i = 0; gib > 0 && i < 2; i++) {
        struct machine_gpu *g = machine_add_gpu(m);
        g->vendor = GPU_AMD;
        g->memory = gib * GIB;
        machine_text(g->name, sizeof(g->name), card);
    }
    return m;
}

static void add_model(struct machine *m, const char *from, const char *name, const char *path)
{
    struct machine_model *x = machine_add_model(m);
    x->name = xstrdup(name);
    x->from = xstrdup(from);
    x->path = xstrdup(path);
}

static void add_service(struct machine *m, enum service_kind kind, int port, const char *model)
{
    struct machine_service *s = machine_add_service(m);
    s->kind = kind;
    s->port = port;
    machine_text(s->host, sizeof(s->host), m->address[0] ? m->address : "127.0.0.1");
    machine_text(s->model, sizeof(s->model), model);
}

/* The text for the machines, which are finished, read by the loader without a finding. */
static struct config *composed(struct machine *list, size_t n, const struct advice_wish *w, char **text)
{
    struct advice *a = advice_make(list, n, w);
    assert_true(a->target >= 0);
    *text = compose_yaml(a, list, NULL);
    for (const char *line = *text; *line; line += strcspn(line, "\n") + 1) {
        if (*line == '#')
            assert_true(strcspn(line, "\n") <= 120);
    }
    advice_destroy(a);
    for (size_t i = 0; i < n; i++)
        machine_finish(&list[i]);
    return rig_good("cluster.yaml", *text);
}

static void a_proxy(void **state)
{
    struct machine list[2];
    char *text;
    machine(&list[0], MACHINE_HERE, "big", "AMD Radeon RX 7900 XTX", 24);
    add_service(&list[0], SERVICE_NODE, 8081, "qwen3:32b");
    machine(&list[1], MACHINE_AGENT, "old", "", 0);
    add_service(&list[1], SERVICE_OLLAMA, 11434, "");
    add_model(&list[1], "ollama", "qwen3:1.7b", NULL);
    struct config *c = composed(list, 2, NULL, &text);
    assert_string_equal(c->proxy.host, "127.0.0.1");
    assert_int_equal(c->proxy.port, 8088);
    assert_string_equal(c->proxy.target.url, "http://127.0.0.1:8081");
    assert_string_equal(c->proxy.target.backend, "node");
    assert_string_equal(c->proxy.target.name, "big");
    assert_int_equal(c->proxy.n_drafters, 1);
    assert_string_equal(c->proxy.drafters[0].url, "http://192.168.1.9:11434");
    assert_string_equal(c->proxy.drafters[0].backend, "ollama");
    assert_string_equal(c->proxy.drafters[0].model_name, "qwen3:1.7b");
    assert_string_equal(c->proxy.drafters[0].name, "old");
    assert_false(config_has_pool(c));
    double alone, drafted;
    assert_true(compose_estimate(text, strlen(text), &alone, &drafted));
    assert_true(alone > 20 && drafted > 10);
    config_destroy(c);
    free(text);
}

static void a_pool_with_workers(void **state)
{
    struct machine list[3];
    char *text;
    machine(&list[0], MACHINE_HERE, "pc", "AMD Radeon RX 7900 XTX", 24);
    add_model(&list[0], "file", "Llama-3.1-70B-Q8_0.gguf", "/models/Llama-3.1-70B-Q8_0.gguf");
    add_model(&list[0], "file", "Llama-3.2-3B-Q8_0.gguf", "/models/Llama-3.2-3B-Q8_0.gguf");
    add_service(&list[0], SERVICE_LLAMACPP, 8080, "");
    list[0].service[0].needs_secret = true;
    machine(&list[1], MACHINE_AGENT, "other", "AMD Radeon RX 7900 XTX", 24);
    add_service(&list[1], SERVICE_WORKER, 50052, "");
    add_service(&list[1], SERVICE_WORKER, 50053, "");
    struct config *c = composed(list, 2, NULL, &text);
    assert_true(config_has_pool(c) && config_target_is_pool(c));
    assert_string_equal(c->pool.coordinator.backend, "hip");
    assert_int_equal(c->pool.coordinator.port, 8081); /* 8080 is taken */
    assert_int_equal(c->pool.coordinator.n_gpus, 2);
    assert_int_equal(c->pool.coordinator.gpus[1].vram, 24 * GIB);
    assert_int_equal(c->pool.n_workers, 1);
    assert_string_equal(c->pool.workers[0].host, "192.168.1.9");
    assert_int_equal(c->pool.workers[0].n_gpus, 2);
    assert_int_equal(c->pool.workers[0].gpus[1].rpc_port, 50053);
    assert_int_equal(c->pool.n_models, 2);
    const struct config_model *m = config_model_default(c);
    assert_string_equal(m->name, "Llama-3.1-70B-Q8_0");
    assert_string_equal(m->path, "/models/Llama-3.1-70B-Q8_0.gguf");
    assert_string_equal(m->draft, "Llama-3.2-3B-Q8_0");
    assert_int_equal(c->proxy.n_drafters, 0);
    config_destroy(c);
    free(text);
}

/* Four CPUs with a node each. */
static void crowd(struct machine list[4])
{
    static const char *const names[] = {"a", "b", "c", "d"}, *const models[] = {"qwen3:14b", "qwen3:0.6b", "qwen3:1.7b",
                                                                                "qwen3:0.6b"};
    for (int i = 0; i < 4; i++) {
        machine(&list[i], i == 0 ? MACHINE_HERE : MACHINE_AGENT, names[i], "", 0);
        if (i > 0)
            snprintf(list[i].address, sizeof(list[i].address), "192.168.1.%d", 20 + i);
        add_service(&list[i], SERVICE_NODE, 8081, models[i]);
        add_model(&list[i], "node", models[i], NULL);
    }
}

/* What is approximate is written down switched off, and says what it is. */
static void a_crowd_is_exact(void **state)
{
    struct machine list[4];
    char *text;
    crowd(list);
    struct config *c = composed(list, 4, NULL, &text);
    assert_int_equal(c->proxy.n_drafters, 3);
    assert_non_null(strstr(text, "All draft at once"));
    assert_string_equal(c->proxy.consensus_mode, "off");
    assert_non_null(strstr(text, "# APPROXIMATE unless off: "));
    assert_true(c->gate.configured);
    assert_false(c->gate.enabled);
    assert_int_equal(c->gate.n_agents, 3);
    assert_non_null(strstr(text, "# APPROXIMATE while it is on: "));
    assert_non_null(strstr(text, "Every answer is what this model alone would have written"));
    config_destroy(c);
    free(text);
}

static void consensus_as_wished(void **state)
{
    struct machine list[4];
    struct advice_wish w;
    char *text;
    crowd(list);
    advice_wish_init(&w);
    w.mode = ADVICE_CONSENSUS;
    struct config *c = composed(list, 4, &w, &text);
    assert_string_equal(c->proxy.consensus_mode, "strict");
    assert_false(c->gate.enabled);
    assert_null(strstr(text, "Every answer is what"));
    config_destroy(c);
    free(text);
}

static void a_gate_as_wished(void **state)
{
    struct machine list[4];
    struct advice_wish w;
    char *text;
    crowd(list);
    advice_wish_init(&w);
    w.mode = ADVICE_GATE;
    struct config *c = composed(list, 4, &w, &text);
    assert_string_equal(c->proxy.consensus_mode, "off");
    assert_true(c->gate.configured && c->gate.enabled);
    assert_null(c->gate.verifier.url); /* the target */
    assert_string_equal(c->gate.agents[0].backend, "node");
    for (size_t i = 0; i < c->gate.n_agents; i++)
        assert_string_not_equal(c->gate.agents[i].url, c->proxy.target.url);
    config_destroy(c);
    free(text);
}

/* Agents that share a machine have names of their own. */
static void agents_side_by_side(void **state)
{
    struct machine list[1];
    struct advice_wish w;
    char *text;
    machine(&list[0], MACHINE_HERE, "pc", "", 0);
    for (int i = 0; i < 3; i++) {
        const char *name = i == 0 ? "qwen3:8b" : i == 1 ? "qwen3:0.6b" : "qwen3:1.7b";
        add_service(&list[0], SERVICE_NODE, 8081 + i, name);
        add_model(&list[0], "node", name, NULL);
    }
    advice_wish_init(&w);
    w.mode = ADVICE_GATE;
    struct config *c = composed(list, 1, &w, &text);
    assert_int_equal(c->gate.n_agents, 2);
    assert_string_equal(c->gate.agents[0].name, "pc qwen3:1.7b");
    assert_string_equal(c->gate.agents[1].name, "pc qwen3:0.6b");
    config_destroy(c);
    free(text);
}

static void nothing_drafts_but_the_text(void **state)
{
    struct machine list[1];
    char *text;
    machine(&list[0], MACHINE_HERE, "pc", "", 0);
    add_model(&list[0], "ollama", "qwen3:8b", "/usr/share/blob");
    struct config *c = composed(list, 1, NULL, &text);
    assert_string_equal(c->pool.coordinator.backend, "cpu");
    assert_string_equal(config_model_default(c)->path, "ollama:qwen3:8b");
    assert_int_equal(c->proxy.n_drafters, 1);
    assert_string_equal(c->proxy.drafters[0].type, "ngram");
    double alone, drafted;
    assert_true(compose_estimate(text, strlen(text), &alone, &drafted));
    assert_true(alone > 0 && isnan(drafted));
    config_destroy(c);
    free(text);
}

static void an_api_with_a_key(void **state)
{
    struct machine list[1];
    struct advice_wish w;
    char *text;
    advice_wish_init(&w);
    w.cloud_url = "https://api.example.com";
    w.cloud_model = "big";
    w.cloud_key = "TIGHTWAD_TEST_KEY";
    machine(&list[0], MACHINE_HERE, "pc", "", 0);
    add_model(&list[0], "file", "Qwen3-0.6B.gguf", "/m/Qwen3-0.6B.gguf");
    setenv("TIGHTWAD_TEST_KEY", "secret", 1);
    struct config *c = composed(list, 1, &w, &text);
    assert_null(strstr(text, "secret"));
    assert_string_equal(c->proxy.target.api_key, "secret");
    assert_string_equal(c->proxy.target.backend, "openai");
    assert_string_equal(c->proxy.target.model_name, "big");
    config_destroy(c);
    free(text);
    unsetenv("TIGHTWAD_TEST_KEY");
}

/* Names are told by whoever answers: they stay names. */
static void strangers_names(void **state)
{
    static const char *const names[] = {
        "qwen3:8b\nproxy: {port: 1}",
        "qwen3:8b: # x",
        "qwen3:8b\" 'y' {a: [b",
        "qwen3:8b ${HOME} $${x}",
        "qwen3:8b \xff\xfe\x1b[2J \xe2\x80\xae",
        "- qwen3:8b",
        "*qwen3:8b &a !!b %c @d `e`",
        "qwen3:8b a very very very very very very very very very very very very very very very very very very very "
        "long "
        "name without end",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct machine list[2];
        char *text;
        machine(&list[0], MACHINE_HERE, names[i], "", 0);
        add_service(&list[0], SERVICE_OLLAMA, 11434, "");
        add_model(&list[0], "ollama", names[i], NULL);
        machine(&list[1], MACHINE_SEEN, names[i], "", 0);
        add_service(&list[1], SERVICE_OLLAMA, 11434, "");
        add_model(&list[1], "ollama", names[i], NULL);
        struct config *c = composed(list, 2, NULL, &text);
        assert_int_equal(c->proxy.port, 8088);
        if (i == 3) {
            const char *model = config_has_pool(c) ? config_model_default(c)->path : c->proxy.target.model_name;
            assert_non_null(strstr(model, "${HOME}"));
        }
        config_destroy(c);
        free(text);
    }
}

static void an_estimate_is_read_back(void **state)
{
    static const struct {
        const char *text;
        bool there;
        double alone, drafted;
    } rows[] = {
        {"# estimate: 36.2 tokens/s alone, 58.1 with drafts (x)\nproxy:\n", true, 36.2, 58.1},
        {"# x\n# estimate: 36.2 tokens/s alone (x)\n", true, 36.2, NAN},
        {"a: 1 # estimate: 36.2 tokens/s alone\n", false, 0, 0},
        {"# estimate: soon\n", false, 0, 0},
        {"# estimate: ", false, 0, 0},
        {"", false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double alone, drafted;
        assert_int_equal(compose_estimate(rows[i].text, strlen(rows[i].text), &alone, &drafted), rows[i].there);
        if (!rows[i].there)
            continue;
        assert_true(alone == rows[i].alone);
        assert_true(drafted == rows[i].drafted || (isnan(drafted) && isnan(rows[i].drafted)));
    }
}

/* ---- the file ---- */

static char *folder(void)
{
    char *path = xstrdup("/tmp/tightwad-install-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static char *content(const char *path)
{
    struct buf b;
    char *cause = NULL;
    int rc = file_read(path, 1 << 20, &b, &cause);
    free(cause);
    if (rc == 0)
        return buf_steal(&b);
    buf_finish(&b);
    return NULL;
}

static void is(const char *path, const char *want)
{
    char *text = content(path);
    if (want)
        assert_string_equal(text, want);
    else
        assert_null(text);
    free(text);
}

#define ONE "proxy: {port: 1}\n"
#define TWO "proxy: {port: 2}\n"
#define THREE "proxy: {port: 3}\n"

static void the_old_file_is_kept(void **state)
{
    char *dir = folder(), *path = xasprintf("%s/a/b/cluster.yaml", dir), *bak = xasprintf("%s.bak", path);
    char *bak1 = xasprintf("%s.bak.1", path), *cause = NULL, *backup = NULL;
    assert_int_equal(install_config(path, ONE, &backup, &cause), 0); /* with its folders */
    assert_null(backup);
    is(path, ONE);
    assert_int_equal(install_config(path, ONE, &backup, &cause), 0); /* nothing new: nothing to keep */
    assert_null(backup);
    is(bak, NULL);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(install_config(path, TWO, &backup, &cause), 0);
    assert_string_equal(backup, bak);
    free(backup);
    is(path, TWO);
    is(bak, ONE);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(install_config(path, THREE, &backup, &cause), 0);
    free(backup);
    is(path, THREE);
    is(bak, TWO);
    is(bak1, ONE);

    /* What the loader refuses changes nothing. */
    assert_int_equal(install_config(path, "proxy: {port: many}\n", &backup, &cause), -1);
    assert_null(backup);
    assert_non_null(strstr(cause, "port"));
    is(path, THREE);
    is(bak, TWO);
    char *all = xasprintf("rm -r %s", dir);
    assert_int_equal(system(all), 0);
    free(all);
    free(cause);
    free(bak1);
    free(bak);
    free(path);
    free(dir);
}

static void where_nothing_can_be_written(void **state)
{
    char *dir = folder(), *cause = NULL, *backup = NULL, *file = xasprintf("%s/file", dir);
    assert_int_equal(install_config(file, ONE, &backup, &cause), 0);
    char *under = xasprintf("%s/cluster.yaml", file);
    assert_int_equal(install_config(under, ONE, &backup, &cause), -1);
    assert_non_null(strstr(cause, under));
    free(cause);
    cause = NULL;
    assert_int_equal(install_config(dir, ONE, &backup, &cause), -1); /* a folder */
    assert_non_null(strstr(cause, "folder"));
    char *all = xasprintf("rm -r %s", dir);
    assert_int_equal(system(all), 0);
    free(all);
    free(cause);
    free(under);
    free(file);
    free(dir);
}

static void where_it_goes(void **state)
{
    char *home = xstrdup(getenv("HOME")), *dir = folder(), *cause = NULL, *was = getcwd(NULL, 0);
    assert_int_equal(chdir(dir), 0); /* no configuration lies there */
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", dir, 1);
    char *path = install_path("x.yaml", &cause);
    assert_string_equal(path, "x.yaml");
    free(path);
    if (access("/etc/tightwad/cluster.yaml", F_OK) != 0) {
        char *want = xasprintf("%s/.config/tightwad/cluster.yaml", dir);
        path = install_path(NULL, &cause);
        assert_string_equal(path, want);
        free(path);
        free(want);
        setenv("XDG_CONFIG_HOME", "/xdg", 1);
        path = install_path(NULL, &cause);
        assert_string_equal(path, "/xdg/tightwad/cluster.yaml");
        free(path);
        unsetenv("XDG_CONFIG_HOME");
        unsetenv("HOME");
        assert_null(install_path(NULL, &cause));
        assert_non_null(strstr(cause, "-c FILE"));
    }
    if (home)
        setenv("HOME", home, 1);
    assert_int_equal(chdir(was), 0);
    assert_int_equal(rmdir(dir), 0);
    free(was);
    free(cause);
    free(dir);
    free(home);
}

const struct CMUnitTest compose_tests[] = {
    cmocka_unit_test(a_proxy),
    cmocka_unit_test(a_pool_with_workers),
    cmocka_unit_test(a_crowd_is_exact),
    cmocka_unit_test(consensus_as_wished),
    cmocka_unit_test(a_gate_as_wished),
    cmocka_unit_test(agents_side_by_side),
    cmocka_unit_test(nothing_drafts_but_the_text),
    cmocka_unit_test(an_api_with_a_key),
    cmocka_unit_test(strangers_names),
    cmocka_unit_test(an_estimate_is_read_back),
    cmocka_unit_test(the_old_file_is_kept),
    cmocka_unit_test(where_nothing_can_be_written),
    cmocka_unit_test(where_it_goes),
};
const size_t compose_count = ARRAY_LEN(compose_tests);
