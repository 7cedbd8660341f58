/* A machine as JSON and back: unknown is null and never 0, and what a stranger tells can neither crash nor grow us, nor
 * speak to the terminal. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "probe/machine.h"

static void unknown_is_null(void **state)
{
    struct machine m;
    machine_init(&m, MACHINE_HERE);
    machine_add_gpu(&m);
    machine_add_disk(&m);
    machine_add_service(&m)->kind = SERVICE_NODE;
    machine_add_model(&m);
    json_t *j = machine_to_json(&m);
    static const char *const null[] = {"name", "address", "os", "arch", "memory", "memory_available", "rtt_us"};
    for (size_t i = 0; i < ARRAY_LEN(null); i++)
        assert_true(json_is_null(json_object_get(j, null[i])));
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(j, "cpu"), key, v) assert_true(json_is_null(v));
    json_t *gpu = json_array_get(json_object_get(j, "gpus"), 0);
    assert_string_equal(json_string_value(json_object_get(gpu, "vendor")), "other");
    assert_true(json_is_null(json_object_get(gpu, "memory")) && json_is_null(json_object_get(gpu, "power")));
    assert_true(json_is_null(json_object_get(gpu, "utilisation")) && json_is_null(json_object_get(gpu, "name")));
    json_t *disk = json_array_get(json_object_get(j, "disks"), 0);
    assert_true(json_is_null(json_object_get(disk, "free")) && json_is_null(json_object_get(disk, "path")));
    assert_int_equal(json_array_size(json_object_get(j, "tools")), 0);
    json_decref(j);
    machine_finish(&m);
}

static void comes_back_as_it_was(void **state)
{
    struct machine m, back;
    machine_init(&m, MACHINE_AGENT);
    strcpy(m.name, "box");
    m.memory = 64LL << 30;
    m.cpu.cores = 8;
    m.cpu.l3 = 0;
    for (int i = 0; i < 5; i++) {
        struct machine_gpu *g = machine_add_gpu(&m);
        g->vendor = GPU_AMD;
        g->memory = i;
        g->utilisation = 0.5;
        g->temperature = -3.5;
        g->unified = i == 4;
    }
    machine_add_tool(&m, "ollama")->path = xstrdup("/usr/bin/ollama");
    struct machine_service *s = machine_add_service(&m);
    s->kind = SERVICE_WORKER;
    s->port = 50052;
    s->busy = true;
    struct machine_model *model = machine_add_model(&m);
    model->name = xstrdup("qwen3:8b");
    model->from = xstrdup("ollama");
    strcpy(model->vocab, "abc");
    machine_add_note(&m, "nvidia-smi: %s", "not installed");
    json_t *j = machine_to_json(&m), *again;
    assert_int_equal(machine_from_json(&back, j, NULL), 0);
    again = machine_to_json(&back);
    assert_true(json_equal(j, again));
    assert_int_equal(back.origin, MACHINE_AGENT);
    assert_int_equal(back.n_gpus, 5);
    assert_int_equal(back.gpu[3].memory, 3);
    assert_true(back.gpu[4].unified && back.gpu[2].temperature == -3.5 && isnan(back.gpu[2].power));
    assert_int_equal(back.service[0].port, 50052);
    assert_int_equal(back.cpu.l3, 0);
    assert_int_equal(back.cpu.threads, -1);
    assert_null(back.model[0].path);
    assert_string_equal(back.note[0], "nvidia-smi: not installed");
    json_decref(j);
    json_decref(again);
    machine_finish(&m);
    machine_finish(&back);
}

static void strangers_are_held_off(void **state)
{
    struct machine m;
    char *cause = NULL;
    json_t *list = json_array(), *o;
    assert_int_equal(machine_from_json(&m, list, &cause), -1);
    assert_non_null(cause);
    free(cause);
    machine_finish(&m);
    for (int i = 0; i < 1000; i++)
        json_array_append_new(list, json_pack("{s:s,s:i}", "name", "x", "bytes", i));
    char *long_name = xmalloc(100001);
    for (size_t i = 0; i < 100000; i += 2)
        memcpy(long_name + i, "\xc3\xa4", 2); /* cut in the middle of none */
    long_name[100000] = '\0';
    o = json_pack("{s:s,s:s,s:s,s:i,s:f,s:o,s:[i,s,{s:s},{s:s,s:i},{s:s,s:i}],s:[s,i],s:s,s:{s:i,s:s},s:[{s:s}]}",
                  "name",
                  "a\x1b[2Jb\xc2\x9b"
                  "c",
                  "origin", "emperor", "os", long_name, "memory", -5, "rtt_us", 0.5, "models", list, "services", 1, "x",
                  "kind", "telnet", "kind", "ollama", "port", 11434, "kind", "node", "port", -7, "notes", "\tn", 4,
                  "gpus", "none", "cpu", "cores", 1, "threads", "2", "disks", "path", long_name);
    assert_non_null(o);
    json_object_set_new(json_object_get(o, "cpu"), "packages", json_integer(1LL << 40));
    assert_int_equal(machine_from_json(&m, o, NULL), 0);
    assert_int_equal(m.origin, MACHINE_SEEN);
    assert_null(strchr(m.name, '\x1b'));
    assert_null(strstr(m.name, "\xc2\x9b"));
    assert_int_equal(strlen(m.os), sizeof(m.os) - 2); /* 63 bytes would cut a character */
    assert_int_equal(m.memory, -1);
    assert_int_equal(m.rtt_us, -1);
    assert_int_equal(m.cpu.cores, 1);
    assert_int_equal(m.cpu.threads, -1);
    assert_int_equal(m.cpu.packages, -1);
    assert_int_equal(m.n_models, 256);
    assert_int_equal(m.n_services, 2);
    assert_int_equal(m.service[0].port, 11434);
    assert_int_equal(m.service[1].port, -1);
    assert_int_equal(m.n_gpus, 0);
    assert_int_equal(m.n_notes, 1);
    assert_string_equal(m.note[0], " n");
    assert_true(strlen(m.disk[0].path) < 4096);
    free(long_name);
    json_decref(o);
    machine_finish(&m);
}

static void text_from_strangers(void **state)
{
    char t[8];
    machine_text(t, sizeof(t), "  ab \n");
    assert_string_equal(t, "ab");
    machine_text(t, sizeof(t), NULL);
    assert_string_equal(t, "");
    machine_text(t, sizeof(t), "abcdef\xc3\xa4");
    assert_string_equal(t, "abcdef");
    machine_text(t, sizeof(t), "\xff");
    assert_string_equal(t, "\xef\xbf\xbd");
}

const struct CMUnitTest machine_tests[] = {
    cmocka_unit_test(unknown_is_null),
    cmocka_unit_test(comes_back_as_it_was),
    cmocka_unit_test(strangers_are_held_off),
    cmocka_unit_test(text_from_strangers),
};
const size_t machine_count = sizeof(machine_tests) / sizeof(machine_tests[0]);
