/* Programs that `bench pool` and `demo` start for themselves: each with a log of its own in a private folder, awaited
 * by what it prints or answers, and ended with this program, newest first. */
#ifndef TIGHTWAD_CMD_BENCH_STACK_H
#define TIGHTWAD_CMD_BENCH_STACK_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>
#include <jansson.h>

#include "base/child.h"
#include "cmd/client.h"

enum { STACK_SIGNALS = 3, STACK_ARGS = 128 };

/* A command line that is being put together. */
struct stack_argv {
    char *list[STACK_ARGS + 1]; /* owned, NULL-terminated */
    size_t n;
};
void stack_arg(struct stack_argv *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void stack_argv_finish(struct stack_argv *a);

struct stack_program {
    struct child child;
    char *name; /* "the target", for messages */
    struct stack_argv argv;
    char *log;     /* the file with its stdout and stderr */
    char *address; /* HOST:PORT where it listens; NULL: not known (yet) */
    int grace_ms;  /* that it is given to end by itself */
    struct stack_program *next;
};

struct stack {
    struct client client; /* asks them; its loop is where waiting is done */
    struct event *signals[STACK_SIGNALS];
    bool stop; /* SIGINT, SIGTERM or SIGHUP: whatever waits ends with the cause "interrupted" */
    char *dir; /* mode 0700, removed at the end with what is in it */
    const char **env;
    struct stack_program *programs; /* newest first */
};

/* 0, or -1 and a cause.  Finish it in both cases. */
int stack_init(struct stack *s, char **cause);
void stack_finish(struct stack *s);

/* Starts a program; argv is taken over in every case.  They do not get this user's TIGHTWAD_* variables, and threads
 * that wait do not spin.  NULL and a cause. */
struct stack_program *stack_start(struct stack *s, const char *name, struct stack_argv *argv, char **cause);
/* "NAME=VALUE" for all that are started from now on. */
void stack_set_env(struct stack *s, const char *setting);
/* The same program once more, at the same address, after it has ended. */
int stack_restart(struct stack *s, struct stack_program *p, char **cause);
void stack_end(struct stack *s, struct stack_program *p); /* stops it and forgets it; NULL is fine */

/* Until it has printed "listening on ADDRESS" (a worker: "Lending at"), which is then its address.  An argument
 * 127.0.0.1:0 is replaced by it, for a restart.  -1 and a cause that ends with what it printed. */
int stack_wait_line(struct stack *s, struct stack_program *p, int timeout_ms, char **cause);
/* Until GET path at its address answers 200, and ready (may be NULL) says so of the body. */
int stack_wait_http(struct stack *s, struct stack_program *p, const char *path, bool (*ready)(const json_t *),
                    int timeout_ms, char **cause);

/* Turns the loop for a moment, so that signals and streams are served. */
void stack_nap(struct stack *s, int ms);
/* A file in the folder; the path is owned by the caller, NULL and a cause when it can't be written. */
char *stack_write(struct stack *s, const char *name, const char *text, char **cause);
/* The last lines that a program printed; owned by the caller. */
char *stack_tail(const struct stack_program *p);

#endif
