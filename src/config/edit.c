/* Changes to the user's file: text is put in and taken out by the places that the parser remembers, so that comments,
 * order and spelling stay as they are. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/file.h"
#include "config/tree.h"
#include "config/url.h"
#include "config/value.h"

struct edit {
    const char *text;
    size_t len;
    const char *eol;
    struct buf out;
    size_t done; /* bytes of text that are in out, or left out on purpose */
    struct tree *root;
    const struct tree *proxy, *proxy_key, *draft, *draft_key, *drafters, *drafters_key;
};

/* ---- places in the text ---- */

/* The tree counts characters; a byte-order mark counts as one. */
static size_t byte_at(const struct edit *e, size_t chars)
{
    size_t at = 0;
    for (; at < e->len; at++) {
        if (((unsigned char)e->text[at] & 0xc0) != 0x80 && chars-- == 0)
            break;
    }
    return at;
}

static size_t line_start(const struct edit *e, size_t at)
{
    while (at > 0 && e->text[at - 1] != '\n')
        at--;
    return at;
}

/* The first byte of the next line. */
static size_t line_end(const struct edit *e, size_t at)
{
    while (at < e->len && e->text[at] != '\n')
        at++;
    return at < e->len ? at + 1 : at;
}

/* Where the line after the last one of t begins. */
static size_t after(const struct edit *e, const struct tree *t)
{
    while (t->kind != TREE_SCALAR && !t->flow && t->n > 0)
        t = t->items[t->n - 1];
    size_t at = byte_at(e, t->end), from = byte_at(e, t->start);
    while (at > from && strchr(" \t\r\n", e->text[at - 1]))
        at--;
    return line_end(e, at > from ? at - 1 : at);
}

/* ---- output ---- */

static void keep_to(struct edit *e, size_t at)
{
    if (at > e->done)
        buf_add(&e->out, e->text + e->done, at - e->done);
    e->done = at;
}

/* Begins a line, also after a last line that has no end. */
static void new_line(struct edit *e)
{
    if (e->out.len > 0 && e->out.data[e->out.len - 1] != '\n')
        buf_adds(&e->out, e->eol);
}

static void put_line(struct edit *e, size_t indent, const char *prefix, const char *key, const char *value)
{
    new_line(e);
    buf_printf(&e->out, "%*s%s%s:", (int)indent, "", prefix, key);
    char *v = value ? value_yaml(value) : NULL;
    if (v)
        buf_printf(&e->out, " %s", v);
    buf_adds(&e->out, e->eol);
    free(v);
}

/* What is written of a server: its keys in order, NULL values left out. */
struct pair {
    const char *key, *value;
};

