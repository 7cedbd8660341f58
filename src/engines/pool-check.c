#include "engines/pool-check.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/child.h"
#include "base/mem.h"
#include "probe/gguf.h"
#include "probe/ollama-store.h"

static void finding(struct pool_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One more thing that is wrong; all are told at once. */
static void finding(struct pool_check *c, const char *fmt, ...)
{
    size_t n = strlen(c->why);
    if (n > 0 && n + 2 < sizeof(c->why))
        n += (size_t)snprintf(c->why + n, sizeof(c->why) - n, "; ");
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->why + n, sizeof(c->why) - n, fmt, ap);
    va_end(ap);
    c->ok = false;
}

/* ---- the port ---- */

/* 0, or an errno value. */
static int try_bind(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0), on = 1, error = 0;
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, 1) != 0)
        error = errno;
    close(fd);
    return error;
}

static void check_port(struct pool_check *c)
{
    const struct config_coordinator *k = &c->cfg->pool.coordinator;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    char port[16];
    snprintf(port, sizeof(port), "%d", (int)k->port);
    int rc = getaddrinfo(k->host, port, &hints, &found);
    if (rc != 0) {
        finding(c, "this machine: coordinator.host %s: %s", k->host, gai_strerror(rc));
        return;
    }
    int error = try_bind(found);
    freeaddrinfo(found);
    if (error == EADDRINUSE)
        finding(c,
                "this machine: port %d of %s is taken by another program: end it (`ss -ltnp sport = :%d` names it), or "
                "choose another coordinator.port",
                (int)k->port, k->host, (int)k->port);
    else if (error == EADDRNOTAVAIL)
        finding(c, "this machine: coordinator.host %s is no address of this machine: 127.0.0.1 is one", k->host);
    else if (error != 0)
        finding(c, "this machine: nothing can listen at %s:%d: %s", k->host, (int)k->port, strerror(error));
}

/* ---- the model ---- */

/* The file of a model, owned by the caller, or NULL and a finding. */
static char *find_file(struct pool_check *c, const struct config_model *m)
{
    static const char ollama[] = "ollama:";
    char *cause = NULL, *path = NULL;
    if (strncmp(m->path, ollama, strlen(ollama)) == 0)
        path = ollama_store_find(m->path + strlen(ollama), &cause);
    else
        path = xstrdup(m->path);
    struct gguf *g = path != NULL ? gguf_open(path, &cause) : NULL;
    if (g == NULL) {
        finding(c, "this machine: model %s: %s", m->name, cause != NULL ? cause : "its file is not a GGUF");
        free(path);
        path = NULL;
    }
    gguf_destroy(g);
    free(cause);
    return path;
}

/* ---- the command lines ---- */

static void push(char ***argv, char *word)
{
    size_t n = 0;
    while (*argv != NULL && (*argv)[n] != NULL)
        n++;
    *argv = xreallocarray(*argv, n + 2, sizeof(**argv));
    (*argv)[n] = word;
    (*argv)[n + 1] = NULL;
}

static void push_pair(char ***argv, const char *option, char *value)
{
    push(argv, xstrdup(option));
    push(argv, value);
}

static char *all_workers(const struct config_pool *k)
{
    char *list = xstrdup("");
    for (size_t i = 0; i < k->n_workers; i++) {
        for (size_t g = 0; g < k->workers[i].n_gpus; g++) {
            char *longer = xasprintf("%s%s%s:%d", list, list[0] != '\0' ? "," : "", k->workers[i].host,
                                     (int)k->workers[i].gpus[g].rpc_port);
            free(list);
            list = longer;
        }
    }
    return list;
}

static void make_argv(struct pool_check *c, const struct config_model *m, struct pool_launch *l)
{
    const struct config_pool *k = &c->cfg->pool;
    push(&l->argv, xstrdup(c->node));
    push_pair(&l->argv, "-m", xstrdup(l->path));
    push_pair(&l->argv, "--host", xstrdup(k->coordinator.host));
    push_pair(&l->argv, "--port", xasprintf("%d", (int)k->coordinator.port));
    push_pair(&l->argv, "--alias", xstrdup(m->name));
    push_pair(&l->argv, "--slots", xasprintf("%d", (int)k->coordinator.slots));
    char *rpc = all_workers(k);
    if (rpc[0] != '\0')
        push_pair(&l->argv, "--rpc", rpc);
    else
        free(rpc);
}

static void make_drafter(struct pool_check *c, const struct config_model *m, struct pool_launch *l)
{
    const struct config_model *d = m->draft != NULL ? config_model_find(c->cfg, m->draft) : NULL;
    if (d == NULL)
        return;
    l->draft_path = find_file(c, d);
    if (l->draft_path == NULL)
        return;
    int port = child_free_port(0);
    l->draft_url = xasprintf("http://127.0.0.1:%d", port);
    push(&l->draft_argv, xstrdup(c->node));
    push_pair(&l->draft_argv, "-m", xstrdup(l->draft_path));
    push_pair(&l->draft_argv, "--port", xasprintf("%d", port));
    push_pair(&l->draft_argv, "--alias", xstrdup(d->name));
    push_pair(&l->draft_argv, "--slots", xasprintf("%d", (int)c->cfg->pool.coordinator.slots));
}

void pool_check_run(struct pool_check *c)
{
    struct pool_launch *l = xcalloc(1, sizeof(*l));
    const struct config_model *m = config_model_find(c->cfg, c->model);
    c->ok = true;
    c->launch = l;
    l->url = config_pool_url(c->cfg);
    l->program = xstrdup("tightwad-node");
    if (c->node == NULL)
        finding(c, "this machine: %s", c->node_cause);
    if (m == NULL) {
        finding(c, "model %s is not configured any more", c->model);
        return;
    }
    l->path = find_file(c, m);
    if (!c->serving)
        check_port(c);
    if (c->ok)
        make_argv(c, m, l);
    if (c->ok)
        make_drafter(c, m, l);
    l->maps_file = c->cfg->pool.n_workers == 0;
}

void pool_check_finish(struct pool_check *c)
{
    config_destroy(c->cfg);
    free(c->model);
    free(c->node);
    free(c->node_cause);
}

static void free_words(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++)
        free(words[i]);
    free(words);
}

void pool_launch_destroy(struct pool_launch *l)
{
    if (l == NULL)
        return;
    free_words(l->argv);
    free_words(l->env);
    free_words(l->draft_argv);
    free_words(l->draft_env);
    char *texts[] = {l->url, l->draft_url, l->program, l->path, l->draft_path};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    free(l);
}
