#include "config/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/origin.h"
#include "config/value.h"

enum { PREFIX_MAX = 200 };

static void walk_map(struct loader *l, const struct tree *t, const char *prefix, size_t index);

/* Whether an option's key begins with the section key and then the rest. */
static bool is_section(const char *key, const char *rest)
{
    size_t n = strlen(key), m = strlen(rest);
    for (size_t i = 0; i < option_count; i++) {
        if (strncmp(option_table[i].key, key, n) == 0 && strncmp(option_table[i].key + n, rest, m) == 0)
            return true;
    }
    return false;
}

static bool in_list(const char *word, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(*list, word) == 0)
            return true;
    }
    return false;
}

/* The names that may stand right below prefix ("" or "proxy."), each once.  Returns how many. */
static size_t names_below(const char *prefix, char names[][64], size_t max)
{
    size_t n = 0, plen = strlen(prefix);
    for (size_t i = 0; i < option_count && n < max; i++) {
        if (strncmp(option_table[i].key, prefix, plen) != 0)
            continue;
        const char *rest = option_table[i].key + plen;
        size_t len = strcspn(rest, ".[");
        bool known = false;
        for (size_t j = 0; j < n && !known; j++)
            known = strlen(names[j]) == len && strncmp(names[j], rest, len) == 0;
        if (!known && len < sizeof(names[0])) {
            memcpy(names[n], rest, len);
            names[n++][len] = '\0';
        }
    }
    return n;
}

static void unknown_key(struct loader *l, const struct tree *key, const char *prefix)
{
    char names[64][64];
    const char *list[64] = {0};
    size_t n = names_below(prefix, names, ARRAY_LEN(names));
    for (size_t i = 0; i < n; i++)
        list[i] = names[i];
    const char *near = config_nearest(key->text, list, n);
    char *q = value_quote(key->text);
    char in[PREFIX_MAX + 16] = "";
    if (*prefix)
        snprintf(in, sizeof(in), " in %.*s", (int)strlen(prefix) - 1, prefix);
    const struct option *elsewhere = NULL;
    for (size_t i = 0; i < option_count && !near && !elsewhere; i++) {
        if (strcmp(option_leaf(&option_table[i]), key->text) == 0)
            elsewhere = &option_table[i];
    }
    if (in_list(key->text, option_old_keys))
        findings_add(l->findings, false, l->name, key->line,
                     "%s is a key of the older Python Tightwad; it means nothing here and is ignored", q);
    else if (near)
        findings_add(l->findings, true, l->name, key->line, "unknown key %s%s; did you mean %s?", q, in, near);
    else if (elsewhere)
        findings_add(l->findings, true, l->name, key->line, "unknown key %s%s; did you mean %s?", q, in,
                     elsewhere->key);
    else
        findings_add(l->findings, true, l->name, key->line, "unknown key %s%s", q, in);
    free(q);
}

static void note_section(struct loader *l, const char *key, size_t line)
{
    if (strcmp(key, "proxy.target") == 0)
        l->target_line = line;
    else if (strcmp(key, "proxy.draft") == 0)
        l->draft_line = line;
    else if (strcmp(key, "proxy.drafters") == 0)
        l->drafters_line = line;
    else if (strcmp(key, "coordinator") == 0)
        l->coordinator_line = line;
    else if (strcmp(key, "quality_gate") == 0)
        l->gate_line = line;
    else if (strcmp(key, "quality_gate.verifier") == 0)
        l->verifier_line = line;
    else if (strcmp(key, "swarm") == 0)
        l->swarm_line = line;
}

static const struct option_list *list_find(const char *key)
{
    for (size_t i = 0; i < option_list_count; i++) {
        if (strcmp(option_lists[i].key, key) == 0)
            return &option_lists[i];
    }
    return NULL;
}

