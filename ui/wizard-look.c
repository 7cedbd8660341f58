/* Looking around: this machine by its own tools, the others by a scan of the network, both at once. */
#include "ui/wizard-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"

enum { HEARD_MAX = 64, LINE_MAX_BYTES = 1024, BAR_COLUMNS = 40 };

void wizard_look_stop(struct wizard *w)
{
    here_cancel(w->here);
    scan_cancel(w->scan);
    w->here = NULL;
    w->scan = NULL;
}

static void forget_lines(char ***list, size_t *n)
{
    for (size_t i = 0; i < *n; i++)
        free((*list)[i]);
    free(*list);
    *list = NULL;
    *n = 0;
}

void wizard_look_forget(struct wizard *w)
{
    for (size_t i = 0; i < w->n_found; i++)
        machine_finish(&w->found[i]);
    free(w->found);
    w->found = NULL;
    w->n_found = 0;
    forget_lines(&w->heard, &w->n_heard);
    forget_lines(&w->note, &w->n_notes);
}

static void keep_line(char ***list, size_t *n, char *line)
{
    if (*n == HEARD_MAX) {
        free(line);
        return;
    }
    *list = xreallocarray(*list, *n + 1, sizeof(**list));
    (*list)[(*n)++] = line;
}

char *wizard_services(const struct machine *m)
{
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES);
    for (size_t i = 0; i < m->n_services; i++) {
        const struct machine_service *s = &m->service[i];
        buf_printf(&b, "%s%s %d", i > 0 ? ", " : "", service_kind_name(s->kind), s->port);
        if (s->model[0] != '\0')
            buf_printf(&b, " (%s)", s->model);
        else if (s->needs_secret)
            buf_adds(&b, " (wants a key)");
        else if (s->busy)
            buf_adds(&b, " (busy)");
    }
    char *text = buf_steal(&b);
    buf_finish(&b);
    return text;
}

static char *address_of(const struct machine *m)
{
    bool both = m->address[0] != '\0' && strcmp(m->name, m->address) != 0;
    return both ? xasprintf("%s (%s)", m->name, m->address) : xstrdup(m->name);
}

static void add_found(struct wizard *w, const struct machine *list, size_t n)
{
    w->found = xreallocarray(w->found, w->n_found + n, sizeof(*w->found));
    memcpy(w->found + w->n_found, list, n * sizeof(*list));
    w->n_found += n;
}

/* Everything has been looked at: what was found goes into the plan. */
static void settle(struct wizard *w)
{
    if (w->here != NULL || w->scan != NULL)
        return;
    struct machine *list = w->found;
    size_t n = w->n_found;
    w->found = NULL;
    w->n_found = 0;
    wizard_plan_machines(&w->plan, list, n);
    if (w->step == STEP_LOOK)
        wizard_go(w, STEP_MACHINES);
}

static void on_here(struct machine *m, void *arg)
{
    struct wizard *w = arg;
    w->here = NULL;
    w->dirty = true;
    /* This machine leads the list, whoever is first to be found. */
    add_found(w, m, 1);
    for (size_t i = w->n_found - 1; i > 0; i--) {
        struct machine swap = w->found[i];
        w->found[i] = w->found[i - 1];
        w->found[i - 1] = swap;
    }
    settle(w);
}

static void on_progress(size_t done, size_t total, const struct machine *found, void *arg)
{
    struct wizard *w = arg;
    w->done = done;
    w->total = total;
    w->dirty = true;
    if (found == NULL)
        return;
    char *address = address_of(found), *services = wizard_services(found), *line = NULL;
    line = xasprintf("%s: %s", address, services);
    /* A machine is told again with everything that is known of it by now. */
    size_t len = strlen(address), i = 0;
    while (i < w->n_heard && (strncmp(w->heard[i], address, len) != 0 || w->heard[i][len] != ':'))
        i++;
    if (i < w->n_heard) {
        free(w->heard[i]);
        w->heard[i] = line;
    } else {
        keep_line(&w->heard, &w->n_heard, line);
    }
    free(address);
    free(services);
}

