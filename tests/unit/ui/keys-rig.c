#include "keys-rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests.h"
#include "ui/dialog.h"

static void on_order(void *arg, uint64_t id, json_t *request)
{
    struct keys_rig *r = arg;
    assert_true(r->n_orders < RIG_ORDERS);
    r->id[r->n_orders] = id;
    r->order[r->n_orders++] = json_dumps(request, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(request);
}

static void on_quit(void *arg, bool stop)
{
    struct keys_rig *r = arg;
    r->quits++;
    r->stops = stop;
}

void rig_start(struct keys_rig *r)
{
    *r = (struct keys_rig){.base = event_base_new()};
    struct feed_hooks hooks = {.order = on_order, .quit = on_quit, .arg = r};
    r->feed = feed_create(r->base, &hooks);
    r->ui = xcalloc(1, sizeof(*r->ui));
    r->ui->feed = r->feed;
    r->ui->rows = 24;
    r->ui->cols = 80;
    theme_choose(&r->ui->theme, &(struct theme_terminal){.utf8 = true});
    struct feed_picture *p = &r->ui->picture;
    p->have = p->connected = true;
    struct snapshot *s = &p->snapshot;
    s->tick = 100;
    s->max_draft_tokens = 32;
    s->speculating = true;
    snprintf(s->model, sizeof(s->model), "big");
    snprintf(s->config, sizeof(s->config), "/etc/cluster.yaml");
    s->n_backends = 1;
    s->backend[0] = (struct snapshot_backend){.role = ROLE_TARGET, .name = "target", .health = HEALTH_UP};
    s->pool.progress = s->pool.load_ms = s->pool.pause_ms = NAN;
}

void rig_stop(struct keys_rig *r)
{
    keys_finish(r->ui);
    feed_destroy(r->feed);
    event_base_free(r->base);
    for (size_t i = 0; i < r->n_orders; i++)
        free(r->order[i]);
    free(r->ui);
}

void rig_add_drafter(struct keys_rig *r, const char *name, bool paused)
{
    struct snapshot *s = &r->ui->picture.snapshot;
    struct snapshot_backend *b = &s->backend[s->n_backends++];
    *b = (struct snapshot_backend){.role = ROLE_DRAFTER, .health = HEALTH_UP, .active = !paused, .paused = paused};
    snprintf(b->name, sizeof(b->name), "%s", name);
    snprintf(b->model, sizeof(b->model), "small");
}

void rig_add_pool(struct keys_rig *r, const char *model, const char *state)
{
    struct snapshot_pool *p = &r->ui->picture.snapshot.pool;
    p->configured = true;
    snprintf(p->model, sizeof(p->model), "%s", model);
    snprintf(p->state, sizeof(p->state), "%s", state);
    p->up = strcmp(state, "up") == 0;
}

void rig_add_gate(struct keys_rig *r, bool on)
{
    r->ui->picture.snapshot.gate.configured = true;
    r->ui->picture.snapshot.gate.on = on;
}

void rig_press(struct keys_rig *r, int key)
{
    keys_handle(r->ui, key);
    event_base_loop(r->base, EVLOOP_NONBLOCK);
}

void rig_type(struct keys_rig *r, const char *keys)
{
    for (; *keys != '\0'; keys++)
        rig_press(r, *keys == '\n' ? '\r' : (unsigned char)*keys);
}

void rig_wants(struct keys_rig *r, const char *json)
{
    event_base_loop(r->base, EVLOOP_NONBLOCK);
    if (json == NULL) {
        if (r->checked < r->n_orders)
            fail_msg("an order that nobody gave: %s", r->order[r->checked]);
        return;
    }
    if (r->checked == r->n_orders) {
        fail_msg("there is no order, but a notice: %s; and a dialog: %s", r->ui->notice, rig_dialog(r));
        return;
    }
    assert_string_equal(r->order[r->checked], json);
    r->checked++;
}

void rig_answer(struct keys_rig *r, const char *json)
{
    keys_answer(r->ui, r->id[r->checked - 1], json_loads(json, 0, NULL), NULL);
}

void rig_fail(struct keys_rig *r, const char *why)
{
    keys_answer(r->ui, r->id[r->checked - 1], NULL, xstrdup(why));
}

void rig_forget(struct keys_rig *r)
{
    for (size_t i = 0; i < r->checked; i++)
        free(r->order[i]);
    memmove(r->order, r->order + r->checked, (r->n_orders - r->checked) * sizeof(*r->order));
    memmove(r->id, r->id + r->checked, (r->n_orders - r->checked) * sizeof(*r->id));
    r->n_orders -= r->checked;
    r->checked = 0;
}

void rig_picture(struct keys_rig *r)
{
    r->ui->picture.snapshot.tick++;
    keys_picture(r->ui);
}

const char *rig_dialog(const struct keys_rig *r)
{
    return r->ui->dialog != NULL ? r->ui->dialog->title : "";
}
