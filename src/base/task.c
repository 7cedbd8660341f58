#include "base/task.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

struct task {
    pthread_t thread;
    int fd; /* eventfd: the work has ended */
    struct event *ended;
    void (*work)(void *data), (*done)(void *data), (*drop)(void *data);
    void *data;
    atomic_int state;
};

/* The second of thread and loop to change it cleans up. */
enum { STATE_RUNNING, STATE_ENDED, STATE_FORGOTTEN };

static atomic_int n_forgotten; /* work that runs on and that nobody waits for */

static void *run(void *arg)
{
    struct task *t = arg;
    t->work(t->data);
    if (atomic_exchange(&t->state, STATE_ENDED) != STATE_FORGOTTEN) {
        eventfd_write(t->fd, 1);
        return NULL;
    }
    t->drop(t->data);
    close(t->fd);
    free(t);
    atomic_fetch_sub(&n_forgotten, 1);
    return NULL;
}

void task_forget(struct task *t, void (*drop)(void *data))
{
    pthread_t thread = t->thread;
    event_free(t->ended);
    t->drop = drop;
    atomic_fetch_add(&n_forgotten, 1);
    if (atomic_exchange(&t->state, STATE_FORGOTTEN) == STATE_RUNNING) {
        pthread_detach(thread);
        return;
    }
    atomic_fetch_sub(&n_forgotten, 1);
    pthread_join(thread, NULL);
    drop(t->data);
    close(t->fd);
    free(t);
}

int task_leave(int status)
{
    if (atomic_load(&n_forgotten) == 0)
        return status;
    fflush(NULL);
    _exit(status);
}

void task_destroy(struct task *t)
{
    if (t == NULL)
        return;
    pthread_join(t->thread, NULL);
    event_free(t->ended);
    close(t->fd);
    free(t);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct task *t = arg;
    (void)fd;
    (void)what;
    void (*done)(void *) = t->done;
    void *data = t->data;
    task_destroy(t);
    done(data);
}

struct task *task_start(struct event_base *base, void (*work)(void *data), void (*done)(void *data), void *data)
{
    struct task *t = xcalloc(1, sizeof(*t));
    sigset_t all, before;
    *t = (struct task){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .work = work, .done = done, .data = data};
    if (t->fd < 0) { /* no descriptors are left */
        free(t);
        return NULL;
    }
    t->ended = event_new(base, t->fd, EV_READ, on_ended, t);
    event_add(t->ended, NULL);
    /* Signals are the loop's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        return t;
    event_free(t->ended);
    close(t->fd);
    free(t);
    return NULL;
}