static size_t pairs_of(const struct config_server *s, struct pair out[5])
{
    const struct pair all[] = {{"url", s->url},
                               {"model_name", s->model_name},
                               {"backend", s->backend && strcmp(s->backend, "auto") != 0 ? s->backend : NULL},
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
        put_line(e, indent, i == 0 ? "- " : "  ", p[i].key, p[i].value);
}

/* The same in braces: what stands inside brackets already. */
static void put_flow_entry(struct edit *e, const struct config_server *s)
{
    struct pair p[5];
    size_t n = pairs_of(s, p);
    for (size_t i = 0; i < n; i++) {
        char *v = value_yaml_quoted(p[i].value);
        buf_printf(&e->out, "%s%s: %s", i == 0 ? "{" : ", ", p[i].key, v);
        free(v);
    }
    buf_addc(&e->out, '}');
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
    *e = (struct edit){.text = text, .len = len, .eol = memmem(text, len, "\r\n", 2) ? "\r\n" : "\n"};
    buf_init(&e->out, TREE_BYTES_MAX);
    if (tree_parse(text, len, &e->root, &line, cause) != 0)
        return cause_prefix(cause, "line %zu", line);
    if (!tree_is_null(e->root) && e->root->kind != TREE_MAP)
        return cause_set(cause, "it is not a configuration");
    e->proxy = child(e->root, "proxy", &e->proxy_key);
    e->draft = child(e->proxy, "draft", &e->draft_key);
    e->drafters = child(e->proxy, "drafters", &e->drafters_key);
    return 0;
}

static void edit_finish(struct edit *e)
{
    tree_destroy(e->root);
    buf_finish(&e->out);
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

static bool entry_is(const struct tree *entry, const char *name)
{
    const struct tree *key = NULL, *own = child(entry, "name", &key);
    if (own && own->kind == TREE_SCALAR && !tree_is_null(own))
        return strcmp(own->text, name) == 0;
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
    keep_to(e, byte_at(e, e->draft_key->start));
    e->done = byte_at(e, e->draft_key->end);
    buf_adds(&e->out, "drafters");
    if (tree_is_null(d) || d->flow) {
        keep_to(e, byte_at(e, d->start));
        bool colon = e->out.len > 0 && e->out.data[e->out.len - 1] == ':';
        buf_adds(&e->out, colon ? " [" : "[");
        if (!tree_is_null(d)) {
            keep_to(e, byte_at(e, d->end));
            buf_adds(&e->out, ", ");
        }
        e->done = byte_at(e, d->end);
        put_flow_entry(e, s);
        buf_addc(&e->out, ']');
        return;
    }
    size_t end = after(e, d), first = byte_at(e, d->start);
    keep_to(e, first);
    buf_adds(&e->out, "- ");
    for (size_t at = line_end(e, first); at < end; at = line_end(e, at)) {
        keep_to(e, at);
        if (!strchr("\r\n", e->text[at]))
            buf_adds(&e->out, "  ");
    }
    keep_to(e, end);
    put_entry(e, d->column, s);
}

static void add_to_list(struct edit *e, const struct config_server *s)
{
    const struct tree *d = e->drafters;
    if (!tree_is_null(d) && !d->flow) {
        keep_to(e, after(e, d));
        put_entry(e, d->column, s);
        return;
    }
    bool null = tree_is_null(d);
    size_t close = byte_at(e, d->end) - (null ? 0 : 1); /* before the bracket */
    keep_to(e, null ? byte_at(e, d->start) : close);
    e->done = close;
    buf_adds(&e->out, null ? " [" : d->n > 0 ? ", " : "");
    put_flow_entry(e, s);
    buf_adds(&e->out, null ? "]" : "");
}

static void add_list(struct edit *e, const struct config_server *s)
{
    const struct tree *p = e->proxy;
    if (!p && e->root && !e->root->flow) {
        keep_to(e, after(e, e->root));
        put_line(e, e->root->column, "", "proxy", NULL);
    } else if (!p) {
        keep_to(e, e->len);
        put_line(e, 0, "", "proxy", NULL);
    } else if (tree_is_null(p)) {
        keep_to(e, line_end(e, byte_at(e, e->proxy_key->end)));
    } else if (p->flow) {
        size_t close = byte_at(e, p->end) - 1;
        keep_to(e, close);
        buf_adds(&e->out, p->n > 0 ? ", drafters: [" : "drafters: [");
        put_flow_entry(e, s);
        buf_adds(&e->out, "]");
        return;
    } else {
        keep_to(e, after(e, p));
    }
    size_t indent = p && p->kind == TREE_MAP ? p->column : 2;
    put_line(e, indent, "", "drafters", NULL);
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
    keep_to(e, e->len);
    struct edit now;
    bool ok = look(&now, e->out.data, e->out.len, cause) == 0 && count(&now) == n;
    if (ok && added) {
        char *url = entry_url(now.drafters->items[n - 1]);
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
        bool same = url && strcmp(url, s->url) == 0 && strcmp(has, s->model_name ? s->model_name : "") == 0;
        free(url);
        if (same)
            return cause_set(cause, "this drafter is there already, in line %zu", it->line);
    }
    return 0;
}

int config_file_add_drafter(const char *path, const struct config_server *s, char **cause)
{
    struct buf text;
    struct edit e = {0};
    int rc = 0;
    char *why = NULL;
    if (file_read(path, TREE_BYTES_MAX, &text, &why) != 0 && access(path, F_OK) == 0)
        rc = cause_set(cause, "%s", why);
    rc = rc == 0 ? look(&e, text.data, text.len, cause) : rc;
    rc = rc == 0 ? refuse_twin(&e, s, cause) : rc;
    if (rc == 0) {
        if (e.drafters)
            add_to_list(&e, s);
        else if (e.draft)
            draft_to_list(&e, s);
        else
            add_list(&e, s);
        rc = check(&e, count(&e) + 1, s, cause);
    }
    if (rc == 0)
        rc = file_replace(path, e.out.data, e.out.len, cause);
    if (rc != 0)
        cause_prefix(cause, "%s", path);
    free(why);
    edit_finish(&e);
    buf_finish(&text);
    return rc;
}

/* ---- removing ---- */

static int cut_entry(struct edit *e, size_t i, char **cause)
{
    const struct tree *d = e->drafters, *it = e->draft;
    if ((d && d->flow) || (!d && it->flow))
        return cause_set(cause, "the drafters are written in brackets: please take it out by hand");
    if (!d || d->n == 1) {
        const struct tree *key = d ? e->drafters_key : e->draft_key;
        keep_to(e, line_start(e, byte_at(e, key->start)));
        if (e->proxy->n == 1) { /* an empty section would be left behind */
            buf_printf(&e->out, "%*sdrafters: []%s", (int)key->column, "", e->eol);
        }
        e->done = after(e, d ? d : it);
        return 0;
    }
    it = d->items[i];
    keep_to(e, line_start(e, byte_at(e, it->start)));
    e->done = after(e, it);
    return 0;
}

int config_file_remove_drafter(const char *path, const char *name, char **cause)
{
    struct buf text;
    struct edit e = {0};
    int rc = file_read(path, TREE_BYTES_MAX, &text, cause);
    rc = rc == 0 ? look(&e, text.data, text.len, cause) : rc;
    if (rc == 0) {
        size_t n = count(&e), i = 0;
        while (i < n && !entry_is(e.drafters ? e.drafters->items[i] : e.draft, name))
            i++;
        rc = i == n ? cause_set(cause, "there is no drafter %s in it", name) : cut_entry(&e, i, cause);
        rc = rc == 0 ? check(&e, n - 1, NULL, cause) : rc;
    }
    if (rc == 0)
        rc = file_replace(path, e.out.data, e.out.len, cause);
    if (rc != 0)
        cause_prefix(cause, "%s", path);
    edit_finish(&e);
    buf_finish(&text);
    return rc;
}
