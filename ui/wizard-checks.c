/* The file is written: how do its servers do?  Each with ✓ or ✗ as soon as it is known, and what to type where. */
#include "ui/wizard-internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

enum {
    AGAIN_MS = 1500,     /* between two checks, while what was started loads */
    PATIENCE_MS = 60000, /* so long it is asked again by itself; large models take longer, and then a key does it */
};

static bool all_good(const struct wizard *w);

static void on_report(void *arg, const json_t *report, bool done, const char *why)
{
    struct wizard *w = arg;
    w->dirty = true;
    if (report != NULL) {
        json_decref(w->report);
        w->report = json_deep_copy(report);
    }
    w->checked = done;
    if (why != NULL) {
        free(w->check_cause);
        w->check_cause = xstrdup(why);
    }
    if (!done)
        return;
    w->check = NULL;
    if (clock_us() < w->patience_until && !all_good(w))
        wizard_checks_soon(w);
}

static void stop(struct wizard *w)
{
    if (w->check != NULL)
        w->opts->hooks->check_cancel(w->check);
    w->check = NULL;
    if (w->again != NULL)
        event_free(w->again);
    w->again = NULL;
}

/* The last report stays until the next one is there. */
static void check(struct wizard *w)
{
    stop(w);
    free(w->check_cause);
    w->check_cause = NULL;
    w->checked = false;
    if (w->opts->hooks != NULL)
        w->check = w->opts->hooks->check(w->base, w->opts->path, on_report, w, &w->check_cause);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    check(arg);
}

void wizard_checks_soon(struct wizard *w)
{
    if (w->patience_until == 0)
        w->patience_until = clock_us() + (int64_t)PATIENCE_MS * 1000;
    if (w->again != NULL)
        return;
    w->again = event_new(w->base, -1, EV_TIMEOUT, on_again, w);
    event_add(w->again, &(struct timeval){AGAIN_MS / 1000, AGAIN_MS % 1000 * 1000});
}

static void begin(struct wizard *w)
{
    json_decref(w->report);
    w->report = NULL;
    w->patience_until = 0;
    wizard_start_offer(w);
    check(w);
}

static void leave(struct wizard *w)
{
    stop(w);
    wizard_start_forget(w);
}

/* Errors and warnings about a server (name NULL: about none in particular), with what to do. */
static void draw_findings(const json_t *report, const char *name, struct page *p)
{
    size_t i;
    json_t *f;
    json_array_foreach(json_object_get(report, "findings"), i, f)
    {
        const char *server = json_string_value(json_object_get(f, "server")), *level = json_text(f, "level");
        if ((server == NULL) != (name == NULL) || (name != NULL && strcmp(server, name) != 0))
            continue;
        if (strcmp(level, "note") == 0)
            continue;
        bool error = strcmp(level, "error") == 0;
        page_mark(p, error ? THEME_BAD : THEME_WARN, error ? "  ✗ " : "  ! ", THEME_TEXT, "%s", json_text(f, "what"));
        page_mark(p, THEME_DIM, "    ", THEME_DIM, "%s", json_text(f, "cause"));
        page_mark(p, THEME_WARN, "    → ", THEME_TEXT, "%s", json_text(f, "fix"));
    }
}

static char *figures(const json_t *s)
{
    const json_t *rtt = json_object_get(s, "rtt_ms"), *alone = json_object_get(s, "alone_ms"),
                 *acceptance = json_object_get(s, "acceptance"), *draft = json_object_get(s, "draft_ms");
    char *text = json_is_number(rtt) ? xasprintf(", %.1f ms away", json_number_value(rtt)) : xstrdup("");
    const struct {
        const char *fmt;
        bool known;
        double value;
    } more[] = {
        {"%s, %.0f tokens/s alone", json_number_value(alone) > 0, 1000 / json_number_value(alone)},
        {"%s, drafts %.0f tokens/s", json_number_value(draft) > 0, 1000 / json_number_value(draft)},
        {"%s, %.0f %% of its drafts accepted", json_is_number(acceptance), 100 * json_number_value(acceptance)},
    };
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        if (!more[i].known)
            continue;
        char *longer = xasprintf(more[i].fmt, text, more[i].value);
        free(text);
        text = longer;
    }
    return text;
}

