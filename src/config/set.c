#include "config/set.h"

#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/edit.h"
#include "config/splice.h"
#include "config/value.h"

static const char by_hand[] = "it is written in a way that can't be edited safely: please do it by hand";

static int parse(const char *text, size_t len, struct tree **out, char **cause)
{
    size_t line = 0;
    if (tree_parse(text, len, out, &line, cause) != 0)
        return cause_prefix(cause, "line %zu", line);
    if (tree_is_null(*out) || (*out)->kind == TREE_MAP)
        return 0;
    tree_destroy(*out);
    *out = NULL;
    return cause_set(cause, "it is not a configuration");
}

/* Where name stands in the map, or -1. */
static long find(const struct tree *map, const char *name)
{
    for (size_t i = 0; map != NULL && map->kind == TREE_MAP && i < map->n; i++) {
        if (strcmp(map->keys[i]->text, name) == 0)
            return (long)i;
    }
    return -1;
}

static void put_in_line(struct splice *s, const char *before, const char *key, const char *value)
{
    char *v = value_yaml(value);
    buf_printf(&s->out, "%s%s: %s", before, key, v);
    free(v);
}

/* Another text in the place of a scalar. */
static void put_scalar(struct splice *s, const struct tree *old, const char *value)
{
    size_t from = splice_byte(s, old->start), to = splice_byte(s, old->end);
    while (to > from && strchr(" \t\r\n", s->text[to - 1]) != NULL)
        to--;
    splice_keep(s, from);
    splice_skip(s, to);
    char *v = value_yaml(value);
    bool colon = s->out.len > 0 && s->out.data[s->out.len - 1] == ':';
    buf_printf(&s->out, "%s%s", colon ? " " : "", v);
    free(v);
}

/* key: value in a map that is there.  -1: what stands there is not a single value. */
static int put_in_map(struct splice *s, const struct tree *map, const char *key, const char *value)
{
    long at = find(map, key);
    if (at >= 0 && map->items[at]->kind != TREE_SCALAR)
        return -1;
    if (at >= 0) {
        put_scalar(s, map->items[at], value);
    } else if (map->flow) {
        splice_keep(s, splice_byte(s, map->end) - 1);
        put_in_line(s, map->n > 0 ? ", " : "", key, value);
    } else {
        splice_keep(s, splice_after(s, map));
        splice_put_line(s, map->column, "", key, value);
    }
    return 0;
}

static int put_in_root(struct splice *s, const struct tree *root, const char *section, const char *key,
                       const char *value)
{
    long at = find(root, section);
    size_t indent = root != NULL ? root->column : 0;
    const struct tree *in = at >= 0 ? root->items[at] : NULL;
    if (in != NULL && in->kind == TREE_MAP)
        return put_in_map(s, in, key, value);
    if (in != NULL && (!tree_is_null(in) || root->flow))
        return -1;
    if (in != NULL) {
        splice_keep(s, splice_line_end(s, splice_byte(s, root->keys[at]->end)));
    } else if (root != NULL && root->flow) {
        splice_keep(s, splice_byte(s, root->end) - 1);
        buf_printf(&s->out, "%s%s: {", root->n > 0 ? ", " : "", section);
        put_in_line(s, "", key, value);
        splice_put(s, "}");
        return 0;
    } else {
        splice_keep(s, tree_is_null(root) ? s->len : splice_after(s, root));
        splice_put_line(s, indent, "", section, NULL);
    }
    splice_put_line(s, indent + 2, "", key, value);
    return 0;
}

/* Whether the text now says section.key: value. */
static bool says(const char *text, size_t len, const char *section, const char *key, const char *value)
{
    struct tree *root = NULL;
    bool right = false;
    if (parse(text, len, &root, NULL) == 0) {
        long at = find(root, section), in = at >= 0 ? find(root->items[at], key) : -1;
        const struct tree *v = in >= 0 ? root->items[at]->items[in] : NULL;
        right = v != NULL && v->kind == TREE_SCALAR && strcmp(v->text, value) == 0;
    }
    tree_destroy(root);
    return right;
}

