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

/* first: what goes before the words of the command line, or NULL. */
static int become_node(const struct cmd_args *args, const char *first)
{
    char *cause = NULL;
    char *path = self_node(&cause);
    if (path == NULL)
        return cmd_fail_cause(cause);
    size_t n = 0;
    const char **argv = xcalloc(args->n_words + 3, sizeof(*argv));
    argv[n++] = "tightwad-node";
    if (first != NULL)
        argv[n++] = first;
    for (size_t i = 0; i < args->n_words; i++)
        argv[n++] = args->words[i];
    execv(path, (char *const *)argv);
    int rc = cmd_fail("%s cannot be started: %s", path, strerror(errno));
    free(argv);
    free(path);
    return rc;
}

static int run_node(struct cmd_env *env, const struct cmd_args *args)
{
    (void)env;
    return become_node(args, NULL);
}

static int run_worker(struct cmd_env *env, const struct cmd_args *args)
{
    (void)env;
    return become_node(args, "worker");
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
    .usage = "[--listen HOST:PORT] [--allow NETWORK,…] [options]",
    .summary = "lend this machine's GPUs or CPU to a model on another one",
    .raw = true,
    .run = run_worker,
};
