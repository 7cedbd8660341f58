/* What the vendors' tools say, as recorded: the right cards, the right message where there are none, unknown where a
 * card can't tell, and nothing but a message for garbage of any kind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cause.h"
#include "base/mem.h"
#include "probe/gpu.h"
#include "probe/here.h"

#define MIB (1024LL * 1024)

/* The tools of a machine: what each command of each answers.  One that is not named is not installed. */
struct answer {
    const char *tool;
    size_t command;   /* which of its commands */
    const char *file; /* with a recorded output, or … */
    const char *text; /* … the output itself */
    int status;       /* what it ends with; -1: it hangs */
};

struct rig {
    const struct answer *answer;
    size_t n;
    int asked;
};

static char *recorded(const char *name)
{
    char *path = xasprintf("%s/data/%s", getenv("TIGHTWAD_TEST_DATA"), name), *text = xcalloc(1, 65536);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s is missing", path);
    assert_true(fread(text, 1, 65535, f) < 65535);
    fclose(f);
    free(path);
    return text;
}

static enum gpu_ran answer(const struct gpu_probe_ops *ops, const struct gpu_command *command, char **out, char **cause,
                           void *arg)
{
    struct rig *rig = arg;
    for (size_t i = 0; i < rig->n; i++) {
        const struct answer *a = &rig->answer[i];
        if (strcmp(a->tool, ops->name) != 0 || &ops->command[a->command] != command)
            continue;
        rig->asked++;
        if (a->status < 0) {
            cause_set(cause, "no answer within 5 s");
            return GPU_RAN_NOT;
        }
        *out = a->file ? recorded(a->file) : xstrdup(a->text);
        if (a->status == 0)
            return GPU_RAN;
        char *complaint = gpu_complaint(*out);
        cause_set(cause, "%s", complaint);
        free(complaint);
        return GPU_RAN_BADLY;
    }
    cause_set(cause, "not installed");
    return GPU_RAN_NOT;
}

static void probe(struct machine *m, enum gpu_vendor vendor, const struct answer *answers, size_t n, int asked)
{
    struct rig rig = {answers, n, 0};
    machine_init(m, MACHINE_HERE);
    gpu_probe_vendor(m, vendor, answer, &rig);
    assert_int_equal(rig.asked, asked);
}

static void notes(struct machine *m, size_t n, ...)
{
    va_list ap;
    va_start(ap, n);
    if (m->n_notes != n)
        fail_msg("%zu notes, the first is: %s", m->n_notes, m->n_notes ? m->note[0] : "");
    for (size_t i = 0; i < n; i++) {
        const char *want = va_arg(ap, const char *);
        if (!strstr(m->note[i], want))
            fail_msg("wanted \"%s\", got \"%s\"", want, m->note[i]);
    }
    va_end(ap);
    machine_finish(m);
}

static void several_nvidia_cards(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"nvidia-smi", 0, "nvidia-several.csv"}};
    probe(&m, GPU_NVIDIA, a, 1, 1);
    assert_int_equal(m.n_gpus, 3);
    struct machine_gpu *g = &m.gpu[0];
    assert_int_equal(g->vendor, GPU_NVIDIA);
    assert_string_equal(g->name, "NVIDIA GeForce RTX 4090");
    assert_string_equal(g->driver, "550.120");
    assert_string_equal(g->bus, "0000:01:00.0");
    assert_int_equal(g->memory, 24564 * MIB);
    assert_int_equal(g->memory_used, 1387 * MIB);
    assert_float_equal(g->utilisation, 0.37, 1e-9);
    assert_float_equal(g->temperature, 52, 1e-9);
    assert_float_equal(g->power, 131.42, 1e-9);
    assert_false(g->unified);
    assert_string_equal(m.gpu[1].name, "NVIDIA GeForce RTX 3060");
    assert_int_equal(m.gpu[2].memory, 8192 * MIB);
    assert_float_equal(m.gpu[2].utilisation, 0, 1e-9);
    notes(&m, 0);
}

