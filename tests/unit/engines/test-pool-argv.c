/* The command line and environment of a pool's coordinator: the guide's configuration, older and newer binaries, what
 * the configuration overrides, and what a binary does not have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engines/pool-argv.h"

static const char guide[] =
    "coordinator:\n"
    "  host: 0.0.0.0\n"
    "  port: 8080\n"
    "  backend: hip\n"
    "  gpus:\n"
    "    - {name: 7900 XTX, vram_gb: 24}\n"
    "    - {name: 7900 XTX, vram_gb: 24}\n"
    "  extra_args: [\"--no-mmap\"]\n"
    "  env: {HSA_OVERRIDE_GFX_VERSION: \"11.0.0\"}\n"
    "workers:\n"
    "  - host: 192.168.1.100\n"
    "    gpus: [{name: RTX 4070 Ti Super, vram_gb: 16, rpc_port: 50052}]\n"
    "models:\n"
    "  big: {path: /m/big.gguf, ctx_size: 8192, predict: 4096, flash_attn: true, default: true}\n"
    "  off: {path: /m/off.gguf, flash_attn: \"off\"}\n"
    "  auto: {path: /m/auto.gguf, flash_attn: \"auto\"}\n"
    "  plain: {path: /m/plain.gguf}\n";

/* Of a llama-server of late 2024, as far as it matters. */
static const char old_help[] =
    "-c,    --ctx-size N                     size of the prompt context (default: 4096, 0 = loaded from model)\n"
    "-n,    --predict, --n-predict N         number of tokens to predict (default: -1, -1 = infinity)\n"
    "-fa,   --flash-attn                     enable Flash Attention (default: disabled)\n"
    "--no-mmap                               do not memory-map model\n"
    "-ngl,  --gpu-layers, --n-gpu-layers N   number of layers to store in VRAM\n"
    "-ts,   --tensor-split N0,N1,N2,...      fraction of the model to offload to each GPU\n"
    "--rpc SERVERS                           comma separated list of RPC servers\n"
    "-t,    --threads N                      number of threads\n"
    "-m,    --model FNAME                    model path\n"
    "-np,   --parallel N                     number of parallel sequences to decode (default: 1)\n"
    "-a,    --alias STRING                   set alias for model name (to be used by REST API)\n";

static const char new_help[] =
    "-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)\n"
    "-n,    --predict, --n-predict N         number of tokens to predict (default: -1, -1 = infinity)\n"
    "--swa-full                              use full-size SWA cache (default: false)\n"
    "-fa,   --flash-attn [on|off|auto]       set Flash Attention use ('on', 'off', or 'auto', default: 'auto')\n"
    "--mmap, --no-mmap                       whether to memory-map model\n"
    "-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers to store in VRAM, either an exact number,\n"
    "                                        'auto', or 'all' (default: auto)\n"
    "-ts,   --tensor-split N0,N1,N2,...      fraction of the model to offload to each GPU\n"
    "-dev,  --device <dev1,dev2,..>          comma-separated list of devices to use for offloading\n"
    "-fit,  --fit [on|off]                   whether to adjust unset arguments to fit in device memory\n"
    "--rpc SERVERS                           comma-separated list of RPC servers (host:port)\n"
    "-cram, --cache-ram N                    set the maximum cache size in MiB (default: 8192)\n"
    "-kvu,  --kv-unified, -no-kvu, --no-kv-unified\n"
    "-np,   --parallel N                     number of server slots (default: -1, -1 = auto)\n"
    "-a,    --alias STRING                   set model name aliases\n";

static const char node_help[] = "tightwad-node: one model on this machine\n"
                                "  -m, --model MODEL  the model\n"
                                "  -a, --alias NAME   the name\n"
                                "  -dev, --device LIST\n"
                                "  --no-mmap          read the model\n"
                                "  -fa, --flash-attn on|off|auto\n";

static struct config *load(const char *yaml)
{
    struct config_findings f = {0};
    struct config *c = config_load_text("/etc/t.yaml", yaml, strlen(yaml), &f);
    config_findings_print(&f, stderr);
    assert_non_null(c);
    config_findings_finish(&f);
    return c;
}

