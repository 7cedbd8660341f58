#include "cmd/bench-stack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"

extern char **environ;

enum {
    LOOK_MS = 5,        /* how often a log is looked at */
    ASK_MS = 20,        /* and an address asked */
    GRACE_MS = 5000,    /* for a program to end by itself */
    LINE_BYTES = 65536, /* of a log that are searched for its line */
    TAIL_BYTES = 1500,
};

void stack_arg(struct stack_argv *a, const char *fmt, ...)
{
    va_list ap;
    if (a->n == STACK_ARGS)
        abort();
    va_start(ap, fmt);
    a->list[a->n++] = xvasprintf(fmt, ap);
    va_end(ap);
}

void stack_argv_finish(struct stack_argv *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->list[i]);
    *a = (struct stack_argv){0};
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct stack *s = arg;
    s->stop = true;
    s->client.interrupted = true;
    event_base_loopbreak(s->client.base);
}

static void make_env(struct stack *s)
{
    size_t n = 0;
    for (char **e = environ; *e != NULL; e++)
        n++;
    s->env = xcalloc(n + 1, sizeof(*s->env));
    n = 0;
    for (char **e = environ; *e != NULL; e++) {
        if (strncmp(*e, "TIGHTWAD_", 9) == 0)
            s->env[n++] = xstrndup(*e, strcspn(*e, "="));
    }
    stack_set_env(s, "OMP_WAIT_POLICY=passive");
    /* A llama-server that keeps old prompts fetches them from the workers, which takes seconds over a slow link. */
    stack_set_env(s, "LLAMA_ARG_CACHE_RAM=0");
}

void stack_set_env(struct stack *s, const char *setting)
{
    size_t n = 0;
    for (; s->env[n] != NULL; n++) {
        if (strcmp(s->env[n], setting) == 0)
            return;
    }
    s->env = xreallocarray(s->env, n + 2, sizeof(*s->env));
    s->env[n] = xstrdup(setting);
    s->env[n + 1] = NULL;
}

int stack_init(struct stack *s, char **cause)
{
    static const int signals[STACK_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    *s = (struct stack){0};
    client_init(&s->client, NULL, "");
    for (size_t i = 0; i < STACK_SIGNALS; i++) {
        s->signals[i] = evsignal_new(s->client.base, signals[i], on_signal, s);
        event_add(s->signals[i], NULL);
    }
    make_env(s);
    const char *tmp = getenv("TMPDIR");
    s->dir = xasprintf("%s/tightwad-XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
    if (mkdtemp(s->dir) == NULL) {
        cause_set(cause, "%s cannot be made: %s", s->dir, strerror(errno));
        free(s->dir);
        s->dir = NULL;
        return -1;
    }
    return 0;
}

static void remove_dir(const char *path)
{
    DIR *d = opendir(path);
    if (d == NULL)
        return;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || unlinkat(dirfd(d), e->d_name, 0) == 0)
            continue;
        char *below = xasprintf("%s/%s", path, e->d_name);
        remove_dir(below); /* what is no folder stays, and so does this one */
        free(below);
    }
    closedir(d);
    rmdir(path);
}

void stack_finish(struct stack *s)
{
    while (s->programs != NULL)
        stack_end(s, s->programs);
    for (size_t i = 0; i < STACK_SIGNALS; i++) {
        if (s->signals[i] != NULL)
            event_free(s->signals[i]);
    }
    for (size_t i = 0; s->env != NULL && s->env[i] != NULL; i++)
        free((char *)s->env[i]);
    free(s->env);
    if (s->dir != NULL)
        remove_dir(s->dir);
    free(s->dir);
    client_finish(&s->client);
}

static int launch(struct stack *s, struct stack_program *p, int flags, char **cause)
{
    int fd = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0600);
    if (fd < 0)
        return cause_set(cause, "%s cannot be written: %s", p->log, strerror(errno));
    int rc = child_start(&p->child, p->name, (const char *const *)p->argv.list, s->env, fd, fd, cause);
    close(fd);
    return rc;
}

struct stack_program *stack_start(struct stack *s, const char *name, struct stack_argv *argv, char **cause)
{
    static unsigned count;
    struct stack_program *p = xcalloc(1, sizeof(*p));
    *p = (struct stack_program){.name = xstrdup(name), .argv = *argv, .grace_ms = GRACE_MS, .next = s->programs};
    *argv = (struct stack_argv){0};
    p->log = xasprintf("%s/%u.log", s->dir, count++);
    s->programs = p;
    if (launch(s, p, O_TRUNC, cause) != 0) {
        stack_end(s, p);
        return NULL;
    }
    return p;
}

