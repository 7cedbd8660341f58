#include "ui/keys.h"

#include <string.h>

#include "base/mem.h"
#include "ui/actions.h"
#include "ui/dialog.h"
#include "ui/notes.h"

enum { CTRL_L = 12, HELP_COLUMNS = 2 };

/* ---- what needs no order ---- */

static void focus_next(struct ui *ui)
{
    ui_focus_next(ui, 1);
}

static void focus_previous(struct ui *ui)
{
    ui_focus_next(ui, -1);
}

static int page_of(const struct ui *ui)
{
    int rows = ui->layout.pane[ui->focus].rows - 2;
    return rows > 1 ? rows : 1;
}

/* The log has its newest line at the bottom, the other lists theirs at the top. */
static void scroll_down(struct ui *ui, int lines)
{
    ui_scroll(ui, ui->focus == PANE_LOG ? -lines : lines);
}

static void up(struct ui *ui)
{
    scroll_down(ui, -1);
}

static void down(struct ui *ui)
{
    scroll_down(ui, 1);
}

static void page_up(struct ui *ui)
{
    scroll_down(ui, -page_of(ui));
}

static void page_down(struct ui *ui)
{
    scroll_down(ui, page_of(ui));
}

static void newest(struct ui *ui)
{
    ui_scroll(ui, -ui->scroll[ui->focus]);
}

/* Undoes one thing that is in the way of seeing all. */
static void show_all(struct ui *ui)
{
    if (ui->filter[0] != '\0')
        ui_filter(ui, "");
    else if (ui->zoomed)
        ui_zoom(ui);
}

static void repaint(struct ui *ui)
{
    if (ui->screen != NULL)
        screen_repaint(ui->screen);
    ui_redraw(ui);
}

static void help(struct ui *ui);

/* ---- the table ---- */

const char *const key_group_names[KEY_GROUPS] = {
    [KEYS_ENGINES] = "The engines",
    [KEYS_LOOK] = "Looking",
    [KEYS_PROGRAM] = "The program",
};

/* clang-format off */
const struct key_row key_table[] = {
    {'m', "m", "models: size, fit and expected rate of each; load another one in the place of the present", "models",
     KEYS_ENGINES, KEY_NEEDS_INSTANCE, action_models},
    {'p', "p", "pause a drafter, or resume it", "pause", KEYS_ENGINES, KEY_NEEDS_DRAFTER, action_pause},
    {'a', "a", "add a drafter by its address, at once and in the configuration file", "add", KEYS_ENGINES,
     KEY_NEEDS_INSTANCE, action_add},
    {'x', "x", "remove a drafter, from the configuration file too", NULL, KEYS_ENGINES, KEY_NEEDS_DRAFTER,
     action_remove},
    {'d', "d", "how many tokens a draft may have: a number, or auto", "draft", KEYS_ENGINES, KEY_NEEDS_INSTANCE,
     action_draft},
    {'s', "s", "start and stop: the pool, speculation, all drafters", "start/stop", KEYS_ENGINES, KEY_NEEDS_INSTANCE,
     action_engines},
    {'g', "g", "the quality gate on and off: agents write, the target reviews (approximate)", "gate", KEYS_ENGINES,
     KEY_NEEDS_GATE, action_gate},
    {'C', "C", "consensus: what the drafters agree on is not checked (approximate); how they vote, or off", "consensus",
     KEYS_ENGINES, KEY_NEEDS_VOTERS, action_consensus},
    {'M', "M", "what the model's plain name means: exact, consensus or gate", NULL, KEYS_ENGINES, KEY_NEEDS_MODES,
     action_mode},
    {'w', "w", "swarm: pull a model from other machines, give one out, stop a pull", "swarm", KEYS_ENGINES,
     KEY_NEEDS_SWARM, action_swarm},
    {'t', "t", "send a test prompt through the endpoint", "test", KEYS_ENGINES, KEY_NEEDS_INSTANCE, action_test},
    {'D', "D", "doctor: ask every server, measure, say what is wrong and how to mend it", "doctor", KEYS_ENGINES,
     KEY_NEEDS_INSTANCE, action_doctor},
    {'T', "T", "tune: whether this machine's memory is ready for large models", NULL, KEYS_ENGINES, KEY_NEEDS_INSTANCE,
     action_tune},
    {'l', "l", "how much is logged", NULL, KEYS_ENGINES, KEY_NEEDS_INSTANCE, action_log_level},
    {'r', "r", "read the configuration file again", NULL, KEYS_ENGINES, KEY_NEEDS_INSTANCE, action_reload},
    {'c', "c", "give back the memory that the model's file takes in the page cache", NULL, KEYS_ENGINES, KEY_NEEDS_POOL,
     action_reclaim},

    {'\t', "Tab", "the next pane", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING, focus_next},
    {KEY_BTAB, "Shift-Tab", "the pane before", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING, focus_previous},
    {'z', "z", "the focused pane alone, and all of them again", "zoom", KEYS_LOOK, KEY_NEEDS_NOTHING, ui_zoom},
    {KEY_UP, "Up", "a line up in the focused pane", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING, up},
    {KEY_DOWN, "Down", "a line down", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING, down},
    {KEY_PPAGE, "PgUp", "a page up", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING, page_up},
    {KEY_NPAGE, "PgDn", "a page down", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING, page_down},
    {KEY_HOME, "Home", "the newest again", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING, newest},
    {'/', "/", "filter requests and log", "filter", KEYS_LOOK, KEY_NEEDS_NOTHING, action_filter},
    {SCREEN_ESCAPE, "Esc", "leave a dialog; drop the filter; show all panes", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING,
     show_all},
    {CTRL_L, "Ctrl-L", "paint the screen anew", NULL, KEYS_LOOK, KEY_NEEDS_NOTHING, repaint},

    {'?', "?", "this help", "help", KEYS_PROGRAM, KEY_NEEDS_NOTHING, help},
    {'q', "q", "quit: stop the engines, or leave them running", "quit", KEYS_PROGRAM, KEY_NEEDS_NOTHING, action_quit},
    {SCREEN_CTRL_C, "Ctrl-C", "the same; in a dialog, leave it", NULL, KEYS_PROGRAM, KEY_NEEDS_NOTHING, action_quit},
};
/* clang-format on */
const size_t key_count = ARRAY_LEN(key_table);

