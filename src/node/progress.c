#include "node/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    BAR_CELLS = 30,
    LINE_STEP = 10,         /* percent between two log lines */
    LINE_PAUSE_US = 500000, /* a quick load needs no ten lines */
};

void progress_init(struct progress *p, bool log_is_json)
{
    *p = (struct progress){.bar = isatty(STDERR_FILENO) && !log_is_json, .percent = -1};
}

static void draw_bar(struct progress *p, int percent)
{
    char cells[BAR_CELLS + 1];
    int full = percent * BAR_CELLS / 100;
    memset(cells, '#', (size_t)full);
    memset(cells + full, '.', (size_t)(BAR_CELLS - full));
    cells[BAR_CELLS] = '\0';
    fprintf(stderr, "\r\033[K[%s] %3d %%  %s", cells, percent, p->what);
    fflush(stderr);
    p->drawn = true;
}

void progress_show(struct progress *p, const char *what, double fraction)
{
    int percent = fraction <= 0 ? 0 : fraction >= 1 ? 100 : (int)(fraction * 100);
    if (strncmp(p->what, what, sizeof(p->what) - 1) != 0) {
        snprintf(p->what, sizeof(p->what), "%s", what);
        p->percent = -1;
    }
    if (p->bar) {
        if (percent != p->percent)
            draw_bar(p, percent);
        p->percent = percent;
        return;
    }
    int64_t now = clock_us();
    bool due = percent >= p->percent + LINE_STEP && now - p->shown_us >= LINE_PAUSE_US;
    if (p->percent < 0 || due || (percent == 100 && p->percent != 100)) {
        log_info("%s: %d %%", p->what, percent);
        p->percent = percent;
        p->shown_us = now;
    }
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
