#include "config/edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/splice.h"
#include "config/url.h"
#include "config/value.h"

struct edit {
    struct splice s;
    struct tree *root;
    const struct tree *proxy, *proxy_key, *draft, *draft_key, *drafters, *drafters_key;
};

/* What is written of a server: its keys in order, NULL values left out. */
struct pair {
    const char *key, *value;
};

static size_t pairs_of(const struct config_server *s, struct pair out[5])
{
    const struct pair all[] = {{"type", s->url ? NULL : s->type},
                               {"url", s->url},
                               {"model_name", s->model_name},
                               {"backend", s->url && s->backend && strcmp(s->backend, "auto") != 0 ? s->backend : NULL},
                               {"api_key", s->api_key},
                               {"name", s->name}};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i].value)
            out[n++] = all[i];
    }
    return n;
}

static void put_entry(struct edit *e, size_t indent, const struct config_server *s)
{
    struct pair p[5];
    size_t n = pairs_of(s, p);
    for (size_t i = 0; i < n; i++)
        splice_put_line(&e->s, indent, i == 0 ? "- " : "  ", p[i].key, p[i].value);
}

/* The same in braces: what stands inside brackets already. */
static void put_flow_entry(struct edit *e, const struct config_server *s)
{
    struct pair p[5];
    size_t n = pairs_of(s, p);
    for (size_t i = 0; i < n; i++) {
        char *v = value_yaml_quoted(p[i].value);
        buf_printf(&e->s.out, "%s%s: %s", i == 0 ? "{" : ", ", p[i].key, v);
        free(v);
    }
    buf_addc(&e->s.out, '}');
}

/* ---- finding ---- */

static const struct tree *child(const struct tree *map, const char *name, const struct tree **key)
{
    for (size_t i = 0; map && map->kind == TREE_MAP && i < map->n; i++) {
        if (strcmp(map->keys[i]->text, name) == 0) {
            *key = map->keys[i];
            return map->items[i];
        }
    }
    return NULL;
}

static int look(struct edit *e, const char *text, size_t len, char **cause)
{
    size_t line = 0;
    *e = (struct edit){0};
    splice_init(&e->s, text, len);
    if (tree_parse(text, len, &e->root, &line, cause) != 0)
        return cause_prefix(cause, "line %zu", line);
    if (!tree_is_null(e->root) && e->root->kind != TREE_MAP)
        return cause_set(cause, "it is not a configuration");
    e->proxy = child(e->root, "proxy", &e->proxy_key);
    e->draft = child(e->proxy, "draft", &e->draft_key);
    e->drafters = child(e->proxy, "drafters", &e->drafters_key);
    bool draft = !tree_is_null(e->draft), drafters = !tree_is_null(e->drafters);
    if ((!tree_is_null(e->proxy) && e->proxy->kind != TREE_MAP) || (draft && e->draft->kind != TREE_MAP) ||
        (drafters && e->drafters->kind != TREE_LIST) || (e->draft && e->drafters))
        return cause_set(cause, "it has errors: `tightwad config check` names them");
    return 0;
}

static void edit_finish(struct edit *e)
{
    tree_destroy(e->root);
    splice_finish(&e->s);
}

/* The url of an entry as it will be used, or NULL.  Owned by the caller. */
static char *entry_url(const struct tree *entry)
{
    const struct tree *key = NULL, *url = child(entry, "url", &key);
    if (!url || url->kind != TREE_SCALAR)
        return NULL;
    char *cause = NULL, *text = value_expand(url->text, &cause);
    char *normal = text ? url_normalise(text, &cause) : NULL;
    free(text);
    free(cause);
    return normal;
}

static bool entry_is_ngram(const struct tree *entry)
{
    static const char *const keys[] = {"type", "backend"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct tree *key = NULL, *it = child(entry, keys[i], &key);
        if (it && it->kind == TREE_SCALAR && strcmp(it->text, "ngram") == 0)
            return true;
    }
    return false;
}

static bool entry_is(const struct tree *entry, const char *name)
{
    const struct tree *key = NULL, *own = child(entry, "name", &key);
    if (own && own->kind == TREE_SCALAR && !tree_is_null(own))
        return strcmp(own->text, name) == 0;
    if (entry_is_ngram(entry))
        return strcmp(name, "ngram") == 0;
    char *url = entry_url(entry);
    char *host = url ? url_host_port(url) : NULL;
    bool is = url && (strcmp(url, name) == 0 || strcmp(host, name) == 0);
    free(host);
    free(url);
    return is;
}

/* ---- adding ---- */