/* ---- the help ---- */

static void fill_help(const struct ui *ui, const void *data, struct page *p)
{
    static const struct page_column columns[HELP_COLUMNS] = {{.head = ""}, {.head = "", .wraps = true}};
    struct page_cell cells[ARRAY_LEN(key_table) * HELP_COLUMNS];
    (void)ui;
    (void)data;
    for (int g = 0; g < KEY_GROUPS; g++) {
        size_t n = 0;
        for (size_t i = 0; i < key_count; i++) {
            if ((int)key_table[i].group != g)
                continue;
            cells[n++] = (struct page_cell){key_table[i].name, THEME_KEY};
            cells[n++] = (struct page_cell){key_table[i].help, THEME_TEXT};
        }
        page_say(p, THEME_BOLD, "%s%s", g > 0 ? "\n" : "", key_group_names[g]);
        page_table(p, columns, HELP_COLUMNS, cells, n / HELP_COLUMNS, NULL);
    }
}

static void help(struct ui *ui)
{
    notes_open(ui, "keys", fill_help, NULL, NULL);
}

/* ---- in and out ---- */

/* votes: only those that are models; what repeats the text has no opinion. */
static size_t drafters(const struct snapshot *s, bool votes)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_backends; i++)
        n += s->backend[i].role == ROLE_DRAFTER && !(votes && strcmp(s->backend[i].kind, "ngram") == 0);
    return n;
}

/* NULL: it is there, else why the key means nothing now. */
static const char *missing(const struct ui *ui, enum key_need need)
{
    const struct snapshot *s = &ui->picture.snapshot;
    if (need == KEY_NEEDS_NOTHING)
        return NULL;
    if (!ui->picture.have)
        return "nothing is known of the instance yet";
    if (!ui->picture.connected)
        return "the instance is not there";
    if (need == KEY_NEEDS_POOL && !s->pool.configured)
        return "no pool is configured: cluster.yaml wants an entry under models";
    if (need == KEY_NEEDS_GATE && !s->gate.configured)
        return "no gate is configured: cluster.yaml wants agents under quality_gate";
    if (need == KEY_NEEDS_MODES && !s->gate.configured && !s->consensus.configured)
        return "it is exact: neither consensus nor a gate is configured";
    if (need == KEY_NEEDS_SWARM && !s->swarm.on)
        return "the swarm is off: cluster.yaml wants enabled: true under swarm";
    if (need == KEY_NEEDS_DRAFTER && drafters(s, false) == 0)
        return "there is no drafter: a adds one";
    if (need == KEY_NEEDS_VOTERS && drafters(s, true) < 2)
        return "consensus takes two drafters that vote: a adds one";
    return NULL;
}

bool keys_handle(struct ui *ui, int key)
{
    if (ui->dialog != NULL) {
        if (key == CTRL_L)
            repaint(ui);
        else
            dialog_key(ui, key);
        ui_redraw(ui);
        return true;
    }
    for (size_t i = 0; i < key_count; i++) {
        if (key_table[i].key != key)
            continue;
        const char *why = missing(ui, key_table[i].need);
        if (why != NULL)
            ui_notice(ui, THEME_WARN, "%s: %s", key_table[i].name, why);
        else
            key_table[i].act(ui);
        return true;
    }
    return false;
}

void keys_answer(struct ui *ui, uint64_t id, json_t *reply, char *why)
{
    actions_take(ui, id, reply, why);
}

void keys_picture(struct ui *ui)
{
    actions_picture(ui);
    dialog_picture(ui);
}

void keys_finish(struct ui *ui)
{
    dialog_finish(ui);
    actions_finish(ui);
}

size_t keys_hints(const struct ui *ui, const char **key, const char **word, size_t max)
{
    size_t n = 0;
    for (int program = 1; program >= 0; program--) { /* how to get help and out comes first */
        for (size_t i = 0; i < key_count && n < max; i++) {
            const struct key_row *k = &key_table[i];
            if (k->hint == NULL || (k->group == KEYS_PROGRAM) != program ||
                (k->need != KEY_NEEDS_INSTANCE && missing(ui, k->need) != NULL))
                continue;
            key[n] = k->name;
            word[n++] = k->hint;
        }
    }
    return n;
}