static void memory_that_is_the_machines(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"nvidia-smi", 0, "nvidia-unified.csv"}};
    probe(&m, GPU_NVIDIA, a, 1, 1);
    assert_int_equal(m.n_gpus, 1);
    assert_true(m.gpu[0].unified);
    assert_int_equal(m.gpu[0].memory, -1);
    assert_int_equal(m.gpu[0].memory_used, -1);
    assert_string_equal(m.gpu[0].bus, "000f:01:00.0");
    m.memory = 128LL << 30;
    here_settle_gpus(&m, 1);
    assert_int_equal(m.gpu[0].memory, 128LL << 30);
    assert_int_equal(m.gpu[0].memory_used, -1);
    notes(&m, 0);
}

static void fields_that_a_card_lacks(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"nvidia-smi", 0, "nvidia-odd-fields.csv"}};
    probe(&m, GPU_NVIDIA, a, 1, 1);
    assert_int_equal(m.n_gpus, 4);
    assert_int_equal(m.gpu[0].memory_used, 0); /* said to be 0 */
    assert_true(isnan(m.gpu[0].utilisation) && isnan(m.gpu[0].power) && m.gpu[0].temperature == 31);
    assert_int_equal(m.gpu[1].memory, 81920 * MIB);
    assert_int_equal(m.gpu[1].memory_used, -1);
    assert_true(isnan(m.gpu[1].utilisation));
    assert_string_equal(m.gpu[2].name, "");
    assert_int_equal(m.gpu[2].memory, -1);
    assert_false(m.gpu[2].unified); /* not told is not the same as not there */
    assert_true(isnan(m.gpu[3].temperature) && isnan(m.gpu[3].power) && m.gpu[3].utilisation == 0);
    notes(&m, 1, "one of the cards answers [Unknown Error]");
}

static void nvidia_troubles(void **state)
{
    static const struct {
        const char *file;
        int status;
        const char *says;
    } rows[] = {
        {"nvidia-no-driver.txt", 9, "nvidia-smi: the NVIDIA driver does not run"},
        {"nvidia-version-mismatch.txt", 18, "different versions, as after an update: reboot"},
        {"nvidia-no-devices.txt", 6, "the driver runs and finds no card"},
        {"nvidia-no-devices.txt", 0, "the driver runs and finds no card"},
        {"nvidia-old-field.txt", 2, "can't tell utilisation"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct machine m;
        const struct answer a[] = {{"nvidia-smi", 0, rows[i].file, NULL, rows[i].status},
                                   {"nvidia-smi", 1, rows[i].file, NULL, rows[i].status}};
        probe(&m, GPU_NVIDIA, a, 2, 2);
        assert_int_equal(m.n_gpus, 0);
        notes(&m, 1, rows[i].says);
    }
    struct machine m;
    static const struct answer hangs[] = {{"nvidia-smi", 0, .status = -1}, {"nvidia-smi", 1, "nvidia-old-brief.csv"}};
    probe(&m, GPU_NVIDIA, hangs, 2, 1); /* not asked a second time */
    notes(&m, 1, "nvidia-smi: no answer within 5 s");
}

static void old_driver_without_a_field(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"nvidia-smi", 0, "nvidia-old-field.txt", NULL, 2},
                                      {"nvidia-smi", 1, "nvidia-old-brief.csv"}};
    probe(&m, GPU_NVIDIA, a, 2, 2);
    assert_int_equal(m.n_gpus, 2);
    assert_string_equal(m.gpu[0].name, "GeForce GTX 770");
    assert_int_equal(m.gpu[0].memory, 2047 * MIB);
    assert_int_equal(m.gpu[0].memory_used, 312 * MIB);
    assert_string_equal(m.gpu[0].driver, "331.113");
    assert_string_equal(m.gpu[0].bus, "");
    assert_true(isnan(m.gpu[0].utilisation) && isnan(m.gpu[0].temperature) && isnan(m.gpu[0].power));
    notes(&m, 1, "nvidia-smi: this release can't tell utilisation, temperature, power and bus");
}

