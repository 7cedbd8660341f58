/* Any text as the output of a vendor's tool, as a stranger's machine, and as the small texts that the probe of this
 * machine reads: cards within bounds, or a cause; and what was read can be told as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "fuzz.h"
#include "probe/gpu.h"
#include "probe/tools.h"
#include "probe/topology.h"

static void hold(bool right)
{
    if (!right)
        abort();
}

static void tell(struct machine *m)
{
    struct machine back;
    json_t *j = machine_to_json(m);
    char *text = json_dumps(j, 0);
    hold(text != NULL);
    hold(machine_from_json(&back, j, NULL) == 0);
    hold(back.n_gpus == m->n_gpus);
    machine_finish(&back);
    machine_finish(m);
    json_decref(j);
    free(text);
}

static void parse(const struct gpu_command *c, const char *text)
{
    struct machine m;
    char *cause = NULL;
    machine_init(&m, MACHINE_HERE);
    int rc = c->parse(&m, 0, text, &cause);
    hold((rc == 0) == (m.n_gpus > 0) && (rc == 0) == (cause == NULL) && m.n_gpus <= GPU_CARDS);
    for (size_t i = 0; i < m.n_gpus; i++) {
        const struct machine_gpu *g = &m.gpu[i];
        hold(g->memory == -1 || g->memory > 0);
        hold(g->memory_used >= -1);
        hold(isnan(g->utilisation) || (g->utilisation >= 0 && g->utilisation <= 1));
    }
    tell(&m);
    free(cause);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = xstrndup((const char *)data, len), name[64];
    for (size_t i = 0; gpu_probes[i] != NULL; i++) {
        for (size_t c = 0; c < GPU_COMMANDS && gpu_probes[i]->command[c].parse != NULL; c++)
            parse(&gpu_probes[i]->command[c], text);
    }
    tools_version(text, name, sizeof(name));
    (void)topology_os_name(text, name, sizeof(name));
    json_t *j = json_parse(text, strlen(text), NULL);
    struct machine m;
    if (j != NULL && machine_from_json(&m, j, NULL) == 0)
        tell(&m);
    json_decref(j);
    free(text);
    return 0;
}
