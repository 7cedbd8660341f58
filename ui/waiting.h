/* Dialogs that show that something is under way: an answer that is waited for, a model that is being loaded.  Both can
 * be left; what is under way goes on. */
#ifndef TIGHTWAD_UI_WAITING_H
#define TIGHTWAD_UI_WAITING_H

#include "ui/dialog.h"

/* Something that turns, and text beside it (copied).  Returns its number: whoever waits
 * closes it with dialog_close. */
uint64_t waiting_open(struct ui *ui, const char *title, const char *text);

/* The pool's way to another model, from the picture: what it does and how far the load has got. */
uint64_t waiting_open_load(struct ui *ui, const char *model);

#endif
