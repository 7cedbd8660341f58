/* The instance: starting and stopping, trying, examining, ending. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/json.h"
#include "config/config.h"
#include "ui/actions.h"
#include "ui/choose.h"
#include "ui/notes.h"
#include "ui/prompt.h"

/* ---- start and stop ---- */

enum switch_to { POOL_ON, POOL_OFF, SPECULATION_ON, SPECULATION_OFF, DRAFTERS_ON, DRAFTERS_OFF };

struct switches {
    enum switch_to to[4];
    size_t n;
};

static void send_simple(struct ui *ui, const char *command, const char *what)
{
    actions_send(ui, json_pack("{s:s}", "command", command), what, false, NULL, NULL, NULL);
}

static void on_pool_started(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    (void)data;
    if (reply == NULL)
        actions_tell_failure(ui, "the pool is not started", why);
    else
        actions_follow_load(ui, ui->picture.snapshot.pool.model);
}

static void speculate_again(struct ui *ui)
{
    int64_t cap = actions_of(ui)->cap;
    json_t *n = cap == CONFIG_AUTO ? json_string("auto") : json_integer(cap);
    actions_send(ui, json_pack("{s:s, s:o}", "command", "max-draft-tokens", "n", n), "speculating again", false, NULL,
                 NULL, NULL);
}

static void on_switch(struct ui *ui, struct choose *c, size_t index)
{
    switch (((const struct switches *)c->data)->to[index]) {
    case POOL_ON:
        actions_send(ui, json_pack("{s:s}", "command", "pool-start"), "starting the pool", false, on_pool_started, NULL,
                     NULL);
        break;
    case POOL_OFF:
        send_simple(ui, "pool-stop", "stopping the pool");
        break;
    case SPECULATION_ON:
        speculate_again(ui);
        break;
    case SPECULATION_OFF:
        actions_send(ui, json_pack("{s:s, s:i}", "command", "max-draft-tokens", "n", 0), "speculation off", false, NULL,
                     NULL, NULL);
        break;
    case DRAFTERS_ON:
        send_simple(ui, "drafter-resume", "resuming all drafters");
        break;
    case DRAFTERS_OFF:
        send_simple(ui, "drafter-pause", "pausing all drafters");
        break;
    }
}

static void offer(struct choose *c, enum switch_to to, const char *what, const char *state)
{
    struct switches *s = c->data;
    struct menu_item *i = menu_add(&c->menu, THEME_TEXT);
    menu_cell(i, 0, "%s", what);
    menu_cell(i, 1, "%s", state);
    s->to[s->n++] = to;
}

void action_engines(struct ui *ui)
{
    const struct snapshot *s = &ui->picture.snapshot;
    struct choose *c =
        choose_open(ui, "start and stop", NULL, false, on_switch, xcalloc(1, sizeof(struct switches)), free);
    if (s->pool.configured) {
        bool off = strcmp(s->pool.state, "off") == 0;
        offer(c, off ? POOL_ON : POOL_OFF, off ? "start the pool" : "stop the pool", s->pool.state);
    }
    if (s->max_draft_tokens == 0)
        offer(c, SPECULATION_ON, "speculate again", "off");
    else
        offer(c, SPECULATION_OFF, "stop speculating", s->speculating ? "on" : s->why_not);
    size_t paused = 0, drafters = 0;
    for (size_t i = 0; i < s->n_backends; i++) {
        drafters += s->backend[i].role == ROLE_DRAFTER;
        paused += s->backend[i].role == ROLE_DRAFTER && s->backend[i].paused;
    }
    if (drafters > 0 && paused < drafters)
        offer(c, DRAFTERS_OFF, "pause all drafters", "");
    if (paused > 0)
        offer(c, DRAFTERS_ON, "resume all drafters", "");
}

/* ---- trying ---- */

static void on_asked(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    (void)data;
    if (reply == NULL)
        actions_tell_failure(ui, "the test prompt", why);
    else
        ui_notice(ui, THEME_GOOD, "request %" JSON_INTEGER_FORMAT " is on its way: its text appears in the stream",
                  json_integer_value(json_object_get(reply, "request")));
}

