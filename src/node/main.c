/* tightwad-node: one model, served.  Listening starts before the load, so that whoever waits can see that it loads; the
 * load runs on a thread of its own. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <llama.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/core.h"
#include "node/llama-log.h"
#include "node/options.h"
#include "node/progress.h"
#include "node/rpc-probe.h"
#include "node/server.h"
#include "probe/ollama-store.h"

enum {
    RPC_PROBE_MS = 3000,
    STOP_S = 10, /* a pass that hangs (a stopped RPC worker) must not keep the process */
};

struct run {
    struct options opts;
    struct event_base *base;
    struct server *server;
    char *path; /* of the model file */
    char *address;
    struct progress progress;
    /* between the loader and the loop */
    pthread_t loader;
    bool loading;
    atomic_bool stop;
    atomic_int permille;
    int wake; /* eventfd: the loader has ended */
    struct node_core *core;
    char *cause;
    int status; /* of the process */
};

/* libgomp reads its environment when it is loaded, before main: spinning threads ruin shared machines, so the program
 * starts itself once more with the setting it wants. */
static void settle_environment(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") != NULL)
        return;
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv("/proc/self/exe", argv);
    log_warn("could not start again with OMP_WAIT_POLICY=passive: idle threads will spin");
}
