/* A dialog to read: a message, the help, what the doctor found. */
#ifndef TIGHTWAD_UI_NOTES_H
#define TIGHTWAD_UI_NOTES_H

#include "ui/dialog.h"
#include "ui/page.h"

/* Lays out what is to be read for the width that p has.  Called whenever that changes. */
typedef void notes_fill(const struct ui *ui, const void *data, struct page *p);

/* data: freed by free_data (NULL: it is not) with the dialog. */
void notes_open(struct ui *ui, const char *title, notes_fill *fill, void *data, void (*free_data)(void *data));

/* A few sentences. */
void notes_message(struct ui *ui, const char *title, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
