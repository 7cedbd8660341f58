/* What goes to the terminal: colours where they are wanted, and answers painted by who wrote each token. */
#ifndef TIGHTWAD_CMD_TERM_H
#define TIGHTWAD_CMD_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A terminal that shows colours, and NO_COLOR (no-color.org) is not set. */
bool term_colour(FILE *to);

enum term_style { TERM_PLAIN, TERM_DRAFTED, TERM_TARGET, TERM_GOOD, TERM_BAD, TERM_WARN, TERM_DIM, TERM_BOLD };
/* The escape sequence that starts the style, "" without colour; TERM_PLAIN ends any style. */
const char *term_escape(bool colour, enum term_style style);

/* PAINT_MARKS puts what the target wrote itself into [brackets]; PAINT_PLAIN writes nothing but the text. */
enum paint_mode { PAINT_PLAIN, PAINT_MARKS, PAINT_COLOUR };
enum paint_who { PAINT_UNKNOWN, PAINT_DRAFTED, PAINT_TARGET };

struct paint {
    FILE *to;
    enum paint_mode mode;
    enum paint_who now; /* whose text stands before this */
};

void paint_init(struct paint *p, FILE *to, enum paint_mode mode);
/* A terminal: colour, or marks where NO_COLOR is set; anything else: plain, or marks when asked for. */
enum paint_mode paint_mode_for(FILE *to, bool marks);
void paint_add(struct paint *p, const char *text, size_t len, enum paint_who who);
void paint_end(struct paint *p); /* closes an open bracket or colour; flushes */
/* "green: drafted  yellow: …" or the like; "" when the mode is plain.  Owned by the caller. */
char *paint_legend(enum paint_mode mode);

#endif
