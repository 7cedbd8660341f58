/* Whatever an agent is told: it starts its own program, each argument is one option that it knows, and none carries
 * another. */
#include <stdlib.h>
#include <string.h>

#include "agent/order.h"
#include "base/json.h"
#include "base/mem.h"
#include "fuzz.h"

static const char path[] = "/opt/tightwad-node", model[] = "/proc/self/exe";

static void check(const struct agent_order *o)
{
    static const char *const flags[] = {
        "--host=",       "--port=",        "--ctx-size=",     "--parallel=",     "--threads=",    "--threads-batch=",
        "--batch-size=", "--ubatch-size=", "--draft-rate=",   "--n-gpu-layers=", "--flash-attn=", "--mlock",
        "--no-mmap",     "--device=",      "--tensor-split=", "--rpc=",          "--alias=",      "--allow=",
        "--cache-size=", "--no-cache",     "--model=",
    };
    size_t first = o->program == AGENT_WORKER ? 2 : 1;
    if (strcmp(o->argv[0], path) != 0 || (first == 2 && strcmp(o->argv[1], "worker") != 0))
        abort();
    for (size_t i = first; o->argv[i] != NULL; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(flags) && strncmp(o->argv[i], flags[k], strlen(flags[k])) != 0)
            k++;
        if (k == ARRAY_LEN(flags) || strpbrk(o->argv[i], "\n\r") != NULL)
            abort();
    }
    if (o->port < 1024 || o->port > 65535 || o->name[0] == '\0' || strpbrk(o->name, "/ \n") != NULL)
        abort();
    if (o->secret != NULL && (strncmp(o->secret, "LLAMA_API_KEY=", 14) != 0 || strchr(o->secret, '\n') != NULL))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct agent_order o;
    struct machine m;
    char *cause = NULL;
    json_t *request = json_parse_object((const char *)data, size, NULL);
    if (request == NULL)
        return 0;
    machine_init(&m, MACHINE_HERE);
    struct machine_model *only = machine_add_model(&m);
    only->name = xstrdup("m");
    only->path = xstrdup(model);
    if (agent_order_read(&o, request, path, "127.0.0.1", &m, &cause) == 0) {
        check(&o);
        agent_order_finish(&o);
    } else if (cause == NULL) {
        abort();
    }
    free(cause);
    machine_finish(&m);
    json_decref(request);
    return 0;
}
