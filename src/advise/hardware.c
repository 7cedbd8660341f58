#include "advise/hardware.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#define GIB (INT64_C(1) << 30)

/* Memory and bandwidth as the makers state them.  A name that two rows describe takes the longer one, so "4070" needs
 * no care about "4070 Ti Super". */
/* clang-format off */
const struct hardware hardware_table[] = {
    {"rtx 5090", 32, 1792},
    {"rtx 5080", 16, 960},
    {"rtx 5070 ti", 16, 896},
    {"rtx 5070", 12, 672},
    {"rtx 5060 ti", 8, 448},
    {"rtx 5060", 8, 448},
    {"rtx 4090", 24, 1008},
    {"rtx 4080 super", 16, 736},
    {"rtx 4080", 16, 717},
    {"rtx 4070 ti super", 16, 672},
    {"rtx 4070 ti", 12, 504},
    {"rtx 4070", 12, 504},
    {"rtx 4060 ti", 8, 288},
    {"rtx 4060", 8, 272},
    {"rtx 3090 ti", 24, 1008},
    {"rtx 3090", 24, 936},
    {"rtx 3080 ti", 12, 912},
    {"rtx 3080", 10, 760},
    {"rtx 3070 ti", 8, 608},
    {"rtx 3070", 8, 448},
    {"rtx 3060 ti", 8, 448},
    {"rtx 3060", 12, 360},
    {"rtx 3050", 8, 224},
    {"rtx 2080 ti", 11, 616},
    {"rtx 2080", 8, 448},
    {"rtx 2070", 8, 448},
    {"rtx 2060", 6, 336},
    {"titan rtx", 24, 672},
    {"gtx 1660", 6, 192},
    {"gtx 1650", 4, 128},
    {"gtx 1080 ti", 11, 484},
    {"gtx 1080", 8, 320},
    {"gtx 1070", 8, 256},
    {"gtx 1060", 6, 192},
    {"gtx 1050", 2, 112},
    {"gtx 980", 4, 224},
    {"gtx 970", 4, 224},
    {"gtx 960", 2, 112},
    {"gtx 780", 3, 288},
    {"gtx 770", 2, 224},
    {"gtx 760", 2, 192},
    {"gtx 750", 2, 86},
    {"rtx 6000 ada", 48, 960},
    {"rtx a6000", 48, 768},
    {"rtx a5000", 24, 768},
    {"rtx a4000", 16, 448},
    {"h200", 141, 4800},
    {"h100", 80, 2000},
    {"a100", 40, 1555},
    {"l40", 48, 864},
    {"l4", 24, 300},
    {"a10", 24, 600},
    {"v100", 16, 900},
    {"tesla t4", 16, 320},
    {"tesla p100", 16, 732},
    {"tesla p40", 24, 347},
    {"tesla m40", 12, 288},
    {"tesla k80", 12, 240},
    {"gb10", 0, 273},
    {"rx 9070", 16, 640},
    {"rx 7900 xtx", 24, 960},
    {"rx 7900 xt", 20, 800},
    {"rx 7900 gre", 16, 576},
    {"rx 7800 xt", 16, 624},
    {"rx 7700 xt", 12, 432},
    {"rx 7600", 8, 288},
    {"rx 6950 xt", 16, 576},
    {"rx 6900 xt", 16, 512},
    {"rx 6800", 16, 512},
    {"rx 6750 xt", 12, 432},
    {"rx 6700 xt", 12, 384},
    {"rx 6700", 10, 320},
    {"rx 6650 xt", 8, 280},
    {"rx 6600", 8, 224},
    {"rx 5700", 8, 448},
    {"rx 580", 8, 256},
    {"rx 570", 4, 224},
    {"radeon vii", 16, 1024},
    {"vega 64", 8, 484},
    {"vega 56", 8, 410},
    {"mi300", 192, 5300},
    {"mi250", 128, 3277},
    {"mi210", 64, 1638},
    {"mi100", 32, 1229},
    {"mi60", 32, 1024},
    {"mi50", 16, 1024},
    {"8060s", 0, 256},
    {"arc b580", 12, 456},
    {"arc a770", 16, 560},
    {"arc a750", 8, 512},
    {"apple m1", 0, 68},
    {"apple m1 pro", 0, 200},
    {"apple m1 max", 0, 400},
    {"apple m1 ultra", 0, 800},
    {"apple m2", 0, 100},
    {"apple m2 pro", 0, 200},
    {"apple m2 max", 0, 400},
    {"apple m2 ultra", 0, 800},
    {"apple m3", 0, 100},
    {"apple m3 pro", 0, 150},
    {"apple m3 max", 0, 300},
    {"apple m3 ultra", 0, 819},
    {"apple m4", 0, 120},
    {"apple m4 pro", 0, 273},
    {"apple m4 max", 0, 410},
};
/* clang-format on */
const size_t hardware_count = ARRAY_LEN(hardware_table);