static void a_line_that_is_cut_off(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"nvidia-smi", 0, "nvidia-truncated.csv"}};
    probe(&m, GPU_NVIDIA, a, 1, 1);
    assert_int_equal(m.n_gpus, 1);
    notes(&m, 1, "a card may be missing here");
}

static void a_comma_in_a_name(void **state)
{
    struct machine m;
    static const struct answer a[] = {
        {"nvidia-smi", 0, NULL, "0, Odd, very odd, card, 1024, 5, 6, 7, 8.5, 999.1, 00000000:01:00.0\r\n"}};
    probe(&m, GPU_NVIDIA, a, 1, 1);
    assert_int_equal(m.n_gpus, 1);
    assert_string_equal(m.gpu[0].name, "Odd, very odd, card");
    assert_int_equal(m.gpu[0].memory, 1024 * MIB);
    assert_string_equal(m.gpu[0].bus, "0000:01:00.0");
    notes(&m, 0);
}

static void rocm_smi_of_release_5(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"rocm-smi", 0, "rocm-5.json"}};
    probe(&m, GPU_AMD, a, 1, 1);
    assert_int_equal(m.n_gpus, 2);
    struct machine_gpu *g = &m.gpu[0];
    assert_int_equal(g->vendor, GPU_AMD);
    assert_string_equal(g->name, "Navi 31 [Radeon RX 7900 XT/7900 XTX]");
    assert_string_equal(g->driver, "5.18.13");
    assert_string_equal(g->bus, "0000:03:00.0");
    assert_int_equal(g->memory, 25753026560);
    assert_int_equal(g->memory_used, 1310720000);
    assert_float_equal(g->utilisation, 0.04, 1e-9);
    assert_float_equal(g->temperature, 41, 1e-9);
    assert_float_equal(g->power, 18, 1e-9);
    assert_string_equal(m.gpu[1].name, "Raphael");
    assert_true(isnan(m.gpu[1].power) && m.gpu[1].utilisation == 0);
    notes(&m, 0); /* that amd-smi is missing is of no interest then */
}

static void rocm_smi_of_release_6(void **state)
{
    struct machine m;
    static const struct answer a[] = {
        {"rocm-smi", 0, NULL, "usage: rocm-smi [-h]\nrocm-smi: error: unrecognized arguments: --showbus\n", 2},
        {"rocm-smi", 1, "rocm-6.json"}};
    probe(&m, GPU_AMD, a, 2, 2);
    assert_int_equal(m.n_gpus, 2);
    assert_string_equal(m.gpu[0].name, "AMD Instinct MI300X OAM");
    assert_float_equal(m.gpu[0].power, 139, 1e-9);
    assert_float_equal(m.gpu[0].temperature, 40, 1e-9); /* no sensor at the edge */
    assert_int_equal(m.gpu[0].memory_used, 18446744);
    assert_string_equal(m.gpu[1].name, "AMD card gfx1201"); /* the release does not know its name */
    assert_float_equal(m.gpu[1].power, 19.5, 1e-9);         /* what it takes, not what it may take */
    assert_true(isnan(m.gpu[1].utilisation));
    assert_string_equal(m.gpu[1].driver, "6.10.5");
    notes(&m, 1, "rocm-smi: this release does not understand all");
}

