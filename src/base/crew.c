#include "base/crew.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/held.h"
#include "base/mem.h"

struct entry {
    struct crew_job job;
    struct entry *next;
};

struct list {
    struct entry *first, **last;
};

struct crew {
    pthread_t thread[CREW_MAX];
    size_t n_threads;
    int fd; /* eventfd: jobs have ended */
    struct event *ended_event;
    size_t waiting; /* the loop's alone, as is: */
    uint64_t slowest_us;
    pthread_mutex_t lock;
    pthread_cond_t more;       /* the queue has grown, or it is the end */
    struct list queued, ended; /* under the lock, as is: */
    bool leaving;
};

static void list_init(struct list *l)
{
    *l = (struct list){.last = &l->first};
}

static void list_push(struct list *l, struct entry *e)
{
    e->next = NULL;
    *l->last = e;
    l->last = &e->next;
}

static struct entry *list_pop(struct list *l)
{
    struct entry *e = l->first;
    if (e == NULL)
        return NULL;
    l->first = e->next;
    if (l->first == NULL)
        l->last = &l->first;
    return e;
}

static void *run(void *arg)
{
    struct crew *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (c->queued.first == NULL && !c->leaving)
            pthread_cond_wait(&c->more, &c->lock);
        if (c->leaving)
            break;
        struct entry *e = list_pop(&c->queued);
        pthread_mutex_unlock(&c->lock);
        e->job.work(e->job.data);
        pthread_mutex_lock(&c->lock);
        list_push(&c->ended, e);
        pthread_mutex_unlock(&c->lock);
        eventfd_write(c->fd, 1); /* not under the lock, which the loop that wakes here wants */
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static struct entry *take_ended(struct crew *c)
{
    pthread_mutex_lock(&c->lock);
    struct entry *e = list_pop(&c->ended);
    pthread_mutex_unlock(&c->lock);
    return e;
}

/* Those that end meanwhile have their own turn: they have written to the descriptor again. */
static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct crew *c = arg;
    eventfd_t count = 0;
    (void)what;
    eventfd_read(fd, &count);
    for (; count > 0; count--) {
        struct entry *e = take_ended(c);
        struct crew_job job = e->job;
        free(e);
        c->waiting--;
        struct held held = held_begin();
        job.done(job.data);
        held_end(&held, &c->slowest_us);
    }
}

static size_t processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (size_t)CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more of them than the set can tell of */
    return n > 0 ? (size_t)n : 1;
}

/* As many as are to be had. */
static void start_threads(struct crew *c, size_t n)
{
    sigset_t all, before;
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (c->n_threads < n && pthread_create(&c->thread[c->n_threads], NULL, run, c) == 0)
        c->n_threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct crew *crew_create(struct event_base *base, size_t n_threads)
{
    struct crew *c = xcalloc(1, sizeof(*c));
    size_t n = n_threads > 0 ? n_threads : processors();
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->fd < 0) {
        free(c);
        return NULL;
    }
    list_init(&c->queued);
    list_init(&c->ended);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->more, NULL);
    c->ended_event = event_new(base, c->fd, EV_READ | EV_PERSIST, on_ended, c);
    event_add(c->ended_event, NULL);
    start_threads(c, n < CREW_MAX ? n : CREW_MAX);
    if (c->n_threads > 0)
        return c;
    crew_destroy(c);
    return NULL;
}

static void drop_all(struct list *l)
{
    struct entry *e;
    while ((e = list_pop(l)) != NULL) {
        if (e->job.drop != NULL)
            e->job.drop(e->job.data);
        free(e);
    }
}

void crew_destroy(struct crew *c)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->leaving = true;
    pthread_cond_broadcast(&c->more);
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < c->n_threads; i++)
        pthread_join(c->thread[i], NULL);
    event_free(c->ended_event);
    drop_all(&c->ended);
    drop_all(&c->queued);
    pthread_cond_destroy(&c->more);
    pthread_mutex_destroy(&c->lock);
    close(c->fd);
    free(c);
}

void crew_add(struct crew *c, const struct crew_job *job)
{
    struct entry *e = xmalloc(sizeof(*e));
    *e = (struct entry){.job = *job};
    c->waiting++;
    pthread_mutex_lock(&c->lock);
    list_push(&c->queued, e);
    pthread_mutex_unlock(&c->lock);
    pthread_cond_signal(&c->more);
}

size_t crew_threads(const struct crew *c)
{
    return c->n_threads;
}

size_t crew_waiting(const struct crew *c)
{
    return c->waiting;
}

uint64_t crew_slowest_us(const struct crew *c)
{
    return c->slowest_us;
}