/* The end of a word at s, which begins one: letters and digits. */
static size_t word_length(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]))
        n++;
    return n;
}

/* Whether the words of the pattern stand in the name, in their order.  A number may have letters behind it that are no
 * part of the pattern ("H100PCIe", "RTX 3060Ti" for "rtx 3060"), never more digits. */
static bool describes(const char *pattern, const char *name)
{
    while (*pattern) {
        size_t want = strcspn(pattern, " ");
        bool found = false;
        while (*name && !found) {
            size_t have = word_length(name);
            found =
                have >= want && strncasecmp(name, pattern, want) == 0 &&
                (have == want || (isdigit((unsigned char)pattern[want - 1]) && !isdigit((unsigned char)name[want])));
            /* Of "3060Ti" the rest is the next word. */
            name += found ? want : have;
            name += *name && !isalnum((unsigned char)*name);
        }
        if (!found)
            return false;
        pattern += want;
        pattern += *pattern == ' ';
    }
    return true;
}

const struct hardware *hardware_find(const char *name)
{
    const struct hardware *best = NULL;
    for (size_t i = 0; i < hardware_count; i++) {
        const struct hardware *h = &hardware_table[i];
        if (describes(h->pattern, name) && (!best || strlen(h->pattern) > strlen(best->pattern)))
            best = h;
    }
    return best;
}

int64_t hardware_gib(int64_t bytes)
{
    return bytes < 0 ? -1 : bytes / GIB + (bytes % GIB >= GIB / 2);
}

/* Model sizes by the memory of the GPU, which is what the usual table of cards comes down to. */
static const struct {
    int gib; /* from so many on */
    enum hardware_class class;
    double min, max;
} uses[] = {
    {24, HARDWARE_TARGET, 32, 70}, /* RTX 4090, RX 7900 XTX, a real RTX 3090 */
    {16, HARDWARE_TARGET, 32, 32}, /* RTX 4070 Ti Super */
    {12, HARDWARE_MEDIUM, 14, 32}, /* RTX 4070 */
    {8, HARDWARE_MEDIUM, 7, 8},    /* RTX 2070, RX 6700 */
    {6, HARDWARE_DRAFT, 3, 7},     /* GTX 1060 */
    {2, HARDWARE_DRAFT, 1.7, 3},   /* GTX 770 and other old cards */
    {0, HARDWARE_TINY, 0.5, 1.7},  /* a CPU, with some 16 GB of memory */
};

struct hardware_use hardware_use_of(int64_t memory)
{
    int64_t gib = hardware_gib(memory);
    for (size_t i = 0; gib >= 0 && i < ARRAY_LEN(uses); i++) {
        if (gib >= uses[i].gib)
            return (struct hardware_use){uses[i].class, uses[i].min, uses[i].max};
    }
    return (struct hardware_use){HARDWARE_UNKNOWN, NAN, NAN};
}

enum hardware_class hardware_class_of(int64_t memory)
{
    return hardware_use_of(memory).class;
}

int64_t hardware_gpu_memory(const struct machine_gpu *gpu, int64_t machine_memory)
{
    const struct hardware *h = hardware_find(gpu->name);
    bool unified = gpu->unified || gpu->vendor == GPU_APPLE || (h && h->memory_gib == 0);
    if (unified) {
        bool wide = gpu->vendor == GPU_APPLE || gpu->vendor == GPU_NVIDIA || (h && h->memory_gib == 0);
        if (!wide)
            return 0;
        return machine_memory < 0 ? gpu->memory : machine_memory / 4 * 3;
    }
    if (gpu->memory >= 0)
        return gpu->memory;
    return h ? h->memory_gib * GIB : -1;
}

double hardware_gpu_bandwidth(const struct machine_gpu *gpu)
{
    const struct hardware *h = hardware_find(gpu->name);
    return h ? h->bandwidth_gbps : NAN;
}

double hardware_cpu_bandwidth(const struct machine_cpu *cpu)
{
    return 40.0 * (cpu->packages > 1 ? cpu->packages : 1);
}

const char *hardware_class_name(enum hardware_class c)
{
    static const char *const names[] = {"unknown", "target", "medium", "draft", "tiny"};
    return names[c];
}

const char *hardware_class_words(enum hardware_class c)
{
    static const char *const words[] = {
        "hardware not known",
        "16 GB and more: a good target, for a big model",
        "8 to 15 GB: a good drafter, or a target of medium size",
        "2 to 7 GB: drafts only, with 1.7B to 3B",
        "less than 2 GB or no GPU: drafts on the CPU with a tiny model, 0.5B to 1.7B",
    };
    return words[c];
}
