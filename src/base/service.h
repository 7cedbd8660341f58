/* A child process under watch of the loop: its end is told at once, its output goes line by line to a file that is
 * turned over when it is full, and its last lines are kept for messages.  Nothing here waits. */
#ifndef TIGHTWAD_BASE_SERVICE_H
#define TIGHTWAD_BASE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>

struct service;

struct service_opts {
    const char *name;        /* for messages and the log; copied */
    const char *const *argv; /* NULL-terminated; argv[0] is looked for in $PATH when it has no slash */
    const char *const *env;  /* "NAME=VALUE" to set or "NAME" to unset, NULL-terminated, or NULL */
    const char *log;         /* file that its stdout and stderr are added to; NULL: none.  Copied */
    int64_t log_max;         /* bytes, then FILE becomes FILE.1 and a new one is begun; 0: no limit */
    /* It has ended, all that it wrote has been read, and it is reaped; how, in words.  The last call; the service is
     * destroyed later than in it. */
    void (*on_exit)(void *arg, const char *how);
    /* A line of its output, without the newline.  May be NULL; the service must not be destroyed in it. */
    void (*on_line)(void *arg, const char *line);
    void *arg;
};

/* It gets SIGTERM when this process dies, however that happens.  One loop of a process only may have services
 * (SIGCHLD). NULL and a cause. */
struct service *service_start(struct event_base *base, const struct service_opts *opts, char **cause);
/* SIGTERM, and SIGKILL if it has not ended after grace_ms (0: SIGKILL at once); on_exit tells of the end. */
void service_stop(struct service *s, int grace_ms);
/* SIGTERM, waited for for grace_ms, then SIGKILL, without on_exit: for the end of the program, when the loop turns no
 * more.  NULL is fine. */
void service_end(struct service *s, int grace_ms);
/* Ends it at once if it still runs, without on_exit.  NULL is fine. */
void service_destroy(struct service *s);

pid_t service_pid(const struct service *s); /* 0 once it has ended */
/* The newest line that tells of an error; where none does the last one, if any is set, else "".  Holds until the next
 * line. */
const char *service_last_words(struct service *s, bool any);

#endif
