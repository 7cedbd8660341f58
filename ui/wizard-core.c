/* Steps forward and back, keys, and what lies over a step: help, a question, a line that is typed. */
#include "ui/wizard-internal.h"

#include <stdlib.h>
#include <string.h>

#include <ncurses.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ui/screen.h"
#include "ui/text.h"

enum {
    PAGE_LINES = 10, /* that Page Up and Page Down go */
    FOOTER_MAX = 4096,
    FOOTER_GAP = 3, /* columns between two keys */
};

const struct wizard_step_ops *wizard_step_ops(enum wizard_step step)
{
    static const struct wizard_step_ops *const ops[STEPS] = {
        [STEP_LOOK] = &wizard_look,     [STEP_MACHINES] = &wizard_machines, [STEP_PATH] = &wizard_path,
        [STEP_MODELS] = &wizard_models, [STEP_SUMMARY] = &wizard_summary,   [STEP_CHECKS] = &wizard_checks,
        [STEP_TELL] = &wizard_tell,
    };
    return ops[step];
}

void wizard_init(struct wizard *w, const struct wizard_opts *opts, struct event_base *base, struct httpc *http)
{
    *w = (struct wizard){.opts = opts, .base = base, .http = http, .chosen = PAGE_NO_ITEM, .dirty = true};
    wizard_plan_init(&w->plan, &opts->wish);
}

void wizard_finish(struct wizard *w)
{
    const struct wizard_step_ops *s = wizard_step_ops(w->step);
    if (s->end != NULL)
        s->end(w);
    wizard_look_stop(w);
    wizard_look_forget(w);
    wizard_start_forget(w);
    wizard_plan_finish(&w->plan);
    wizard_summary_forget(w);
    json_decref(w->report);
    free(w->check_cause);
    free(w->complaint);
    free(w->token);
    free(w->backup);
    *w = (struct wizard){0};
}

void wizard_go(struct wizard *w, enum wizard_step step)
{
    const struct wizard_step_ops *from = wizard_step_ops(w->step), *to = wizard_step_ops(step);
    if (from->end != NULL)
        from->end(w);
    w->step = step;
    w->chosen = to->items != NULL && to->items(w) > 0 ? 0 : PAGE_NO_ITEM;
    w->from = 0;
    w->dirty = true;
    if (to->begin != NULL)
        to->begin(w);
}

void wizard_leave(struct wizard *w, enum wizard_end how)
{
    w->ended = true;
    w->end = how;
}

void wizard_ask(struct wizard *w, const char *label, const char *text,
                int (*typed)(struct wizard *w, const char *text, char **cause))
{
    field_set(&w->field, text);
    w->label = label;
    w->typed = typed;
    w->secret = false;
    free(w->complaint);
    w->complaint = NULL;
    w->over = OVER_FIELD;
}

static bool is_enter(int key)
{
    return key == '\n' || key == '\r' || key == KEY_ENTER;
}

static bool is_backspace(int key)
{
    return key == KEY_BACKSPACE || key == 8 || key == 127;
}

static void press_field(struct wizard *w, int key)
{
    uint32_t character = screen_key_character(key);
    if (key == SCREEN_ESCAPE) {
        w->over = OVER_NOTHING;
    } else if (is_enter(key)) {
        char *cause = NULL;
        w->over = OVER_NOTHING;
        if (w->typed(w, w->field.text, &cause) == 0)
            return;
        w->over = OVER_FIELD;
        free(w->complaint);
        w->complaint = cause;
    } else if (is_backspace(key)) {
        field_key(&w->field, KEY_BACKSPACE);
    } else if (!field_key(&w->field, key) && character != 0) {
        field_type(&w->field, character);
    }
}

bool wizard_takes_pasted(const struct wizard *w, int key)
{
    return w->over == OVER_FIELD && !is_enter(key);
}

static void press_leave(struct wizard *w, int key)
{
    if (key == 'y' || key == 'Y' || key == SCREEN_ESCAPE)
        wizard_leave(w, w->written ? WIZARD_WRITTEN : WIZARD_LEFT);
    else
        w->over = OVER_NOTHING;
}

static void move_by(struct wizard *w, int by)
{
    const struct wizard_step_ops *s = wizard_step_ops(w->step);
    int n = s->items != NULL ? s->items(w) : 0;
    if (n == 0) {
        w->from = by < 0 && w->from < (size_t)-by ? 0 : w->from + (size_t)by;
        return;
    }
    w->chosen += by;
    w->chosen = w->chosen < 0 ? 0 : w->chosen >= n ? n - 1 : w->chosen;
}

static void take(struct wizard *w)
{
    const struct wizard_step_ops *s = wizard_step_ops(w->step);
    if (s->accept != NULL && !s->accept(w))
        return;
    if (w->step + 1 < STEPS)
        wizard_go(w, w->step + 1);
}

static void back(struct wizard *w)
{
    if (w->step > 0)
        wizard_go(w, w->step - 1);
}

