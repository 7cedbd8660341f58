/* NVIDIA's cards by nvidia-smi, as CSV.
 *
 * The fields and their units are those of `nvidia-smi --help-query-gpu`: memory in MiB, utilisation in per cent,
 * degrees Celsius, watts.  A field that a release does not know fails the whole question, hence a shorter one.  A field
 * that a card does not have is [N/A] ([Not Supported] before release 440); cards that share the machine's memory have
 * it for all memory. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "probe/gpu.h"

extern const struct gpu_probe_ops gpu_nvidia_smi;

enum { COLUMNS_MAX = 12 };

enum column { INDEX, NAME, MEMORY, MEMORY_USED, UTILISATION, TEMPERATURE, POWER, DRIVER, BUS };

static const enum column full[] = {INDEX, NAME, MEMORY, MEMORY_USED, UTILISATION, TEMPERATURE, POWER, DRIVER, BUS};
static const enum column brief[] = {INDEX, NAME, MEMORY, MEMORY_USED, DRIVER};

static const double most_memory = 16.0 * 1024 * 1024; /* MiB */

/* "[N/A]" and the like: the card has no such thing.  Other words in brackets are troubles of the moment. */
static bool not_there(const char *s)
{
    return strcmp(s, "[N/A]") == 0 || strcmp(s, "N/A") == 0 || strcmp(s, "[Not Supported]") == 0;
}

/* Cuts a line into n columns at its commas; one in a name is part of it.  False: too few. */
static bool cut(char *line, char **column, size_t n)
{
    size_t commas = 0;
    for (const char *p = line; *p != '\0'; p++)
        commas += *p == ',';
    if (commas + 1 < n)
        return false;
    size_t in_name = commas + 1 - n;
    column[0] = line;
    for (size_t i = 1; i < n; i++) {
        char *comma = strchr(column[i - 1], ',');
        for (; i == NAME + 1 && in_name > 0; in_name--)
            comma = strchr(comma + 1, ',');
        *comma = '\0';
        column[i] = comma + 1;
    }
    for (size_t i = 0; i < n; i++) {
        column[i] += strspn(column[i], " \t");
        for (size_t end = strlen(column[i]); end > 0 && isspace((unsigned char)column[i][end - 1]); end--)
            column[i][end - 1] = '\0';
    }
    return true;
}

static void fill(struct machine *m, struct machine_gpu *g, enum column c, const char *s)
{
    double v;
    switch (c) {
    case INDEX:
        break;
    case NAME:
        machine_text(g->name, sizeof(g->name), s[0] != '[' ? s : "");
        break;
    case MEMORY:
        v = gpu_number(s, most_memory);
        g->memory = v > 0 ? (int64_t)(v * 1024 * 1024) : -1;
        g->unified = not_there(s);
        break;
    case MEMORY_USED:
        v = gpu_number(s, most_memory);
        g->memory_used = isnan(v) ? -1 : (int64_t)(v * 1024 * 1024);
        break;
    case UTILISATION:
        g->utilisation = gpu_number(s, 100) / 100;
        break;
    case TEMPERATURE:
        g->temperature = gpu_number(s, 200);
        break;
    case POWER:
        g->power = gpu_number(s, 10000);
        break;
    case DRIVER:
        machine_text(g->driver, sizeof(g->driver), s[0] != '[' ? s : "");
        break;
    case BUS:
        gpu_set_bus(g, s);
        break;
    }
    /* "[Unknown Error]", "[GPU is lost]", "[GPU requires reset]", "ERR!" */
    if (c == NAME && s[0] == '[')
        machine_add_note(m, "nvidia-smi: one of the cards answers %s", s);
}

static int parse(struct machine *m, size_t first, const char *out, const enum column *columns, size_t n, char **cause)
{
    size_t lines = 0;
    bool odd = false;
    char *copy = xstrdup(out), *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line != NULL && lines < GPU_CARDS;
         line = strtok_r(NULL, "\n", &save)) {
        char *column[COLUMNS_MAX];
        if (line[strspn(line, " \t\r")] == '\0')
            continue;
        if (!cut(line, column, n) || isnan(gpu_number(column[INDEX], 4096)) || column[NAME][0] == '\0') {
            odd = true;
            continue;
        }
        struct machine_gpu *g = gpu_at(m, first, (int64_t)lines++, GPU_NVIDIA);
        for (size_t i = 0; i < n; i++)
            fill(m, g, columns[i], column[i]);
    }
    free(copy);
    if (lines > 0) {
        if (odd)
            machine_add_note(m, "nvidia-smi: a line of its answer can't be read; a card may be missing here");
        return 0;
    }
    return gpu_unreadable(out, cause);
}

static int parse_full(struct machine *m, size_t first, const char *out, char **cause)
{
    return parse(m, first, out, full, ARRAY_LEN(full), cause);
}

static int parse_brief(struct machine *m, size_t first, const char *out, char **cause)
{
    return parse(m, first, out, brief, ARRAY_LEN(brief), cause);
}

/* The library's place in Windows' subsystem for Linux. */
static const char *const folders[] = {"/usr/lib/wsl/lib", NULL};

const struct gpu_probe_ops gpu_nvidia_smi = {
    .name = "nvidia-smi",
    .vendor = GPU_NVIDIA,
    .folders = folders,
    .command = {{{"nvidia-smi",
                  "--query-gpu=index,name,memory.total,memory.used,utilization.gpu,temperature.gpu,power.draw,"
                  "driver_version,pci.bus_id",
                  "--format=csv,noheader,nounits"},
                 parse_full,
                 GPU_ALWAYS},
                {{"nvidia-smi", "--query-gpu=index,name,memory.total,memory.used,driver_version",
                  "--format=csv,noheader,nounits"},
                 parse_brief,
                 GPU_INSTEAD}},
};
