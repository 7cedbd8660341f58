#include "probe/resolve.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

/* What thread and loop share; the last of the two frees it. */
struct lookup {
    char *host; /* NULL: the name of address is wanted */
    char port[16];
    struct sockaddr_storage address;
    socklen_t len;
    char name[NI_MAXHOST]; /* "": it has none */
    int flags;
    int done; /* end of a pipe that is closed when the answer is there */
    struct addrinfo *list;
    int error;
    atomic_int users;
};

struct resolve {
    struct lookup *lookup;
    struct event *ready;
    int done;
    resolve_cb *cb;
    resolve_name_cb *name_cb;
    void *arg;
};

static void lookup_release(struct lookup *l)
{
    if (atomic_fetch_sub(&l->users, 1) > 1)
        return;
    if (l->list != NULL)
        freeaddrinfo(l->list);
    free(l->host);
    free(l);
}

static void look_up(struct lookup *l)
{
    if (l->host == NULL) {
        if (getnameinfo((const struct sockaddr *)&l->address, l->len, l->name, sizeof(l->name), NULL, 0, NI_NAMEREQD) !=
            0)
            l->name[0] = '\0';
        return;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = l->flags};
    l->error = getaddrinfo(l->host, l->port, &hints, &l->list);
    if (l->error != 0)
        l->list = NULL;
}

static void *lookup_thread(void *arg)
{
    struct lookup *l = arg;
    int done = l->done;
    look_up(l);
    lookup_release(l);
    close(done);
    return NULL;
}

static void resolve_free(struct resolve *r)
{
    if (r->ready != NULL)
        event_free(r->ready);
    if (r->done >= 0)
        close(r->done);
    lookup_release(r->lookup);
    free(r);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct resolve *r = arg;
    resolve_cb *cb = r->cb;
    void *cb_arg = r->arg;
    struct addrinfo *list = r->lookup->list;
    int error = r->lookup->error;
    (void)fd;
    (void)what;
    r->lookup->list = NULL;
    resolve_free(r);
    cb(list, error, cb_arg);
}

static void on_name_ready(evutil_socket_t fd, short what, void *arg)
{
    struct resolve *r = arg;
    resolve_name_cb *cb = r->name_cb;
    void *cb_arg = r->arg;
    char name[NI_MAXHOST];
    (void)fd;
    (void)what;
    memcpy(name, r->lookup->name, sizeof(name));
    resolve_free(r);
    cb(name[0] != '\0' ? name : NULL, cb_arg);
}

/* Hands the work to a thread, whose end closes the pipe. */
static int start_thread(struct resolve *r, struct event_base *base)
{
    struct lookup *l = r->lookup;
    pthread_attr_t attr;
    pthread_t thread;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    r->done = ends[0];
    l->done = ends[1];
    atomic_fetch_add(&l->users, 1);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &attr, lookup_thread, l);
    pthread_attr_destroy(&attr);
    if (error != 0) {
        close(ends[1]);
        atomic_fetch_sub(&l->users, 1);
        return -1;
    }
    r->ready = event_new(base, r->done, EV_READ, l->host != NULL ? on_ready : on_name_ready, r);
    event_add(r->ready, NULL);
    return 0;
}

struct resolve *resolve_start(struct event_base *base, const char *host, int port, resolve_cb *cb, void *arg)
{
    struct resolve *r = xcalloc(1, sizeof(*r));
    struct lookup *l = xcalloc(1, sizeof(*l));
    r->lookup = l;
    r->done = -1;
    r->cb = cb;
    r->arg = arg;
    l->host = xstrdup(host);
    snprintf(l->port, sizeof(l->port), "%d", port);
    atomic_init(&l->users, 1);
    l->flags = AI_NUMERICHOST | AI_NUMERICSERV;
    look_up(l);
    l->flags = AI_ADDRCONFIG | AI_NUMERICSERV;
    if (l->error != 0 && start_thread(r, base) != 0)
        l->error = EAI_AGAIN;
    if (r->ready == NULL) {
        r->ready = event_new(base, -1, 0, on_ready, r);
        event_active(r->ready, EV_TIMEOUT, 0);
    }
    return r;
}

struct resolve *resolve_name_start(struct event_base *base, const struct sockaddr *address, socklen_t len,
                                   resolve_name_cb *cb, void *arg)
{
    struct resolve *r = xcalloc(1, sizeof(*r));
    struct lookup *l = xcalloc(1, sizeof(*l));
    r->lookup = l;
    r->done = -1;
    r->name_cb = cb;
    r->arg = arg;
    memcpy(&l->address, address, len);
    l->len = len;
    atomic_init(&l->users, 1);
    if (start_thread(r, base) != 0) {
        r->ready = event_new(base, -1, 0, on_name_ready, r);
        event_active(r->ready, EV_TIMEOUT, 0);
    }
    return r;
}

void resolve_cancel(struct resolve *r)
{
    if (r != NULL)
        resolve_free(r);
}
