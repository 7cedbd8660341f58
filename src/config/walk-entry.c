/* Values and entries, as the walk over the tree finds them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"
#include "config/origin.h"
#include "config/value.h"
#include "config/walk.h"
#include "config/words.h"

enum { WORDS_MAX = 256 };

static void set_default(const struct option *o, struct config *c, size_t index)
{
    void *at = option_value(o, c, index);
    char *cause = NULL;
    if (o->def && value_parse(o, o->def, at, &cause) != 0)
        abort(); /* the table itself is wrong */
}

static void set_defaults(struct config *c, enum option_place place, size_t index)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].place == place)
            set_default(&option_table[i], c, index);
    }
}

void walk_defaults(struct config *c)
{
    set_defaults(c, OPTION_IN_CONFIG, 0);
    set_defaults(c, OPTION_IN_TARGET, 0);
    set_defaults(c, OPTION_IN_VERIFIER, 0);
}

/* One empty element more at the end of *list.  False when it has max. */
static bool grow(void **list, size_t *n, size_t size, size_t max)
{
    if (*n == max)
        return false;
    *list = xreallocarray(*list, *n + 1, size);
    memset((char *)*list + *n * size, 0, size);
    ++*n;
    return true;
}

bool walk_add_entry(struct loader *l, const char *list, size_t parent, size_t line, size_t *index)
{
    struct config_proxy *x = &l->config->proxy;
    struct config_pool *p = &l->config->pool;
    struct config_coordinator *c = &p->coordinator;
    bool fits = false;
    if (strcmp(list, "proxy.drafters") == 0) {
        *index = x->n_drafters;
        fits = grow((void **)&x->drafters, &x->n_drafters, sizeof(*x->drafters), CONFIG_DRAFTERS_MAX);
        if (fits)
            l->drafter_line[*index] = line;
    } else if (strcmp(list, "quality_gate.agents") == 0) {
        struct config_gate *g = &l->config->gate;
        *index = g->n_agents;
        fits = grow((void **)&g->agents, &g->n_agents, sizeof(*g->agents), CONFIG_AGENTS_MAX);
        if (fits)
            l->agent_line[*index] = line;
    } else if (strcmp(list, "coordinator.gpus") == 0) {
        *index = c->n_gpus;
        fits = grow((void **)&c->gpus, &c->n_gpus, sizeof(*c->gpus), CONFIG_GPUS_MAX);
        if (fits)
            c->gpus[*index].line = line;
    } else if (strcmp(list, "workers") == 0) {
        *index = p->n_workers;
        fits = grow((void **)&p->workers, &p->n_workers, sizeof(*p->workers), CONFIG_WORKERS_MAX);
        if (fits)
            p->workers[*index].line = line;
    } else if (strcmp(list, "workers[].gpus") == 0) {
        struct config_worker *w = &p->workers[parent];
        *index = w->n_gpus;
        fits = grow((void **)&w->gpus, &w->n_gpus, sizeof(*w->gpus), CONFIG_GPUS_MAX);
        if (fits) {
            w->gpus[*index].line = line;
            *index += parent * CONFIG_GPUS_MAX;
        }
    } else if (strcmp(list, "models") == 0) {
        *index = p->n_models;
        fits = grow((void **)&p->models, &p->n_models, sizeof(*p->models), CONFIG_MODELS_MAX);
        if (fits)
            p->models[*index].line = line;
    }
    for (size_t i = 0; i < option_count && fits; i++) {
        size_t n = strlen(list);
        if (strncmp(option_table[i].key, list, n) == 0 && strncmp(option_table[i].key + n, "[].", 3) == 0 &&
            !strchr(option_table[i].key + n + 3, '.'))
            set_default(&option_table[i], l->config, *index);
    }
    return fits;
}

bool walk_was_wrong(const struct loader *l, const char *key, size_t index)
{
    for (size_t i = 0; i < l->n_wrong; i++) {
        if (l->wrong[i].index == index && strcmp(l->wrong[i].option->key, key) == 0)
            return true;
    }
    return false;
}

static void complain(struct loader *l, const struct option *o, size_t index, const char *file, size_t line,
                     const char *cause)
{
    findings_add(l->findings, true, file, line, "%s", cause);
    if (l->n_wrong < ARRAY_LEN(l->wrong)) {
        l->wrong[l->n_wrong].option = o;
        l->wrong[l->n_wrong++].index = index;
    }
}