/* `draft:` becomes the first entry of `drafters:`. */
static void draft_to_list(struct edit *e, const struct config_server *s)
{
    const struct tree *d = e->draft;
    splice_keep(&e->s, splice_byte(&e->s, e->draft_key->start));
    splice_skip(&e->s, splice_byte(&e->s, e->draft_key->end));
    splice_put(&e->s, "drafters");
    if (tree_is_null(d) || d->flow) {
        splice_keep(&e->s, splice_byte(&e->s, d->start));
        bool colon = e->s.out.len > 0 && e->s.out.data[e->s.out.len - 1] == ':';
        splice_put(&e->s, colon ? " [" : "[");
        if (!tree_is_null(d)) {
            splice_keep(&e->s, splice_byte(&e->s, d->end));
            splice_put(&e->s, ", ");
        }
        splice_skip(&e->s, splice_byte(&e->s, d->end));
        put_flow_entry(e, s);
        buf_addc(&e->s.out, ']');
        return;
    }
    size_t end = splice_after(&e->s, d), first = splice_byte(&e->s, d->start);
    splice_keep(&e->s, first);
    splice_put(&e->s, "- ");
    for (size_t at = splice_line_end(&e->s, first); at < end; at = splice_line_end(&e->s, at)) {
        splice_keep(&e->s, at);
        if (!strchr("\r\n", e->s.text[at]))
            splice_put(&e->s, "  ");
    }
    splice_keep(&e->s, end);
    put_entry(e, d->column, s);
}

static void add_to_list(struct edit *e, const struct config_server *s)
{
    const struct tree *d = e->drafters;
    if (!tree_is_null(d) && !d->flow) {
        splice_keep(&e->s, splice_after(&e->s, d));
        put_entry(e, d->column, s);
        return;
    }
    bool null = tree_is_null(d);
    size_t close = splice_byte(&e->s, d->end) - (null ? 0 : 1); /* before the bracket */
    splice_keep(&e->s, null ? splice_byte(&e->s, d->start) : close);
    splice_skip(&e->s, close);
    splice_put(&e->s, null ? " [" : d->n > 0 ? ", " : "");
    put_flow_entry(e, s);
    splice_put(&e->s, null ? "]" : "");
}

static void add_list(struct edit *e, const struct config_server *s)
{
    const struct tree *p = e->proxy;
    if (!p && e->root && !e->root->flow) {
        splice_keep(&e->s, splice_after(&e->s, e->root));
        splice_put_line(&e->s, e->root->column, "", "proxy", NULL);
    } else if (!p) {
        splice_keep(&e->s, e->s.len);
        splice_put_line(&e->s, 0, "", "proxy", NULL);
    } else if (tree_is_null(p)) {
        splice_keep(&e->s, splice_line_end(&e->s, splice_byte(&e->s, e->proxy_key->end)));
    } else if (p->flow) {
        size_t close = splice_byte(&e->s, p->end) - 1;
        splice_keep(&e->s, close);
        splice_put(&e->s, p->n > 0 ? ", drafters: [" : "drafters: [");
        put_flow_entry(e, s);
        splice_put(&e->s, "]");
        return;
    } else {
        splice_keep(&e->s, splice_after(&e->s, p));
    }
    size_t indent = p && p->kind == TREE_MAP ? p->column : 2;
    splice_put_line(&e->s, indent, "", "drafters", NULL);
    put_entry(e, indent + 2, s);
}

static size_t count(const struct edit *e)
{
    if (e->drafters && e->drafters->kind == TREE_LIST)
        return e->drafters->n;
    return e->draft && e->draft->kind == TREE_MAP ? 1 : 0;
}

/* The new text says what it should, or the edit is not done: better no change than a broken file. */
static int check(struct edit *e, size_t n, const struct config_server *added, char **cause)
{
    splice_keep(&e->s, e->s.len);
    struct edit now;
    bool ok = look(&now, e->s.out.data, e->s.out.len, cause) == 0 && count(&now) == n;
    if (ok && added && !added->url) {
        ok = now.drafters && entry_is_ngram(now.drafters->items[n - 1]);
    } else if (ok && added) {
        char *url = now.drafters ? entry_url(now.drafters->items[n - 1]) : NULL;
        ok = url && strcmp(url, added->url) == 0;
        free(url);
    }
    edit_finish(&now);
    return ok ? 0 : cause_set(cause, "it is written in a way that can't be edited safely: please do it by hand");
}

