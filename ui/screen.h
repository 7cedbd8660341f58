/* The terminal: opened, drawn to, read and given back in the state it was found in, whatever happens.
 *
 * ncurses never writes to the terminal itself: it writes into a pipe that holds a whole picture, and screen_push hands
 * that on as far as the terminal takes it, without ever blocking.  So a terminal that does not read (Ctrl-S, a pty that
 * nobody reads, a viewer behind a dead link) holds up no thread.  The terminal is opened anew for that: O_NONBLOCK on
 * the inherited descriptors would be the shell's, too.
 *
 * One screen at a time; all calls from one thread, but for screen_rescue. */
#ifndef TIGHTWAD_UI_SCREEN_H
#define TIGHTWAD_UI_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ui/theme.h"

enum {
    SCREEN_WIDE =
        0x1000000, /* set in a key that is a character of U+0100 and above: KEY_UP is 0403, and no character */
    SCREEN_ESCAPE = 27,
    SCREEN_CTRL_C = 3, /* signals from the keyboard are off: it comes as a key */
};

struct screen;

/* Takes over the terminal of standard input: no echo, keys one by one, the alternate screen.  Catches SIGWINCH, and the
 * signals of a crash so that the terminal is restored before they take their course.  NULL and a cause where there is
 * no terminal, or TERM is not set or not known. */
struct screen *screen_open(char **cause);

/* Restores the terminal; waits for it at most so many milliseconds.  True: it has taken everything; false: it does not
 * read, what was still to be shown was thrown away, and whoever prints to it now will block.  NULL is allowed. */
bool screen_close(struct screen *s, int patience_ms);

/* Restores the terminal's settings from any thread or signal handler, without waiting; the screen can't be used after
 * that.  For a program that has to end although its drawing thread does not answer. */
void screen_rescue(void);

/* For poll or an event loop.  screen_out is to be watched for writing while screen_push says so. */
int screen_in(const struct screen *s);
int screen_out(const struct screen *s);
int screen_resize_fd(const struct screen *s); /* readable after SIGWINCH */

/* After screen_resize_fd was readable: takes the new size.  True: it has changed, everything is to be drawn. */
bool screen_resized(struct screen *s);
void screen_size(const struct screen *s, int *rows, int *cols);

/* How this terminal is painted.  Valid as long as the screen. */
const struct theme *screen_theme(const struct screen *s);

/* The next key: an ncurses KEY_… or a code point (from U+0100 on with SCREEN_WIDE).  False: none waits. */
bool screen_key(struct screen *s, int *key);
/* The character that a key is, 0: none (a function key). */
uint32_t screen_key_character(int key);
/* Whether the key that was taken last came with text that somebody pasted, where the terminal tells: a page of text is
 * no series of orders. */
bool screen_pasted(const struct screen *s);
/* The terminal is gone: reading says end of file or an error. */
bool screen_lost(const struct screen *s);

/* Brings what was drawn on stdscr to the terminal, as changes.  Must not be called while screen_push says that the
 * last picture is not out.  row, col: where the cursor is shown, -1 nowhere. */
void screen_show(struct screen *s, int row, int col);
/* Everything is painted anew by the next screen_show: somebody else has written on the terminal. */
void screen_repaint(struct screen *s);
/* Hands on what is left of the last picture.  True: there is more, which the terminal does not take now. */
bool screen_push(struct screen *s);
uint64_t screen_bytes(const struct screen *s); /* handed to the terminal so far */

#endif
