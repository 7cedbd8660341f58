/* AMD's cards by rocm-smi, as JSON: {"card0": {…}, "system": {…}}, every value a string.
 *
 * What the values are called changes from release to release ("Card series" and "Card Series" and "Device Name",
 * "Average Graphics Package Power (W)" and "Current Socket Graphics Package Power (W)"), so they are found by parts of
 * their names.  Memory is in bytes, the rest in per cent, degrees Celsius and watts, as the names say. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "probe/gpu.h"

extern const struct gpu_probe_ops gpu_rocm_smi;

static const double most_bytes = 16.0 * 1024 * 1024 * 1024 * 1024;

/* The value whose name has both parts, in whatever case; NULL: none that says anything. */
static const char *find(const json_t *card, const char *part, const char *other)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)card, key, value)
    {
        const char *s = json_string_value(value);
        if (s != NULL && strcasestr(key, part) != NULL && strcasestr(key, other) != NULL && s[0] != '\0' &&
            strncasecmp(s, "N/A", 3) != 0)
            return s;
    }
    return NULL;
}

static double find_number(const json_t *card, const char *part, const char *other, double max)
{
    const char *s = find(card, part, other);
    return s != NULL ? gpu_number(s, max) : NAN;
}

/* The first name that is one: some releases give the device's number ("0x744c") where they know none. */
static void read_name(struct machine_gpu *g, const json_t *card)
{
    static const char *const keys[] = {"card series", "device name", "market name", "card model"};
    for (size_t i = 0; i < ARRAY_LEN(keys) && g->name[0] == '\0'; i++) {
        const char *s = find(card, keys[i], "");
        if (s != NULL && strncmp(s, "0x", 2) != 0)
            machine_text(g->name, sizeof(g->name), s);
    }
    if (g->name[0] == '\0') {
        const char *gfx = find(card, "gfx version", "");
        char *name = xasprintf("AMD card%s%s", gfx != NULL ? " " : "", gfx != NULL ? gfx : "");
        machine_text(g->name, sizeof(g->name), name);
        free(name);
    }
}

static void read_card(struct machine_gpu *g, const json_t *card)
{
    double total = find_number(card, "vram", "total memory", most_bytes);
    double used = find_number(card, "vram", "used", most_bytes);
    read_name(g, card);
    g->memory = total > 0 ? (int64_t)total : -1;
    g->memory_used = isnan(used) ? -1 : (int64_t)used;
    g->utilisation = find_number(card, "gpu use", "%", 100) / 100;
    g->temperature = find_number(card, "temperature", "edge", 200);
    if (isnan(g->temperature))
        g->temperature = find_number(card, "temperature", "junction", 200);
    g->power = find_number(card, "average", "power (w)", 10000);
    if (isnan(g->power))
        g->power = find_number(card, "current", "power (w)", 10000);
    gpu_set_bus(g, find(card, "pci bus", ""));
}

static int parse(struct machine *m, size_t first, const char *out, char **cause)
{
    json_t *o = gpu_json(out), *card;
    const char *key;
    int64_t n = 0;
    json_object_foreach(o, key, card)
    {
        if (strncmp(key, "card", 4) != 0 || !isdigit((unsigned char)key[4]) || !json_is_object(card))
            continue;
        struct machine_gpu *g = gpu_at(m, first, n++, GPU_AMD);
        if (g != NULL)
            read_card(g, card);
    }
    const char *driver = find(json_object_get(o, "system"), "driver version", "");
    for (size_t i = first; i < m->n_gpus; i++)
        machine_text(m->gpu[i].driver, sizeof(m->gpu[i].driver), driver);
    json_decref(o);
    if (n > 0)
        return 0;
    return gpu_unreadable(out, cause);
}

static const char *const folders[] = {"/opt/rocm/bin", NULL};

const struct gpu_probe_ops gpu_rocm_smi = {
    .name = "rocm-smi",
    .vendor = GPU_AMD,
    .folders = folders,
    .command = {{{"rocm-smi", "--showproductname", "--showuse", "--showmeminfo", "vram", "--showtemp", "--showpower",
                  "--showbus", "--showdriverversion", "--json"},
                 parse,
                 GPU_ALWAYS},
                {{"rocm-smi", "--showproductname", "--showuse", "--showmeminfo", "vram", "--showtemp", "--showpower",
                  "--json"},
                 parse,
                 GPU_INSTEAD},
                {{"rocm-smi", "--showproductname", "--showmeminfo", "vram", "--json"}, parse, GPU_INSTEAD}},
};
