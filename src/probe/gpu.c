#include "probe/gpu.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "base/utf8.h"

extern const struct gpu_probe_ops gpu_amd_smi;
extern const struct gpu_probe_ops gpu_nvidia_smi;
extern const struct gpu_probe_ops gpu_rocm_smi;

/* clang-format off */
const struct gpu_probe_ops *const gpu_probes[] = {
    &gpu_amd_smi,
    &gpu_nvidia_smi,
    &gpu_rocm_smi,
    NULL,
};
/* clang-format on */

enum {
    LINE_SHOWN = 160, /* bytes of a tool's complaint */
    JSON_TRIES = 8,
};

static const struct {
    const char *says, *means;
} troubles[] = {
    {"Driver/library version mismatch",
     "the driver that runs and its library are of different versions, as after an update: reboot, or load the NVIDIA "
     "modules anew"},
    {"couldn't communicate with the NVIDIA driver",
     "the NVIDIA driver does not run: install it, or load it (modprobe nvidia), or reboot after an update"},
    {"couldn't find libnvidia-ml", "its library libnvidia-ml.so is missing: install the driver's own packages again"},
    {"Failed to initialize NVML: Insufficient Permissions", "this user may not use the card's device files"},
    {"Failed to initialize NVML",
     "the driver's library can't be used here; in a container, the card must be passed to it (--gpus all)"},
    {"No devices were found", "the driver runs and finds no card"},
    {"Unable to detect any GPU devices", "it finds no card: is the amdgpu driver loaded (modprobe amdgpu)?"},
    {"is not a valid field to query", "this release can't tell utilisation, temperature, power and bus"},
    {"unrecognized arguments", "this release does not understand all that it was asked"},
    {"Driver not initialized", "the amdgpu driver is not loaded (modprobe amdgpu)"},
    {"DRIVER_NOT_LOADED", "the amdgpu driver is not loaded (modprobe amdgpu)"},
    {"No JSON data to report", "it finds no card"},
};

/* The first line that has words in it and is no part of a traceback.  Owned by the caller. */
static char *first_line(const char *text)
{
    for (const char *at = text; *at != '\0';) {
        size_t n = strcspn(at, "\n"), letters = 0;
        for (size_t i = 0; i < n; i++)
            letters += isalnum((unsigned char)at[i]) != 0;
        if (letters >= 3 && at[0] != ' ' && strncmp(at, "Traceback", 9) != 0) {
            char *line = utf8_printable(at, n < LINE_SHOWN ? n : LINE_SHOWN);
            for (size_t end = strlen(line); end > 0 && line[end - 1] == ' '; end--)
                line[end - 1] = '\0';
            return line;
        }
        at += n + (at[n] == '\n');
    }
    return NULL;
}

char *gpu_complaint(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        if (strstr(text, troubles[i].says) != NULL)
            return xstrdup(troubles[i].means);
    }
    char *line = first_line(text), *said = line != NULL ? xasprintf("it says \"%s\"", line) : NULL;
    free(line);
    return said != NULL ? said : xstrdup("it says nothing that can be read");
}

int gpu_unreadable(const char *text, char **cause)
{
    char *complaint = gpu_complaint(text);
    cause_set(cause, "%s", complaint);
    free(complaint);
    return -1;
}

json_t *gpu_json(const char *text)
{
    /* Each try costs at most one look at the rest; what is no JSON mostly ends at its second character. */
    int tries = 0;
    for (const char *at = strpbrk(text, "{["); at != NULL && tries < JSON_TRIES; at = strpbrk(at + 1, "{[")) {
        if (at != text && at[-1] != '\n')
            continue;
        tries++;
        json_t *j = json_loads(at, JSON_DISABLE_EOF_CHECK, NULL);
        if (json_array_size(j) > 0 || json_object_size(j) > 0)
            return j;
        json_decref(j);
    }
    return NULL;
}

double gpu_number(const char *s, double max)
{
    char *end;
    s += strspn(s, " \t");
    /* strtod would take "nan", "inf" and hexadecimal numbers too. */
    if (!isdigit((unsigned char)*s) || (s[0] == '0' && tolower((unsigned char)s[1]) == 'x'))
        return NAN;
    double v = strtod(s, &end);
    end += strspn(end, " \t\r");
    return *end == '\0' && isfinite(v) && v >= 0 && v <= max ? v : NAN;
}

struct machine_gpu *gpu_at(struct machine *m, size_t first, int64_t i, enum gpu_vendor vendor)
{
    if (i < 0 || i >= GPU_CARDS)
        return NULL;
    while (m->n_gpus <= first + (size_t)i)
        machine_add_gpu(m)->vendor = vendor;
    return &m->gpu[first + (size_t)i];
}

void gpu_set_bus(struct machine_gpu *g, const char *text)
{
    unsigned domain, bus, device, function;
    int n = 0;
    if (text != NULL && sscanf(text, "%8x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &n) == 4 &&
        text[n] == '\0')
        snprintf(g->bus, sizeof(g->bus), "%04x:%02x:%02x.%01x", domain, bus, device, function);
    else
        g->bus[0] = '\0';
}

/* *trouble: what the first command that told nothing had to say.  True: the tool has told of a card. */
static bool probe_tool(struct machine *m, const struct gpu_probe_ops *ops, gpu_run *run, void *arg, char **trouble)
{
    size_t first = m->n_gpus;
    enum gpu_ran ran = GPU_RAN;
    for (size_t i = 0; i < GPU_COMMANDS && ops->command[i].parse != NULL && ran != GPU_RAN_NOT; i++) {
        const struct gpu_command *c = &ops->command[i];
        char *out = NULL, *cause = NULL, *parse_cause = NULL;
        if (c->when == GPU_INSTEAD && m->n_gpus > first)
            continue;
        ran = run(ops, c, &out, &cause, arg);
        if (out == NULL || c->parse(m, first, out, &parse_cause) != 0) {
            if (*trouble == NULL)
                cause_set(trouble, "%s: %s", ops->name, ran != GPU_RAN ? cause : parse_cause);
        } else if (ran == GPU_RAN_BADLY) {
            machine_add_note(m, "%s: %s", ops->name, cause);
        }
        free(parse_cause);
        free(cause);
        free(out);
    }
    return m->n_gpus > first;
}

void gpu_probe_vendor(struct machine *m, enum gpu_vendor vendor, gpu_run *run, void *arg)
{
    char *trouble[8] = {NULL};
    size_t n = 0;
    bool found = false;
    for (size_t i = 0; gpu_probes[i] != NULL && !found; i++) {
        if (gpu_probes[i]->vendor == vendor && n < ARRAY_LEN(trouble))
            found = probe_tool(m, gpu_probes[i], run, arg, &trouble[n++]);
    }
    for (size_t i = 0; i < n; i++) {
        /* Where one tool tells of the cards, what ails another one of the same vendor is of no interest; what the same
         * one could not answer is. */
        if (trouble[i] != NULL && (!found || i + 1 == n))
            machine_add_note(m, "%s", trouble[i]);
        free(trouble[i]);
    }
}