static void amd_smi_as_a_list(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"amd-smi", 0, "amd-static-6.json"}, {"amd-smi", 1, "amd-metric-6.json"}};
    probe(&m, GPU_AMD, a, 2, 2);
    assert_int_equal(m.n_gpus, 2);
    struct machine_gpu *g = &m.gpu[0];
    assert_string_equal(g->name, "AMD Radeon PRO W7700");
    assert_string_equal(g->driver, "6.10.5");
    assert_string_equal(g->bus, "0000:03:00.0");
    assert_int_equal(g->memory, 16368 * MIB);
    assert_int_equal(g->memory_used, 4321 * MIB);
    assert_float_equal(g->utilisation, 0.42, 1e-9);
    assert_float_equal(g->temperature, 44, 1e-9);
    assert_float_equal(g->power, 20, 1e-9);
    g = &m.gpu[1];
    assert_string_equal(g->name, "AMD card");
    assert_int_equal(g->memory, 512 * MIB);
    assert_int_equal(g->memory_used, -1);
    assert_true(isnan(g->utilisation) && isnan(g->temperature) && isnan(g->power));
    notes(&m, 0);
}

static void amd_smi_as_an_object(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"amd-smi", 0, "amd-static-7.json"}, {"amd-smi", 1, "amd-metric-7.json"}};
    probe(&m, GPU_AMD, a, 2, 2);
    assert_int_equal(m.n_gpus, 2);
    assert_string_equal(m.gpu[1].name, "AMD Instinct MI300X");
    assert_int_equal(m.gpu[0].memory, 196592 * MIB);
    assert_int_equal(m.gpu[0].memory_used, 17153 * MIB);
    assert_float_equal(m.gpu[0].utilisation, 0.94, 1e-9);
    assert_float_equal(m.gpu[0].temperature, 71, 1e-9);
    assert_float_equal(m.gpu[1].power, 134, 1e-9);
    assert_float_equal(m.gpu[1].utilisation, 0, 1e-9);
    notes(&m, 0);
}

/* Half of a tool's answers are of use as well. */
static void amd_smi_by_halves(void **state)
{
    struct machine m;
    static const struct answer no_static[] = {{"amd-smi", 0, "amd-no-driver.txt", NULL, 1},
                                              {"amd-smi", 1, "amd-metric-6.json"}};
    probe(&m, GPU_AMD, no_static, 2, 2);
    assert_int_equal(m.n_gpus, 2);
    assert_string_equal(m.gpu[0].name, "AMD card");
    assert_int_equal(m.gpu[0].memory, 16368 * MIB);
    notes(&m, 1, "amd-smi: the amdgpu driver is not loaded");
    static const struct answer no_metric[] = {{"amd-smi", 0, "amd-static-6.json"}, {"amd-smi", 1, .status = -1}};
    probe(&m, GPU_AMD, no_metric, 2, 2);
    assert_int_equal(m.n_gpus, 2);
    assert_int_equal(m.gpu[0].memory, 16368 * MIB);
    assert_int_equal(m.gpu[0].memory_used, -1);
    assert_true(isnan(m.gpu[0].utilisation));
    notes(&m, 1, "amd-smi: no answer within 5 s");
}

static void amd_troubles(void **state)
{
    struct machine m;
    static const struct answer a[] = {{"amd-smi", 0, "amd-no-driver.txt", NULL, 1},
                                      {"amd-smi", 1, "amd-no-driver.txt", NULL, 1},
                                      {"rocm-smi", 0, "rocm-no-driver.txt", NULL, 1},
                                      {"rocm-smi", 1, "rocm-none.txt"},
                                      {"rocm-smi", 2, "rocm-none.txt"}};
    probe(&m, GPU_AMD, a, 5, 5);
    assert_int_equal(m.n_gpus, 0);
    notes(&m, 2, "amd-smi: the amdgpu driver is not loaded", "rocm-smi: the amdgpu driver is not loaded");
    static const struct answer none[] = {
        {"rocm-smi", 0, "rocm-none.txt"}, {"rocm-smi", 1, "rocm-none.txt"}, {"rocm-smi", 2, "rocm-none.txt"}};
    probe(&m, GPU_AMD, none, 3, 3);
    notes(&m, 2, "amd-smi: not installed", "rocm-smi: it finds no card");
    /* The newer tool fails, the older one works: the older one's word counts. */
    static const struct answer older[] = {{"amd-smi", 0, .status = -1}, {"rocm-smi", 0, "rocm-5.json"}};
    probe(&m, GPU_AMD, older, 2, 2);
    assert_int_equal(m.n_gpus, 2);
    notes(&m, 0);
}

