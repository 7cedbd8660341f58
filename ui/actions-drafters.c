/* Drafters: paused, added, removed; how much they draft. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "ui/actions.h"
#include "ui/choose.h"
#include "ui/prompt.h"
#include "ui/text.h"

enum { CAP_MOST = 1024 };

static void name_free(void *data)
{
    char **names = data;
    for (size_t i = 0; names[i] != NULL; i++)
        free(names[i]);
    free(names);
}

/* The names of the drafters, NULL at the end; to be freed with name_free. */
static char **names_of(const struct snapshot *s, size_t *n)
{
    char **names = xcalloc(SNAPSHOT_BACKENDS + 1, sizeof(*names));
    *n = 0;
    for (size_t i = 0; i < s->n_backends; i++) {
        if (s->backend[i].role == ROLE_DRAFTER)
            names[(*n)++] = xstrdup(s->backend[i].name);
    }
    return names;
}

static const struct snapshot_backend *find(const struct snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->n_backends; i++) {
        if (s->backend[i].role == ROLE_DRAFTER && strcmp(s->backend[i].name, name) == 0)
            return &s->backend[i];
    }
    return NULL;
}

static void list_drafters(const struct ui *ui, struct menu *m, char **names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        const struct snapshot_backend *b = find(&ui->picture.snapshot, names[i]);
        struct menu_item *it = menu_add(m, b->health == HEALTH_UP ? THEME_TEXT : THEME_DIM);
        menu_cell(it, 0, "%s", b->name);
        menu_cell(it, 1, "%s", b->paused ? "paused" : b->active ? "drafts" : snapshot_health_name(b->health));
        menu_cell(it, 2, "%s", b->model);
        if (b->reason[0] != '\0')
            menu_note(it, "%s", b->reason);
    }
}

/* ---- pause and resume ---- */

static void pause_all(struct ui *ui, bool pause)
{
    actions_of(ui)->toggled.tick = 0;
    actions_send(ui, json_pack("{s:s}", "command", pause ? "drafter-pause" : "drafter-resume"),
                 pause ? "pausing all drafters" : "resuming all drafters", false, NULL, NULL, NULL);
}

static void on_toggled(struct ui *ui, void *data, const json_t *reply, const char *why)
{
    struct actions *a = actions_of(ui);
    a->toggled.tick = reply != NULL ? ui->picture.snapshot.tick + 1 : 0;
    if (reply == NULL)
        actions_tell_failure(ui, data, why);
    else
        ui_notice(ui, THEME_GOOD, "%s: done", (const char *)data);
}

/* A key that is pressed twice in a row pauses and resumes, though no picture has come between. */
static void toggle(struct ui *ui, const char *name)
{
    struct actions *a = actions_of(ui);
    const struct snapshot_backend *b = find(&ui->picture.snapshot, name);
    if (b == NULL) {
        ui_notice(ui, THEME_WARN, "%s is gone", name);
        return;
    }
    bool fresh = strcmp(a->toggled.name, name) == 0 && ui->picture.snapshot.tick <= a->toggled.tick;
    bool pause = fresh ? !a->toggled.paused : !b->paused;
    char *what = xasprintf("%s %s", pause ? "pausing" : "resuming", name);
    json_t *request = json_pack("{s:s, s:s}", "command", pause ? "drafter-pause" : "drafter-resume", "name", name);
    bool sent = actions_send(ui, request, what, false, on_toggled, what, free);
    snprintf(a->toggled.name, sizeof(a->toggled.name), "%s", sent ? name : "");
    a->toggled.paused = pause;
    a->toggled.tick = UINT64_MAX;
}

static void on_pause(struct ui *ui, struct choose *c, size_t index)
{
    char **names = c->data;
    size_t n = 0;
    while (names[n] != NULL)
        n++;
    if (index < n)
        toggle(ui, names[index]);
    else
        pause_all(ui, index == n);
}

void action_pause(struct ui *ui)
{
    size_t n;
    char **names = names_of(&ui->picture.snapshot, &n);
    if (n == 1) {
        toggle(ui, names[0]);
        name_free(names);
        return;
    }
    struct choose *c = choose_open(ui, "pause or resume", NULL, true, on_pause, names, name_free);
    list_drafters(ui, &c->menu, names);
    menu_cell(menu_add(&c->menu, THEME_TEXT), 0, "pause all");
    menu_cell(menu_add(&c->menu, THEME_TEXT), 0, "resume all");
}

/* ---- adding ---- */

static void send_add(struct ui *ui, const char *line)
{
    bool ngram = strcmp(line, "ngram") == 0, whole = strstr(line, "://") != NULL;
    char *url = whole ? xstrdup(line) : xasprintf("http://%s", line);
    char *what = xasprintf("adding %s", line);
    json_t *request = json_pack("{s:s}", "command", "drafter-add");
    json_object_set_new(request, ngram ? "type" : "url", json_string(ngram ? "ngram" : url));
    if (actions_can_save(ui))
        json_object_set_new(request, "save", json_true());
    actions_send(ui, request, what, false, NULL, NULL, NULL);
    free(what);
    free(url);
}