static void take_notes(struct wizard *w, const struct scan_summary *s)
{
    for (size_t i = 0; i < s->n_notes; i++)
        keep_line(&w->note, &w->n_notes, xstrdup(s->note[i]));
    if (s->left_out > 0)
        keep_line(&w->note, &w->n_notes,
                  xasprintf("%zu addresses of the networks were left out: `tightwad init --subnet` names the right one",
                            s->left_out));
    if (s->timed_out)
        keep_line(&w->note, &w->n_notes, xstrdup("the scan took too long and was ended: some may be missing"));
}

static void on_scanned(struct machine *list, size_t n, const struct scan_summary *s, void *arg)
{
    struct wizard *w = arg;
    w->scan = NULL;
    w->dirty = true;
    take_notes(w, s);
    if (n > 0)
        add_found(w, list, n);
    free(list);
    settle(w);
}

static void begin(struct wizard *w)
{
    char *cause = NULL;
    wizard_look_forget(w);
    w->done = w->total = 0;
    if (w->base == NULL)
        return;
    w->here = here_probe(w->base, w->opts->here, on_here, w);
    w->scan = scan_start(w->base, w->http, w->opts->scan, on_progress, on_scanned, w, &cause);
    if (w->scan == NULL)
        keep_line(&w->note, &w->n_notes, cause);
}

/* Enter while it still looks: on with what there is. */
static bool take(struct wizard *w)
{
    wizard_look_stop(w);
    settle(w);
    return false; /* settle has gone on */
}

static void draw(struct wizard *w, struct page *p)
{
    page_say(p, THEME_BOLD, "Looking at this machine, and around it in the network.");
    page_say(p, THEME_TEXT, "%s", "");
    page_mark(p, w->here == NULL ? THEME_GOOD : THEME_DIM, w->here == NULL ? "✓ " : "… ", THEME_TEXT,
              "this machine: GPUs, cores, memory, programs, models on disk");
    if (w->total > 0)
        page_mark(p, w->scan == NULL ? THEME_GOOD : THEME_DIM, w->scan == NULL ? "✓ " : "… ", THEME_TEXT,
                  "the network: %zu of %zu ports tried", w->done, w->total);
    else
        page_mark(p, THEME_DIM, w->scan == NULL ? "– " : "… ", THEME_TEXT, "the network");
    page_say(p, THEME_TEXT, "%s", "");
    page_bar(p, w->total > 0 ? (double)w->done / (double)w->total : 0, BAR_COLUMNS);
    page_say(p, THEME_TEXT, "%s", "");
    for (size_t i = 0; i < w->n_heard; i++)
        page_mark(p, THEME_GOOD, "✓ ", THEME_TEXT, "%s", w->heard[i]);
    for (size_t i = 0; i < w->n_notes; i++)
        page_mark(p, THEME_WARN, "! ", THEME_TEXT, "%s", w->note[i]);
}

const struct wizard_step_ops wizard_look = {
    .title = "looking around",
    .enter_word = "go on with what is found so far",
    .begin = begin,
    .end = wizard_look_stop,
    .accept = take,
    .draw = draw,
};

/* ---- one more machine, by its address ---- */

static void on_added(struct machine *list, size_t n, const struct scan_summary *s, void *arg)
{
    struct wizard *w = arg;
    w->scan = NULL;
    w->adding = false;
    w->dirty = true;
    forget_lines(&w->note, &w->n_notes);
    take_notes(w, s);
    if (n == 0 && w->n_notes == 0)
        keep_line(&w->note, &w->n_notes, xstrdup("nothing that a cluster could use answers there"));
    wizard_plan_add(&w->plan, list, n);
}

int wizard_look_at(struct wizard *w, const char *host, char **cause)
{
    struct scan_opts opts = *w->opts->scan;
    if (w->base == NULL)
        return cause_set(cause, "nothing can be asked");
    opts.hosts = &host;
    opts.n_hosts = 1;
    opts.n_subnets = 0;
    if (w->token != NULL)
        opts.agent_token = w->token;
    opts.no_loopback = opts.no_local = true;
    forget_lines(&w->note, &w->n_notes);
    wizard_look_stop(w);
    w->scan = scan_start(w->base, w->http, &opts, NULL, on_added, w, cause);
    w->adding = w->scan != NULL;
    return w->scan != NULL ? 0 : -1;
}
