#include "ui/menu.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <ncurses.h>

#include "base/mem.h"
#include "ui/screen.h"
#include "ui/text.h"

enum { GAP = 2, NAME_LEAST = 8, BACKSPACE = 8, DELETE = 127 };

void menu_init(struct menu *m, bool filters)
{
    *m = (struct menu){.filters = filters};
    field_set(&m->filter, "");
}

void menu_finish(struct menu *m)
{
    for (size_t i = 0; i < m->n; i++) {
        for (size_t k = 0; k < MENU_CELLS; k++)
            free(m->item[i].cell[k]);
        free(m->item[i].note);
    }
    free(m->item);
    free(m->shown);
    *m = (struct menu){0};
}

struct menu_item *menu_add(struct menu *m, enum theme_role role)
{
    m->item = xreallocarray(m->item, m->n + 1, sizeof(*m->item));
    m->shown = xreallocarray(m->shown, m->n + 1, sizeof(*m->shown));
    m->shown[m->n_shown++] = m->n;
    m->item[m->n] = (struct menu_item){.role = role};
    return &m->item[m->n++];
}

void menu_cell(struct menu_item *i, size_t cell, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    free(i->cell[cell]);
    i->cell[cell] = xvasprintf(fmt, ap);
    va_end(ap);
}

void menu_note(struct menu_item *i, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    free(i->note);
    i->note = xvasprintf(fmt, ap);
    va_end(ap);
}

void menu_choose(struct menu *m, size_t index)
{
    for (size_t i = 0; i < m->n_shown; i++) {
        if (m->shown[i] == index)
            m->chosen = i;
    }
}

long menu_item(const struct menu *m)
{
    return m->chosen < m->n_shown ? (long)m->shown[m->chosen] : -1;
}

static bool holds(const struct menu_item *i, const char *filter)
{
    for (size_t k = 0; k < MENU_CELLS; k++) {
        if (i->cell[k] != NULL && text_holds(i->cell[k], filter))
            return true;
    }
    return filter[0] == '\0';
}

/* Shows what holds the filter; what was chosen stays so where it can. */
static void take_filter(struct menu *m)
{
    long before = menu_item(m);
    m->n_shown = 0;
    m->chosen = m->top = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (!holds(&m->item[i], m->filter.text))
            continue;
        if ((long)i == before)
            m->chosen = m->n_shown;
        m->shown[m->n_shown++] = i;
    }
}

static enum menu_result go(struct menu *m, long by)
{
    long to = (long)m->chosen + by, last = (long)m->n_shown - 1;
    m->chosen = (size_t)(to < 0 || last < 0 ? 0 : to > last ? last : to);
    return MENU_CHANGED;
}

static enum menu_result type(struct menu *m, int key)
{
    uint32_t character = screen_key_character(key);
    if (!m->filters) {
        for (size_t i = 0; character != 0 && i < m->n_shown; i++) {
            if ((uint32_t)m->item[m->shown[i]].hot == character) {
                m->chosen = i;
                return MENU_TAKEN;
            }
        }
        return MENU_IGNORED;
    }
    if (key == BACKSPACE || key == DELETE)
        key = KEY_BACKSPACE;
    if (!(character != 0 && field_type(&m->filter, character)) && !field_key(&m->filter, key))
        return MENU_IGNORED;
    take_filter(m);
    return MENU_CHANGED;
}

enum menu_result menu_key(struct menu *m, int key, size_t page)
{
    long step = page > 1 ? (long)page - 1 : 1;
    switch (key) {
    case KEY_UP:
        return go(m, -1);
    case KEY_DOWN:
        return go(m, 1);
    case KEY_PPAGE:
        return go(m, -step);
    case KEY_NPAGE:
        return go(m, step);
    case KEY_HOME:
        return go(m, -(long)m->n);
    case KEY_END:
        return go(m, (long)m->n);
    case '\r':
    case '\n':
    case KEY_ENTER:
        return menu_item(m) >= 0 ? MENU_TAKEN : MENU_CHANGED;
    case SCREEN_CTRL_C:
        return MENU_LEFT;
    case SCREEN_ESCAPE:
        if (m->filter.len == 0)
            return MENU_LEFT;
        field_set(&m->filter, "");
        take_filter(m);
        return MENU_CHANGED;
    default:
        return type(m, key);
    }
}

void menu_scroll(struct menu *m, size_t rows)
{
    if (rows == 0)
        return;
    if (m->chosen < m->top)
        m->top = m->chosen;
    if (m->chosen >= m->top + rows)
        m->top = m->chosen + 1 - rows;
    if (m->top + rows > m->n_shown)
        m->top = m->n_shown > rows ? m->n_shown - rows : 0;
}

void menu_columns(const struct menu *m, int cols, bool ascii, int out[MENU_CELLS])
{
    int whole = 0, last = 0;
    for (size_t k = 0; k < MENU_CELLS; k++) {
        out[k] = 0;
        for (size_t i = 0; i < m->n; i++) {
            const char *cell = m->item[i].cell[k];
            int width = cell != NULL ? text_columns(cell, strlen(cell), ascii) : 0;
            out[k] = width > out[k] ? width : out[k];
        }
        if (out[k] > 0) {
            whole += (whole > 0 ? GAP : 0) + out[k];
            last = (int)k;
        }
    }
    int least = out[0] < NAME_LEAST ? out[0] : NAME_LEAST;
    for (; whole > cols && last > 0; last--) {
        if (out[0] - (whole - cols) >= least)
            break;
        if (out[last] > 0)
            whole -= out[last] + GAP;
        out[last] = 0;
    }
    if (whole > cols)
        out[0] = out[0] - (whole - cols) > 0 ? out[0] - (whole - cols) : 0;
}