/* 9 layers and the output: one worker and two GPUs. */
static const struct split_device devices[] = {
    {.name = "4070", .machine = "w", .kind = SPLIT_RPC, .endpoint = "192.168.1.100:50052"},
    {.name = "A", .machine = "here", .kind = SPLIT_GPU},
    {.name = "B", .machine = "here", .kind = SPLIT_GPU},
};
static struct split_part parts[] = {{.device = 0, .first = 0, .n = 3},
                                    {.device = 1, .first = 3, .n = 4},
                                    {.device = 2, .first = 7, .n = 2, .output = true}};
static const struct split_plan pooled = {.fits = true, .parts = parts, .n_parts = 3, .n_layers = 9, .n_servers = 1};

static char *line(const struct config *c, const char *model, const char *help, size_t verify,
                  const struct split_plan *plan)
{
    static const char *const server[] = {"llama-server", NULL}, *const node[] = {"tightwad-node", NULL};
    bool is_node = pool_argv_kind(help) == POOL_NODE;
    const struct pool_argv_ask ask = {.cfg = c,
                                      .model = config_model_find(c, model),
                                      .binary = is_node ? POOL_NODE : POOL_LLAMA_SERVER,
                                      .program = is_node ? node : server,
                                      .help = help,
                                      .plan = plan,
                                      .devices = devices,
                                      .ctx = 8192,
                                      .verify_slots = verify};
    struct pool_argv a;
    char *cause = NULL;
    if (pool_argv_coordinator(&ask, &a, &cause) != 0)
        fail_msg("%s", cause);
    char *text = pool_argv_text(&a);
    pool_argv_finish(&a);
    return text;
}

static void expect(const struct config *c, const char *model, const char *help, size_t verify, const char *want)
{
    char *got = line(c, model, help, verify, &pooled);
    assert_string_equal(got, want);
    free(got);
}

#define HIP "OMP_WAIT_POLICY=passive HSA_ENABLE_SDMA=0 GPU_MAX_HW_QUEUES=1 HSA_OVERRIDE_GFX_VERSION=11.0.0 "

static void the_guides_configuration(void **state)
{
    struct config *c = load(guide);
    expect(c, "big", node_help, 0,
           HIP "tightwad-node --model /m/big.gguf --alias big --host 0.0.0.0 --port 8080 --ctx-size 8192 --parallel 4 "
               "--rpc 192.168.1.100:50052 --n-gpu-layers all --tensor-split 3,4,3 --flash-attn on --no-mmap");
    expect(c, "big", old_help, 0,
           HIP
           "llama-server --model /m/big.gguf --alias big --host 0.0.0.0 --port 8080 --ctx-size 32768 --parallel 4 "
           "--predict 4096 --rpc 192.168.1.100:50052 --n-gpu-layers 999 --tensor-split 3,4,3 --flash-attn --no-mmap");
    expect(c, "big", new_help, 0,
           HIP "llama-server --model /m/big.gguf --alias big --host 0.0.0.0 --port 8080 --ctx-size 32768 --parallel 4 "
               "--predict 4096 --fit off --rpc 192.168.1.100:50052 --n-gpu-layers 999 --tensor-split 3,4,3 "
               "--flash-attn on --no-mmap");
    config_destroy(c);
}

static void flash_attention_in_every_spelling(void **state)
{
    static const struct {
        const char *model, *help, *want;
    } cases[] = {
        {"big", old_help, "--flash-attn "},
        {"off", old_help, NULL},
        {"auto", old_help, NULL},
        {"plain", old_help, NULL},
        {"off", new_help, "--flash-attn off"},
        {"auto", new_help, "--flash-attn auto"},
        {"plain", new_help, NULL},
        {"auto", node_help, "--flash-attn auto"},
    };
    struct config *c = load(guide);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *got = line(c, cases[i].model, cases[i].help, 0, &pooled);
        const char *at = strstr(got, "--flash-attn");
        if (cases[i].want == NULL)
            assert_null(at);
        else
            assert_true(at != NULL && strncmp(at, cases[i].want, strlen(cases[i].want)) == 0);
        free(got);
    }
    config_destroy(c);
}

