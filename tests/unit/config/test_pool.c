/* The pool in a configuration: the guide's own file, both forms of models, what is coerced, and what does not go
 * together. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/config.h"
#include "rig.h"

static struct config *good(const char *yaml)
{
    return rig_good("/etc/x/t.yaml", yaml);
}

static const char guide[] = "coordinator:\n"
                            "  host: 0.0.0.0\n"
                            "  port: 8080\n"
                            "  backend: hip\n"
                            "  gpus:\n"
                            "    - name: \"7900 XTX\"\n"
                            "      vram_gb: 24\n"
                            "    - name: \"7900 XT\"\n"
                            "      vram_gb: 20\n"
                            "  extra_args: [\"--no-mmap\", --cache-reuse, 256]\n"
                            "  env:\n"
                            "    HSA_OVERRIDE_GFX_VERSION: \"11.0.0\"\n"
                            "    HIP_VISIBLE_DEVICES: 0,1\n"
                            "workers:\n"
                            "  - host: 192.168.1.100\n"
                            "    gpus:\n"
                            "      - name: \"RTX 4070 Ti Super\"\n"
                            "        vram_gb: 16\n"
                            "        rpc_port: 50052\n"
                            "      - {name: \"RTX 2070\", vram_gb: 7.5, rpc_port: 50053}\n"
                            "  - host: 192.168.1.101\n"
                            "models:\n"
                            "  qwen3-72b:\n"
                            "    path: /models/qwen3-72b.gguf\n"
                            "    ctx_size: 8192\n"
                            "    predict: 4096\n"
                            "    flash_attn: true\n"
                            "  qwen3-32b:\n"
                            "    path: models/qwen3-32b.gguf\n"
                            "    flash_attn: \"off\"\n"
                            "    default: true\n"
                            "    draft: laptop\n"
                            "  small: {path: 'ollama:qwen3:0.6b', flash_attn: Auto}\n"
                            "proxy:\n"
                            "  drafters:\n"
                            "    - {url: 'http://10.0.0.9:8081', name: laptop}\n"
                            "    - type: ngram\n"
                            "binaries:\n"
                            "  coordinator: llama-server\n"
                            "  rpc_server: bin/rpc-server\n"
                            "ram_reclaim: off\n";

static void check_guide(const struct config *c)
{
    const struct config_pool *p = &c->pool;
    assert_true(config_has_pool(c));
    assert_true(config_target_is_pool(c));
    assert_string_equal(p->coordinator.host, "0.0.0.0");
    assert_string_equal(p->coordinator.backend, "hip");
    assert_int_equal(p->coordinator.n_gpus, 2);
    assert_string_equal(p->coordinator.gpus[1].name, "7900 XT");
    assert_int_equal(p->coordinator.gpus[1].vram, INT64_C(20) << 30);
    assert_int_equal(p->coordinator.extra_args.n, 3);
    assert_string_equal(p->coordinator.extra_args.list[2], "256");
    assert_int_equal(p->coordinator.env.n, 2);
    assert_string_equal(p->coordinator.env.list[0], "HSA_OVERRIDE_GFX_VERSION=11.0.0");
    assert_int_equal(p->coordinator.slots, 4);
    assert_int_equal(p->coordinator.threads, CONFIG_AUTO);
    assert_int_equal(p->n_workers, 2);
    assert_int_equal(p->workers[0].n_gpus, 2);
    assert_int_equal(p->workers[0].gpus[1].vram, INT64_C(15) << 29);
    assert_int_equal(p->workers[0].gpus[1].rpc_port, 50053);
    assert_string_equal(p->workers[1].name, "192.168.1.101");
    assert_int_equal(p->workers[1].n_gpus, 1);
    assert_int_equal(p->workers[1].gpus[0].rpc_port, 50052);
    assert_int_equal(p->workers[1].gpus[0].vram, 0);
    assert_int_equal(p->n_models, 3);
    assert_string_equal(p->models[0].flash_attn, "on");
    assert_int_equal(p->models[0].predict, 4096);
    assert_string_equal(p->models[1].path, "/etc/x/models/qwen3-32b.gguf");
    assert_string_equal(p->models[1].flash_attn, "off");
    assert_int_equal(p->models[1].ctx_size, CONFIG_AUTO);
    assert_string_equal(p->models[2].path, "ollama:qwen3:0.6b");
    assert_string_equal(p->models[2].flash_attn, "auto");
    assert_ptr_equal(config_model_default(c), &p->models[1]);
    assert_ptr_equal(config_model_find(c, "small"), &p->models[2]);
    assert_null(config_model_find(c, "big"));
    assert_string_equal(p->binaries.coordinator, "llama-server");
    assert_string_equal(p->binaries.rpc_server, "/etc/x/bin/rpc-server");
    assert_string_equal(p->ram_reclaim, "off");
    assert_string_equal(c->proxy.drafters[1].backend, "ngram");
    assert_string_equal(c->proxy.drafters[1].name, "ngram");
    assert_null(c->proxy.drafters[1].url);
    char *url = config_pool_url(c);
    assert_string_equal(url, "http://127.0.0.1:8080");
    free(url);
}

static void guides_file_loads(void **state)
{
    struct config *c = good(guide);
    check_guide(c);
    char *where = config_where(c, "coordinator.extra_args");
    assert_string_equal(where, "/etc/x/t.yaml:10");
    free(where);
    config_destroy(c);
}

static void what_is_shown_loads_again(void **state)
{
    struct config *c = good(guide);
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    config_show(c, to);
    fclose(to);
    struct config *again = good(text);
    check_guide(again);
    assert_null(config_restart_needed(c, again));
    free(text);
    config_destroy(c);
    config_destroy(again);
}

static void secrets_of_the_environment_are_not_shown(void **state)
{
    struct config *c = good("coordinator: {env: {HF_TOKEN: geheim, EMPTY: '', A_KEY: geheim}}\n");
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    config_show(c, to);
    fclose(to);
    json_t *j = config_show_json(c);
    char *json = json_dumps(j, 0);
    assert_null(strstr(text, "geheim"));
    assert_null(strstr(json, "geheim"));
    assert_non_null(strstr(text, "env: {HF_TOKEN: \"(set)\", EMPTY: \"\", A_KEY: \"(set)\"}"));
    free(json);
    free(text);
    json_decref(j);
    config_destroy(c);
}

static void models_as_a_list(void **state)
{
    setenv("HOME", "/home/me", 1);
    struct config *c = good("models:\n  - path: ~/m/a.gguf\n  - {name: b, path: ./b.gguf, draft: a}\n");
    assert_string_equal(c->pool.models[0].name, "a");
    assert_string_equal(c->pool.models[0].path, "/home/me/m/a.gguf");
    assert_true(c->pool.models[0].is_default);
    assert_string_equal(c->pool.models[1].path, "/etc/x/b.gguf");
    assert_null(c->pool.models[1].flash_attn);
    config_destroy(c);
}

static void what_does_not_go_together(void **state)
{
    rig_finds(
        "models:\n  - {path: a.gguf, default: true}\n  - {path: b.gguf, default: yes}\n  - {path: x/a.gguf}\n"
        "  - {name: c, path: c.gguf, draft: bb}\n  - {name: d, path: d.gguf, draft: d}\n  - name: e\n",
        false,
        "t.yaml:4: error: the name \"a\" is taken by the model in line 2: give one of them another name\n"
        "t.yaml:7: error: models[] has no path: which GGUF file is it?\n"
        "t.yaml:3: error: models[].default: the model in line 2 is the default already; one is\n"
        "t.yaml:5: error: models[].draft: \"bb\" is neither one of models nor the name of a drafter of the proxy; did "
        "you mean b?\n"
        "t.yaml:6: error: models[].draft: \"d\" can't draft for itself\n");
    rig_finds(
        "coordinator:\n  backend: cuda\n", false,
        "t.yaml:2: error: coordinator.backend is cuda, but coordinator.gpus names no GPU: - {name: …, vram_gb: …} for "
        "each\n");
    rig_finds(
        "coordinator:\n  backend: cpu\n  gpus:\n    - {name: x, vram_gb: 4}\n    - name: y\n", false,
        "t.yaml:4: error: coordinator.gpus: backend cpu uses none: leave them out, or name the back end that drives "
        "them\n"
        "t.yaml:5: error: coordinator.gpus[] has no vram_gb: how many GiB of memory has it?\n");
    rig_finds(
        "workers:\n  - host: a\n    gpus: [{rpc_port: 1}, {rpc_port: 2}]\n  - {host: a, gpus: [{rpc_port: 2}]}\n"
        "  - {host: b, name: n}\n  - {host: b, name: n, gpus: [{rpc_port: 7}]}\n  - name: z\n",
        false,
        "t.yaml:4: error: workers[].gpus[].rpc_port: a:2 is also in line 3; each RPC server has a port of its own\n"
        "t.yaml:6: error: the name \"n\" is taken by the worker in line 5\n"
        "t.yaml:7: error: workers[] has no host\n"
        "t.yaml:2: warning: workers are given but no models: there is no pool without a model to load\n");
    rig_finds("workers: [{host: 'fd00::7'}, {host: 'a:50052'}]\nmodels: {m: {path: /m}}\n", false,
              "t.yaml:1: error: workers[].host: fd00::7: llama.cpp's RPC takes names and IPv4 addresses only (the port "
              "goes to "
              "gpus[].rpc_port)\n"
              "t.yaml:1: error: workers[].host: a:50052: llama.cpp's RPC takes names and IPv4 addresses only (the port "
              "goes to "
              "gpus[].rpc_port)\n");
    rig_finds(
        "coordinator:\n  port: 8088\nmodels: {m: {path: /m}}\n", false,
        "t.yaml:1: error: coordinator.port is 8088, which is also proxy.port: each listens on a port of its own\n");
    rig_finds(
        "models: {m: {path: /m}}\nproxy:\n  target: {url: 'http://192.0.2.7:8080'}\n", true,
        "t.yaml:3: warning: proxy.target is http://192.0.2.7:8080, not the pool's coordinator: requests go there, and "
        "the pool answers none of them (leave proxy.target out to use the pool)\n");
    rig_finds("models: {m: {path: /m}}\nproxy:\n  target: {url: 'http://localhost:8080/v1'}\n", true, "");
    rig_finds(
        "proxy:\n  drafters:\n    - {type: ngram, url: 'http://a:1'}\n    - {backend: ngram}\n    - {type: engram}\n",
        false,
        "t.yaml:5: error: proxy.drafters[].type: \"engram\" is not one of server, ngram; did you mean ngram?\n"
        "t.yaml:3: error: proxy.drafters[]: a drafter of type ngram has no server: leave out url, model_name and "
        "api_key\n"
        "t.yaml:5: error: proxy.drafters[] has no url\n"
        "t.yaml:4: error: proxy.drafters[]: one drafter of type ngram is enough: also in line 3\n");
}

static void wrong_values_have_lines(void **state)
{
    rig_finds(
        "coordinator:\n  backend: hipp\n  extra_args: --no-mmap\n  env: [A]\n  slots: 0\n  gpu: []\n"
        "models:\n  a: x.gguf\n  b:\n    path: b.gguf\n    flash_attn: maybe\n    nmae: c\n  c: {name: d, path: c}\n"
        "workers: {host: b}\nram_reclaim: 1\n",
        false,
        "t.yaml:2: error: coordinator.backend: \"hipp\" is not one of auto, cuda, hip, vulkan, metal, cpu; did you "
        "mean hip?\n"
        "t.yaml:3: error: coordinator.extra_args: a list, [\"--one\", \"two\"], is expected\n"
        "t.yaml:4: error: coordinator.env: a section of names and values, {NAME: value}, is expected\n"
        "t.yaml:5: error: coordinator.slots: \"0\" is out of range: 1 to 64\n"
        "t.yaml:6: error: unknown key \"gpu\" in coordinator; did you mean gpus?\n"
        "t.yaml:8: error: models: an entry is a section with a path in it: a: path: …\n"
        "t.yaml:11: error: models[].flash_attn: \"maybe\" is not on, off or auto\n"
        "t.yaml:12: error: unknown key \"nmae\" in models[]; did you mean name?\n"
        "t.yaml:13: error: models[].name: it is given twice, also as the key of the section\n"
        "t.yaml:14: error: workers: a list is expected (an entry begins with \"- \")\n"
        "t.yaml:15: error: ram_reclaim: \"1\" is not on, off or auto\n");
    rig_finds("coordinator:\n  env: {1A: x, B: [y]}\n  gpus:\n    - {name: x, vram_gb: lots}\n", false,
              "t.yaml:2: error: coordinator.env: \"1A\" can't be the name of a variable\n"
              "t.yaml:2: error: coordinator.env: one value is expected here, not a list\n"
              "t.yaml:4: error: coordinator.gpus[].vram_gb: \"lots\" is not a number of GiB such as 24 or 15.5\n");
}

static void a_change_of_the_pool_needs_a_restart(void **state)
{
    struct config *a = good("workers: [{host: a}, {host: b}]\nmodels: {m: {path: /m}}\n");
    struct config *b = good("workers: [{host: a, gpus: [{rpc_port: 7}]}]\nmodels: {m: {path: /n}}\n");
    char *text = config_restart_needed(a, b);
    assert_string_equal(text,
                        "workers[1].host (b → none), workers[1].name (b → none), workers[0].gpus[0].rpc_port (50052 → "
                        "7), workers[1].gpus[0].rpc_port (50052 → none), models[0].path (/m → /n)");
    free(text);
    config_destroy(a);
    config_destroy(b);
}

const struct CMUnitTest pool_tests[] = {
    cmocka_unit_test(guides_file_loads),
    cmocka_unit_test(what_is_shown_loads_again),
    cmocka_unit_test(secrets_of_the_environment_are_not_shown),
    cmocka_unit_test(models_as_a_list),
    cmocka_unit_test(what_does_not_go_together),
    cmocka_unit_test(wrong_values_have_lines),
    cmocka_unit_test(a_change_of_the_pool_needs_a_restart),
};
const size_t pool_count = ARRAY_LEN(pool_tests);
