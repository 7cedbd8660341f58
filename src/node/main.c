/* tightwad-node: one model, served.  Listening starts before the load, so that whoever waits can see that it loads; the
 * load runs on a thread of its own. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <ggml-backend.h>
#include <llama.h>

#include "base/cause.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/core.h"
#include "node/llama-log.h"
#include "node/options.h"
#include "node/preflight.h"
#include "node/progress.h"
#include "node/rpc-probe.h"
#include "node/server.h"
#include "node/worker.h"
#include "probe/ollama-store.h"

enum {
    RPC_PROBE_MS = 3000,
    STOP_S = 10, /* a pass that hangs (a stopped RPC worker) must not keep the process */
};

struct run {
    struct options opts;
    struct event_base *base;
    struct server *server;
    char *path;    /* of the model file */
    char *address; /* http://host:port */
    int status;    /* of the process */
    /* between the loader and the loop */
    pthread_t loader;
    bool joined;
    struct progress progress;
    atomic_bool stop;
    atomic_int permille;
    int wake; /* eventfd: the load has got on, or has ended */
    atomic_bool loaded;
    struct node_core *core;
    char *cause;
};

/* libgomp reads its environment when it is loaded, before main.  Spinning threads ruin shared machines, so the program
 * starts itself once more with the setting it wants. */
static void settle_environment(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") != NULL)
        return;
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv("/proc/self/exe", argv);
    log_warn("could not start again with OMP_WAIT_POLICY=passive: idle threads will spin");
}

static bool on_progress(double fraction, void *arg)
{
    struct run *run = arg;
    const char *slash = strrchr(run->path, '/');
    char *what = xasprintf("loading %s", slash != NULL ? slash + 1 : run->path);
    progress_show(&run->progress, what, fraction);
    free(what);
    atomic_store(&run->permille, (int)(fraction * 1000));
    eventfd_write(run->wake, 1);
    return !atomic_load(&run->stop);
}

static void core_options(const struct run *run, struct node_core_options *o)
{
    const struct options *opts = &run->opts;
    node_core_options_init(o);
    o->model = (struct node_model_options){.path = run->path,
                                           .device = opts->device,
                                           .rpc = opts->rpc,
                                           .tensor_split = opts->tensor_split,
                                           .n_gpu_layers = (int32_t)opts->n_gpu_layers,
                                           .mmap = opts->mmap,
                                           .mlock = opts->mlock};
    o->ctx = (int32_t)opts->ctx;
    o->slots = (int32_t)opts->slots;
    o->threads = (int32_t)opts->threads;
    o->threads_batch = (int32_t)opts->threads_batch;
    o->batch = (int32_t)opts->batch;
    o->ubatch = (int32_t)opts->ubatch;
    o->draft_rate = (double)opts->draft_rate;
    o->noise = opts->noise != NULL ? strtod(opts->noise, NULL) : NAN;
    o->flash = opts->flash == OPTIONS_FLASH_ON     ? NODE_FLASH_ON
               : opts->flash == OPTIONS_FLASH_AUTO ? NODE_FLASH_AUTO
                                                   : NODE_FLASH_OFF;
}

static void *load(void *arg)
{
    struct run *run = arg;
    struct node_core_options o;
    core_options(run, &o);
    if (run->opts.rpc == NULL || rpc_probe(run->opts.rpc, RPC_PROBE_MS, &run->cause) == 0)
        run->core = node_core_load(&o, on_progress, run, &run->cause);
    if (run->core != NULL)
        on_progress(1, run);
    progress_end(&run->progress);
    atomic_store(&run->loaded, true);
    eventfd_write(run->wake, 1);
    return NULL;
}

static const char *exactness(const struct node_core_info *i, char *text, size_t size)
{
    if (i->batch_invariant)
        return "byte for byte";
    snprintf(text, size, "up to near-ties (noise %.2g)", i->noise);
    return text;
}

static void on_loaded(struct run *run)
{
    char text[64];
    pthread_join(run->loader, NULL);
    run->joined = true;
    if (run->core == NULL) {
        if (!atomic_load(&run->stop))
            log_error("%s: %s", run->path, run->cause != NULL ? run->cause : "the load failed");
        run->status = atomic_load(&run->stop) ? 0 : 1;
        event_base_loopbreak(run->base);
        return;
    }
    node_core_start(run->core, run->base);
    server_set_core(run->server, run->core);
    const struct node_core_info *i = node_core_info(run->core);
    log_info("ready: %s serves %s, %d slot%s of %d tokens, %d thread%s, exact %s", run->address, run->server->model,
             i->slots, i->slots == 1 ? "" : "s", i->n_ctx, i->threads, i->threads == 1 ? "" : "s",
             exactness(i, text, sizeof(text)));
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct run *run = arg;
    eventfd_t n;
    eventfd_read((int)fd, &n);
    server_set_progress(run->server, atomic_load(&run->permille) / 1000.0);
    if (atomic_load(&run->loaded) && !run->joined)
        on_loaded(run);
}

