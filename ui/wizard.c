/* The wizard on its terminal: the loop, the signals, the screen. */
#include "ui/wizard.h"

#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/httpc.h"
#include "ui/screen.h"
#include "ui/view.h"
#include "ui/wizard-internal.h"

enum {
    PATIENCE_MS = 1000, /* for a terminal that does not read, at the end */
    DRAW_MS = 30,       /* news that come faster than this are drawn together */
};

static const int ending_signals[] = {SIGTERM, SIGHUP, SIGINT};

struct run {
    struct wizard w;
    struct event_base *base;
    struct httpc *http;
    struct screen *screen;
    struct event *in, *out, *resized, *late, *signal[ARRAY_LEN(ending_signals)];
    int signal_number;
};

static void push(struct run *r)
{
    if (screen_push(r->screen))
        event_add(r->out, NULL);
}

/* Draws what has changed, unless the terminal has not taken the last picture: then when it has. */
static void draw(struct run *r)
{
    int rows, cols, row, col;
    if (!r->w.dirty || event_pending(r->out, EV_WRITE, NULL))
        return;
    r->w.dirty = false;
    screen_size(r->screen, &rows, &cols);
    struct view v = {.theme = screen_theme(r->screen), .rows = rows, .cols = cols};
    wizard_draw(&r->w, &v, &row, &col);
    screen_show(r->screen, row, col);
    push(r);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    draw(arg);
}

/* After every event: what it changed is shown soon, and an end ends the loop. */
static void settle(struct run *r, bool at_once)
{
    if (r->w.ended)
        event_base_loopbreak(r->base);
    else if (at_once)
        draw(r);
}

static void on_key(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;
    int key;
    (void)fd;
    (void)what;
    while (!r->w.ended && screen_key(r->screen, &key)) {
        if (!screen_pasted(r->screen) || wizard_takes_pasted(&r->w, key))
            wizard_press(&r->w, key);
    }
    if (!r->w.ended && screen_lost(r->screen))
        wizard_leave(&r->w, WIZARD_ENDED);
    settle(r, true);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;
    (void)fd;
    (void)what;
    push(r);
    draw(r);
}

static void on_resize(evutil_socket_t fd, short what, void *arg)
{
    struct run *r = arg;
    (void)fd;
    (void)what;
    if (screen_resized(r->screen)) {
        r->w.dirty = true;
        draw(r);
    }
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct run *r = arg;
    (void)what;
    r->signal_number = (int)number;
    wizard_leave(&r->w, WIZARD_ENDED);
    settle(r, false);
}

static struct event *watch(struct run *r, int fd, short what, event_callback_fn fn)
{
    struct event *ev = event_new(r->base, fd, what | EV_PERSIST, fn, r);
    event_add(ev, NULL);
    return ev;
}

static void start(struct run *r, const struct wizard_opts *opts)
{
    r->http = httpc_create(r->base);
    for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++)
        r->signal[i] = watch(r, ending_signals[i], EV_SIGNAL, on_signal);
    r->in = watch(r, screen_in(r->screen), EV_READ, on_key);
    r->resized = watch(r, screen_resize_fd(r->screen), EV_READ, on_resize);
    r->out = event_new(r->base, screen_out(r->screen), EV_WRITE, on_writable, r);
    r->late = event_new(r->base, -1, EV_PERSIST, on_late, r);
    event_add(r->late, &(struct timeval){0, DRAW_MS * 1000});
    wizard_init(&r->w, opts, r->base, r->http);
    wizard_go(&r->w, STEP_LOOK);
    draw(r);
}

static void finish(struct run *r)
{
    struct event *events[] = {r->in, r->out, r->resized, r->late, r->signal[0], r->signal[1], r->signal[2]};
    wizard_finish(&r->w);
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        event_free(events[i]);
    httpc_destroy(r->http);
    screen_close(r->screen, PATIENCE_MS);
    event_base_free(r->base);
}

int wizard_run(const struct wizard_opts *opts, enum wizard_end *end, int *signal_number, char **cause)
{
    struct run r = {.screen = screen_open(cause)};
    if (r.screen == NULL)
        return -1;
    r.base = event_base_new();
    log_set_stderr(false);
    start(&r, opts);
    event_base_dispatch(r.base);
    *end = r.w.end;
    *signal_number = r.signal_number;
    finish(&r);
    log_set_stderr(true);
    return 0;
}
