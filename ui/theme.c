#include "ui/theme.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Colours by their number; -1: the terminal's own.  Blue is left out: on black it can hardly be read. */
enum { OWN = -1, RED = 1, YELLOW = 3, MAGENTA = 5, CYAN = 6 };

struct look {
    short colour;
    attr_t coloured; /* attributes beside the colour */
    attr_t mono;     /* and where there are no colours */
};

static const struct look looks[THEME_ROLES] = {
    [THEME_TEXT] = {OWN, A_NORMAL, A_NORMAL},
    [THEME_DIM] = {OWN, A_DIM, A_DIM},
    [THEME_BOLD] = {OWN, A_BOLD, A_BOLD},
    [THEME_HEADER] = {OWN, A_REVERSE, A_REVERSE},
    [THEME_TITLE] = {OWN, A_BOLD, A_BOLD},
    [THEME_FOCUS] = {CYAN, A_BOLD | A_REVERSE, A_BOLD | A_REVERSE},
    [THEME_RULE] = {OWN, A_DIM, A_DIM},
    [THEME_GOOD] = {CYAN, A_NORMAL, A_NORMAL},
    [THEME_WARN] = {YELLOW, A_BOLD, A_BOLD},
    [THEME_BAD] = {RED, A_BOLD, A_BOLD | A_REVERSE},
    [THEME_DRAFTED] = {CYAN, A_NORMAL, A_NORMAL},
    [THEME_TARGET] = {YELLOW, A_BOLD, A_BOLD},
    [THEME_QUOTED] = {MAGENTA, A_UNDERLINE, A_UNDERLINE},
    [THEME_DRAFT] = {CYAN, A_NORMAL, A_NORMAL},
    [THEME_VERIFY] = {YELLOW, A_NORMAL, A_NORMAL},
    [THEME_WAIT] = {OWN, A_DIM, A_DIM},
    [THEME_GRAPH] = {CYAN, A_NORMAL, A_NORMAL},
    [THEME_KEY] = {OWN, A_BOLD, A_BOLD},
    [THEME_SELECTED] = {OWN, A_REVERSE, A_REVERSE},
    [THEME_INPUT] = {OWN, A_UNDERLINE, A_UNDERLINE},
    [THEME_DIALOG] = {CYAN, A_BOLD, A_BOLD},
};

/* In full, without signs, in ASCII. */
static const char *const glyphs[GLYPHS][3] = {
    [GLYPH_GOOD] = {"✓", "+", "+"},     [GLYPH_BAD] = {"✗", "x", "x"},      [GLYPH_WARN] = {"!", "!", "!"},
    [GLYPH_UNKNOWN] = {"–", "-", "-"},  [GLYPH_MORE] = {"…", "~", "~"},     [GLYPH_ACROSS] = {"─", "─", "-"},
    [GLYPH_DOWN] = {"│", "│", "|"},     [GLYPH_CORNER_A] = {"┌", "┌", "+"}, [GLYPH_CORNER_B] = {"┐", "┐", "+"},
    [GLYPH_CORNER_C] = {"└", "└", "+"}, [GLYPH_CORNER_D] = {"┘", "┘", "+"}, [GLYPH_FULL] = {"█", "█", "#"},
    [GLYPH_HALF] = {"▒", "▒", "="},     [GLYPH_EMPTY] = {"░", "░", "."},    [GLYPH_POINTER] = {"▸", ">", ">"},
    [GLYPH_DOT] = {"·", "-", "-"},
};

void theme_choose(struct theme *t, const struct theme_terminal *on)
{
    *t = (struct theme){.unicode = on->utf8, .signs = on->utf8 && !on->console};
    t->colours = on->mono || on->colours < 8 ? 0 : on->colours < 16 ? 8 : 16;
    for (int i = 0; i < THEME_ROLES; i++) {
        const struct look *l = &looks[i];
        t->attr[i] = t->colours > 0 ? l->coloured : l->mono;
        t->colour[i] = t->colours > 0 ? l->colour : OWN;
        if (t->colours == 16 && l->colour > 0 && (l->coloured & A_REVERSE) == 0)
            t->colour[i] = (short)(l->colour + 8); /* the bright one: easier to read on black */
        t->pair[i] = t->colour[i] == OWN ? 0 : (short)(i + 1);
    }
}

void theme_start(struct theme *t, bool utf8)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    struct theme_terminal on = {
        .mono = no != NULL && no[0] != '\0',
        .utf8 = utf8,
        .console = term != NULL && strcmp(term, "linux") == 0,
    };
    if (!on.mono && has_colors() && start_color() == OK && use_default_colors() == OK)
        on.colours = COLORS;
    theme_choose(t, &on);
    for (int i = 0; i < THEME_ROLES; i++) {
        if (t->pair[i] != 0)
            init_pair(t->pair[i], t->colour[i], OWN);
    }
}

const char *theme_glyph(const struct theme *t, enum theme_glyph g)
{
    return glyphs[g][t->signs ? 0 : t->unicode ? 1 : 2];
}
