/* How things look: one table of roles.  Nothing else names a colour or an attribute.
 *
 * No two roles that must be told apart differ by red against green alone, and what is good or bad always carries a sign
 * or a word as well: the screen reads the same without colours, and by eyes that tell few of them apart. */
#ifndef TIGHTWAD_UI_THEME_H
#define TIGHTWAD_UI_THEME_H

#include <stdbool.h>

#include <ncurses.h>

enum theme_role {
    THEME_TEXT,
    THEME_DIM,      /* beside the point, or not known */
    THEME_BOLD,     /* figures that matter, headings in a pane */
    THEME_HEADER,   /* the line at the top */
    THEME_TITLE,    /* of a pane */
    THEME_FOCUS,    /* title of the pane that keys go to */
    THEME_RULE,     /* lines between panes */
    THEME_GOOD,     /* with theme_sign */
    THEME_WARN,     /* with theme_sign */
    THEME_BAD,      /* with theme_sign */
    THEME_DRAFTED,  /* tokens that a drafter wrote and the target accepted */
    THEME_TARGET,   /* tokens that the target wrote */
    THEME_QUOTED,   /* tokens quoted from the text before */
    THEME_DRAFT,    /* parts of a round, as bars: drafting */
    THEME_VERIFY,   /* … verifying */
    THEME_WAIT,     /* … waiting */
    THEME_GRAPH,    /* sparklines */
    THEME_KEY,      /* a key in the footer and in the help */
    THEME_SELECTED, /* the chosen line of a list */
    THEME_INPUT,    /* where something is typed */
    THEME_DIALOG,   /* frame and title of a dialog */
    THEME_ROLES
};

/* Signs and fillings that differ between terminals. */
enum theme_glyph {
    GLYPH_GOOD,     /* ✓ or + */
    GLYPH_BAD,      /* ✗ or x */
    GLYPH_WARN,     /* ! */
    GLYPH_UNKNOWN,  /* – or - */
    GLYPH_MORE,     /* … or ~ : text goes on */
    GLYPH_ACROSS,   /* ─ or - */
    GLYPH_DOWN,     /* │ or | */
    GLYPH_CORNER_A, /* ┌ or + */
    GLYPH_CORNER_B, /* ┐ */
    GLYPH_CORNER_C, /* └ */
    GLYPH_CORNER_D, /* ┘ */
    GLYPH_FULL,     /* █ or # */
    GLYPH_HALF,     /* ▒ or = */
    GLYPH_EMPTY,    /* ░ or . */
    GLYPH_POINTER,  /* ▸ or > */
    GLYPH_DOT,      /* · or - */
    GLYPHS
};

/* What a terminal can show. */
struct theme_terminal {
    int colours;  /* as terminfo says; 0 or less: none */
    bool mono;    /* NO_COLOR is set */
    bool utf8;    /* the locale is */
    bool console; /* the Linux console: its font has lines and blocks, but neither signs nor braille */
};

struct theme {
    bool unicode; /* text beyond ASCII, lines and blocks may be shown */
    bool signs;   /* ticks, crosses and braille, too */
    int colours;  /* 0 none, 8, 16 */
    attr_t attr[THEME_ROLES];
    short pair[THEME_ROLES];   /* colour pair, 0: the terminal's own colours */
    short colour[THEME_ROLES]; /* foreground of that pair, -1 the terminal's own */
};

/* Pure: what each role looks like on such a terminal. */
void theme_choose(struct theme *t, const struct theme_terminal *on);

/* Looks at TERM, NO_COLOR and the screen that newterm has made, chooses, and makes the colour pairs. */
void theme_start(struct theme *t, bool utf8);

/* Static text, one column wide. */
const char *theme_glyph(const struct theme *t, enum theme_glyph g);

#endif