/* The load is asked to end and ends the loop itself; a pass that hangs is ended by the alarm. */
static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct run *run = arg;
    if (atomic_exchange(&run->stop, true))
        _exit(1);
    log_info("stopping");
    alarm(STOP_S);
    if (run->joined)
        event_base_loopbreak(run->base);
}

/* Whether anything but this machine's CPU may hold the model. */
static bool have_accelerator(const struct options *o)
{
    if (o->rpc != NULL)
        return true;
    if (o->device != NULL && strcmp(o->device, "none") == 0)
        return false;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        enum ggml_backend_dev_type type = ggml_backend_dev_type(ggml_backend_dev_get(i));
        if (type != GGML_BACKEND_DEVICE_TYPE_CPU && type != GGML_BACKEND_DEVICE_TYPE_ACCEL)
            return true;
    }
    return false;
}

/* The file that is meant, and whether it can be loaded.  0, or -1 and a cause. */
static int find_model(struct run *run, char **cause)
{
    static const char ollama[] = "ollama:";
    const struct options *o = &run->opts;
    if (strncmp(o->model, ollama, strlen(ollama)) == 0)
        run->path = ollama_store_find(o->model + strlen(ollama), cause);
    else
        run->path = xstrdup(o->model);
    if (run->path == NULL)
        return -1;
    struct preflight p = {
        .path = run->path, .ctx = o->ctx, .slots = o->slots, .mmap = o->mmap, .elsewhere = have_accelerator(o)};
    return preflight_check(&p, cause);
}

static int start(struct run *run, char **cause)
{
    const struct options *opts = &run->opts;
    struct server_opts server = {
        .host = opts->host, .port = (int)opts->port, .api_key = opts->api_key, .alias = opts->alias, .rpc = opts->rpc};
    int port;
    if (find_model(run, cause) != 0)
        return -1;
    run->server = server_create(run->base, &server, &port, cause);
    if (run->server == NULL)
        return -1;
    bool v6 = strchr(opts->host, ':') != NULL;
    run->address = xasprintf("http://%s%s%s:%d", v6 ? "[" : "", opts->host, v6 ? "]" : "", port);
    log_info("listening on %s, loading %s", run->address, run->path);
    int error = pthread_create(&run->loader, NULL, load, run);
    if (error != 0)
        return cause_set(cause, "no thread to load with: %s", strerror(error));
    return 0;
}

static int serve(struct run *run)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct event *events[ARRAY_LEN(signals)], *wake;
    char *cause = NULL;
    run->base = event_base_new();
    run->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    progress_init(&run->progress, run->opts.log_json);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        events[i] = evsignal_new(run->base, signals[i], on_signal, run);
        event_add(events[i], NULL);
    }
    wake = event_new(run->base, run->wake, EV_READ | EV_PERSIST, on_wake, run);
    event_add(wake, NULL);
    if (start(run, &cause) == 0) {
        event_base_dispatch(run->base);
    } else {
        log_error("%s", cause != NULL ? cause : "could not start");
        run->status = 1;
    }
    server_destroy(run->server);
    node_core_destroy(run->core);
    event_free(wake);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        event_free(events[i]);
    event_base_free(run->base);
    close(run->wake);
    free(cause);
    free(run->cause);
    free(run->path);
    free(run->address);
    return run->status;
}

static int list_devices(const struct options *o)
{
    char *cause = NULL;
    node_model_init();
    int rc = o->rpc != NULL ? rpc_probe(o->rpc, RPC_PROBE_MS, &cause) : 0;
    if (rc == 0)
        rc = node_model_list_devices(stdout, o->rpc, &cause);
    if (rc != 0)
        log_error("%s", cause != NULL ? cause : "no devices");
    free(cause);
    return rc == 0 ? 0 : 1;
}

static int usage_error(char *cause)
{
    fprintf(stderr, "tightwad-node: %s\n", cause);
    free(cause);
    return 2;
}

int main(int argc, char **argv)
{
    struct run run = {0};
    char *cause = NULL;
    int status = 0;
    descriptors_complete();
    log_set_program("tightwad-node");
    settle_environment(argv);
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return worker_main(argc - 2, argv + 2);
    if (options_parse(&run.opts, argc - 1, argv + 1, &cause) != 0) {
        options_finish(&run.opts);
        return usage_error(cause);
    }
    log_set_level(run.opts.log_level);
    log_set_json(run.opts.log_json);
    signal(SIGPIPE, SIG_IGN);
    llama_log_install();
    if (run.opts.help) {
        options_print_help(stdout);
    } else if (run.opts.version) {
        printf("tightwad-node %s, llama.cpp %s\n", TIGHTWAD_VERSION, llama_version());
    } else if (run.opts.list_devices) {
        status = list_devices(&run.opts);
    } else if (run.opts.model == NULL) {
        status =
            usage_error(xstrdup("which model? Name one with --model MODEL.gguf or ollama:NAME (--help shows more)"));
    } else {
        node_model_init();
        status = serve(&run);
    }
    options_finish(&run.opts);
    return status;
}