void walk_set(struct loader *l, const struct option *o, size_t index, const char *text, const char *file, size_t line)
{
    char *cause = NULL;
    if (value_parse(o, text, option_value(o, l->config, index), &cause) == 0)
        origin_set(l->config, o, index, file, line);
    else
        complain(l, o, index, file, line, cause);
    free(cause);
}

/* A path as it is meant in the file: ~/ is the home folder, a relative one begins at the file's folder.  Owned by the
 * caller. */
static char *absolute(const struct loader *l, const struct option *o, const char *text)
{
    const char *home = getenv("HOME"), *slash = strrchr(l->name, '/');
    if (*text == '/' || !*text || strncmp(text, "ollama:", 7) == 0 ||
        (o->type == OPTION_PROGRAM && strncmp(text, "~/", 2) != 0 && !strchr(text, '/')))
        return xstrdup(text);
    if (strncmp(text, "~/", 2) == 0 && home && *home)
        return xasprintf("%s%s", home, text + 1);
    char *folder = slash ? xstrndup(l->name, (size_t)(slash - l->name)) : xstrdup("."), here[4096];
    const char *before = *l->name == '/' || !getcwd(here, sizeof(here)) ? "" : here;
    while (strncmp(text, "./", 2) == 0)
        text += 2;
    char *path = strcmp(folder, ".") == 0 ? xasprintf("%s/%s", *before ? before : ".", text)
                                          : xasprintf("%s%s%s/%s", before, *before ? "/" : "", folder, text);
    free(folder);
    return path;
}

/* The text of a scalar with its variables replaced; NULL after a complaint.  Owned by the caller. */
static char *expanded(struct loader *l, const struct option *o, size_t index, const struct tree *t)
{
    char *cause = NULL, *text = NULL;
    if (t->kind != TREE_SCALAR)
        cause_set(&cause, "%s: one value is expected here, not a %s", o->key, t->kind == TREE_MAP ? "section" : "list");
    else if (!(text = value_expand(t->text, &cause)))
        cause_prefix(&cause, "%s", o->key);
    if (!text)
        complain(l, o, index, l->name, t->line, cause);
    free(cause);
    return text;
}

/* Whether name can be that of an environment variable. */
static bool is_variable(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return n > 0 && !name[n] && !isdigit((unsigned char)*name);
}

/* A list of texts, or a section of variables. */
static void take_words(struct loader *l, const struct option *o, size_t index, const struct tree *t)
{
    struct config_words *w = option_value(o, l->config, index);
    bool vars = o->type == OPTION_VARS;
    if (t->kind != (vars ? TREE_MAP : TREE_LIST)) {
        char *cause =
            xasprintf("%s: %s is expected", o->key,
                      vars ? "a section of names and values, {NAME: value}," : "a list, [\"--one\", \"two\"],");
        complain(l, o, index, l->name, t->line, cause);
        free(cause);
        return;
    }
    origin_set(l->config, o, index, l->name, t->line);
    for (size_t i = 0; i < t->n; i++) {
        const struct tree *item = t->items[i];
        char *cause = NULL, *text = tree_is_null(item) ? xstrdup("") : expanded(l, o, index, item);
        if (!text)
            continue;
        if (vars && !is_variable(t->keys[i]->text)) {
            char *q = value_quote(t->keys[i]->text);
            cause_set(&cause, "%s: %s can't be the name of a variable", o->key, q);
            free(q);
        } else if (i == WORDS_MAX) {
            cause_set(&cause, "%s: more than %d entries", o->key, WORDS_MAX);
        } else if ((!vars || *text) && value_check(o, text, &cause) != 0) {
            ; /* the cause says it */
        } else {
            char *word = vars                      ? xasprintf("%s=%s", t->keys[i]->text, text)
                         : o->type == OPTION_PATHS ? absolute(l, o, text)
                                                   : xstrdup(text);
            words_add(w, word);
            free(word);
        }
        if (cause)
            complain(l, o, index, l->name, vars ? t->keys[i]->line : item->line, cause);
        free(cause);
        free(text);
        if (i == WORDS_MAX)
            return;
    }
}

void walk_take(struct loader *l, const struct option *o, size_t index, const struct tree *t)
{
    if (tree_is_null(t))
        return;
    if (o->type == OPTION_WORDS || o->type == OPTION_PATHS || o->type == OPTION_VARS) {
        take_words(l, o, index, t);
        return;
    }
    char *text = expanded(l, o, index, t);
    if (!text)
        return;
    if (o->type == OPTION_PATH || o->type == OPTION_PROGRAM) {
        char *path = absolute(l, o, text);
        free(text);
        text = path;
    }
    walk_set(l, o, index, text, l->name, t->line);
    free(text);
}