int stack_restart(struct stack *s, struct stack_program *p, char **cause)
{
    return launch(s, p, 0, cause);
}

void stack_end(struct stack *s, struct stack_program *p)
{
    if (p == NULL)
        return;
    struct stack_program **at = &s->programs;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    child_stop(&p->child, p->grace_ms);
    unlink(p->log);
    stack_argv_finish(&p->argv);
    free(p->name);
    free(p->log);
    free(p->address);
    free(p);
}

/* At most max bytes of the log, the first or the last ones. */
static char *read_log(const struct stack_program *p, size_t max, bool end)
{
    char *text = xcalloc(max + 1, 1);
    FILE *f = fopen(p->log, "re");
    if (f == NULL)
        return text;
    if (end && fseek(f, -(long)max, SEEK_END) != 0)
        rewind(f);
    text[fread(text, 1, max, f)] = '\0';
    fclose(f);
    return text;
}

char *stack_tail(const struct stack_program *p)
{
    return read_log(p, TAIL_BYTES, true);
}

void stack_nap(struct stack *s, int ms)
{
    event_base_loopexit(s->client.base, &(struct timeval){ms / 1000, ms % 1000 * 1000});
    event_base_loop(s->client.base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static int fail(struct stack_program *p, const char *how, char **cause)
{
    char *tail = stack_tail(p);
    cause_set(cause, "%s%s%s", how, tail[0] != '\0' ? "; it printed:\n" : "", tail);
    free(tail);
    return -1;
}

/* Whether waiting for p is over with a failure. */
static int look(struct stack *s, struct stack_program *p, int64_t until, char **cause)
{
    char *how = NULL;
    int rc = 0;
    if (s->stop)
        return cause_set(cause, "interrupted");
    if (child_ended(&p->child, &how)) {
        rc = fail(p, how, cause);
    } else if (clock_us() > until) {
        how = xasprintf("%s is not ready in time", p->name);
        rc = fail(p, how, cause);
    }
    free(how);
    return rc;
}

/* HOST:PORT behind the words that a program says it with, when its line is complete.  Owned by the caller; NULL: not
 * there yet. */
static char *address_of(const char *text)
{
    static const char *const words[] = {"listening on ", "Lending at "};
    static const char scheme[] = "http://";
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        const char *at = strstr(text, words[i]);
        if (at == NULL)
            continue;
        at += strlen(words[i]);
        if (strncmp(at, scheme, strlen(scheme)) == 0)
            at += strlen(scheme);
        size_t len = strcspn(at, " ,;\n");
        return at[len] == '\0' ? NULL : xstrndup(at, len);
    }
    return NULL;
}

int stack_wait_line(struct stack *s, struct stack_program *p, int timeout_ms, char **cause)
{
    int64_t until = clock_us() + (int64_t)timeout_ms * 1000;
    while (p->address == NULL) {
        char *text = read_log(p, LINE_BYTES, false);
        p->address = address_of(text);
        free(text);
        if (p->address != NULL)
            break;
        if (look(s, p, until, cause) != 0)
            return -1;
        stack_nap(s, LOOK_MS);
    }
    for (size_t i = 0; i < p->argv.n; i++) {
        if (strcmp(p->argv.list[i], "127.0.0.1:0") == 0) {
            free(p->argv.list[i]);
            p->argv.list[i] = xstrdup(p->address);
        }
    }
    return 0;
}

int stack_wait_http(struct stack *s, struct stack_program *p, const char *path, bool (*ready)(const json_t *),
                    int timeout_ms, char **cause)
{
    int64_t until = clock_us() + (int64_t)timeout_ms * 1000;
    char *base = xasprintf("http://%s", p->address), *url = s->client.url;
    int rc = 1;
    s->client.url = base;
    while (rc > 0) {
        int status = 0;
        json_t *reply = NULL;
        if (client_ask(&s->client, path, NULL, 5000, &status, &reply, NULL) == 0 && status == 200 &&
            (ready == NULL || ready(reply)))
            rc = 0;
        json_decref(reply);
        if (rc != 0)
            rc = look(s, p, until, cause) != 0 ? -1 : 1;
        if (rc > 0)
            stack_nap(s, ASK_MS);
    }
    s->client.url = url;
    free(base);
    return rc;
}

char *stack_write(struct stack *s, const char *name, const char *text, char **cause)
{
    char *path = xasprintf("%s/%s", s->dir, name);
    FILE *f = fopen(path, "we");
    bool failed = f == NULL || fputs(text, f) < 0;
    if (f != NULL && fclose(f) != 0)
        failed = true;
    if (!failed)
        return path;
    cause_set(cause, "%s cannot be written: %s", path, strerror(errno));
    free(path);
    return NULL;
}