static void send_test(struct ui *ui, const char *line)
{
    json_t *request = json_pack("{s:s}", "command", "test-prompt");
    if (line[0] != '\0')
        json_object_set_new(request, "prompt", json_string(line));
    ui->focus = PANE_STREAM;
    actions_send(ui, request, "asking", false, on_asked, NULL, NULL);
}

void action_test(struct ui *ui)
{
    const struct prompt_opts opts = {
        .title = "test prompt",
        .text = "What to ask; nothing: a question of its own. It is a request like any client's, of 128 tokens at "
                "most.",
        .history = &actions_of(ui)->prompts,
        .taken = send_test,
    };
    prompt_open(ui, &opts);
}

/* ---- examining ---- */

static void free_json(void *data)
{
    json_decref(data);
}

/* A sign and a blank. */
static const char *mark(const struct ui *ui, enum theme_glyph g, char out[8])
{
    snprintf(out, 8, "%s ", theme_glyph(&ui->theme, g));
    return out;
}

static void fill_doctor(const struct ui *ui, const void *data, struct page *p)
{
    static const struct {
        const char *level;
        enum theme_role role;
        enum theme_glyph sign;
    } levels[] = {{"error", THEME_BAD, GLYPH_BAD}, {"warning", THEME_WARN, GLYPH_WARN}, {"note", THEME_DIM, GLYPH_DOT}};
    const json_t *o = data, *list = json_object_get(o, "findings"), *f;
    char sign[8];
    size_t i;
    if (json_array_size(list) == 0)
        page_mark(p, THEME_GOOD, mark(ui, GLYPH_GOOD, sign), THEME_TEXT, "Nothing is wrong.");
    for (size_t k = 0; k < ARRAY_LEN(levels); k++) {
        json_array_foreach(list, i, f)
        {
            if (strcmp(json_text(f, "level"), levels[k].level) != 0)
                continue;
            page_mark(p, levels[k].role, mark(ui, levels[k].sign, sign), THEME_BOLD, "%s: %s", json_text(f, "level"),
                      json_text(f, "what"));
            page_mark(p, THEME_TEXT, "  ", THEME_TEXT, "cause: %s", json_text(f, "cause"));
            page_mark(p, THEME_TEXT, "  ", THEME_TEXT, "fix: %s", json_text(f, "fix"));
            page_say(p, THEME_TEXT, "%s", "");
        }
    }
}

static void fill_tune(const struct ui *ui, const void *data, struct page *p)
{
    const json_t *list = json_object_get(data, "findings"), *f;
    char sign[8];
    size_t i;
    json_array_foreach(list, i, f)
    {
        bool good = json_is_true(json_object_get(f, "good"));
        const char *fix = json_text(f, "fix");
        page_mark(p, good ? THEME_GOOD : THEME_BAD, mark(ui, good ? GLYPH_GOOD : GLYPH_BAD, sign), THEME_TEXT, "%s: %s",
                  json_text(f, "what"), json_text(f, "text"));
        if (fix[0] != '\0')
            page_mark(p, THEME_TEXT, "  ", THEME_TEXT, "`%s`", fix);
    }
}

static void on_doctor(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    (void)data;
    if (reply == NULL)
        actions_tell_failure(ui, "doctor", why);
    else
        notes_open(ui, "doctor", fill_doctor, json_incref((json_t *)reply), free_json);
}

static void on_tune(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    (void)data;
    if (reply == NULL)
        actions_tell_failure(ui, "tune", why);
    else
        notes_open(ui, "tune: this machine's memory", fill_tune, json_incref((json_t *)reply), free_json);
}

void action_doctor(struct ui *ui)
{
    actions_send(ui, json_pack("{s:s}", "command", "doctor"),
                 "asking every server and measuring: up to a minute or two", true, on_doctor, NULL, NULL);
}

