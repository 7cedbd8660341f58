#include "cmd/hash-line.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cmd/bar.h"
#include "cmd/show-machine.h"

static double seconds_of(const struct hash_line *l)
{
    return (double)(clock_us() - l->since_us) / 1e6;
}

static void draw(evutil_socket_t fd, short what, void *arg)
{
    struct hash_line *l = arg;
    uint64_t done = 0, total = 0;
    char bar[32], left[BAR_WORD];
    (void)fd;
    (void)what;
    l->fn(l->arg, &done, &total);
    if (total == 0)
        return;
    double share = (double)done / (double)total, rate = (double)done / seconds_of(l);
    bar_draw(bar, sizeof(bar), share, 24);
    bar_time(left, rate > 0 ? (double)(total - done) / rate : NAN);
    char *speed = show_bytes((int64_t)rate), *shown = utf8_printable(l->what, strlen(l->what));
    fprintf(stderr, "\r%.40s %s %3.0f %%  %s/s  %s\033[K", shown, bar, 100 * share, speed, left);
    fflush(stderr);
    free(speed);
    free(shown);
}

void hash_line_start(struct hash_line *l, struct event_base *base, const char *what, hash_line_fn *fn, void *arg)
{
    *l = (struct hash_line){.fn = fn, .arg = arg, .what = what, .since_us = clock_us()};
    if (!isatty(STDERR_FILENO))
        return;
    l->tick = event_new(base, -1, EV_PERSIST, draw, l);
    event_add(l->tick, &(struct timeval){.tv_usec = 100000});
}

double hash_line_end(struct hash_line *l)
{
    if (l->tick != NULL) {
        draw(-1, 0, l);
        event_free(l->tick);
        l->tick = NULL;
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
    }
    return seconds_of(l);
}
