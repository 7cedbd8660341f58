/* AMD's cards by amd-smi, rocm-smi's successor, as JSON: a list of cards, or since ROCm 7 an object with the list under
 * "gpu_data".  What does not change is asked with `static`, what does with `metric`; both tell of the cards in the same
 * order.
 *
 * A value is a number, a text with its unit ("16368 MB"), or {"value": …, "unit": …}; what a card can't tell is "N/A".
 * Its MB are 2^20 bytes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "probe/gpu.h"

extern const struct gpu_probe_ops gpu_amd_smi;

static const double most_bytes = 16.0 * 1024 * 1024 * 1024 * 1024;

/* o[section][key] for the first key that is there; keys ends with NULL. */
static const json_t *find(const json_t *o, const char *section, const char *const *keys)
{
    const json_t *in = json_object_get(o, section), *v = NULL;
    for (; *keys != NULL && v == NULL; keys++)
        v = json_object_get(in, *keys);
    return v;
}

/* The number of a value, NAN where it has none; unit: what stands behind it, "" none. */
static double number(const json_t *v, double max, char *unit, size_t unit_size)
{
    const json_t *value = json_is_object(v) ? json_object_get(v, "value") : v;
    machine_text(unit, unit_size, json_string_value(json_object_get(v, "unit")));
    if (json_is_number(value)) {
        double d = json_number_value(value);
        return d >= 0 && d <= max ? d : NAN;
    }
    const char *s = json_string_value(value);
    if (s == NULL)
        return NAN;
    size_t n = strspn(s, "0123456789.");
    char *digits = xstrndup(s, n);
    double d = gpu_number(digits, max);
    free(digits);
    if (s[n] != '\0')
        machine_text(unit, unit_size, s + n);
    return d;
}

static int64_t bytes(const json_t *v)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"B", 1},         {"KB", 1024},        {"KiB", 1024},        {"GB", 1 << 30},
                 {"GiB", 1 << 30}, {"MB", 1024 * 1024}, {"MiB", 1024 * 1024}, {"", 1024 * 1024}};
    char unit[8];
    double d = number(v, most_bytes, unit, sizeof(unit));
    for (size_t i = 0; i < ARRAY_LEN(units) && !isnan(d); i++) {
        if (strcmp(units[i].unit, unit) == 0)
            return d * units[i].factor <= most_bytes ? (int64_t)(d * units[i].factor) : -1;
    }
    return -1;
}

static double plain(const json_t *v, double max)
{
    char unit[16];
    return number(v, max, unit, sizeof(unit));
}

static void text(char *dst, size_t size, const json_t *v)
{
    const char *s = json_string_value(v);
    if (s != NULL && s[0] != '\0' && strcmp(s, "N/A") != 0)
        machine_text(dst, size, s);
}

#define KEYS(...)                                                                                                      \
    (const char *const[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__, NULL                                                                                              \
    }

static void read_static(struct machine_gpu *g, const json_t *o)
{
    text(g->name, sizeof(g->name), find(o, "asic", KEYS("market_name", "product_name")));
    text(g->driver, sizeof(g->driver), find(o, "driver", KEYS("version", "driver_version")));
    gpu_set_bus(g, json_string_value(find(o, "bus", KEYS("bdf"))));
    int64_t memory = bytes(find(o, "vram", KEYS("size", "vram_size", "vram_size_mb")));
    if (memory > 0)
        g->memory = memory;
}

static void read_metric(struct machine_gpu *g, const json_t *o)
{
    int64_t total = bytes(find(o, "mem_usage", KEYS("total_vram")));
    int64_t used = bytes(find(o, "mem_usage", KEYS("used_vram")));
    if (total < 0) /* ROCm 5 and 6.0 */
        total = bytes(find(o, "fb_usage", KEYS("fb_total", "total_vram", "total")));
    if (used < 0)
        used = bytes(find(o, "fb_usage", KEYS("fb_used", "used_vram", "used")));
    if (total > 0)
        g->memory = total;
    g->memory_used = used;
    g->utilisation = plain(find(o, "usage", KEYS("gfx_activity", "gfx_usage")), 100) / 100;
    g->temperature = plain(find(o, "temperature", KEYS("edge", "edge_temperature")), 200);
    if (isnan(g->temperature)) /* cards for data centres have no such sensor */
        g->temperature = plain(find(o, "temperature", KEYS("hotspot", "hotspot_temperature", "junction")), 200);
    g->power =
        plain(find(o, "power", KEYS("socket_power", "current_power", "average_socket_power", "power_usage")), 10000);
}

static int parse(struct machine *m, size_t first, const char *out, void (*read)(struct machine_gpu *, const json_t *),
                 char **cause)
{
    json_t *root = gpu_json(out);
    const json_t *list = json_is_object(root) ? json_object_get(root, "gpu_data") : root;
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        struct machine_gpu *g = json_is_object(o) ? gpu_at(m, first, (int64_t)n, GPU_AMD) : NULL;
        if (g == NULL)
            continue;
        read(g, o);
        n++;
    }
    for (size_t i = first; i < m->n_gpus; i++) {
        if (m->gpu[i].name[0] == '\0')
            machine_text(m->gpu[i].name, sizeof(m->gpu[i].name), "AMD card");
    }
    json_decref(root);
    if (n > 0)
        return 0;
    return gpu_unreadable(out, cause);
}

static int parse_static(struct machine *m, size_t first, const char *out, char **cause)
{
    return parse(m, first, out, read_static, cause);
}

static int parse_metric(struct machine *m, size_t first, const char *out, char **cause)
{
    return parse(m, first, out, read_metric, cause);
}

static const char *const folders[] = {"/opt/rocm/bin", NULL};

const struct gpu_probe_ops gpu_amd_smi = {
    .name = "amd-smi",
    .vendor = GPU_AMD,
    .folders = folders,
    .command = {{{"amd-smi", "static", "--json"}, parse_static, GPU_ALWAYS},
                {{"amd-smi", "metric", "--json"}, parse_metric, GPU_ALWAYS}},
};