static int refuse_twin(const struct edit *e, const struct config_server *s, char **cause)
{
    size_t n = count(e);
    for (size_t i = 0; i < n; i++) {
        const struct tree *it = e->drafters ? e->drafters->items[i] : e->draft, *key = NULL;
        const struct tree *model = child(it, "model_name", &key);
        const char *has = model && model->kind == TREE_SCALAR && !tree_is_null(model) ? model->text : "";
        char *url = entry_url(it);
        bool same = !s->url ? entry_is_ngram(it)
                            : url && strcmp(url, s->url) == 0 && strcmp(has, s->model_name ? s->model_name : "") == 0;
        free(url);
        if (same)
            return cause_set(cause, "this drafter is there already, in line %zu", it->line);
    }
    return 0;
}

/* ---- removing ---- */

static int cut_entry(struct edit *e, size_t i, char **cause)
{
    const struct tree *d = e->drafters, *it = e->draft;
    if ((d && d->flow) || (!d && it->flow))
        return cause_set(cause, "the drafters are written in brackets: please take it out by hand");
    if (!d || d->n == 1) {
        const struct tree *key = d ? e->drafters_key : e->draft_key;
        splice_keep(&e->s, splice_line_start(&e->s, splice_byte(&e->s, key->start)));
        if (e->proxy->n == 1) { /* an empty section would be left behind */
            buf_printf(&e->s.out, "%*sdrafters: []%s", (int)key->column, "", e->s.eol);
        }
        splice_skip(&e->s, splice_after(&e->s, d ? d : it));
        return 0;
    }
    it = d->items[i];
    splice_keep(&e->s, splice_line_start(&e->s, splice_byte(&e->s, it->start)));
    splice_skip(&e->s, splice_after(&e->s, it));
    return 0;
}

int edit_add_drafter(const char *text, size_t len, const struct config_server *given, struct buf *out, char **cause)
{
    struct edit e;
    struct config_server s;
    if (config_server_init(&s, given, cause) != 0)
        return -1;
    /* A name that is made from the url is not written down, so that it follows the url when that is edited. */
    char *made = s.url ? url_host_port(s.url) : xstrdup(s.type);
    if (strcmp(s.name, made) == 0) {
        free(s.name);
        s.name = NULL;
    }
    free(made);
    int rc = look(&e, text, len, cause);
    if (rc == 0)
        rc = refuse_twin(&e, &s, cause);
    if (rc == 0) {
        if (e.drafters)
            add_to_list(&e, &s);
        else if (e.draft)
            draft_to_list(&e, &s);
        else
            add_list(&e, &s);
        rc = check(&e, count(&e) + 1, &s, cause);
    }
    if (rc == 0)
        buf_add(out, e.s.out.data, e.s.out.len);
    edit_finish(&e);
    config_server_finish(&s);
    return rc;
}

int edit_remove_drafter(const char *text, size_t len, const char *name, struct buf *out, char **cause)
{
    struct edit e;
    int rc = look(&e, text, len, cause);
    if (rc == 0) {
        size_t n = count(&e), i = 0;
        while (i < n && !entry_is(e.drafters ? e.drafters->items[i] : e.draft, name))
            i++;
        rc = i == n ? cause_set(cause, "there is no drafter %s in it", name) : cut_entry(&e, i, cause);
        rc = rc == 0 ? check(&e, n - 1, NULL, cause) : rc;
    }
    if (rc == 0)
        buf_add(out, e.s.out.data, e.s.out.len);
    edit_finish(&e);
    return rc;
}

/* ---- the file ---- */

int edit_put_file(const char *path, int rc, struct buf *out, char **cause)
{
    if (rc == 0)
        rc = file_replace(path, out->data, out->len, 0600, cause);
    buf_finish(out);
    return rc == 0 ? 0 : cause_prefix(cause, "%s", path);
}

int config_file_add_drafter(const char *path, const struct config_server *s, char **cause)
{
    struct buf text, out;
    buf_init(&out, TREE_BYTES_MAX);
    int rc = 0;
    if (access(path, F_OK) == 0 || errno != ENOENT)
        rc = file_read(path, TREE_BYTES_MAX, &text, cause);
    else
        buf_init(&text, 1); /* it will be made */
    if (rc == 0)
        rc = edit_add_drafter(text.data, text.len, s, &out, cause);
    buf_finish(&text);
    return edit_put_file(path, rc, &out, cause);
}

int config_file_remove_drafter(const char *path, const char *name, char **cause)
{
    struct buf text, out;
    buf_init(&out, TREE_BYTES_MAX);
    int rc = file_read(path, TREE_BYTES_MAX, &text, cause);
    if (rc == 0)
        rc = edit_remove_drafter(text.data, text.len, name, &out, cause);
    buf_finish(&text);
    return edit_put_file(path, rc, &out, cause);
}
