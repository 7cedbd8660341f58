/* What answers promise: the gate on and off, how the drafters vote, what the model's plain name means. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/actions.h"
#include "ui/choose.h"

/* Sends it, and has it written to the configuration file where that is wished.  request: stolen. */
static void order(struct ui *ui, json_t *request, bool save, const char *what)
{
    if (save)
        json_object_set_new(request, "save", json_true());
    actions_send(ui, request, what, false, NULL, NULL, NULL);
}

static struct menu_item *offer(struct choose *c, int hot, const char *words)
{
    struct menu_item *i = menu_add(&c->menu, THEME_TEXT);
    menu_cell(i, 0, "%s", words);
    i->hot = hot;
    return i;
}

/* ---- the gate ---- */

enum { GATE_NOW, GATE_SAVED };

static void on_gate(struct ui *ui, struct choose *c, size_t index)
{
    bool on = *(const bool *)c->data;
    if (index <= GATE_SAVED && (index == GATE_NOW || actions_can_save(ui)))
        order(ui, json_pack("{s:s, s:b}", "command", "gate", "on", on), index == GATE_SAVED,
              on ? "quality gate: on" : "quality gate: off");
}

void action_gate(struct ui *ui)
{
    static const char goes_on[] =
        "It is off. On, the agents write whole answers, and the target reviews each: approved ones pass as they are, "
        "others it corrects, or answers itself. Such answers are approximate: good by the review, but not those that "
        "the target would have written.";
    static const char goes_off[] = "It is on: the agents write, the target reviews. Off, the target writes again, and "
                                   "what is asked of the agents is finished first.";
    bool *on = xcalloc(1, sizeof(*on));
    *on = !ui->picture.snapshot.gate.on;
    struct choose *c = choose_open(ui, "quality gate", *on ? goes_on : goes_off, false, on_gate, on, free);
    offer(c, 's', *on ? "switch it on" : "switch it off");
    if (actions_can_save(ui))
        offer(c, 'f',
              *on ? "switch it on, in the configuration file too" : "switch it off, in the configuration file too");
    offer(c, 'n', "leave it as it is");
}

/* ---- consensus ---- */

static const struct {
    const char *mode, *words, *note;
    int hot;
} votes[] = {
    {"off", "exact: the target checks every token", "Nothing is left to the drafters' agreement.", 'o'},
    {"strict", "approximate: all must agree",
     "Tokens that all drafters agree on are given out without the target; from the first one on which they do not, the "
     "target checks.",
     's'},
    {"majority", "approximate: more than half must agree",
     "Tokens that more than half of the drafters agree on are given out without the target; where they do not, "
     "the target checks.",
     'm'},
    {"any_disagree", "approximate: all, over a whole window",
     "Only a window that all agree on from end to end is given out without the target; after one disagreement the "
     "target checks all of it.",
     'a'},
};

static void on_vote(struct ui *ui, struct choose *c, size_t index)
{
    (void)c;
    char *what = xasprintf("consensus: %s", votes[index].mode);
    order(ui, json_pack("{s:s, s:s}", "command", "consensus", "mode", votes[index].mode), actions_can_save(ui), what);
    free(what);
}

void action_consensus(struct ui *ui)
{
    const struct snapshot_consensus *s = &ui->picture.snapshot.consensus;
    char *text = xasprintf(
        "Where the drafters agree, the target is not asked: faster, and approximate. A share of it is checked "
        "afterwards, which measures the errors.%s%s",
        s->suspended ? " It is suspended now; choosing a mode takes it up again." : "",
        actions_can_save(ui) ? " The choice is written to the configuration file." : "");
    struct choose *c = choose_open(ui, "consensus", text, false, on_vote, NULL, NULL);
    free(text);
    for (size_t i = 0; i < ARRAY_LEN(votes); i++) {
        struct menu_item *it = offer(c, votes[i].hot, votes[i].mode);
        menu_cell(it, 1, "%s", votes[i].words);
        menu_note(it, "%s", votes[i].note);
        if (strcmp(s->mode, votes[i].mode) == 0)
            menu_choose(&c->menu, i);
    }
}

/* ---- the plain name ---- */

static const struct {
    const char *mode, *words;
    int hot;
} meanings[] = {
    {"auto", "the first of gate, consensus, exact that is on", 'u'},
    {"exact", "what the target alone would write", 'e'},
    {"consensus", "approximate: where the drafters agree, the target is not asked", 'c'},
    {"gate", "approximate: agents write, the target reviews", 'g'},
};

static void on_mode(struct ui *ui, struct choose *c, size_t index)
{
    (void)c;
    char *what = xasprintf("default mode: %s", meanings[index].mode);
    order(ui, json_pack("{s:s, s:s}", "command", "mode", "mode", meanings[index].mode), actions_can_save(ui), what);
    free(what);
}

void action_mode(struct ui *ui)
{
    const struct snapshot *s = &ui->picture.snapshot;
    char *text =
        xasprintf("What %s means to a client that asks for nothing else; %s@exact, @consensus and @gate can be "
                  "asked for at any time.%s",
                  s->model, s->model, actions_can_save(ui) ? " The choice is written to the configuration file." : "");
    struct choose *c = choose_open(ui, "default mode", text, false, on_mode, NULL, NULL);
    free(text);
    for (size_t i = 0; i < ARRAY_LEN(meanings); i++) {
        menu_cell(offer(c, meanings[i].hot, meanings[i].mode), 1, "%s", meanings[i].words);
        if (strcmp(s->mode, meanings[i].mode) == 0)
            menu_choose(&c->menu, i);
    }
}
