/* Text from anywhere, made fit for a terminal: what is not valid UTF-8, control characters, escape sequences and
 * characters that turn the direction of writing never get there.  Columns as wcwidth counts them in this locale.
 * Pure: no terminal is needed. */
#ifndef TIGHTWAD_UI_TEXT_H
#define TIGHTWAD_UI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

enum { TEXT_MARKS = 2 }; /* accents kept on a character */

/* One thing to show. */
struct text_cell {
    wchar_t character; /* L'\n' stays; never another control character */
    wchar_t mark[TEXT_MARKS];
    int n_marks;
    int columns; /* 1 or 2; 0 for L'\n' */
    size_t bytes;
};

/* The first cell of n > 0 bytes of s.  ascii: nothing beyond ASCII may be shown ("?" stands for it). */
void text_first(const char *s, size_t n, bool ascii, struct text_cell *out);

/* Columns of the text in one line ('\n' counts as a blank). */
int text_columns(const char *s, size_t n, bool ascii);

/* How many bytes of s fill the next line of so many columns: it breaks after a blank where one is near (words: true),
 * at
 * '\n' (which belongs to the line), and never inside a wide character.  0 only where n is 0. */
size_t text_line(const char *s, size_t n, int columns, bool words, bool ascii);

/* The number of lines that the text takes, broken between words. */
int text_lines(const char *s, size_t n, int columns, bool ascii);

/* Whether needle stands in s, upper and lower case (of ASCII) being the same.  "" is everywhere. */
bool text_holds(const char *s, const char *needle);

/* Figures for people: "1.5 GiB", "12.3", "–" where it is not known (NAN; -1 for bytes).  out: at least 16 bytes;
 * returned. */
char *text_bytes(char *out, size_t size, int64_t bytes, bool ascii);
char *text_share(char *out, size_t size, int64_t used, int64_t all,
                 bool ascii);                                         /* "18.4/24.0 GiB", at most 15 columns */
char *text_number(char *out, size_t size, double value, bool ascii);  /* three figures at most: 0.04, 3.1, 128 */
char *text_percent(char *out, size_t size, double share, bool ascii); /* of 0..1: "87 %" */
char *text_small(char *out, size_t size, double share, bool ascii);   /* of a share that may be small: "0.42 %" */
/* Of 0..1: "0.1 to 1.2 %"; at most 24 bytes. */
char *text_interval(char *out, size_t size, double low, double high, bool ascii);
char *text_milliseconds(char *out, size_t size, double ms, bool ascii); /* "0.4 ms", "1.2 s", "3 min" */
char *text_clock(char *out, size_t size, int64_t wall_ms);              /* local time, "14:03:22" */
char *text_duration(char *out, size_t size, int64_t ms);                /* "40 s" (in tens), "12 min", "3 h 5 min" */

#endif
