/* Models: what can be loaded, and another one in the place of the present one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/json.h"
#include "ui/actions.h"
#include "ui/choose.h"
#include "ui/notes.h"
#include "ui/text.h"

enum { NAME, SIZE, FIT, RATE, STATE }; /* cells */

static bool is(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static void free_json(void *data)
{
    json_decref(data);
}

static const char *size_text(const json_t *o, const char *key, char out[16], bool ascii)
{
    double bytes = json_number(o, key);
    return text_bytes(out, 16, isnan(bytes) ? -1 : (int64_t)bytes, ascii);
}

/* "31 tokens/s" as it was measured, "~31 tokens/s" where it is an estimate. */
static void set_rate(struct menu_item *i, const json_t *m, bool ascii)
{
    char rate[16];
    double value = json_number(m, "tokens_per_second");
    text_number(rate, sizeof(rate), value, ascii);
    if (isnan(value))
        menu_cell(i, RATE, "%s", rate);
    else
        menu_cell(i, RATE, "%s%s tok/s", strcmp(json_text(m, "rate"), "estimate") == 0 ? "est. " : "", rate);
}

static void add_model(const struct ui *ui, struct menu *menu, const json_t *m)
{
    bool ascii = !ui->theme.unicode, known = json_is_boolean(json_object_get(m, "fits")), fits = is(m, "fits");
    char size[16], missing[16];
    struct menu_item *i = menu_add(menu, known && !fits ? THEME_DIM : is(m, "resident") ? THEME_BOLD : THEME_TEXT);
    menu_cell(i, NAME, "%s", json_text(m, "name"));
    menu_cell(i, SIZE, "%s", size_text(m, "bytes", size, ascii));
    if (!known)
        menu_cell(i, FIT, "%s", is(m, "resident") ? "fits" : "unknown");
    else if (fits)
        menu_cell(i, FIT, "fits");
    else
        menu_cell(i, FIT, "short by %s", size_text(m, "missing", missing, ascii));
    set_rate(i, m, ascii);
    menu_cell(i, STATE, "%s%s%s", is(m, "resident") ? "loaded" : "", is(m, "resident") && is(m, "default") ? ", " : "",
              is(m, "default") ? "default" : "");
    const char *where = json_text(m, "where");
    menu_note(
        i, "%s%s%s%s%s", where[0] != '\0' ? "On " : "", where, where[0] != '\0' ? ". " : "", json_text(m, "reason"),
        strcmp(json_text(m, "rate"), "estimate") == 0 ? " The rate is an estimate from a model that has run." : "");
}

/* ---- what is done with one ---- */

enum deed { DEED_SWAP, DEED_LOAD, DEED_START, DEED_DEFAULT, DEED_SWAP_DEFAULT };

static const struct {
    const char *command, *what;
} deeds[] = {
    [DEED_SWAP] = {"swap", "swapping in"},         [DEED_LOAD] = {"load", "loading"},
    [DEED_START] = {"pool-start", "starting"},     [DEED_DEFAULT] = {"model-default", "default is"},
    [DEED_SWAP_DEFAULT] = {"swap", "swapping in"},
};

/* One model, and what may be done with it, in the order of the list. */
struct pick {
    char *model;
    enum deed deed[4];
    size_t n;
};

static void pick_free(void *data)
{
    struct pick *p = data;
    free(p->model);
    free(p);
}

static void on_begun(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    if (reply == NULL)
        actions_tell_failure(ui, "the model is not loaded", why);
    else
        actions_follow_load(ui, data);
}

static void send_deed(struct ui *ui, enum deed deed, const char *model)
{
    char *what = xasprintf("%s %s", deeds[deed].what, model);
    json_t *request = json_pack("{s:s, s:s}", "command", deeds[deed].command, "model", model);
    if (deed == DEED_DEFAULT)
        actions_send(ui, request, what, false, NULL, NULL, NULL);
    else
        actions_send(ui, request, what, false, on_begun, xstrdup(model), free);
    free(what);
    if (deed == DEED_SWAP_DEFAULT)
        send_deed(ui, DEED_DEFAULT, model);
}

static void on_deed(struct ui *ui, struct choose *c, size_t index)
{
    const struct pick *p = c->data;
    send_deed(ui, p->deed[index], p->model);
}

static void offer(struct choose *c, struct pick *p, enum deed deed, int hot, const char *words)
{
    struct menu_item *i = menu_add(&c->menu, THEME_TEXT);
    menu_cell(i, 0, "%s", words);
    i->hot = hot;
    p->deed[p->n++] = deed;
}

static void ask_what(struct ui *ui, const json_t *m)
{
    const struct snapshot *s = &ui->picture.snapshot;
    const char *name = json_text(m, "name");
    struct pick *p = xcalloc(1, sizeof(*p));
    p->model = xstrdup(name);
    bool up = strcmp(s->pool.state, "up") == 0, resident = is(m, "resident");
    char *why = resident ? xasprintf("%s is loaded.", name)
                : up     ? xasprintf("%s takes the place of %s. What is being answered (%u now) is finished first; new "
                                         "requests wait for it.",
                                     name, s->pool.model, (unsigned)s->running)
                         : xasprintf("%s is started; the pool is %s now.", name, s->pool.state);
    struct choose *c = choose_open(ui, name, why, false, on_deed, p, pick_free);
    free(why);
    if (resident)
        offer(c, p, DEED_LOAD, 'l', "load it anew");
    else if (up)
        offer(c, p, DEED_SWAP, 's', "swap");
    else if (strcmp(s->pool.state, "off") == 0)
        offer(c, p, DEED_START, 's', "start it");
    else
        offer(c, p, DEED_LOAD, 'l', "load it");
    if (!actions_can_save(ui) || is(m, "default"))
        return;
    if (!resident && up)
        offer(c, p, DEED_SWAP_DEFAULT, 'b', "swap, and load it first from now on");
    offer(c, p, DEED_DEFAULT, 'd', "only load it first from now on");
}

static void on_model(struct ui *ui, struct choose *c, size_t index)
{
    const json_t *m = json_array_get(c->data, index);
    if (!ui->picture.snapshot.pool.configured)
        notes_message(ui, json_text(m, "name"), "%s", json_text(m, "reason"));
    else if (json_is_false(json_object_get(m, "fits")) && !is(m, "resident"))
        notes_message(ui, json_text(m, "name"), "It does not fit. %s", json_text(m, "reason"));
    else
        ask_what(ui, m);
}

static void on_models(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    json_t *list = json_object_get(reply, "models");
    size_t k;
    const json_t *m;
    (void)data;
    if (json_array_size(list) == 0) {
        actions_tell_failure(ui, "models", why != NULL ? why : "there is none");
        return;
    }
    struct choose *c = choose_open(ui, "models", NULL, true, on_model, json_incref(list), free_json);
    json_array_foreach(list, k, m)
    {
        add_model(ui, &c->menu, m);
    }
    /* What is wanted is mostly another one than the present. */
    for (k = 0; k + 1 < json_array_size(list) && is(json_array_get(list, k), "resident");)
        k++;
    menu_choose(&c->menu, k);
}

void action_models(struct ui *ui)
{
    actions_send(ui, json_pack("{s:s}", "command", "models"), "looking at the models", true, on_models, NULL, NULL);
}