/* Keys that every step has. */
static bool press_common(struct wizard *w, int key)
{
    static const struct {
        int key, by;
    } moves[] = {
        {KEY_UP, -1},      {KEY_DOWN, 1},   {'k', -1}, {'j', 1}, {KEY_PPAGE, -PAGE_LINES}, {KEY_NPAGE, PAGE_LINES},
        {KEY_HOME, -9999}, {KEY_END, 9999},
    };
    for (size_t i = 0; i < ARRAY_LEN(moves); i++) {
        if (moves[i].key == key) {
            move_by(w, moves[i].by);
            return true;
        }
    }
    if (is_enter(key))
        take(w);
    else if (is_backspace(key) || key == KEY_LEFT || key == 'b')
        back(w);
    else if (key == SCREEN_ESCAPE || key == 'q')
        w->over = OVER_LEAVE;
    else if (key == '?' || key == KEY_F(1))
        w->over = OVER_HELP;
    else
        return false;
    return true;
}

void wizard_press(struct wizard *w, int key)
{
    w->dirty = true;
    if (key == SCREEN_CTRL_C) {
        wizard_leave(w, w->written ? WIZARD_WRITTEN : WIZARD_LEFT);
        return;
    }
    switch (w->over) {
    case OVER_FIELD:
        press_field(w, key);
        return;
    case OVER_LEAVE:
        press_leave(w, key);
        return;
    case OVER_HELP:
        w->over = OVER_NOTHING;
        return;
    case OVER_NOTHING:
        break;
    }
    if (press_common(w, key))
        return;
    const struct wizard_key *k = wizard_step_ops(w->step)->keys;
    for (; k != NULL && k->key != 0; k++) {
        if (k->key == key) {
            k->run(w);
            return;
        }
    }
}

/* ---- what is shown ---- */

static void draw_help(struct wizard *w, struct page *p)
{
    static const struct {
        const char *name, *help;
    } common[] = {
        {"Enter", "takes what is suggested, and goes on"},
        {"b, Left, Backspace", "one step back"},
        {"Up, Down, Page Up, Page Down", "choose a line, or move the text"},
        {"Esc, q", "leave; it asks once, and nothing half-done stays behind"},
        {"Ctrl-C", "leave at once"},
        {"?", "this text"},
    };
    const struct wizard_step_ops *s = wizard_step_ops(w->step);
    page_say(p, THEME_BOLD, "Keys in this step");
    page_say(p, THEME_TEXT, "%s", "");
    for (const struct wizard_key *k = s->keys; k != NULL && k->key != 0; k++)
        page_mark(p, THEME_KEY, "  ", THEME_TEXT, "`%s`: %s", k->name, k->help);
    for (size_t i = 0; i < ARRAY_LEN(common); i++)
        page_mark(p, THEME_KEY, "  ", THEME_TEXT, "`%s`: %s", common[i].name, common[i].help);
}

static void draw_leave(struct wizard *w, struct page *p)
{
    if (w->written)
        page_say(p, THEME_BOLD, "Leave?  %s is written and stays as it is.", w->opts->path);
    else
        page_say(p, THEME_BOLD, "Leave?  Nothing has been written, and nothing will be.");
    page_say(p, THEME_TEXT, "\n`y` or `Esc`: leave.  Any other key: stay.");
}

void wizard_body(struct wizard *w, struct page *p)
{
    if (w->over == OVER_HELP)
        draw_help(w, p);
    else if (w->over == OVER_LEAVE)
        draw_leave(w, p);
    else
        wizard_step_ops(w->step)->draw(w, p);
}

/* One key with its word; never parted by the end of a line. */
static void add_key(struct buf *text, int *column, const struct page *p, const char *name, const char *word)
{
    char *pair = xasprintf("%s %s", name, word);
    int columns = text_columns(pair, strlen(pair), p->ascii), gap = *column > 0 ? FOOTER_GAP : 0;
    if (*column + gap + columns > p->width) {
        buf_addc(text, '\n');
        *column = gap = 0;
    }
    buf_printf(text, "%*s`%s` %s", gap, "", name, word);
    *column += gap + columns;
    free(pair);
}

void wizard_footer(struct wizard *w, struct page *p)
{
    const struct wizard_step_ops *s = wizard_step_ops(w->step);
    struct buf text;
    int column = 0;
    buf_init(&text, FOOTER_MAX);
    if (w->over == OVER_HELP) {
        add_key(&text, &column, p, "any key", "back");
    } else if (w->over == OVER_LEAVE) {
        add_key(&text, &column, p, "y", "leave");
        add_key(&text, &column, p, "any other key", "stay");
    } else if (w->over == OVER_FIELD) {
        add_key(&text, &column, p, "Enter", "take it");
        add_key(&text, &column, p, "Esc", "never mind");
    } else {
        add_key(&text, &column, p, "Enter", s->enter_word);
        for (const struct wizard_key *k = s->keys; k != NULL && k->key != 0; k++) {
            if (k->word != NULL)
                add_key(&text, &column, p, k->name, k->word);
        }
        if (w->step > 0)
            add_key(&text, &column, p, "b", "back");
        add_key(&text, &column, p, "Esc", "leave");
        add_key(&text, &column, p, "?", "help");
    }
    page_say(p, THEME_TEXT, "%s", text.data);
    buf_finish(&text);
}