static void a_server_that_verifies(void **state)
{
    struct config *c = load(guide);
    expect(
        c, "plain", new_help, 9,
        "OMP_WAIT_POLICY=passive GGML_CPU_TILED_MM=0 HSA_ENABLE_SDMA=0 GPU_MAX_HW_QUEUES=1 "
        "HSA_OVERRIDE_GFX_VERSION=11.0.0 llama-server --model /m/plain.gguf --alias plain --host 0.0.0.0 --port 8080 "
        "--ctx-size 73728 --parallel 9 --fit off --kv-unified --cache-ram 0 --swa-full --rpc 192.168.1.100:50052 "
        "--n-gpu-layers 999 --tensor-split 3,4,3 --no-mmap");
    config_destroy(c);
}

static void presets_and_what_overrides_them(void **state)
{
    struct config *one = load("coordinator: {backend: hip, gpus: [{name: A, vram_gb: 24}]}\nmodels: {m: {path: /m}}\n");
    char *got = line(one, "m", node_help, 0, &pooled);
    assert_null(strstr(got, "HSA_"));
    free(got);
    config_destroy(one);
    struct config *mine = load("coordinator:\n  backend: hip\n  threads: 3\n  slots: 2\n"
                               "  gpus: [{name: A, vram_gb: 24}, {name: B, vram_gb: 24}]\n"
                               "  env: {HSA_ENABLE_SDMA: 1, OMP_WAIT_POLICY: active, HF_TOKEN: geheim}\n"
                               "  extra_args: [--alias, 'two words', --no-mmap]\nmodels: {m: {path: /m}}\n");
    got = line(mine, "m", node_help, 0, &pooled);
    assert_string_equal(got,
                        "OMP_WAIT_POLICY=active HSA_ENABLE_SDMA=1 GPU_MAX_HW_QUEUES=1 'HF_TOKEN=(set)' tightwad-node "
                        "--model /m --alias m --host 127.0.0.1 --port 8080 --ctx-size 8192 --parallel 2 --threads 3 "
                        "--rpc 192.168.1.100:50052 --n-gpu-layers all --tensor-split 3,4,3 --alias 'two words' "
                        "--no-mmap");
    free(got);
    config_destroy(mine);
}

static void only_the_cpu_and_only_workers(void **state)
{
    static const struct split_device cpu[] = {{.name = "CPU", .machine = "here", .kind = SPLIT_CPU}};
    static struct split_part all[] = {{.device = 0, .n = 9, .output = true}};
    const struct split_plan alone = {.fits = true, .parts = all, .n_parts = 1, .n_layers = 9};
    struct config *c = load("coordinator: {backend: cpu}\nmodels: {m: {path: /m}}\n");
    static const char *const node[] = {"n", NULL};
    struct pool_argv_ask ask = {.cfg = c,
                                .model = &c->pool.models[0],
                                .binary = POOL_NODE,
                                .program = node,
                                .help = node_help,
                                .plan = &alone,
                                .devices = cpu,
                                .ctx = 512};
    struct pool_argv a;
    assert_int_equal(pool_argv_coordinator(&ask, &a, NULL), 0);
    char *got = pool_argv_text(&a);
    assert_non_null(strstr(got, " --device none --n-gpu-layers 0"));
    assert_null(strstr(got, "--rpc"));
    free(got);
    pool_argv_finish(&a);
    /* Two servers, one of them with two devices: its address stands once. */
    static const struct split_device lent[] = {{.kind = SPLIT_RPC, .endpoint = "a:1"},
                                               {.kind = SPLIT_RPC, .endpoint = "b:1"},
                                               {.kind = SPLIT_RPC, .endpoint = "b:1"}};
    static struct split_part three[] = {
        {.device = 0, .n = 2}, {.device = 1, .n = 4}, {.device = 2, .n = 3, .output = true}};
    const struct split_plan away = {.fits = true, .parts = three, .n_parts = 3, .n_layers = 9, .n_servers = 2};
    ask.plan = &away;
    ask.devices = lent;
    assert_int_equal(pool_argv_coordinator(&ask, &a, NULL), 0);
    got = pool_argv_text(&a);
    assert_non_null(strstr(got, " --rpc a:1,b:1 --device RPC0,RPC1,RPC2 --n-gpu-layers all --tensor-split 2,4,4"));
    free(got);
    pool_argv_finish(&a);
    config_destroy(c);
}

