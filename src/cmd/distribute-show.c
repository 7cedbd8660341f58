#include "cmd/distribute-show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/bar.h"
#include "cmd/show-machine.h"

enum { DRAW_US = 200 * 1000, BAR_COLUMNS = 26, NAME_COLUMNS = 20 };

void distribute_show_init(struct distribute_show *s, const struct distribute *d, bool json)
{
    *s = (struct distribute_show){.d = d, .json = json, .live = !json && isatty(STDERR_FILENO)};
    for (size_t i = 0; i < DISTRIBUTE_TARGETS; i++)
        s->told[i].tenths = -1;
}

static double share(const struct distribute_target *t)
{
    if (t->state == DISTRIBUTE_COMPLETE)
        return 1;
    return t->size > 0 && t->have <= t->size ? t->have / t->size : NAN;
}

static const char *word(const struct distribute_target *t)
{
    switch (t->state) {
    case DISTRIBUTE_ASKED:
        return "asked";
    case DISTRIBUTE_READY:
        return "ready";
    case DISTRIBUTE_PULLS:
        return t->word;
    case DISTRIBUTE_COMPLETE:
        return "complete";
    case DISTRIBUTE_FAILED:
        return "failed";
    }
    return "";
}

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

/* -1: unknown, or what no agent of ours says. */
static int64_t whole(double v)
{
    return v >= 0 && v < 9e18 ? (int64_t)v : -1;
}

static json_t *bytes(double v)
{
    return whole(v) >= 0 ? json_integer(whole(v)) : json_null();
}

static json_t *to_json(const struct distribute_target *t)
{
    return json_pack("{s:s, s:s, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "to", t->name, "host", t->host,
                     "state", word(t), "why", t->why, "size", bytes(t->size), "have", bytes(t->have), "fetched",
                     bytes(t->fetched), "copied", bytes(t->copied), "down", number(t->down), "eta", number(t->eta),
                     "peers", t->peers >= 0 ? json_integer(t->peers) : json_null(), "seconds", number(t->seconds));
}

static void print_json(json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(o);
}

/* ---- lines ---- */

/* One line of a machine, at most so many columns wide (characters are counted as one each). */
static char *line_of(const struct distribute_target *t, int columns)
{
    char bar[BAR_COLUMNS + 2], eta[BAR_WORD], *text;
    double part = share(t);
    char *down = show_bytes(whole(t->down));
    bar_draw(bar, sizeof(bar), part, BAR_COLUMNS);
    bar_time(eta, t->eta);
    if (t->state == DISTRIBUTE_PULLS && isfinite(part))
        text = xasprintf("%-*.*s %s %3.0f %%  %s/s  %s left%s%s", NAME_COLUMNS, NAME_COLUMNS, t->name, bar, part * 100,
                         down, eta, t->why != NULL ? "  " : "", t->why != NULL ? t->why : "");
    else
        text = xasprintf("%-*.*s %s%s%s", NAME_COLUMNS, NAME_COLUMNS, t->name, word(t), t->why != NULL ? ": " : "",
                         t->why != NULL ? t->why : "");
    free(down);
    char *clean = utf8_printable(text, strlen(text)), *at = clean;
    for (int n = 0; *at != '\0'; at++) {
        bool begins = ((unsigned char)*at & 0xc0) != 0x80;
        if (begins && ++n >= columns)
            break;
    }
    *at = '\0';
    free(text);
    return clean;
}

static void clear(struct distribute_show *s)
{
    if (s->drawn > 0)
        fprintf(stderr, "\r\033[%zuA\033[J", s->drawn);
    s->drawn = 0;
}

static void draw(struct distribute_show *s)
{
    struct winsize size = {0};
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    size_t rows = size.ws_row > 2 ? size.ws_row - 2u : 20;
    clear(s);
    for (size_t i = 0; i < s->d->n && s->drawn < rows; i++, s->drawn++) {
        char *line = line_of(&s->d->target[i], columns);
        fprintf(stderr, "%s\n", line);
        free(line);
    }
    fflush(stderr);
}

/* A line when the state changes, and at each tenth of the way. */
static void add_lines(struct distribute_show *s)
{
    for (size_t i = 0; i < s->d->n; i++) {
        const struct distribute_target *t = &s->d->target[i];
        int tenths = isfinite(share(t)) ? (int)(share(t) * 10) : -1;
        bool news = s->told[i].state != t->state || strcmp(s->told[i].word, t->word) != 0;
        if (!news && tenths <= s->told[i].tenths)
            continue;
        s->told[i].state = t->state;
        s->told[i].tenths = tenths;
        snprintf(s->told[i].word, sizeof(s->told[i].word), "%s", t->word);
        char *line = line_of(t, 200);
        fprintf(stderr, "%s\n", line);
        free(line);
    }
}

void distribute_show_progress(void *arg)
{
    struct distribute_show *s = arg;
    int64_t now = clock_us();
    if (!s->live && !s->json) {
        add_lines(s);
        return;
    }
    if (now < s->next_us)
        return;
    s->next_us = now + (s->json ? 1000 * 1000 : DRAW_US);
    if (s->live)
        draw(s);
    for (size_t i = 0; s->json && i < s->d->n; i++) {
        json_t *o = to_json(&s->d->target[i]);
        json_object_set_new(o, "event", json_string("progress"));
        print_json(o);
    }
}

/* ---- the end ---- */

static void print_row(const struct distribute_target *t)
{
    char took[BAR_WORD];
    bool complete = t->state == DISTRIBUTE_COMPLETE;
    char *fetched = show_bytes(whole(t->fetched));
    char *copied = show_bytes(whole(t->copied));
    double rate = t->seconds > 0 ? t->fetched / t->seconds : NAN;
    char *mean = show_bytes(whole(rate));
    bar_time(took, t->seconds);
    if (complete)
        printf("%-*s  %-9s %10s %10s %8s %10s/s\n", NAME_COLUMNS, t->name, "complete", fetched, copied, took, mean);
    else
        printf("%-*s  %s: %s\n", NAME_COLUMNS, t->name, t->state == DISTRIBUTE_FAILED ? "failed" : "not complete",
               t->why != NULL ? t->why : "it goes on by itself as long as a peer has what it wants");
    free(fetched);
    free(copied);
    free(mean);
}

static void print_table(const struct distribute *d, double seconds, int64_t sent)
{
    char took[BAR_WORD];
    size_t complete = distribute_count(d, DISTRIBUTE_COMPLETE);
    char *out = show_bytes(sent);
    bar_time(took, seconds);
    printf("%-*s  %-9s %10s %10s %8s %12s\n", NAME_COLUMNS, "MACHINE", "", "FETCHED", "COPIED", "TIME", "RATE");
    for (size_t i = 0; i < d->n; i++)
        print_row(&d->target[i]);
    printf("%zu of %zu machines have it, after %s; this one has sent %s\n", complete, d->n, took, out);
    free(out);
}

void distribute_show_end(struct distribute_show *s, double seconds, int64_t sent)
{
    const struct distribute *d = s->d;
    clear(s);
    if (!s->json) {
        print_table(d, seconds, sent);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < d->n; i++)
        json_array_append_new(list, to_json(&d->target[i]));
    print_json(json_pack("{s:s, s:b, s:f, s:o, s:o}", "event", "end", "ok",
                         distribute_count(d, DISTRIBUTE_COMPLETE) == d->n, "seconds", seconds, "sent",
                         sent >= 0 ? json_integer(sent) : json_null(), "machines", list));
}