static const char *check_address(const char *line)
{
    if (line[0] == '\0')
        return "an address, such as 192.168.1.7:8081, or ngram";
    if (strpbrk(line, " \t") != NULL)
        return "an address has no blanks in it";
    if (strstr(line, "://") != NULL || strcmp(line, "ngram") == 0)
        return NULL;
    const char *port = strrchr(line, ':');
    bool has_port = port != NULL && port != line && port[1] != '\0' && port[1 + strspn(port + 1, "0123456789")] == '\0';
    return has_port ? NULL : "with its port: node 8081, llama-server 8080, Ollama 11434";
}

void action_add(struct ui *ui)
{
    const struct prompt_opts opts = {
        .title = "add a drafter",
        .text = actions_can_save(ui)
                    ? "Where it listens: HOST:PORT of a node, a llama-server or an Ollama; or ngram: the text itself "
                      "drafts. It drafts at once, and is written to the configuration file."
                    : "Where it listens: HOST:PORT of a node, a llama-server or an Ollama; or ngram: the text itself "
                      "drafts. There is no configuration file, so it is there until the end only.",
        .history = &actions_of(ui)->addresses,
        .check = check_address,
        .taken = send_add,
    };
    prompt_open(ui, &opts);
}

/* ---- removing ---- */

static void send_remove(struct ui *ui, struct choose *c, size_t index)
{
    const char *name = ((char **)c->data)[0];
    if (index != 0)
        return;
    char *what = xasprintf("removing %s", name);
    json_t *request = json_pack("{s:s, s:s}", "command", "drafter-remove", "name", name);
    if (actions_can_save(ui))
        json_object_set_new(request, "save", json_true());
    actions_send(ui, request, what, false, NULL, NULL, NULL);
    free(what);
}

static void confirm_remove(struct ui *ui, const char *name)
{
    char **names = xcalloc(2, sizeof(*names));
    names[0] = xstrdup(name);
    struct choose *c = choose_open(ui, "remove a drafter",
                                   actions_can_save(ui) ? "It is not used any more, and taken out of the configuration "
                                                          "file."
                                                        : "It is not used any more.",
                                   false, send_remove, names, name_free);
    struct menu_item *i = menu_add(&c->menu, THEME_TEXT);
    menu_cell(i, 0, "remove %s", name);
    i->hot = 'r';
    i = menu_add(&c->menu, THEME_TEXT);
    menu_cell(i, 0, "keep it");
    i->hot = 'k';
}

static void on_remove(struct ui *ui, struct choose *c, size_t index)
{
    confirm_remove(ui, ((char **)c->data)[index]);
}

void action_remove(struct ui *ui)
{
    size_t n;
    char **names = names_of(&ui->picture.snapshot, &n);
    const char *own = ui->picture.snapshot.pool.draft; /* it comes and goes with its model */
    for (size_t i = 0; i < n; i++) {
        if (own[0] == '\0' || strcmp(names[i], own) != 0)
            continue;
        free(names[i]);
        memmove(names + i, names + i + 1, (n - i) * sizeof(*names));
        n--;
        break;
    }
    if (n == 0) {
        ui_notice(ui, THEME_WARN, "x: %s is run by the pool: it comes and goes with its model", own);
        name_free(names);
        return;
    }
    if (n == 1) {
        confirm_remove(ui, names[0]);
        name_free(names);
        return;
    }
    struct choose *c = choose_open(ui, "remove a drafter", NULL, true, on_remove, names, name_free);
    list_drafters(ui, &c->menu, names);
}

/* ---- how much is drafted ---- */

static const char *check_cap(const char *line)
{
    char *end;
    long n = strtol(line, &end, 10);
    if (strcmp(line, "auto") == 0 || (line[0] != '\0' && *end == '\0' && n >= 0 && n <= CAP_MOST))
        return NULL;
    return "0 to 1024, or auto";
}

static void send_cap(struct ui *ui, const char *line)
{
    char *what = xasprintf("max draft tokens: %s", line);
    json_t *request = json_pack("{s:s, s:s}", "command", "max-draft-tokens", "n", line);
    if (actions_can_save(ui))
        json_object_set_new(request, "save", json_true());
    actions_send(ui, request, what, false, NULL, NULL, NULL);
    free(what);
}

void action_draft(struct ui *ui)
{
    char now[24];
    int64_t cap = ui->picture.snapshot.max_draft_tokens;
    if (cap == CONFIG_AUTO)
        snprintf(now, sizeof(now), "auto");
    else
        snprintf(now, sizeof(now), "%" PRId64, cap);
    const struct prompt_opts opts = {
        .title = "max draft tokens",
        .text = "The most tokens of a draft, 0 to 1024; auto leaves it to what is measured, 0 turns speculation off.",
        .initial = now,
        .history = &actions_of(ui)->caps,
        .check = check_cap,
        .taken = send_cap,
    };
    prompt_open(ui, &opts);
}
