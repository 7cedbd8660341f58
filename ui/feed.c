#include "ui/feed.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

struct order {
    uint64_t id;
    json_t *request;
};

struct answer {
    uint64_t id;
    json_t *reply;
    char *why;
    struct answer *next;
};

struct feed {
    struct feed_hooks hooks;
    struct event *wake; /* the loop's: orders wait, or the end is wanted */
    int to_loop, to_ui; /* eventfds */

    pthread_mutex_t lock; /* everything below; held for copies only */
    struct feed_picture picture;
    bool fresh; /* nobody has taken it */
    struct order order[FEED_ORDERS];
    size_t n_orders;
    uint64_t last_id;
    struct answer *answers, **last_answer;
    bool quits, told_quit, stops, closed;
};

static void ring(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof(one)) < 0)
        return; /* full: whoever reads it is awake already */
}

static void silence(int fd)
{
    uint64_t n;
    if (read(fd, &n, sizeof(n)) < 0)
        return; /* nothing was there */
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct feed *f = arg;
    struct order order[FEED_ORDERS];
    (void)what;
    silence(fd);
    pthread_mutex_lock(&f->lock);
    size_t n = f->n_orders;
    memcpy(order, f->order, n * sizeof(*order));
    f->n_orders = 0;
    bool quits = f->quits && !f->told_quit, stops = f->stops;
    f->told_quit |= quits;
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < n; i++)
        f->hooks.order(f->hooks.arg, order[i].id, order[i].request);
    if (quits)
        f->hooks.quit(f->hooks.arg, stops);
}

struct feed *feed_create(struct event_base *base, const struct feed_hooks *hooks)
{
    struct feed *f = xcalloc(1, sizeof(*f));
    f->hooks = *hooks;
    f->to_loop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->to_ui = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&f->lock, NULL);
    f->last_answer = &f->answers;
    f->wake = event_new(base, f->to_loop, EV_READ | EV_PERSIST, on_wake, f);
    event_add(f->wake, NULL);
    return f;
}

static struct answer *pop_answer(struct feed *f)
{
    struct answer *a = f->answers;
    if (a == NULL)
        return NULL;
    f->answers = a->next;
    if (f->answers == NULL)
        f->last_answer = &f->answers;
    return a;
}

void feed_destroy(struct feed *f)
{
    if (f == NULL)
        return;
    for (struct answer *a; (a = pop_answer(f)) != NULL; free(a)) {
        json_decref(a->reply);
        free(a->why);
    }
    for (size_t i = 0; i < f->n_orders; i++)
        json_decref(f->order[i].request);
    event_free(f->wake);
    close(f->to_loop);
    close(f->to_ui);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void feed_publish(struct feed *f, const struct snapshot *s, const struct live *live)
{
    pthread_mutex_lock(&f->lock);
    f->picture.snapshot = *s;
    if (live != NULL)
        f->picture.live = *live;
    f->picture.have = true;
    f->picture.taken_us = clock_us();
    f->fresh = true;
    pthread_mutex_unlock(&f->lock);
    ring(f->to_ui);
}

void feed_connection(struct feed *f, bool connected, const char *text)
{
    pthread_mutex_lock(&f->lock);
    f->picture.connected = connected;
    snprintf(f->picture.connection, sizeof(f->picture.connection), "%s", text);
    f->fresh = true;
    pthread_mutex_unlock(&f->lock);
    ring(f->to_ui);
}

void feed_answer(struct feed *f, uint64_t id, json_t *reply, const char *why)
{
    struct answer *a = xcalloc(1, sizeof(*a));
    *a = (struct answer){.id = id, .reply = reply, .why = reply == NULL ? xstrdup(why) : NULL};
    pthread_mutex_lock(&f->lock);
    *f->last_answer = a;
    f->last_answer = &a->next;
    pthread_mutex_unlock(&f->lock);
    ring(f->to_ui);
}

void feed_close(struct feed *f)
{
    pthread_mutex_lock(&f->lock);
    f->closed = true;
    pthread_mutex_unlock(&f->lock);
    ring(f->to_ui);
}

int feed_fd(const struct feed *f)
{
    return f->to_ui;
}

bool feed_take(struct feed *f, struct feed_picture *p)
{
    silence(f->to_ui);
    pthread_mutex_lock(&f->lock);
    bool fresh = f->fresh;
    if (fresh)
        *p = f->picture;
    f->fresh = false;
    pthread_mutex_unlock(&f->lock);
    return fresh;
}

bool feed_take_answer(struct feed *f, uint64_t *id, json_t **reply, char **why)
{
    pthread_mutex_lock(&f->lock);
    struct answer *a = pop_answer(f);
    pthread_mutex_unlock(&f->lock);
    if (a == NULL)
        return false;
    *id = a->id;
    *reply = a->reply;
    *why = a->why;
    free(a);
    return true;
}

uint64_t feed_order(struct feed *f, json_t *request)
{
    uint64_t id = 0;
    pthread_mutex_lock(&f->lock);
    if (f->n_orders < FEED_ORDERS) {
        id = ++f->last_id;
        f->order[f->n_orders++] = (struct order){.id = id, .request = request};
    }
    pthread_mutex_unlock(&f->lock);
    if (id == 0)
        json_decref(request);
    else
        ring(f->to_loop);
    return id;
}

void feed_quit(struct feed *f, bool stop)
{
    pthread_mutex_lock(&f->lock);
    f->quits = true;
    f->stops = stop;
    pthread_mutex_unlock(&f->lock);
    ring(f->to_loop);
}

bool feed_closed(struct feed *f)
{
    pthread_mutex_lock(&f->lock);
    bool closed = f->closed;
    pthread_mutex_unlock(&f->lock);
    return closed;
}
