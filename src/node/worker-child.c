#include "node/worker-child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ggml-backend.h>
#include <ggml-rpc.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"
#include "node/llama-log.h"
#include "node/model.h"
#include "node/worker-accept.h"

enum { DEVICES_MAX = 64, LIST_MAX = 4096 };

typedef void start_server_fn(const char *endpoint, const char *cache_dir, size_t n_threads, size_t n_devices,
                             ggml_backend_dev_t *devices);

struct devices {
    ggml_backend_dev_t list[DEVICES_MAX];
    size_t n;
};

static void say(int channel, enum worker_word kind, const char *text)
{
    char *packet = xasprintf("%c%.*s", (char)kind, WORKER_WORD_MAX - 2, text);
    (void)!send(channel, packet, strlen(packet), MSG_NOSIGNAL);
    free(packet);
}

/* Devices of other machines can't be lent on, and accelerators of the CPU (BLAS) hold no tensors. */
static bool can_lend(ggml_backend_dev_t dev)
{
    ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(dev);
    return ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_ACCEL &&
           (reg == NULL || strcmp(ggml_backend_reg_name(reg), "RPC") != 0);
}

static bool is_cpu(ggml_backend_dev_t dev)
{
    return ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU;
}

static void add_kind(struct devices *d, bool cpu)
{
    for (size_t i = 0; i < ggml_backend_dev_count() && d->n < DEVICES_MAX; i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        if (can_lend(dev) && is_cpu(dev) == cpu)
            d->list[d->n++] = dev;
    }
}

static int unknown_device(const char *name, char **cause)
{
    struct buf names;
    buf_init(&names, LIST_MAX);
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        if (can_lend(ggml_backend_dev_get(i)))
            (void)buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", ggml_backend_dev_name(ggml_backend_dev_get(i)));
    }
    cause_set(cause, "--device %s: there is no such device here; there %s %s", name,
              strchr(names.data, ',') != NULL ? "are" : "is", names.len > 0 ? names.data : "none");
    buf_finish(&names);
    return -1;
}

static int find_devices(struct devices *d, const char *names, char **cause)
{
    if (names == NULL) {
        add_kind(d, false);
        if (d->n == 0)
            add_kind(d, true);
        return d->n > 0 ? 0 : cause_set(cause, "llama.cpp finds no device here, not even the CPU");
    }
    char *copy = xstrdup(names), *rest = copy, *name;
    int rc = 0;
    while (rc == 0 && (name = strsep(&rest, ",")) != NULL) {
        ggml_backend_dev_t dev = ggml_backend_dev_by_name(name);
        if (dev == NULL || !can_lend(dev))
            rc = unknown_device(name, cause);
        else if (d->n == DEVICES_MAX)
            rc = cause_set(cause, "--device: more than %d devices", DEVICES_MAX);
        else
            d->list[d->n++] = dev;
        for (size_t i = 0; rc == 0 && i + 1 < d->n; i++) {
            if (d->list[i] == dev)
                rc = cause_set(cause, "--device: %s is named twice", name);
        }
    }
    free(copy);
    return rc;
}

static const char *type_name(ggml_backend_dev_t dev)
{
    switch (ggml_backend_dev_type(dev)) {
    case GGML_BACKEND_DEVICE_TYPE_CPU:
        return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
        return "igpu";
    default:
        return "gpu";
    }
}

static char *describe(const struct devices *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->n; i++) {
        size_t unused = 0, total = 0;
        const char *description = ggml_backend_dev_description(d->list[i]);
        ggml_backend_dev_memory(d->list[i], &unused, &total);
        json_t *description_json = json_string(description);
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:s, s:I, s:I}", "name", ggml_backend_dev_name(d->list[i]), "description",
                            description_json != NULL ? description_json : json_string("unknown"), "type",
                            type_name(d->list[i]), "total", (json_int_t)total, "free", (json_int_t)unused));
    }
    char *protocol = xasprintf("%d.%d.%d", RPC_PROTO_MAJOR_VERSION, RPC_PROTO_MINOR_VERSION, RPC_PROTO_PATCH_VERSION);
    json_t *all = json_pack("{s:s, s:o}", "protocol", protocol, "devices", list);
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    free(protocol);
    return text;
}

static start_server_fn *find_server(char **cause)
{
    ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
    start_server_fn *start =
        rpc == NULL ? NULL : (start_server_fn *)ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_start_server");
    if (start == NULL)
        cause_set(cause, "this llama.cpp has no RPC back end (install libggml0-backend-rpc)");
    return start;
}

void worker_child_run(const struct worker_child_options *o, int channel)
{
    struct devices d = {0};
    char *cause = NULL;
    /* A crash of ggml would start a debugger to print where it was. */
    setenv("GGML_NO_BACKTRACE", "1", 0);
    node_model_init();
    start_server_fn *start = find_server(&cause);
    if (start == NULL || find_devices(&d, o->devices, &cause) != 0) {
        say(channel, WORKER_FAILED, cause);
        _exit(1);
    }
    char *text = describe(&d);
    say(channel, WORKER_DEVICES, text);
    free(text);
    worker_accept_from(channel);
    start("127.0.0.1:0", o->cache, o->threads, d.n, d.list);
    char *error = llama_log_take_error();
    say(channel, WORKER_FAILED, error != NULL ? error : "llama.cpp's RPC server ended and does not say why");
    _exit(1);
}