static void draw_server(const json_t *report, const json_t *s, struct page *p)
{
    bool good = json_is_true(json_object_get(s, "answers"));
    const char *url = json_text(s, "url"), *model = json_text(s, "model");
    char *rest = figures(s);
    page_mark(p, good ? THEME_GOOD : THEME_BAD, good ? "✓ " : "✗ ", THEME_TEXT, "%s: %s%s%s%s", json_text(s, "role"),
              url[0] != '\0' ? url : json_text(s, "name"), model[0] != '\0' ? ", " : "", model, rest);
    free(rest);
    draw_findings(report, json_text(s, "name"), p);
}

/* The target of a pool runs on this machine and on the workers, as soon as the cluster does. */
static void draw_pool(const struct wizard *w, struct page *p)
{
    const json_t *plan = json_object_get(w->report, "plan");
    size_t i;
    json_t *note;
    if (plan == NULL) {
        page_mark(p, THEME_DIM, "… ", THEME_TEXT, "target: its pool is planned");
        return;
    }
    bool fits = json_is_true(json_object_get(plan, "fits"));
    if (json_is_object(plan))
        page_mark(p, fits ? THEME_GOOD : THEME_BAD, fits ? "✓ " : "✗ ", THEME_TEXT, "target: %s %s.  %s",
                  json_text(plan, "model"), fits ? "fits, and is started with the cluster" : "does not fit",
                  json_text(plan, "reason"));
    json_array_foreach(json_object_get(w->report, "plan_notes"), i, note)
    {
        page_mark(p, THEME_BAD, "✗ ", THEME_TEXT, "%s", json_string_value(note));
    }
}

/* Whether there is nothing to be done. */
static bool all_good(const struct wizard *w)
{
    const json_t *plan = json_object_get(w->report, "plan");
    if (!w->plan.advice->pooled)
        return json_is_true(json_object_get(w->report, "ok"));
    return json_is_true(json_object_get(plan, "fits")) &&
           json_array_size(json_object_get(w->report, "plan_notes")) == 0;
}

static void draw(struct wizard *w, struct page *p)
{
    size_t i;
    json_t *s;
    bool pooled = w->plan.advice->pooled;
    page_mark(p, THEME_GOOD, "✓ ", THEME_BOLD, "%s is written", w->opts->path);
    if (w->backup != NULL)
        page_mark(p, THEME_DIM, "  ", THEME_TEXT, "the file that was there is now %s", w->backup);
    page_say(p, THEME_TEXT, "%s", "");
    if (pooled && w->check_cause == NULL)
        draw_pool(w, p);
    json_array_foreach(json_object_get(w->report, "servers"), i, s)
    {
        if (!pooled || strcmp(json_text(s, "role"), "target") != 0)
            draw_server(w->report, s, p);
    }
    draw_findings(w->report, NULL, p);
    wizard_start_draw(w, p);
    if (w->check_cause != NULL)
        page_mark(p, THEME_BAD, "✗ ", THEME_TEXT, "%s", w->check_cause);
    else if (!w->checked)
        page_mark(p, THEME_DIM, "… ", THEME_TEXT, "asking the servers, and measuring a few short drafts");
    else if (all_good(w))
        page_mark(p, THEME_GOOD, "✓ ", THEME_TEXT, pooled ? "Everything is ready." : "Everything answers.");
    else
        page_say(p, THEME_TEXT,
                 "\nDo what is said there, on the machine that is named, then `r` tries again.  It can also "
                 "be done while the dashboard runs.");
    wizard_draw_tasks(w, p);
}

static const struct wizard_key keys[] = {
    {'r', "r", "try again", "ask all servers again", check},
    {'s', "s", "start there", "have the agents of other machines start what is missing there", wizard_start_all},
    {0},
};

const struct wizard_step_ops wizard_checks = {
    .title = "is everything there?",
    .enter_word = "go on",
    .keys = keys,
    .begin = begin,
    .end = leave,
    .draw = draw,
};