int set_value(const char *text, size_t len, const char *key, const char *value, struct buf *out, char **cause)
{
    const char *dot = strchr(key, '.');
    char *section = xstrndup(key, (size_t)(dot - key));
    struct tree *root = NULL;
    struct splice s;
    splice_init(&s, text, len);
    int rc = parse(text, len, &root, cause);
    if (rc == 0) {
        rc = put_in_root(&s, root, section, dot + 1, value);
        splice_keep(&s, len);
        if (rc != 0 || !says(s.out.data, s.out.len, section, dot + 1, value))
            rc = cause_set(cause, "%s", by_hand);
    }
    if (rc == 0)
        buf_add(out, s.out.data, s.out.len);
    splice_finish(&s);
    tree_destroy(root);
    free(section);
    return rc;
}

/* ---- the default model ---- */

static struct config *load(const char *text, size_t len, char **cause)
{
    struct config_findings findings = {0};
    struct config *c = config_load_text("it", text, len, &findings);
    if (c == NULL)
        cause_set(cause, "it has errors: `tightwad config check` names them");
    config_findings_finish(&findings);
    return c;
}

static int mark_entries(struct splice *s, const struct tree *models, size_t line)
{
    for (size_t i = 0; i < models->n; i++) {
        const struct tree *it = models->items[i];
        size_t at = models->kind == TREE_MAP ? models->keys[i]->line : it->line;
        bool wanted = at == line;
        if (it->kind != TREE_MAP ||
            ((wanted || find(it, "default") >= 0) && put_in_map(s, it, "default", wanted ? "true" : "false") != 0))
            return -1;
    }
    return 0;
}

int set_default_model(const char *text, size_t len, const char *model, struct buf *out, char **cause)
{
    struct config *before = load(text, len, cause), *after = NULL;
    const struct config_model *m = before != NULL ? config_model_find(before, model) : NULL;
    struct tree *root = NULL;
    struct splice s;
    splice_init(&s, text, len);
    int rc = before == NULL ? -1 : m == NULL ? cause_set(cause, "there is no model %s in it", model) : 0;
    if (rc == 0)
        rc = parse(text, len, &root, cause);
    if (rc == 0) {
        long at = find(root, "models");
        rc = at < 0 ? -1 : mark_entries(&s, root->items[at], m->line);
        splice_keep(&s, len);
        after = rc == 0 ? load(s.out.data, s.out.len, cause) : NULL;
        if (after == NULL || after->pool.n_models != before->pool.n_models ||
            strcmp(config_model_default(after)->name, model) != 0)
            rc = cause_set(cause, "%s", by_hand);
    }
    if (rc == 0)
        buf_add(out, s.out.data, s.out.len);
    splice_finish(&s);
    tree_destroy(root);
    config_destroy(before);
    config_destroy(after);
    return rc;
}

/* ---- the file ---- */

int config_file_set(const char *path, const char *key, const char *value, char **cause)
{
    struct buf text, out;
    buf_init(&out, TREE_BYTES_MAX);
    int rc = file_read(path, TREE_BYTES_MAX, &text, cause);
    if (rc == 0)
        rc = set_value(text.data, text.len, key, value, &out, cause);
    buf_finish(&text);
    return edit_put_file(path, rc, &out, cause);
}

int config_file_set_default_model(const char *path, const char *model, char **cause)
{
    struct buf text, out;
    buf_init(&out, TREE_BYTES_MAX);
    int rc = file_read(path, TREE_BYTES_MAX, &text, cause);
    if (rc == 0)
        rc = set_default_model(text.data, text.len, model, &out, cause);
    buf_finish(&text);
    return edit_put_file(path, rc, &out, cause);
}