static void none_at_all(void **state)
{
    struct machine m;
    probe(&m, GPU_NVIDIA, NULL, 0, 0);
    notes(&m, 1, "nvidia-smi: not installed");
    probe(&m, GPU_AMD, NULL, 0, 0);
    notes(&m, 2, "amd-smi: not installed", "rocm-smi: not installed");
}

static const struct gpu_probe_ops *find(const char *name)
{
    for (size_t i = 0; gpu_probes[i]; i++) {
        if (strcmp(gpu_probes[i]->name, name) == 0)
            return gpu_probes[i];
    }
    fail();
    return NULL;
}

/* Every parser on text: it takes it or gives a cause of one line, and a card has nothing that is out of bounds. */
static void survive(const char *text)
{
    for (size_t i = 0; gpu_probes[i]; i++) {
        for (size_t c = 0; c < GPU_COMMANDS && gpu_probes[i]->command[c].parse; c++) {
            struct machine m;
            char *cause = NULL;
            machine_init(&m, MACHINE_HERE);
            int rc = gpu_probes[i]->command[c].parse(&m, 0, text, &cause);
            assert_int_equal(rc == 0, m.n_gpus > 0);
            assert_int_equal(rc == 0, cause == NULL);
            assert_true(cause == NULL || (strlen(cause) < 600 && !strchr(cause, '\n')));
            assert_true(m.n_gpus <= GPU_CARDS);
            for (size_t k = 0; k < m.n_gpus; k++) {
                const struct machine_gpu *g = &m.gpu[k];
                assert_true(g->memory == -1 || g->memory > 0);
                assert_true(g->memory_used >= -1);
                assert_true(isnan(g->utilisation) || (g->utilisation >= 0 && g->utilisation <= 1));
                assert_true(isnan(g->power) || g->power >= 0);
            }
            json_t *j = machine_to_json(&m);
            assert_non_null(j);
            json_decref(j);
            free(cause);
            machine_finish(&m);
        }
    }
}

static void garbage_of_all_kinds(void **state)
{
    static const char *const texts[] = {
        "",
        "\n\n\n",
        "{",
        "[",
        "{}",
        "[]",
        "[[]]",
        "[1,2]",
        "null",
        "{\"card0\": 1, \"card1\": null}",
        "{\"card0\": {}}",
        "{\"card\": {\"x\": \"y\"}}",
        "{\"card0\": {\"VRAM Total Memory (B)\": \"nan\", \"GPU use (%)\": \"-3\", \"Card Series\": \"0x1\"}}",
        "{\"gpu_data\": {}}",
        "{\"gpu_data\": [1, {}, null, {\"vram\": 7, \"asic\": \"N/A\"}]}",
        "[{\"gpu\": 63, \"vram\": {\"size\": {\"value\": -1, \"unit\": \"MB\"}}}]",
        "[{\"gpu\": 0, \"vram\": {\"size\": {\"value\": 1e300, \"unit\": \"GB\"}}, \"mem_usage\": {\"used_vram\": "
        "\"inf\"}}]",
        "0, x, 99999999999999999999, 1e5, 0x10, nan, inf, , \n",
        "0,,,,,,,,\n",
        ",,,,,,,,,,,,,,,,,,,,\n",
        "0, \x1b[2J, 1, 2, 3, 4, 5, 6, 7\n",
        "Segmentation fault (core dumped)\n",
        "\xff\xfe\x00",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        survive(texts[i]);
    /* 100 KB of several kinds. */
    size_t n = 100 * 1024;
    char *big = xmalloc(n + 1);
    static const char *const units[] = {"[",   "{\"a\":", "0, x, 1, 2, 3, 4, 5, 6, 7\n", ",", "\xf0\x9f", "{\n",
                                        "[\n", "a b\n"};
    for (size_t u = 0; u < ARRAY_LEN(units); u++) {
        size_t len = strlen(units[u]);
        for (size_t i = 0; i < n; i++)
            big[i] = units[u][i % len];
        big[n] = '\0';
        survive(big);
    }
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        big[i] = (char)(x >> 24) ? (char)(x >> 24) : 'x';
    }
    survive(big);
    free(big);
}

