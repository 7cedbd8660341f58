/* What an agent may be told: each option that is allowed reaches the command line as one word, and nothing else does.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/order.h"
#include "base/json.h"
#include "base/mem.h"

static char model_path[32];

static void add_model(struct machine *m, const char *name, const char *path)
{
    struct machine_model *model = machine_add_model(m);
    model->name = xstrdup(name);
    model->path = xstrdup(path);
}

static int setup(void **state)
{
    struct machine *m = xcalloc(1, sizeof(*m));
    snprintf(model_path, sizeof(model_path), "/tmp/tightwad-order-XXXXXX");
    int fd = mkstemp(model_path);
    assert_true(fd >= 0);
    close(fd);
    machine_init(m, MACHINE_HERE);
    add_model(m, "small:latest", model_path);
    add_model(m, "twice", model_path);
    add_model(m, "twice", "/nowhere/other.gguf");
    add_model(m, "gone", "/nowhere/gone.gguf");
    add_model(m, "folder", "/tmp");
    add_model(m, "served", NULL);
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    machine_finish(*state);
    free(*state);
    unlink(model_path);
    return 0;
}

static int read_order(void **state, struct agent_order *o, const char *text, char **cause)
{
    json_t *request = json_parse_object(text, strlen(text), NULL);
    assert_non_null(request);
    int rc = agent_order_read(o, request, "/opt/tightwad-node", "192.168.1.7", *state, cause);
    json_decref(request);
    return rc;
}

static bool has(const struct agent_order *o, const char *arg)
{
    for (size_t i = 0; o->argv[i] != NULL; i++) {
        if (strcmp(o->argv[i], arg) == 0)
            return true;
    }
    return false;
}

static void test_node(void **state)
{
    struct agent_order o;
    assert_int_equal(
        read_order(state, &o,
                   "{\"program\":\"node\",\"name\":\"draft.1\",\"model\":\"small:latest\",\"options\":{"
                   "\"port\":9000,\"ctx\":4096,\"slots\":2,\"threads\":4,\"threads_batch\":8,\"batch\":64,"
                   "\"ubatch\":32,\"draft_rate\":0,\"n_gpu_layers\":0,\"flash_attn\":\"auto\",\"mlock\":true,"
                   "\"mmap\":false,\"device\":\"CUDA0,CUDA1\",\"tensor_split\":\"3,1.5\","
                   "\"rpc\":\"10.0.0.2:50052,[fd00::2]:50052\",\"alias\":\"a/b:c\",\"api_key\":\"s3cret!\"}}",
                   NULL),
        0);
    static const char *const want[] = {
        "--host=192.168.1.7", "--port=9000",          "--ctx-size=4096",      "--parallel=2",
        "--threads=4",        "--threads-batch=8",    "--batch-size=64",      "--ubatch-size=32",
        "--draft-rate=0",     "--n-gpu-layers=0",     "--flash-attn=auto",    "--mlock",
        "--no-mmap",          "--device=CUDA0,CUDA1", "--tensor-split=3,1.5", "--rpc=10.0.0.2:50052,[fd00::2]:50052",
        "--alias=a/b:c"};
    assert_string_equal(o.argv[0], "/opt/tightwad-node");
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        assert_true(has(&o, want[i]));
    char *model = xasprintf("--model=%s", model_path);
    assert_true(has(&o, model));
    free(model);
    size_t n = 0;
    for (; o.argv[n] != NULL; n++)
        assert_null(strstr(o.argv[n], "s3cret!")); /* a process list would show it */
    assert_int_equal(n, 1 + ARRAY_LEN(want) + 1);
    assert_string_equal(o.secret, "LLAMA_API_KEY=s3cret!");
    assert_string_equal(o.name, "draft.1");
    assert_int_equal(o.port, 9000);
    agent_order_finish(&o);
}

static void test_worker(void **state)
{
    struct agent_order o;
    assert_int_equal(read_order(state, &o,
                                "{\"program\":\"worker\",\"options\":{\"host\":\"0.0.0.0\",\"allow\":\"10.0.0.0/8\","
                                "\"cache_size\":\"20G\",\"cache\":false}}",
                                NULL),
                     0);
    assert_string_equal(o.argv[1], "worker");
    assert_true(has(&o, "--host=0.0.0.0") && has(&o, "--port=50052") && has(&o, "--allow=10.0.0.0/8"));
    assert_true(has(&o, "--cache-size=20G") && has(&o, "--no-cache"));
    assert_string_equal(o.name, "worker-50052");
    assert_null(o.secret);
    agent_order_finish(&o);
}

#define NODE(rest) "{\"program\":\"node\",\"model\":\"small:latest\"," rest "}"
#define NODE_OPTION(o) NODE("\"options\":{" o "}")
#define WORKER_OPTION(o) "{\"program\":\"worker\",\"options\":{" o "}}"

