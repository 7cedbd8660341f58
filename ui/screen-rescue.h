/* Giving the terminal back when the program ends in a way that nobody planned: a crash, exit() somewhere, a drawing
 * thread that does not answer.  Everything here may be called from a signal handler, but for arming and disarming. */
#ifndef TIGHTWAD_UI_SCREEN_RESCUE_H
#define TIGHTWAD_UI_SCREEN_RESCUE_H

#include <stdbool.h>
#include <stddef.h>

#include <termios.h>

/* From now on exit() and the signals of a crash, and those that end a program which has no handler for them, restore
 * the terminal: its settings as found, its own screen and cursor (by terminfo of the screen that newterm has made).
 * tty: nonblocking; stays the caller's. */
void rescue_arm(int tty, const struct termios *found);

/* Ends that and restores the settings.  stalled: the terminal has not taken what leaves the screen: what is under way
 * to it is thrown away, output is let go on, and it is tried once more.  False: in vain. */
bool rescue_disarm(bool stalled);

/* What makes the terminal show its own screen again.  Static. */
const char *rescue_leave(size_t *len);

/* Restores the terminal now, without waiting; a second call does nothing. */
void rescue_now(void);

#endif
