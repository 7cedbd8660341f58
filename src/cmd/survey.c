#include "cmd/survey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advise/fold.h"
#include "base/mem.h"
#include "http/httpc.h"

enum { BAR_COLUMNS = 30 };

/* The loop ends when both parts have. */
struct making {
    struct survey *out;
    struct event_base *base;
    struct httpc *http;
    struct scan *scan;
    struct here *here;
    size_t done, total;
    bool bar, bar_shown;
    int left;
};

static bool can_draw(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

static void draw_bar(struct making *k)
{
    if (!k->bar || k->total == 0)
        return;
    size_t full = k->done * BAR_COLUMNS / k->total;
    fprintf(stderr, "\r  scanning  [");
    for (size_t i = 0; i < BAR_COLUMNS; i++)
        fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %zu of %zu ", k->done, k->total);
    fflush(stderr);
    k->bar_shown = true;
}

static void clear_bar(struct making *k)
{
    if (k->bar_shown)
        fprintf(stderr, "\r%*s\r", BAR_COLUMNS + 34, "");
    k->bar_shown = false;
}

static void part_ended(struct making *k)
{
    if (--k->left == 0)
        event_base_loopbreak(k->base);
}

static void on_here(struct machine *m, void *arg)
{
    struct making *k = arg;
    k->here = NULL;
    k->out->list[0] = *m;
    part_ended(k);
}

static void on_progress(size_t done, size_t total, const struct machine *found, void *arg)
{
    struct making *k = arg;
    (void)found;
    k->done = done;
    k->total = total;
    draw_bar(k);
}

static void on_scanned(struct machine *list, size_t n, const struct scan_summary *s, void *arg)
{
    struct making *k = arg;
    struct survey *out = k->out;
    k->scan = NULL;
    out->list = xreallocarray(out->list, n + 1, sizeof(*out->list));
    for (size_t i = 0; i < n; i++)
        out->list[out->n++] = list[i];
    free(list);
    out->note = xcalloc(s->n_notes + 2, sizeof(*out->note));
    for (size_t i = 0; i < s->n_notes; i++)
        out->note[out->n_notes++] = xstrdup(s->note[i]);
    if (s->left_out > 0)
        out->note[out->n_notes++] =
            xasprintf("scan: %zu addresses were left out; name what matters with --subnet or --host", s->left_out);
    if (s->timed_out)
        out->note[out->n_notes++] = xasprintf("scan: ended after %.0f s before all was tried", s->seconds);
    part_ended(k);
}

int survey_make(struct survey *s, const struct here_opts *here, const struct scan_opts *scan, char **cause)
{
    struct making k = {.out = s, .base = event_base_new(), .bar = can_draw()};
    int rc = 0;
    *s = (struct survey){.list = xcalloc(1, sizeof(*s->list)), .n = 1};
    machine_init(&s->list[0], MACHINE_HERE);
    if (scan != NULL) {
        k.http = httpc_create(k.base);
        k.scan = scan_start(k.base, k.http, scan, on_progress, on_scanned, &k, cause);
        k.left++;
        rc = k.scan != NULL ? 0 : -1;
    }
    if (rc == 0) {
        k.left++;
        k.here = here_probe(k.base, here, on_here, &k);
        event_base_dispatch(k.base);
        clear_bar(&k);
        s->n = fold_machines(s->list, s->n, NULL);
    }
    here_cancel(k.here);
    scan_cancel(k.scan);
    httpc_destroy(k.http);
    event_base_free(k.base);
    if (rc != 0)
        survey_finish(s);
    return rc;
}

void survey_finish(struct survey *s)
{
    for (size_t i = 0; i < s->n; i++)
        machine_finish(&s->list[i]);
    for (size_t i = 0; i < s->n_notes; i++)
        free(s->note[i]);
    free(s->note);
    free(s->list);
    *s = (struct survey){0};
}

char *survey_split(const char *text, const char **names, size_t *n)
{
    char *copy = text != NULL ? xstrdup(text) : NULL, *save = NULL;
    for (char *s = copy != NULL ? strtok_r(copy, ", ", &save) : NULL; s != NULL && *n < SURVEY_NAMES;
         s = strtok_r(NULL, ", ", &save))
        names[(*n)++] = s;
    return copy;
}
