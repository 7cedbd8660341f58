/* The state of a drawing thread without a thread and without a terminal: keys go in, orders come out of its feed. */
#ifndef TIGHTWAD_TESTS_UI_KEYS_RIG_H
#define TIGHTWAD_TESTS_UI_KEYS_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "ui/keys.h"

enum { RIG_ORDERS = 64 };

struct keys_rig {
    struct event_base *base;
    struct feed *feed;
    struct ui *ui;
    char *order[RIG_ORDERS]; /* as JSON with sorted keys, oldest first */
    uint64_t id[RIG_ORDERS];
    size_t n_orders, checked;
    int quits;
    bool stops;
};

/* An instance with a target, no drafter, no pool, a configuration file. */
void rig_start(struct keys_rig *r);
void rig_stop(struct keys_rig *r);
void rig_add_drafter(struct keys_rig *r, const char *name, bool paused);
void rig_add_pool(struct keys_rig *r, const char *model, const char *state);
void rig_add_gate(struct keys_rig *r, bool on);

/* Presses the keys of an ASCII text; '\n' is Enter. */
void rig_type(struct keys_rig *r, const char *keys);
void rig_press(struct keys_rig *r, int key);
/* The next order must be this one, as JSON with sorted keys; NULL: there must be none. */
void rig_wants(struct keys_rig *r, const char *json);
/* The last order that was seen is answered. */
void rig_answer(struct keys_rig *r, const char *json);
void rig_fail(struct keys_rig *r, const char *why);
/* Drops the orders that were seen and answered. */
void rig_forget(struct keys_rig *r);
/* A new picture: a tick later. */
void rig_picture(struct keys_rig *r);

/* The title of the topmost dialog, "" none. */
const char *rig_dialog(const struct keys_rig *r);

#endif