/* One entry of a list; name: its key in a section keyed by names, else NULL. */
static bool list_entry(struct loader *l, const struct option_list *list, const struct tree *item,
                       const struct tree *name, size_t parent)
{
    size_t index = 0, line = name ? name->line : item->line;
    char prefix[PREFIX_MAX];
    if (item->kind != TREE_MAP) {
        findings_add(l->findings, true, l->name, line, "%s: an entry is a section with a %s in it: %s%s%s: …",
                     list->key, list->needs, name ? name->text : "-", name ? ": " : " ", list->needs);
        return true;
    }
    if (!walk_add_entry(l, list->key, parent, line, &index)) {
        findings_add(l->findings, true, l->name, line, "%s: more than %zu %s", list->key, index, list->what);
        return false;
    }
    snprintf(prefix, sizeof(prefix), "%s[].", list->key);
    walk_map(l, item, prefix, index);
    if (!name)
        return true;
    char key[PREFIX_MAX + 64];
    snprintf(key, sizeof(key), "%s%s", prefix, list->map_by);
    const struct option *o = option_find(key);
    if (origin_get(l->config, o, index))
        findings_add(l->findings, true, l->name, line, "%s: it is given twice, also as the key of the section", key);
    walk_take(l, o, index, name);
    return true;
}

static void walk_list(struct loader *l, const struct tree *t, const char *full, size_t parent)
{
    const struct option_list *list = list_find(full);
    bool by_name = t->kind == TREE_MAP && list->map_by;
    if (t->kind != TREE_LIST && !by_name) {
        findings_add(l->findings, true, l->name, t->line, "%s: a list is expected (an entry begins with \"- \")", full);
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (!list_entry(l, list, t->items[i], by_name ? t->keys[i] : NULL, parent))
            return;
    }
}

static void walk_section(struct loader *l, const struct tree *t, const char *full)
{
    if (t->kind != TREE_MAP) {
        findings_add(l->findings, true, l->name, t->line, "%s: a section is expected (keys, indented below it)", full);
        return;
    }
    char prefix[PREFIX_MAX + 2];
    snprintf(prefix, sizeof(prefix), "%s.", full);
    size_t index = 0;
    if (strcmp(full, "proxy.draft") == 0 && !walk_add_entry(l, "proxy.drafters", 0, t->line, &index)) {
        findings_add(l->findings, true, l->name, t->line, "%s: more than %zu drafters", full, index);
        return;
    }
    walk_map(l, t, prefix, index);
}

static void walk_entry(struct loader *l, const struct tree *key, const struct tree *value, const char *prefix,
                       size_t index)
{
    char full[PREFIX_MAX];
    int n = snprintf(full, sizeof(full), "%s%s", prefix, key->text);
    bool fits = n >= 0 && (size_t)n < sizeof(full);
    if (!fits || strpbrk(key->text, ".[")) {
        if (fits && option_find(full))
            findings_add(l->findings, true, l->name, key->line, "\"%s\" is not one key: its parts go below each other",
                         full);
        else
            unknown_key(l, key, prefix);
        return;
    }
    const struct option *o = option_find(full);
    bool list = !o && is_section(full, "[]."), section = !o && is_section(full, ".");
    if (o) {
        walk_take(l, o, index, value);
    } else if (!list && !section) {
        unknown_key(l, key, prefix);
    } else if (!tree_is_null(value)) {
        note_section(l, full, key->line);
        if (list)
            walk_list(l, value, full, index);
        else
            walk_section(l, value, full);
    }
}

/* prefix: "" or "section.": what the keys of t come below. */
static void walk_map(struct loader *l, const struct tree *t, const char *prefix, size_t index)
{
    for (size_t i = 0; i < t->n; i++) {
        size_t same = 0;
        while (same < i && strcmp(t->keys[same]->text, t->keys[i]->text) != 0)
            same++;
        if (same < i) {
            char *q = value_quote(t->keys[i]->text);
            findings_add(l->findings, true, l->name, t->keys[i]->line, "%s is given twice: also in line %zu", q,
                         t->keys[same]->line);
            free(q);
            continue;
        }
        walk_entry(l, t->keys[i], t->items[i], prefix, index);
    }
}

void walk_tree(struct loader *l, const struct tree *t)
{
    if (tree_is_null(t))
        return;
    if (t->kind != TREE_MAP) {
        findings_add(l->findings, true, l->name, t->line, "a configuration begins with a section such as proxy:");
        return;
    }
    walk_map(l, t, "", 0);
    if (l->draft_line && l->drafters_line)
        findings_add(l->findings, true, l->name, l->draft_line > l->drafters_line ? l->draft_line : l->drafters_line,
                     "proxy.draft and proxy.drafters are both given: keep one (drafters may have one entry)");
}
