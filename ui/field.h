/* A line of text that somebody types: an address, a path, a size. */
#ifndef TIGHTWAD_UI_FIELD_H
#define TIGHTWAD_UI_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FIELD_MAX = 512 }; /* bytes with the NUL; what does not fit is not taken */

struct field {
    char text[FIELD_MAX]; /* valid UTF-8 */
    size_t len, at;       /* bytes; the cursor stands before the character at `at` */
};

/* Sets the text (cut at a character where it is too long; control characters are left out), the cursor behind it. */
void field_set(struct field *f, const char *text);

/* A character that was typed.  False: it is none that can be shown, or there is no room. */
bool field_type(struct field *f, uint32_t character);

/* One of ncurses' KEY_LEFT, KEY_RIGHT, KEY_HOME, KEY_END, KEY_BACKSPACE, KEY_DC, or Ctrl-U (0x15: all before the
 * cursor goes).  False: not one of them, and nothing happened. */
bool field_key(struct field *f, int key);

#endif
