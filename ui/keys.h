/* The keys of the dashboard: one table that both acts and is the help.  All on the drawing thread. */
#ifndef TIGHTWAD_UI_KEYS_H
#define TIGHTWAD_UI_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "ui/ui.h"

enum key_group { KEYS_ENGINES, KEYS_LOOK, KEYS_PROGRAM, KEY_GROUPS };

/* What must be there for the key to mean anything. */
enum key_need {
    KEY_NEEDS_NOTHING,
    KEY_NEEDS_INSTANCE,
    KEY_NEEDS_POOL,
    KEY_NEEDS_DRAFTER,
    KEY_NEEDS_VOTERS, /* two drafters */
    KEY_NEEDS_GATE,
    KEY_NEEDS_MODES, /* consensus or a gate */
    KEY_NEEDS_SWARM,
};

struct key_row {
    int key;          /* as screen_key tells it */
    const char *name; /* as people call it: "m", "Tab" */
    const char *help; /* what it does, a line */
    const char *hint; /* the same in a word, for the line at the bottom; NULL: not there */
    enum key_group group;
    enum key_need need;
    void (*act)(struct ui *ui);
};

extern const struct key_row key_table[]; /* group by group, in the order of the help */
extern const size_t key_count;
extern const char *const key_group_names[KEY_GROUPS];

/* A key was pressed.  False: it means nothing here. */
bool keys_handle(struct ui *ui, int key);
/* An answer was taken from the feed; owns both. */
void keys_answer(struct ui *ui, uint64_t id, json_t *reply, char *why);
/* A new picture was taken from the feed. */
void keys_picture(struct ui *ui);
/* Frees the dialogs and what is remembered of orders. */
void keys_finish(struct ui *ui);

/* What the line at the bottom offers now: the names of at most max keys, the most important ones first, and a word for
 * each (static).  Returns how many. */
size_t keys_hints(const struct ui *ui, const char **key, const char **word, size_t max);

#endif
