#include "advise/making.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const struct machine_service *making_service(const struct machine *m, enum service_kind kind)
{
    for (size_t i = 0; i < m->n_services; i++) {
        if (m->service[i].kind == kind)
            return &m->service[i];
    }
    return NULL;
}

/* "NVIDIA GeForce RTX 4090" is an RTX 4090. */
static const char *short_name(const char *name)
{
    static const char *const makers[] = {"NVIDIA ", "AMD ",      "GeForce ",
                                         "Radeon ", "Intel(R) ", "Advanced Micro Devices "};
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
            size_t n = strlen(makers[i]);
            if (strncmp(name, makers[i], n) == 0 && name[n]) {
                name += n;
                again = true;
            }
        }
    }
    return *name ? name : "GPU";
}

/* Adds up the GPUs that are of use.  Where none of their sizes is known the sum is unknown. */
static void add_gpus(const struct machine *m, struct advice_machine *out)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        int64_t bytes = hardware_gpu_memory(&m->gpu[i], m->memory);
        if (bytes == 0)
            continue;
        if (out->gpus++ == 0) {
            out->memory = out->largest = -1;
            out->gbps = NAN;
        }
        if (bytes > 0)
            out->memory = (out->memory > 0 ? out->memory : 0) + bytes;
        if (bytes > out->largest || isnan(out->gbps)) {
            out->largest = bytes > out->largest ? bytes : out->largest;
            out->gbps = hardware_gpu_bandwidth(&m->gpu[i]);
        }
    }
}

/* What its workers lend, by their own word; without that, its memory. */
static int64_t lent(const struct machine *m, const struct advice_machine *a)
{
    int64_t sum = -1;
    for (size_t i = 0; i < m->n_services; i++) {
        const struct machine_service *s = &m->service[i];
        int64_t bytes = s->memory_free >= 0 ? s->memory_free : s->memory;
        if (s->kind == SERVICE_WORKER && bytes >= 0)
            sum = (sum < 0 ? 0 : sum) + bytes;
    }
    return sum < 0 ? a->memory : sum;
}

static char *describe(const struct machine *m, const struct advice_machine *a)
{
    char gb[32];
    advice_bytes(gb, sizeof(gb), a->known ? a->memory : a->lends);
    if (!a->known)
        return a->lends < 0 ? xstrdup("hardware not known") : xasprintf("lends %s", gb);
    if (a->gpus == 0) {
        char *cores = m->cpu.cores > 0 ? xasprintf(", %d cores", m->cpu.cores) : xstrdup("");
        char *text = xasprintf("no GPU%s%s%s", cores, a->memory > 0 ? ", " : "", a->memory > 0 ? gb : "");
        free(cores);
        return text;
    }
    const char *first = NULL;
    bool alike = true;
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (hardware_gpu_memory(&m->gpu[i], m->memory) == 0)
            continue;
        alike = !first || strcmp(first, m->gpu[i].name) == 0 ? alike : false;
        first = first ? first : m->gpu[i].name;
    }
    char *count = a->gpus > 1 ? xasprintf("%zu x ", a->gpus) : xstrdup("");
    char *text = xasprintf("%s%s%s, %s", count, short_name(first), alike ? "" : " and others",
                           a->memory > 0 ? gb : "memory not known");
    free(count);
    return text;
}

void making_machines(struct making *k)
{
    struct advice *a = k->a;
    a->machine = xcalloc(k->n + 1, sizeof(*a->machine));
    a->n_machines = k->n;
    k->here = ADVICE_NONE;
    for (size_t i = 0; i < k->n; i++) {
        const struct machine *m = &k->list[i];
        struct advice_machine *out = &a->machine[i];
        *out = (struct advice_machine){.memory = -1, .largest = -1, .lends = -1, .gbps = NAN, .role = ADVICE_ROLE_NONE};
        if (m->origin == MACHINE_HERE && k->here == ADVICE_NONE)
            k->here = (int)i;
        add_gpus(m, out);
        out->known = out->gpus > 0 || m->memory > 0 || m->cpu.cores > 0;
        if (out->known && out->gpus == 0) {
            out->largest = 0;
            out->memory = m->memory;
            out->gbps = hardware_cpu_bandwidth(&m->cpu);
        }
        out->lends = lent(m, out);
        struct hardware_use use = hardware_use_of(!out->known ? out->lends : out->gpus == 0 ? 0 : out->memory);
        out->class = use.class;
        out->model_min = use.model_min;
        out->model_max = use.model_max;
        out->hardware = describe(m, out);
    }
}
