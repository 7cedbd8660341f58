#include "ui/ui.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "ui/pane.h"

enum { NOTICE_US = 8 * 1000000 };

static bool present(const struct ui *ui, int id)
{
    return pane_table[id]->present == NULL || pane_table[id]->present(ui);
}

void ui_focus_next(struct ui *ui, int step)
{
    int id = ui->focus;
    for (int i = 0; i < PANES; i++) {
        id = (id + step + PANES) % PANES;
        if (present(ui, id))
            break;
    }
    ui->focus = (enum pane_id)id;
    ui_redraw(ui);
}

void ui_zoom(struct ui *ui)
{
    ui->zoomed = !ui->zoomed;
    ui_redraw(ui);
}

void ui_scroll(struct ui *ui, int lines)
{
    int *at = &ui->scroll[ui->focus];
    *at = *at + lines > 0 ? *at + lines : 0;
    ui_redraw(ui);
}

void ui_filter(struct ui *ui, const char *text)
{
    snprintf(ui->filter, sizeof(ui->filter), "%s", text);
    for (int i = 0; i < PANES; i++)
        ui->scroll[i] = 0;
    ui_redraw(ui);
}

void ui_redraw(struct ui *ui)
{
    ui->redraw = true;
}

void ui_notice(struct ui *ui, enum theme_role role, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(ui->notice, sizeof(ui->notice), fmt, ap);
    va_end(ap);
    ui->notice_role = role;
    ui->notice_until_us = clock_us() + NOTICE_US;
    ui_redraw(ui);
}

struct view ui_view(const struct ui *ui)
{
    return (struct view){.theme = &ui->theme, .rows = ui->rows, .cols = ui->cols};
}
