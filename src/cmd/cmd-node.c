/* tightwad node, tightwad worker: the inference side is a program of its own, started in this one's place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/self.h"

extern const struct cmd cmd_node;
extern const struct cmd cmd_worker;

static int run_node(struct cmd_env *env, const struct cmd_args *args)
{
    (void)env;
    char *cause = NULL;
    char *path = self_node(&cause);
    if (path == NULL)
        return cmd_fail_cause(cause);
    const char **argv = xcalloc(args->n_words + 2, sizeof(*argv));
    argv[0] = "tightwad-node";
    for (size_t i = 0; i < args->n_words; i++)
        argv[i + 1] = args->words[i];
    execv(path, (char *const *)argv);
    int rc = cmd_fail("%s cannot be started: %s", path, strerror(errno));
    free(argv);
    free(path);
    return rc;
}

static int run_worker(struct cmd_env *env, const struct cmd_args *args)
{
    (void)env;
    (void)args;
    cmd_fail("`worker` comes with the pool, which this release does not have yet.  To lend this machine's memory to a "
             "model on another one today, start a stock ggml rpc-server here and name it there: "
             "tightwad node -m MODEL.gguf --rpc HOST:PORT");
    return CMD_USAGE;
}

const struct cmd cmd_node = {
    .name = "node",
    .usage = "-m MODEL.gguf [--listen HOST:PORT] [options]",
    .summary = "serve one model to tightwad: it drafts, verifies and generates",
    .raw = true,
    .run = run_node,
};

const struct cmd cmd_worker = {
    .name = "worker",
    .usage = "",
    .summary = "lend this machine's memory to a pool",
    .raw = true,
    .hidden = true,
    .run = run_worker,
};
