/* What the keys do: each action asks for what it has to know, sends a row of the command table, and tells what came of
 * it. */
#ifndef TIGHTWAD_UI_ACTIONS_H
#define TIGHTWAD_UI_ACTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "ui/dialog.h"
#include "ui/input.h"

/* What came of an order: reply (borrowed), or NULL and why. */
typedef void actions_answer(struct ui *ui, void *data, const json_t *reply, const char *why);

struct actions_order {
    uint64_t id;
    char *what;             /* in words, for the notice: "pausing alice:8081" */
    uint64_t waiting;       /* the number of the dialog that stands for it, 0 none */
    actions_answer *answer; /* NULL: a notice says how it went */
    void *data;
    void (*free_data)(void *data);
    struct actions_order *next;
};

/* What is followed in the pictures after its order was taken. */
struct actions_follow {
    bool on;
    uint64_t tick;   /* of the picture in which the order was given */
    char model[128]; /* that is to be loaded */
    uint64_t count;  /* pool.swaps or pool.reclaims then */
    bool was_up;
    uint64_t dialog; /* the number of the dialog that shows it */
};

struct actions {
    struct actions_order *orders;
    struct input_history addresses, prompts, filters, caps, pulls, shares;
    struct actions_follow load, reclaim;
    int64_t cap; /* of draft tokens, when it was last not 0: what "speculate again" sets */
    bool quits;  /* the user has decided to end */
    /* The last drafter that was paused or resumed, which the pictures do not show up to that tick. */
    struct {
        char name[64];
        bool paused;
        uint64_t tick;
    } toggled;
};

/* ui's own, made at the first use. */
struct actions *actions_of(struct ui *ui);
void actions_finish(struct ui *ui);

/* Sends a command (request: stolen).  what: in words, as above, copied.  waits: a dialog stands for it until the answer
 * comes.  answer NULL: a notice says how it went.  data: freed by free_data when it is over, in any case.  False: too
 * many wait, it was not sent; that has been told. */
bool actions_send(struct ui *ui, json_t *request, const char *what, bool waits, actions_answer *answer, void *data,
                  void (*free_data)(void *data));
/* An answer has come; owns both. */
void actions_take(struct ui *ui, uint64_t id, json_t *reply, char *why);
void actions_picture(struct ui *ui); /* a new picture has come */

/* Whether changes can be written to a configuration file. */
bool actions_can_save(const struct ui *ui);
/* Tells what went wrong: a dialog where none is open, else a notice. */
void actions_tell_failure(struct ui *ui, const char *what, const char *why);
/* From now on the pictures are watched until the model is loaded, or is not. */
void actions_follow_load(struct ui *ui, const char *model);

/* The actions.  Each is called with its key pressed and no dialog open. */
void action_models(struct ui *ui);
void action_pause(struct ui *ui);
void action_add(struct ui *ui);
void action_remove(struct ui *ui);
void action_draft(struct ui *ui);
void action_engines(struct ui *ui);
void action_test(struct ui *ui);
void action_doctor(struct ui *ui);
void action_tune(struct ui *ui);
void action_log_level(struct ui *ui);
void action_reload(struct ui *ui);
void action_reclaim(struct ui *ui);
void action_gate(struct ui *ui);
void action_consensus(struct ui *ui);
void action_mode(struct ui *ui);
void action_swarm(struct ui *ui);
void action_filter(struct ui *ui);
void action_quit(struct ui *ui);

#endif
