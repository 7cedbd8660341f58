/* Child processes that end with this one. */
#ifndef TIGHTWAD_BASE_CHILD_H
#define TIGHTWAD_BASE_CHILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child {
    pid_t pid;        /* 0: none */
    const char *name; /* for messages; borrowed */
    bool well;        /* once child_ended: it ended by itself, with 0 */
};

/* Starts argv[0] with argv (found in $PATH when it has no slash); it gets SIGTERM when this process dies, however that
 * happens.  env: "NAME=VALUE" to set or "NAME" to unset, NULL-terminated, or NULL.  out, err: where its stdout and
 * stderr go, -1: nowhere.  0, or -1 and a cause. */
int child_start(struct child *c, const char *name, const char *const *argv, const char *const *env, int out, int err,
                char **cause);
/* SIGTERM, and SIGKILL after grace_ms; reaped in any case. */
void child_stop(struct child *c, int grace_ms);
/* Whether it has ended by itself (it is reaped then); how, in words owned by the caller. */
bool child_ended(struct child *c, char **how);

/* How a short command went. */
enum child_fate {
    CHILD_ENDED,    /* with .status */
    CHILD_KILLED,   /* a signal ended it */
    CHILD_TOO_LATE, /* it did not end in time, or *stop was set, and was killed */
    CHILD_TOO_LONG, /* it wrote more than was asked for, and was killed */
    CHILD_FAILED,   /* it could not be started */
};

struct child_result {
    enum child_fate fate;
    int status;      /* what it ended with; 127 also where the program is not there */
    char *out, *err; /* what it wrote to stdout and stderr, as much as there was room for; never NULL, owned */
};

struct child_limits {
    int timeout_ms;
    size_t max;              /* bytes of stdout; of stderr the first 4 KiB are kept */
    const atomic_bool *stop; /* looked at some times a second; may be NULL */
};

/* Runs a command to its end, in the C locale, with the programs that it has started itself if it has to be killed.  One
 * that even a kill does not end (it hangs in a driver) is left behind.  Blocks; any thread. */
void child_run(const char *const *argv, const struct child_limits *limits, struct child_result *r);
void child_result_finish(struct child_result *r);

/* The stdout of a short command, at most max bytes, or NULL when it can't be run, fails, or takes longer than
 * timeout_ms.  Owned by the caller. */
char *child_output(const char *const *argv, int timeout_ms, size_t max);

/* A TCP port of 127.0.0.1 that is free now; wanted when that one is (0: any).  -1: none. */
int child_free_port(int wanted);

#endif
