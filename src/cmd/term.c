#include "cmd/term.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static const char *const escapes[] = {
    [TERM_PLAIN] = "\033[0m", [TERM_DRAFTED] = "\033[32m", [TERM_TARGET] = "\033[33m", [TERM_GOOD] = "\033[32m",
    [TERM_BAD] = "\033[31m",  [TERM_WARN] = "\033[33m",    [TERM_DIM] = "\033[2m",     [TERM_BOLD] = "\033[1m",
};

bool term_colour(FILE *to)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no != NULL && no[0] != '\0')
        return false;
    return isatty(fileno(to)) && (term == NULL || strcmp(term, "dumb") != 0);
}

const char *term_escape(bool colour, enum term_style style)
{
    return colour ? escapes[style] : "";
}

void paint_init(struct paint *p, FILE *to, enum paint_mode mode)
{
    *p = (struct paint){.to = to, .mode = mode, .now = PAINT_UNKNOWN};
}

enum paint_mode paint_mode_for(FILE *to, bool marks)
{
    if (term_colour(to))
        return PAINT_COLOUR;
    return marks || isatty(fileno(to)) ? PAINT_MARKS : PAINT_PLAIN;
}

static void change(struct paint *p, enum paint_who who)
{
    if (p->now == who)
        return;
    if (p->mode == PAINT_MARKS) {
        if (p->now == PAINT_TARGET)
            fputc(']', p->to);
        if (who == PAINT_TARGET)
            fputc('[', p->to);
    } else if (p->mode == PAINT_COLOUR) {
        enum term_style style = who == PAINT_DRAFTED ? TERM_DRAFTED : who == PAINT_TARGET ? TERM_TARGET : TERM_PLAIN;
        fputs(escapes[style], p->to);
    }
    p->now = who;
}

void paint_add(struct paint *p, const char *text, size_t len, enum paint_who who)
{
    if (len == 0)
        return;
    change(p, who);
    fwrite(text, 1, len, p->to);
}

void paint_end(struct paint *p)
{
    change(p, PAINT_UNKNOWN);
    fflush(p->to);
}

char *paint_legend(enum paint_mode mode)
{
    if (mode == PAINT_COLOUR)
        return xasprintf("%sdrafted and accepted%s  %swritten by the target%s", escapes[TERM_DRAFTED],
                         escapes[TERM_PLAIN], escapes[TERM_TARGET], escapes[TERM_PLAIN]);
    return xstrdup(mode == PAINT_MARKS ? "drafted and accepted  [written by the target]" : "");
}
