#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "config/check.h"
#include "config/config.h"
#include "config/origin.h"
#include "config/value.h"

extern char **environ;

static void take_env(struct loader *l)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        const char *text = o->env ? getenv(o->env + 1) : NULL;
        if (!text || !*text)
            continue;
        if (o->place == OPTION_IN_DRAFT && l->config->proxy.n_drafters == 0)
            walk_add_entry(l, "proxy.drafters", 0, 0, &(size_t){0});
        walk_set(l, o, 0, text, o->env, 0);
    }
}

/* A variable that looks like one of ours and is not: a slip of the pen that would go unnoticed otherwise. */
static void check_env_names(struct loader *l)
{
    static const char prefix[] = "$TIGHTWAD_";
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < option_count && n < ARRAY_LEN(names); i++) {
        if (option_table[i].env)
            names[n++] = option_table[i].env + sizeof(prefix) - 1;
    }
    for (char **e = environ; e && *e; e++) {
        if (strncmp(*e, prefix + 1, sizeof(prefix) - 2) != 0)
            continue;
        size_t len = strcspn(*e, "=");
        char *word = xstrndup(*e + sizeof(prefix) - 2, len - (sizeof(prefix) - 2));
        const char *near = strcmp(word, "CONFIG") == 0 ? NULL : config_nearest(word, names, n);
        if (near && strcmp(near, word) != 0)
            findings_add(l->findings, false, "environment", 0, "TIGHTWAD_%s means nothing; did you mean TIGHTWAD_%s?",
                         word, near);
        free(word);
    }
}

static struct config *load(const char *path, const char *text, size_t len, struct config_findings *findings)
{
    struct config *c = xcalloc(1, sizeof(*c));
    c->path = xstrdup(path);
    struct loader l = {.config = c, .findings = findings, .name = c->path ? c->path : "environment"};
    walk_defaults(c);
    if (text) {
        struct tree *t = NULL;
        size_t line = 0;
        char *cause = NULL;
        if (tree_parse(text, len, &t, &line, &cause) == 0)
            walk_tree(&l, t);
        else
            findings_add(findings, true, l.name, line, "%s", cause);
        free(cause);
        tree_destroy(t);
    }
    take_env(&l);
    check_env_names(&l);
    check_config(&l);
    if (!findings_have_error(findings))
        return c;
    config_destroy(c);
    return NULL;
}

struct config *config_load_text(const char *name, const char *yaml, size_t len, struct config_findings *findings)
{
    return load(name, yaml, len, findings);
}

struct config *config_load(const char *path, struct config_findings *findings)
{
    if (!path)
        return load(NULL, NULL, 0, findings);
    struct buf b;
    char *cause = NULL;
    struct config *c = NULL;
    if (file_read(path, TREE_BYTES_MAX, &b, &cause) == 0)
        c = load(path, b.data, b.len, findings);
    else
        findings_add(findings, true, path, 0, "%s", cause);
    free(cause);
    buf_finish(&b);
    return c;
}

struct config *config_keep(struct config *c)
{
    c->kept++;
    return c;
}

void config_destroy(struct config *c)
{
    if (!c || (c->kept > 0 && c->kept-- > 0))
        return;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        size_t n = o->place == OPTION_IN_DRAFT ? 0 : option_entries(o, c);
        for (size_t k = 0; k < n; k++) {
            void *at = option_value(o, c, k);
            if (at)
                value_clear(o, at);
        }
    }
    for (size_t i = 0; i < c->pool.n_workers; i++)
        free(c->pool.workers[i].gpus);
    free(c->pool.workers);
    free(c->pool.coordinator.gpus);
    free(c->pool.models);
    free(c->proxy.drafters);
    free(c->gate.agents);
    free(c->origins);
    free(c->path);
    free(c);
}