/* Recorded outputs cut anywhere: taken for what is left of them, or a cause. */
static void every_cut_is_survived(void **state)
{
    static const char *const files[] = {"nvidia-several.csv", "nvidia-odd-fields.csv", "rocm-5.json",
                                        "rocm-6.json",        "amd-static-6.json",     "amd-metric-7.json"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *text = recorded(files[i]);
        for (size_t n = strlen(text); n-- > 0;) {
            text[n] = '\0';
            if (n < 200 || n % 7 == 0)
                survive(text);
        }
        free(text);
    }
}

static void table_is_sorted(void **state)
{
    size_t n = 0;
    for (; gpu_probes[n]; n++) {
        assert_true(n == 0 || strcmp(gpu_probes[n - 1]->name, gpu_probes[n]->name) < 0);
        assert_string_equal(gpu_probes[n]->command[0].argv[0], gpu_probes[n]->name);
    }
    assert_int_equal(n, 3);
    assert_int_equal(find("rocm-smi")->vendor, GPU_AMD);
}

static void add_card(struct machine *m, enum gpu_vendor vendor, const char *bus)
{
    struct machine_gpu *g = machine_add_gpu(m);
    g->vendor = vendor;
    gpu_set_bus(g, bus);
}

static void cards_of_the_bus_come_last_and_once(void **state)
{
    struct machine m;
    machine_init(&m, MACHINE_HERE);
    m.memory = 1 << 30;
    add_card(&m, GPU_NVIDIA, "00000000:01:00.0");
    add_card(&m, GPU_AMD, NULL); /* a tool that tells no buses */
    add_card(&m, GPU_NVIDIA, "0000:01:00.0");
    add_card(&m, GPU_NVIDIA, "0000:02:00.0");
    add_card(&m, GPU_AMD, "0000:03:00.0");
    add_card(&m, GPU_INTEL, "0000:00:02.0");
    here_settle_gpus(&m, 2);
    assert_int_equal(m.n_gpus, 4);
    assert_string_equal(m.gpu[2].bus, "0000:02:00.0");
    assert_int_equal(m.gpu[3].vendor, GPU_INTEL);
    assert_int_equal(m.gpu[3].memory, -1);
    machine_finish(&m);
}

const struct CMUnitTest gpu_tests[] = {
    cmocka_unit_test(several_nvidia_cards),
    cmocka_unit_test(memory_that_is_the_machines),
    cmocka_unit_test(fields_that_a_card_lacks),
    cmocka_unit_test(nvidia_troubles),
    cmocka_unit_test(old_driver_without_a_field),
    cmocka_unit_test(a_line_that_is_cut_off),
    cmocka_unit_test(a_comma_in_a_name),
    cmocka_unit_test(rocm_smi_of_release_5),
    cmocka_unit_test(rocm_smi_of_release_6),
    cmocka_unit_test(amd_smi_as_a_list),
    cmocka_unit_test(amd_smi_as_an_object),
    cmocka_unit_test(amd_smi_by_halves),
    cmocka_unit_test(amd_troubles),
    cmocka_unit_test(none_at_all),
    cmocka_unit_test(garbage_of_all_kinds),
    cmocka_unit_test(every_cut_is_survived),
    cmocka_unit_test(table_is_sorted),
    cmocka_unit_test(cards_of_the_bus_come_last_and_once),
};
const size_t gpu_count = sizeof(gpu_tests) / sizeof(gpu_tests[0]);