static void the_drafter_beside_it(void **state)
{
    static const char *const node[] = {"tightwad-node", NULL};
    struct config *c = load(guide);
    const struct pool_argv_ask ask = {.cfg = c,
                                      .model = config_model_find(c, "plain"),
                                      .binary = POOL_NODE,
                                      .program = node,
                                      .help = node_help,
                                      .ctx = 8192};
    struct pool_argv a;
    pool_argv_drafter(&ask, 4711, 1, &a);
    char *got = pool_argv_text(&a);
    assert_string_equal(got,
                        HIP "tightwad-node --model /m/plain.gguf --alias plain --host 127.0.0.1 --port 4711 --ctx-size "
                            "8192 --parallel 4 --tensor-split 0,1");
    free(got);
    pool_argv_finish(&a);
    pool_argv_drafter(&ask, 4711, -1, &a);
    got = pool_argv_text(&a);
    assert_non_null(strstr(got, "--parallel 4 --device none --n-gpu-layers 0"));
    free(got);
    pool_argv_finish(&a);
    config_destroy(c);
}

static void extra_args_that_there_are_not(void **state)
{
    static const struct {
        const char *args, *help, *want;
    } cases[] = {
        {"[--no-mmap, -ngl, -1]", new_help, NULL},
        {"[--tensor-split=1,2]", new_help, NULL},
        {"[--no-map]", new_help,
         "/etc/t.yaml:2: coordinator.extra_args: the coordinator's binary has no option --no-map; did you mean "
         "--no-mmap?"},
        {"[--cache-reuse, 256]", node_help,
         "/etc/t.yaml:2: coordinator.extra_args: tightwad-node has no option "
         "--cache-reuse"},
        {"[--fit=off]", old_help,
         "/etc/t.yaml:2: coordinator.extra_args: the coordinator's binary has no option --fit"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *yaml = xasprintf("coordinator:\n  extra_args: %s\n", cases[i].args), *cause = NULL;
        struct config *c = load(yaml);
        assert_int_equal(pool_argv_check_extra(c, cases[i].help, &cause), cases[i].want == NULL ? 0 : -1);
        if (cases[i].want != NULL)
            assert_string_equal(cause, cases[i].want);
        free(cause);
        free(yaml);
        config_destroy(c);
    }
}

static void shares_among_the_extra_args(void **state)
{
    static const struct {
        const char *args;
        size_t n;
        double last;
    } cases[] = {
        {"[]", 0, 0},
        {"[-ts, '3,1']", 2, 1},
        {"['--tensor-split=1,0,2.5']", 3, 2.5},
        {"[-ts, '1,1', -ts, '4']", 1, 4},
        {"[-ts, x]", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *yaml = xasprintf("coordinator: {extra_args: %s}\n", cases[i].args);
        struct config *c = load(yaml);
        double shares[8] = {0};
        size_t n = pool_argv_shares(c, shares, 8);
        assert_int_equal(n, cases[i].n);
        assert_true(n == 0 || shares[n - 1] == cases[i].last);
        assert_false(pool_argv_places(c));
        free(yaml);
        config_destroy(c);
    }
}

/* A plan that does not fit has no shares to give; the user's own words decide. */
static void layers_placed_by_hand(void **state)
{
    struct config *c = load("coordinator: {extra_args: [-ngl, '20']}\nmodels: {m: {path: /m}}\n");
    struct split_plan small = pooled;
    small.missing = 1;
    assert_true(pool_argv_places(c));
    char *got = line(c, "m", new_help, 0, &small);
    assert_null(strstr(got, "--tensor-split"));
    assert_non_null(strstr(got, "--n-gpu-layers 999 -ngl 20"));
    free(got);
    config_destroy(c);
}

const struct CMUnitTest pool_argv_tests[] = {
    cmocka_unit_test(the_guides_configuration),      cmocka_unit_test(flash_attention_in_every_spelling),
    cmocka_unit_test(a_server_that_verifies),        cmocka_unit_test(presets_and_what_overrides_them),
    cmocka_unit_test(only_the_cpu_and_only_workers), cmocka_unit_test(the_drafter_beside_it),
    cmocka_unit_test(extra_args_that_there_are_not), cmocka_unit_test(shares_among_the_extra_args),
    cmocka_unit_test(layers_placed_by_hand),
};
const size_t pool_argv_test_count = ARRAY_LEN(pool_argv_tests);
