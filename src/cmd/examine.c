#include "cmd/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/child.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/self.h"

enum {
    LIMIT_S = 180, /* of a verb: a doctor with many servers that do not answer */
    BYTES_MAX = 1 << 20,
    REAP_MS = 20,
    REAP_TRIES = 50,
};

struct waiter {
    struct command_call *call;
    struct waiter *next;
};

/* One verb that runs. */
struct run {
    struct examine *owner;
    struct run *next;
    struct child child;
    char *verb;
    int fd; /* what it prints */
    struct buf text;
    struct event *readable, *late, *reap;
    int tries;
    struct waiter *waiters; /* NULL: they have been told */
};

struct examine {
    struct event_base *base;
    char *config;
    struct run *runs;
};

static void run_destroy(struct run *r)
{
    struct run **at = &r->owner->runs;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    child_stop(&r->child, 0);
    struct event *events[] = {r->readable, r->late, r->reap};
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        event_free(events[i]);
    close(r->fd);
    buf_finish(&r->text);
    free(r->verb);
    free(r);
}

static void tell(struct run *r, const json_t *o, const char *why)
{
    struct waiter *w = r->waiters, *next;
    r->waiters = NULL; /* whoever asks from now on begins anew */
    for (; w != NULL; w = next) {
        next = w->next;
        command_end(w->call, o != NULL ? json_deep_copy(o) : NULL, why);
        free(w);
    }
}

static void add_waiter(struct run *r, struct command_call *call)
{
    struct waiter *w = xcalloc(1, sizeof(*w));
    *w = (struct waiter){call, r->waiters};
    r->waiters = w;
}

/* Tells how it went; the child is let go in a moment. */
static void end(struct run *r, const char *trouble)
{
    char *cause = NULL;
    json_t *o = NULL;
    if (trouble != NULL)
        cause_set(&cause, "%s", trouble);
    else
        o = json_parse_object(r->text.data, r->text.len, &cause);
    if (cause != NULL)
        cause_prefix(&cause, "`tightwad %s`", r->verb);
    tell(r, o, cause);
    json_decref(o);
    free(cause);
    event_del(r->readable);
    event_del(r->late);
    event_add(r->reap, &(struct timeval){0, REAP_MS * 1000});
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;
    char part[4096];
    ssize_t n = read(fd, part, sizeof(part));
    (void)what;
    if (n > 0 && !buf_add(&r->text, part, (size_t)n))
        end(r, "it prints too much");
    else if (n == 0)
        end(r, r->text.len == 0 ? "it ended without an answer" : NULL);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        end(r, strerror(errno));
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    end(arg, "it gave no answer in time");
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;
    char *how = NULL;
    (void)fd;
    (void)what;
    if (child_ended(&r->child, &how) || ++r->tries == REAP_TRIES)
        run_destroy(r); /* one that does not end by itself is killed there */
    else
        event_add(r->reap, &(struct timeval){0, REAP_MS * 1000});
    free(how);
}

struct examine *examine_create(struct event_base *base, const char *config)
{
    struct examine *e = xcalloc(1, sizeof(*e));
    e->base = base;
    e->config = xstrdup(config);
    return e;
}

void examine_destroy(struct examine *e)
{
    if (e == NULL)
        return;
    while (e->runs != NULL) {
        tell(e->runs, NULL, "the instance ends");
        run_destroy(e->runs);
    }
    free(e->config);
    free(e);
}

static int start_child(struct run *r, const char *config, char **cause)
{
    char *self = self_program();
    int fds[2], failed = -1;
    if (self == NULL)
        return cause_set(cause, "this program can't find itself (/proc is missing)");
    const char *argv[] = {self, r->verb, "--json", NULL, NULL, NULL};
    if (config != NULL) {
        argv[3] = "-c";
        argv[4] = config;
    }
    if (pipe2(fds, O_CLOEXEC) != 0) {
        cause_set(cause, "no pipe: %s", strerror(errno));
    } else {
        failed = child_start(&r->child, r->verb, argv, NULL, fds[1], -1, cause);
        close(fds[1]);
        r->fd = fds[0];
        if (failed != 0)
            close(fds[0]);
    }
    free(self);
    return failed;
}

int examine_start(struct examine *e, const char *verb, struct command_call *call, char **cause)
{
    for (struct run *r = e->runs; r != NULL; r = r->next) {
        if (r->waiters != NULL && strcmp(r->verb, verb) == 0) {
            add_waiter(r, call);
            return 0;
        }
    }
    struct run *r = xcalloc(1, sizeof(*r));
    *r = (struct run){.owner = e, .next = e->runs, .verb = xstrdup(verb)};
    if (start_child(r, e->config, cause) != 0) {
        free(r->verb);
        free(r);
        return -1;
    }
    fcntl(r->fd, F_SETFL, O_NONBLOCK);
    buf_init(&r->text, BYTES_MAX);
    r->readable = event_new(e->base, r->fd, EV_READ | EV_PERSIST, on_readable, r);
    r->late = evtimer_new(e->base, on_late, r);
    r->reap = evtimer_new(e->base, on_reap, r);
    event_add(r->readable, NULL);
    event_add(r->late, &(struct timeval){LIMIT_S, 0});
    e->runs = r;
    add_waiter(r, call);
    return 0;
}
