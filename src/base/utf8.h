/* UTF-8 as it comes in pieces. */
#ifndef TIGHTWAD_BASE_UTF8_H
#define TIGHTWAD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Whole characters only, none of them overlong, a surrogate or above U+10FFFF. */
bool utf8_valid(const char *s, size_t len);

/* How many of the last bytes are the beginning of a character whose rest is still missing (0 to 3). */
size_t utf8_incomplete_tail(const char *s, size_t len);

/* Appends s to out with every invalid sequence replaced by U+FFFD (maximal subparts, as browsers do). */
bool utf8_add_repaired(struct buf *out, const char *s, size_t len);

/* s as it may go to a terminal and into JSON: repaired, control characters (C0, DEL, C1) and marks that turn the
 * direction of writing made blanks.  Owned by the caller. */
char *utf8_printable(const char *s, size_t len);
/* The same, and what stands on several lines is told as the parts of a sentence: "a\n  b" is "a; b".  Owned by the
 * caller. */
char *utf8_one_line(const char *s);

#endif