static void test_refusals(void **state)
{
    static const struct {
        const char *request, *says;
    } rows[] = {
        {"{}", "program is"},
        {"{\"program\":\"sh\"}", "nothing else"},
        {"{\"program\":\"/bin/sh\"}", "nothing else"},
        {"{\"program\":\"node; rm\"}", "nothing else"},
        {"{\"program\":7}", "program"},
        {"{\"program\":\"worker\",\"argv\":[\"x\"]}", "argv"},
        {"{\"program\":\"worker\",\"env\":{}}", "env"},
        {"{\"program\":\"worker\",\"model\":\"small:latest\"}", "a worker takes none"},
        {"{\"program\":\"worker\",\"options\":[]}", "object"},
        {"{\"program\":\"node\"}", "a node wants one"},
        {"{\"program\":\"node\",\"model\":\"/etc/passwd\"}", "none of the models"},
        {"{\"program\":\"node\",\"model\":\"/tmp/../etc/passwd\"}", "none of the models"},
        {"{\"program\":\"node\",\"model\":\"served\"}", "none of the models"},
        {"{\"program\":\"node\",\"model\":\"twice\"}", "by its path"},
        {"{\"program\":\"node\",\"model\":\"gone\"}", "not there any more"},
        {"{\"program\":\"node\",\"model\":\"folder\"}", "not there any more"},
        {NODE("\"name\":\"../x\""), "name is"},
        {NODE("\"name\":\"-x\""), "name is"},
        {NODE("\"name\":\"\""), "name is"},
        {NODE("\"name\":\"a b\""), "name is"},
        {NODE("\"name\":\"a/b\""), "name is"},
        {NODE_OPTION("\"log_file\":\"/x\""), "it takes: host, port"},
        {NODE_OPTION("\"model\":\"/x\""), "it takes"},
        {NODE_OPTION("\"--stock\":\"/x\""), "it takes"},
        {NODE_OPTION("\"allow\":\"10.0.0.0/8\""), "it takes"},
        {NODE_OPTION("\"port\":80"), "port"},
        {NODE_OPTION("\"port\":\"8081\""), "port"},
        {NODE_OPTION("\"port\":65536"), "port"},
        {NODE_OPTION("\"host\":\"evil.example\""), "in numbers"},
        {NODE_OPTION("\"host\":\"--x\""), "in numbers"},
        {NODE_OPTION("\"ctx\":-1"), "ctx"},
        {NODE_OPTION("\"ctx\":1.5"), "ctx"},
        {NODE_OPTION("\"slots\":65"), "slots"},
        {NODE_OPTION("\"flash_attn\":\"on off\""), "expected one of"},
        {NODE_OPTION("\"flash_attn\":\"o\""), "expected one of"},
        {NODE_OPTION("\"flash_attn\":\"\""), "1 to"},
        {NODE_OPTION("\"mlock\":1"), "mlock"},
        {NODE_OPTION("\"device\":\"a b\""), "only letters"},
        {NODE_OPTION("\"device\":\"$(x)\""), "only letters"},
        {NODE_OPTION("\"device\":\"a\\nb\""), "only letters"},
        {NODE_OPTION("\"rpc\":\"/etc/x\""), "only letters"},
        {NODE_OPTION("\"alias\":\"a;b\""), "only letters"},
        {NODE_OPTION("\"api_key\":\"a b\""), "printable"},
        {NODE_OPTION("\"api_key\":\"a\\nLD_PRELOAD=x\""), "printable"},
        {WORKER_OPTION("\"stock\":\"/bin/sh\""), "it takes"},
        {WORKER_OPTION("\"cache\":\"/etc\""), "cache"},
        {WORKER_OPTION("\"allow\":\"everybody\""), "no network"},
        {WORKER_OPTION("\"ctx\":1"), "it takes"},
        {WORKER_OPTION("\"cache_size\":\"20 G\""), "only letters"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct agent_order o;
        char *cause = NULL;
        assert_int_equal(read_order(state, &o, rows[i].request, &cause), -1);
        if (cause == NULL || strstr(cause, rows[i].says) == NULL)
            fail_msg("%s: \"%s\", not \"%s\"", rows[i].request, cause, rows[i].says);
        assert_null(o.argv);
        free(cause);
    }
}

static void test_by_path(void **state)
{
    struct agent_order o;
    char *text = xasprintf("{\"program\":\"node\",\"model\":\"%s\"}", model_path);
    assert_int_equal(read_order(state, &o, text, NULL), 0); /* two have it: it is the same file */
    assert_string_equal(o.model, model_path);
    agent_order_finish(&o);
    free(text);
}

static void test_list(void **state)
{
    json_t *all = agent_order_options();
    (void)state;
    assert_int_equal(json_array_size(json_object_get(all, "node")), 18);
    assert_int_equal(json_array_size(json_object_get(all, "worker")), 7);
    json_decref(all);
}

const struct CMUnitTest order_tests[] = {
    cmocka_unit_test_setup_teardown(test_node, setup, teardown),
    cmocka_unit_test_setup_teardown(test_worker, setup, teardown),
    cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
    cmocka_unit_test_setup_teardown(test_by_path, setup, teardown),
    cmocka_unit_test(test_list),
};
const size_t order_count = ARRAY_LEN(order_tests);
