#include "ui/input.h"

#include <stdlib.h>
#include <string.h>

#include <ncurses.h>

#include "base/mem.h"
#include "ui/screen.h"

enum { CTRL_A = 1, CTRL_E = 5, BACKSPACE = 8, CTRL_W = 23, DELETE = 127 };

void input_init(struct input *i, const char *text, struct input_history *history)
{
    *i = (struct input){.history = history, .at = history != NULL ? history->n : 0};
    field_set(&i->field, text);
}

void input_finish(struct input *i)
{
    free(i->own);
    i->own = NULL;
}

/* Shows the line of that index; the one past the last is what was typed here. */
static void fetch(struct input *i, size_t at)
{
    const struct input_history *h = i->history;
    if (i->at == h->n) {
        free(i->own);
        i->own = xstrdup(i->field.text);
    }
    field_set(&i->field, at == h->n ? i->own : h->line[at]);
    i->at = at;
}

static enum input_result step(struct input *i, bool back)
{
    size_t n = i->history != NULL ? i->history->n : 0;
    if (back && i->at > 0)
        fetch(i, i->at - 1);
    else if (!back && i->at < n)
        fetch(i, i->at + 1);
    return INPUT_CHANGED;
}

static void cut_word(struct field *f)
{
    while (f->at > 0 && f->text[f->at - 1] == ' ')
        field_key(f, KEY_BACKSPACE);
    while (f->at > 0 && f->text[f->at - 1] != ' ')
        field_key(f, KEY_BACKSPACE);
}

enum input_result input_key(struct input *i, int key)
{
    switch (key) {
    case '\r':
    case '\n':
    case KEY_ENTER:
        return INPUT_TAKEN;
    case SCREEN_ESCAPE:
    case SCREEN_CTRL_C:
        return INPUT_LEFT;
    case KEY_UP:
        return step(i, true);
    case KEY_DOWN:
        return step(i, false);
    case CTRL_W:
        cut_word(&i->field);
        return INPUT_CHANGED;
    case CTRL_A:
        key = KEY_HOME;
        break;
    case CTRL_E:
        key = KEY_END;
        break;
    case BACKSPACE:
    case DELETE:
        key = KEY_BACKSPACE;
        break;
    default:
        break;
    }
    if (field_key(&i->field, key))
        return INPUT_CHANGED;
    uint32_t character = screen_key_character(key);
    return character != 0 && field_type(&i->field, character) ? INPUT_CHANGED : INPUT_IGNORED;
}

void input_history_add(struct input_history *h, const char *line)
{
    if (line[0] == '\0' || (h->n > 0 && strcmp(h->line[h->n - 1], line) == 0))
        return;
    if (h->n == INPUT_HISTORY) {
        free(h->line[0]);
        memmove(h->line, h->line + 1, (INPUT_HISTORY - 1) * sizeof(*h->line));
        h->n--;
    }
    h->line[h->n++] = xstrdup(line);
}

void input_history_finish(struct input_history *h)
{
    for (size_t i = 0; i < h->n; i++)
        free(h->line[i]);
    h->n = 0;
}
