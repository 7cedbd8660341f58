#include "ui/dashboard.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ui/dialog.h"
#include "ui/frame.h"
#include "ui/keys.h"
#include "ui/text.h"
#include "ui/ui.h"

enum {
    FRAME_US = 250000,  /* between two frames that nobody asked for by a key */
    PATIENCE_MS = 300,  /* for the terminal to take the last of it */
    LEAST_BYTES_MS = 1, /* a poll that is due in less than a millisecond */
};

struct dashboard {
    pthread_t thread;
    struct ui ui;
    struct feed_picture next; /* where the feed's newest goes, to be compared with the one shown */
    bool pushed;              /* the last frame is out */
    bool taken;               /* the terminal took everything at the end */
    int64_t frame_us;         /* of the last frame */
};

/* ---- news ---- */

/* Whether anything differs that is shown.  Clocks do not count: an idle cluster costs nothing. */
static bool differs(const struct feed_picture *a, struct feed_picture *b)
{
    struct snapshot *s = &b->snapshot;
    uint64_t tick = s->tick;
    int64_t wall = s->wall_ms, up = s->uptime_ms;
    s->tick = a->snapshot.tick;
    s->wall_ms = a->snapshot.wall_ms;
    s->uptime_ms = a->snapshot.uptime_ms;
    bool differ = a->have != b->have || a->connected != b->connected || strcmp(a->connection, b->connection) != 0 ||
                  a->live.request != b->live.request || a->live.text_seen != b->live.text_seen ||
                  a->live.rounds_seen != b->live.rounds_seen ||
                  memcmp(&a->snapshot, &b->snapshot, sizeof(a->snapshot)) != 0;
    s->tick = tick;
    s->wall_ms = wall;
    s->uptime_ms = up;
    return differ;
}

static bool same_age(int64_t a, int64_t b)
{
    char x[32], y[32];
    return strcmp(text_duration(x, sizeof(x), a), text_duration(y, sizeof(y), b)) == 0;
}

/* Whether a sample that has just been taken looks other than the one before. */
static bool moved(const struct history *h)
{
    float last[2][2];
    history_newest(h, &h->tokens_per_second, last[0], 2);
    history_newest(h, &h->acceptance, last[1], 2);
    return memcmp(&last[0][0], &last[0][1], sizeof(float)) != 0 || memcmp(&last[1][0], &last[1][1], sizeof(float)) != 0;
}

/* Takes the newest picture.  True: a frame is worth it. */
static bool take(struct dashboard *d)
{
    struct ui *ui = &d->ui;
    if (!feed_take(ui->feed, &d->next))
        return false;
    bool news = differs(&ui->picture, &d->next);
    bool older = !same_age(ui->picture.snapshot.uptime_ms, d->next.snapshot.uptime_ms);
    ui->picture = d->next;
    if (ui->picture.have && history_take(&ui->history, &ui->picture.snapshot) && moved(&ui->history))
        news = true;
    keys_picture(ui);
    if (news)
        ui->news_us = clock_us();
    return news || older;
}

/* ---- keys ---- */

static bool read_keys(struct ui *ui)
{
    int key;
    bool any = false;
    while (screen_key(ui->screen, &key)) {
        /* Pasted text may fill a line that is being typed, and is nothing else. */
        if (!screen_pasted(ui->screen) || (ui->dialog != NULL && key != '\n'))
            any |= keys_handle(ui, key);
    }
    return any;
}

static void answers(struct ui *ui)
{
    uint64_t id;
    json_t *reply;
    char *why;
    while (feed_take_answer(ui->feed, &id, &reply, &why))
        keys_answer(ui, id, reply, why);
}

/* ---- the thread ---- */

static int wait_ms(const struct dashboard *d, bool frame_wanted)
{
    int64_t now = clock_us(), at = frame_due(&d->ui);
    if (frame_wanted || at < d->frame_us + FRAME_US)
        at = d->frame_us + FRAME_US;
    if (!d->pushed || (at == INT64_MAX && !frame_wanted))
        return -1;
    if (at <= now)
        return 0;
    return (int)((at - now) / 1000) + LEAST_BYTES_MS;
}

static void show(struct dashboard *d)
{
    struct ui *ui = &d->ui;
    int64_t now = clock_us();
    ui->cursor_row = ui->cursor_col = -1;
    frame_draw(ui, now);
    dialog_draw(ui);
    screen_show(ui->screen, ui->cursor_row, ui->cursor_col);
    d->pushed = !screen_push(ui->screen);
    d->frame_us = now;
}

static void loop(struct dashboard *d)
{
    struct ui *ui = &d->ui;
    bool wanted = false;
    struct pollfd fds[] = {
        {.fd = feed_fd(ui->feed), .events = POLLIN},
        {.fd = screen_resize_fd(ui->screen), .events = POLLIN},
        {.fd = screen_in(ui->screen)},
    };
    take(d);
    ui_redraw(ui);
    while (!feed_closed(ui->feed)) {
        int64_t now = clock_us();
        if (d->pushed && (ui->redraw || ((wanted || frame_due(ui) <= now) && now >= d->frame_us + FRAME_US))) {
            show(d);
            wanted = false;
        }
        fds[2].events = (short)(d->pushed ? POLLIN : POLLIN | POLLOUT);
        bool broken = poll(fds, ARRAY_LEN(fds), wait_ms(d, wanted)) < 0 && errno != EINTR;
        if (broken || (fds[2].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) { /* nobody looks any more */
            feed_quit(ui->feed, false);
            return;
        }
        if (!d->pushed)
            d->pushed = !screen_push(ui->screen);
        if (fds[1].revents != 0 && screen_resized(ui->screen)) {
            screen_size(ui->screen, &ui->rows, &ui->cols);
            ui_redraw(ui);
        }
        if ((fds[2].revents & POLLIN) != 0 && read_keys(ui))
            ui_redraw(ui);
        answers(ui);
        wanted |= take(d);
    }
}

static void *run(void *arg)
{
    struct dashboard *d = arg;
    loop(d);
    keys_finish(&d->ui);
    d->taken = screen_close(d->ui.screen, PATIENCE_MS);
    d->ui.screen = NULL;
    return NULL;
}

struct dashboard *dashboard_start(struct feed *feed, const struct dashboard_opts *opts, char **cause)
{
    struct screen *screen = screen_open(cause);
    sigset_t all, before;
    if (screen == NULL)
        return NULL;
    struct dashboard *d = xcalloc(1, sizeof(*d));
    d->ui = (struct ui){.feed = feed, .screen = screen, .attached = opts->attached, .theme = *screen_theme(screen)};
    screen_size(screen, &d->ui.rows, &d->ui.cols);
    d->pushed = true;
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    sigfillset(&all); /* signals are the loop's; those of a crash restore the terminal first */
    for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
        sigdelset(&all, crashes[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&d->thread, NULL, run, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(d->thread, "dashboard"); /* for top -H and the like */
    if (rc != 0) {
        cause_set(cause, "no thread for the dashboard: %s", strerror(rc));
        screen_close(screen, 0);
        free(d);
        return NULL;
    }
    return d;
}

bool dashboard_join(struct dashboard *d, int timeout_ms, bool *lost)
{
    struct timespec until;
    feed_close(d->ui.feed);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    bool gone = pthread_timedjoin_np(d->thread, NULL, &until) != 0;
    if (lost != NULL)
        *lost = gone;
    if (gone) {
        screen_rescue();
        return false;
    }
    bool taken = d->taken;
    free(d);
    return taken;
}
