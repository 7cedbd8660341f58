#include "ui/actions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "ui/notes.h"
#include "ui/waiting.h"

enum { STALE_TICKS = 2 /* a picture may be that much older than the order */ };

struct actions *actions_of(struct ui *ui)
{
    if (ui->actions == NULL) {
        ui->actions = xcalloc(1, sizeof(*ui->actions));
        ui->actions->cap = CONFIG_AUTO;
    }
    return ui->actions;
}

static void order_free(struct actions_order *o)
{
    if (o->free_data != NULL)
        o->free_data(o->data);
    free(o->what);
    free(o);
}

void actions_finish(struct ui *ui)
{
    struct actions *a = ui->actions;
    if (a == NULL)
        return;
    while (a->orders != NULL) {
        struct actions_order *o = a->orders;
        a->orders = o->next;
        order_free(o);
    }
    input_history_finish(&a->addresses);
    input_history_finish(&a->prompts);
    input_history_finish(&a->filters);
    input_history_finish(&a->caps);
    input_history_finish(&a->pulls);
    input_history_finish(&a->shares);
    free(a);
    ui->actions = NULL;
}

bool actions_can_save(const struct ui *ui)
{
    return ui->picture.snapshot.config[0] != '\0';
}

void actions_tell_failure(struct ui *ui, const char *what, const char *why)
{
    if (ui->dialog == NULL) {
        ui->notice[0] = '\0'; /* that it is under way */
        notes_message(ui, what, "%s", why);
    } else {
        ui_notice(ui, THEME_BAD, "%s: %s", what, why);
    }
}

/* ---- orders ---- */

bool actions_send(struct ui *ui, json_t *request, const char *what, bool waits, actions_answer *answer, void *data,
                  void (*free_data)(void *data))
{
    struct actions *a = actions_of(ui);
    struct actions_order *o = xcalloc(1, sizeof(*o));
    *o = (struct actions_order){
        .what = xstrdup(what), .answer = answer, .data = data, .free_data = free_data, .next = a->orders};
    o->id = feed_order(ui->feed, request);
    if (o->id == 0) {
        actions_tell_failure(ui, what, "too many orders wait to be taken: try again in a moment");
        order_free(o);
        return false;
    }
    const char *dots = ui->theme.unicode ? "…" : "...";
    a->orders = o;
    if (waits) {
        char *text = xasprintf("%s %s", what, dots);
        o->waiting = waiting_open(ui, "waiting", text);
        free(text);
    } else {
        ui_notice(ui, THEME_TEXT, "%s %s", what, dots);
    }
    return true;
}

void actions_take(struct ui *ui, uint64_t id, json_t *reply, char *why)
{
    struct actions_order **at = &actions_of(ui)->orders, *o;
    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    o = *at;
    if (o != NULL) {
        *at = o->next;
        /* A dialog that stood for it and is gone was left. */
        bool left = o->waiting != 0 && !dialog_close(ui, o->waiting);
        if (!left && o->answer != NULL)
            o->answer(ui, o->data, reply, why);
        else if (!left && reply == NULL)
            actions_tell_failure(ui, o->what, why);
        else if (!left)
            ui_notice(ui, THEME_GOOD, "%s: done", o->what);
        order_free(o);
    }
    json_decref(reply);
    free(why);
}

/* ---- what is followed ---- */

void actions_follow_load(struct ui *ui, const char *model)
{
    struct actions_follow *f = &actions_of(ui)->load;
    const struct snapshot *s = &ui->picture.snapshot;
    *f = (struct actions_follow){
        .on = true, .tick = s->tick, .count = s->pool.swaps, .was_up = strcmp(s->pool.state, "up") == 0};
    snprintf(f->model, sizeof(f->model), "%s", model);
    f->dialog = waiting_open_load(ui, model);
}

static void end_load(struct ui *ui, const char *failed)
{
    struct actions_follow *f = &actions_of(ui)->load;
    const struct snapshot_pool *p = &ui->picture.snapshot.pool;
    f->on = false;
    dialog_close(ui, f->dialog);
    if (failed != NULL)
        actions_tell_failure(ui, f->model, failed);
    else
        ui_notice(ui, THEME_GOOD, "%s is loaded, after %.1f s", p->model, p->load_ms / 1000);
}

static void follow_load(struct ui *ui)
{
    const struct actions_follow *f = &actions_of(ui)->load;
    const struct snapshot *s = &ui->picture.snapshot;
    const struct snapshot_pool *p = &s->pool;
    if (!f->on || (s->tick >= f->tick && s->tick <= f->tick + STALE_TICKS) || p->next[0] != '\0')
        return;
    bool up = strcmp(p->state, "up") == 0;
    if (up && p->swap_error[0] != '\0')
        end_load(ui, p->swap_error);
    else if (up && strcmp(p->model, f->model) == 0 && (p->swaps > f->count || !f->was_up))
        end_load(ui, NULL);
    else if (strcmp(p->state, "failed") == 0 || strcmp(p->state, "backoff") == 0)
        end_load(ui, p->why);
    else if (strcmp(p->state, "off") == 0)
        end_load(ui, "the pool was stopped meanwhile");
}

static void follow_reclaim(struct ui *ui)
{
    struct actions_follow *f = &actions_of(ui)->reclaim;
    const struct snapshot_pool *p = &ui->picture.snapshot.pool;
    if (!f->on || p->reclaims == f->count)
        return;
    f->on = false;
    ui_notice(ui, THEME_GOOD, "%s", p->reclaim_note);
}

void actions_picture(struct ui *ui)
{
    struct actions *a = actions_of(ui);
    if (ui->picture.snapshot.max_draft_tokens != 0 && ui->picture.have)
        a->cap = ui->picture.snapshot.max_draft_tokens;
    follow_load(ui);
    follow_reclaim(ui);
}