void action_tune(struct ui *ui)
{
    actions_send(ui, json_pack("{s:s}", "command", "tune"), "looking at this machine's memory", true, on_tune, NULL,
                 NULL);
}

/* ---- the rest ---- */

static const char *const levels[] = {"debug", "info", "warn", "error"};

static void on_level(struct ui *ui, struct choose *c, size_t index)
{
    (void)c;
    char *what = xasprintf("log level: %s", levels[index]);
    json_t *request = json_pack("{s:s, s:s}", "command", "log-level", "level", levels[index]);
    if (actions_can_save(ui))
        json_object_set_new(request, "save", json_true());
    actions_send(ui, request, what, false, NULL, NULL, NULL);
    free(what);
}

void action_log_level(struct ui *ui)
{
    static const char *const words[] = {"everything", "what happens", "what may be wrong", "what is wrong"};
    struct choose *c = choose_open(ui, "log level", NULL, false, on_level, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        struct menu_item *it = menu_add(&c->menu, THEME_TEXT);
        menu_cell(it, 0, "%s", levels[i]);
        menu_cell(it, 1, "%s", words[i]);
        it->hot = (unsigned char)levels[i][0];
    }
    menu_choose(&c->menu, 1);
}

void action_reload(struct ui *ui)
{
    send_simple(ui, "reload", "reading the configuration again");
}

static void on_reclaim(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    (void)data;
    if (reply != NULL)
        return; /* the pictures tell when it is done */
    actions_of(ui)->reclaim.on = false;
    actions_tell_failure(ui, "reclaim", why);
}

void action_reclaim(struct ui *ui)
{
    actions_of(ui)->reclaim = (struct actions_follow){.on = true, .count = ui->picture.snapshot.pool.reclaims};
    actions_send(ui, json_pack("{s:s}", "command", "reclaim"), "giving the file's memory back", false, on_reclaim, NULL,
                 NULL);
}

static void on_filter(struct ui *ui, const char *line)
{
    ui_filter(ui, line);
}

void action_filter(struct ui *ui)
{
    const struct prompt_opts opts = {
        .title = "filter",
        .text = "Requests and log lines that hold this; nothing: all of them.",
        .initial = ui->filter,
        .history = &actions_of(ui)->filters,
        .taken = on_filter,
        .changed = on_filter,
        .left = on_filter,
    };
    prompt_open(ui, &opts);
}

/* ---- the end ---- */

static void on_quit(struct ui *ui, struct choose *c, size_t index)
{
    (void)c;
    bool stop = index == (ui->attached ? 1 : 0), stays = index == 2;
    if (stays)
        return;
    actions_of(ui)->quits = true;
    if (stop)
        ui_notice(ui, THEME_TEXT, "stopping: the answers under way are finished first");
    feed_quit(ui->feed, stop);
}

void action_quit(struct ui *ui)
{
    static const struct {
        const char *words;
        int hot;
    } here[] = {{"stop the engines, and quit", 's'}, {"leave them running, headless", 'l'}, {"stay", 'n'}},
      away[] = {{"detach: the instance goes on", 'd'}, {"stop the instance too", 's'}, {"stay", 'n'}};
    const struct snapshot *s = &ui->picture.snapshot;
    if (actions_of(ui)->quits) {
        ui_notice(ui, THEME_TEXT, "it is ending: %u answers are finished first", (unsigned)s->running);
        return;
    }
    char *why = s->running + s->queued > 0 ? xasprintf("%u requests run, %u wait: stopping finishes them first.",
                                                       (unsigned)s->running, (unsigned)s->queued)
                                           : NULL;
    struct choose *c = choose_open(ui, "quit", why, false, on_quit, NULL, NULL);
    free(why);
    for (size_t i = 0; i < ARRAY_LEN(here); i++) {
        struct menu_item *it = menu_add(&c->menu, THEME_TEXT);
        menu_cell(it, 0, "%s", ui->attached ? away[i].words : here[i].words);
        it->hot = ui->attached ? away[i].hot : here[i].hot;
    }
}
