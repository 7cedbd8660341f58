/* Graphics cards by their vendors' tools.  One tool is one const struct gpu_probe_ops in a file of its own, listed in
 * the sorted table of gpu.c; its parsers are pure, so that recorded outputs test them. */
#ifndef TIGHTWAD_PROBE_GPU_H
#define TIGHTWAD_PROBE_GPU_H

#include <stdatomic.h>
#include <stddef.h>

#include "probe/machine.h"

enum {
    GPU_COMMANDS = 3,             /* commands of one tool */
    GPU_ARGUMENTS = 14,           /* of one command, the program's name included */
    GPU_CARDS = 64,               /* that are taken from one tool */
    GPU_OUTPUT_MAX = 1024 * 1024, /* bytes; more is not an answer of such a tool */
};

enum gpu_when {
    GPU_ALWAYS,
    GPU_INSTEAD, /* only when none before it has told anything: a shorter question to an older release */
};

/* Adds what out (the command's stdout) tells to the GPUs of m from element first on, cards in the tool's own order;
 * those that an earlier command has added are filled up.  Pure.  0, or -1 and a cause when it tells of no card, what it
 * said instead in one line; notes for what is odd. */
typedef int gpu_parse(struct machine *m, size_t first, const char *out, char **cause);

struct gpu_command {
    const char *argv[GPU_ARGUMENTS]; /* argv[0]: the tool's name */
    gpu_parse *parse;
    enum gpu_when when;
};

struct gpu_probe_ops {
    const char *name; /* of the program */
    enum gpu_vendor vendor;
    const char *const *folders; /* where it lies beside $PATH, ends with NULL */
    struct gpu_command command[GPU_COMMANDS];
};

extern const struct gpu_probe_ops *const gpu_probes[]; /* sorted by name, NULL at the end */

enum gpu_ran {
    GPU_RAN,       /* it ended well */
    GPU_RAN_BADLY, /* it ended badly; what it wrote may be of use all the same */
    GPU_RAN_NOT,   /* it is not there, does not start or does not end: asking it more is of no use */
};

/* Runs a command: *out (owned by the caller, NULL for GPU_RAN_NOT) gets its stdout; a cause says what is wrong in all
 * cases but GPU_RAN. */
typedef enum gpu_ran gpu_run(const struct gpu_probe_ops *ops, const struct gpu_command *command, char **out,
                             char **cause, void *arg);

/* All tools of one vendor in turn until one tells of a card.  What they could not tell becomes notes. */
void gpu_probe_vendor(struct machine *m, enum gpu_vendor vendor, gpu_run *run, void *arg);

/* Element first + i of the GPUs, made if need be (and those before it); NULL when i is out of bounds. */
struct machine_gpu *gpu_at(struct machine *m, size_t first, int64_t i, enum gpu_vendor vendor);

/* The place on the bus, as "0000:01:00.0" however many digits the tool gives. */
void gpu_set_bus(struct machine_gpu *g, const char *text);

/* A number and nothing else, of a plausible size (0 <= v <= max), else NAN; "[N/A]", "[Not Supported]", "ERR!" are
 * none. */
double gpu_number(const char *s, double max);

/* What a tool's words mean: ours with what would help where they are known, else the first line of them that says
 * anything.  Owned by the caller. */
char *gpu_complaint(const char *text);
/* -1, and that as the cause. */
int gpu_unreadable(const char *text, char **cause);

/* The first JSON value in text, which may have warnings before it and behind it; NULL: none.  New reference. */
json_t *gpu_json(const char *text);

#endif
