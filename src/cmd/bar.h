/* How far something has come, on one line of a terminal; sizes are show_bytes's (show-machine.h). */
#ifndef TIGHTWAD_CMD_BAR_H
#define TIGHTWAD_CMD_BAR_H

#include <stddef.h>

enum { BAR_WORD = 16 }; /* bytes that a time fits in */

/* "0:07", "12:03", "1:02:03", "2 d 3 h"; "–" for NAN. */
void bar_time(char word[BAR_WORD], double seconds);
/* "[=====>    ]", so many columns wide with its brackets (2 at least); share: 0 to 1, NAN: empty. */
void bar_draw(char *out, size_t size, double share, int columns);

#endif
