/* tightwad bench swarm: a model fetched from peers by the swarm, by aria2c and by rsync, on the same links. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/bench-swarm.h"
#include "cmd/cmd.h"

extern const struct cmd cmd_bench_swarm;

static const struct cmd_option options[] = {
    {0, "json", NULL, "one JSON object on stdout instead of words"},
    {0, "link", "MS[,MBIT]", "put an emulated link before each peer: one-way delay, rate"},
    {0, "only", "ROWS", "these rows alone, with commas between: swarm,aria2c,rsync"},
    {0, "peers", "N", "how many peers have the whole model (3)"},
    {'r', "runs", "N", "how often every row is measured, all rows in turn (3)"},
    {'s', "size", "MIB", "size of the file that is made where no model is named, in MiB (512)"},
    {0},
};

static int choose_rows(struct swarm_bench *b, const char *given, char **cause)
{
    char *copy = xstrdup(given), *rest = copy, *name;
    int rc = 0;
    for (int i = 0; i < BENCH_SWARM_ROWS; i++)
        b->wanted[i] = given == NULL;
    while (rc == 0 && (name = strsep(&rest, ",")) != NULL) {
        int i = 0;
        while (i < BENCH_SWARM_ROWS && strcmp(name, swarm_bench_name((enum swarm_bench_row)i)) != 0)
            i++;
        if (i < BENCH_SWARM_ROWS)
            b->wanted[i] = true;
        else
            rc = cause_set(cause, "--only: there is no row \"%s\": swarm, aria2c and rsync are", name);
    }
    free(copy);
    return rc;
}

static int prepare(struct swarm_bench *b, const struct cmd_args *args, char **cause)
{
    int64_t peers = 3, runs = 3, size = 512;
    if (drawer_link_parse(&b->link, "link", cmd_args_get(args, "link"), cause) != 0 ||
        cmd_args_int(args, "peers", 1, SWARM_BENCH_PEERS, &peers, cause) != 0 ||
        cmd_args_int(args, "runs", 1, SWARM_BENCH_RUNS, &runs, cause) != 0 ||
        cmd_args_int(args, "size", 1, 1 << 20, &size, cause) != 0 ||
        choose_rows(b, cmd_args_get(args, "only"), cause) != 0)
        return -1;
    b->n_peers = (size_t)peers;
    b->runs = (size_t)runs;
    b->size = (uint64_t)size << 20;
    b->model = args->n_words > 0 ? args->words[0] : NULL;
    return 0;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct swarm_bench *b = xcalloc(1, sizeof(*b));
    char *cause = NULL;
    int rc = CMD_OK;
    (void)env;
    if (prepare(b, args, &cause) != 0) {
        rc = cmd_usage_error("bench swarm: %s", cause);
        free(cause);
        free(b);
        return rc;
    }
    if (swarm_bench_measure(b, &cause) != 0) {
        rc = cmd_fail_cause(cause);
    } else if (cmd_args_has(args, "json")) {
        json_t *o = swarm_bench_json(b);
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(o);
    } else {
        swarm_bench_print(b, stdout);
    }
    for (int i = 0; i < BENCH_SWARM_ROWS; i++)
        rc = b->result[i].failure != NULL ? CMD_FAILED : rc;
    swarm_bench_finish(b);
    free(b);
    return rc;
}

const struct cmd cmd_bench_swarm = {
    .name = "swarm",
    .usage = "[MODEL.gguf] [--peers N] [--link MS[,MBIT]] [options]",
    .summary = "measure a pull from several peers against aria2c and rsync, on the same file and links",
    .help = "Starts peers on this machine that all have the model (without a name: one of random bytes is made) and\n"
            "fetches it from all of them, with `tightwad swarm pull`, with aria2c over the same peers' HTTP, and with\n"
            "rsync from a daemon, where these are installed.  All check what they get.  Files go below $TMPDIR; on a\n"
            "tmpfs no disk is measured.  Ends with 0 if every file that was fetched is the one that was given out.\n\n"
            "  tightwad bench swarm --size 2048\n"
            "  tightwad bench swarm --peers 1 --link 2,400",
    .options = options,
    .max_words = 1,
    .run = run,
};
