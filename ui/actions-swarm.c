/* The swarm: a model is pulled, given out, or its pull is ended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ui/actions.h"
#include "ui/choose.h"
#include "ui/prompt.h"

static struct menu_item *offer(struct choose *c, int hot, const char *words)
{
    struct menu_item *i = menu_add(&c->menu, THEME_TEXT);
    menu_cell(i, 0, "%s", words);
    i->hot = hot;
    return i;
}

/* ---- pulling ---- */

static const char at_peer[] = " at ";

/* "WHAT at HOST:PORT": where the peer begins, NULL: none is named. */
static const char *peer_of(const char *line)
{
    const char *peer = NULL;
    for (const char *p = line; (p = strstr(p, at_peer)) != NULL; p += 1)
        peer = p + sizeof(at_peer) - 1;
    if (peer == NULL || strpbrk(peer, " \t") != NULL)
        return NULL;
    const char *port = strrchr(peer, ':');
    return port != NULL && port[1] != '\0' && port[1 + strspn(port + 1, "0123456789")] == '\0' ? peer : NULL;
}

static const char *check_pull(const char *line)
{
    return line[strspn(line, " ")] == '\0' ? "the model's name, its id or a URL" : NULL;
}

static void on_pulled(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    if (reply == NULL)
        actions_tell_failure(ui, data, why);
    else
        ui_notice(ui, THEME_GOOD, "%s: the pane swarm shows how far it is", (const char *)data);
}

static void send_pull(struct ui *ui, const char *line)
{
    const char *peer = peer_of(line);
    char *model = peer != NULL ? xstrndup(line, (size_t)(peer - line) - (sizeof(at_peer) - 1)) : xstrdup(line);
    char *what = xasprintf("pulling %s", model);
    json_t *request = json_pack("{s:s, s:s}", "command", "swarm-pull", "what", model);
    if (peer != NULL)
        json_object_set_new(request, "peer", json_string(peer));
    actions_send(ui, request, what, false, on_pulled, what, free);
    free(model);
}

static void ask_pull(struct ui *ui)
{
    const struct prompt_opts opts = {
        .title = "pull a model",
        .text = "Its name, its id (sha256) or a URL. A machine to ask beside those that are known: NAME at HOST:PORT.",
        .history = &actions_of(ui)->pulls,
        .check = check_pull,
        .taken = send_pull,
    };
    prompt_open(ui, &opts);
}

/* ---- giving out ---- */

static const char *check_share(const char *line)
{
    return line[0] != '/' ? "the path of a model's file, from / on" : NULL;
}

static void on_shared(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    const char *name = reply != NULL ? json_text(reply, "name") : "";
    if (reply == NULL)
        actions_tell_failure(ui, data, why);
    else
        ui_notice(ui, THEME_GOOD, "%s is given out", name[0] != '\0' ? name : "the model");
}

static void send_share(struct ui *ui, const char *line)
{
    char *what = xasprintf("giving out %s", line);
    actions_send(ui, json_pack("{s:s, s:s}", "command", "swarm-share", "path", line), what, false, on_shared, what,
                 free);
}

static void ask_share(struct ui *ui)
{
    const struct prompt_opts opts = {
        .title = "give out a model",
        .text = "The path of its file on the machine where the engines run. Its pieces are hashed first, unless they "
                "are known already.",
        .history = &actions_of(ui)->shares,
        .check = check_share,
        .taken = send_share,
    };
    prompt_open(ui, &opts);
}

/* ---- ending ---- */

struct pulls {
    char *what[SWARM_VIEW_MODELS]; /* ids, and names of those whose id is not known yet */
    char *name[SWARM_VIEW_MODELS];
    size_t n;
};

static void pulls_free(void *data)
{
    struct pulls *p = data;
    for (size_t i = 0; i < p->n; i++) {
        free(p->what[i]);
        free(p->name[i]);
    }
    free(p);
}

/* What is on its way: neither complete nor failed. */
static struct pulls *pulls_of(const struct swarm_view *v)
{
    struct pulls *p = xcalloc(1, sizeof(*p));
    for (size_t i = 0; i < v->n_models && i < SWARM_VIEW_MODELS; i++) {
        const struct swarm_view_model *m = &v->model[i];
        const char *name = m->name[0] != '\0' ? m->name : m->file;
        if (m->state == SWARM_SEEDING || m->state == SWARM_FAILED || m->state == SWARM_HASHING)
            continue;
        p->what[p->n] = xstrdup(m->id[0] != '\0' ? m->id : name);
        p->name[p->n++] = xstrdup(name);
    }
    return p;
}

static void on_stop(struct ui *ui, struct choose *c, size_t index)
{
    const struct pulls *p = c->data;
    if (index >= p->n)
        return;
    char *what = xasprintf("stopping the pull of %s", p->name[index]);
    actions_send(ui, json_pack("{s:s, s:s}", "command", "swarm-cancel", "what", p->what[index]), what, false, NULL,
                 NULL, NULL);
    free(what);
}

static void ask_stop(struct ui *ui)
{
    struct pulls *p = pulls_of(&ui->picture.snapshot.swarm);
    struct choose *c =
        choose_open(ui, "stop a pull", "What has come stays on the disk, and the next pull goes on there.", false,
                    on_stop, p, pulls_free);
    for (size_t i = 0; i < p->n; i++)
        offer(c, 0, p->name[i]);
    offer(c, 'n', "none of them");
}

/* ---- the key ---- */

enum { PULL, SHARE, STOP };

static void on_swarm(struct ui *ui, struct choose *c, size_t index)
{
    static void (*const ask[])(struct ui *) = {[PULL] = ask_pull, [SHARE] = ask_share, [STOP] = ask_stop};
    (void)c;
    ask[index](ui);
}

void action_swarm(struct ui *ui)
{
    struct choose *c = choose_open(ui, "swarm", NULL, false, on_swarm, NULL, NULL);
    struct pulls *p = pulls_of(&ui->picture.snapshot.swarm);
    offer(c, 'p', "pull a model from other machines");
    offer(c, 'g', "give out a model of this machine");
    if (p->n > 0)
        offer(c, 's', "stop a pull");
    pulls_free(p);
}
