#include "config/tree.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/cause.h"
#include "base/mem.h"

struct builder {
    struct tree *stack[TREE_DEPTH_MAX]; /* the open maps and lists, outermost first */
    struct tree *key[TREE_DEPTH_MAX];   /* the key that waits for its value, of each */
    size_t depth;
    struct tree *root;
    size_t nodes;
    size_t documents;
    size_t *line; /* of the error */
    char **cause;
};

static int fail(struct builder *b, const yaml_mark_t *at, const char *text)
{
    *b->line = at->line + 1;
    return cause_set(b->cause, "%s", text);
}

/* Puts a finished or just opened node where it belongs.  Takes t, also when it fails. */
static int place(struct builder *b, struct tree *t, const yaml_mark_t *at)
{
    if (++b->nodes > TREE_NODES_MAX) {
        tree_destroy(t);
        return fail(b, at, "too many entries for a configuration file");
    }
    if (b->depth == 0) {
        b->root = t;
        return 0;
    }
    struct tree *in = b->stack[b->depth - 1];
    struct tree **key = &b->key[b->depth - 1];
    if (in->kind == TREE_MAP && !*key) {
        if (t->kind != TREE_SCALAR) {
            tree_destroy(t);
            return fail(b, at, "a key must be a word, not a list or a section");
        }
        if (in->n == TREE_KEYS_MAX) {
            tree_destroy(t);
            return fail(b, at, "too many keys in one section");
        }
        *key = t;
        return 0;
    }
    if ((in->n & (in->n - 1)) == 0) {
        size_t size = in->n ? in->n * 2 : 1;
        in->items = xreallocarray(in->items, size, sizeof(*in->items));
        if (in->kind == TREE_MAP)
            in->keys = xreallocarray(in->keys, size, sizeof(*in->keys));
    }
    if (in->kind == TREE_MAP)
        in->keys[in->n] = *key;
    in->items[in->n++] = t;
    *key = NULL;
    return 0;
}

static struct tree *node(enum tree_kind kind, const yaml_event_t *e)
{
    struct tree *t = xcalloc(1, sizeof(*t));
    t->kind = kind;
    t->line = e->start_mark.line + 1;
    t->column = e->start_mark.column;
    t->start = e->start_mark.index;
    t->end = e->end_mark.index;
    return t;
}

static int scalar(struct builder *b, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    if (memchr(text, 0, e->data.scalar.length))
        return fail(b, &e->start_mark, "a NUL character inside a value");
    if (e->data.scalar.tag)
        return fail(b, &e->start_mark, "YAML tags (!…) are not supported: write the value alone");
    if (e->data.scalar.anchor)
        return fail(b, &e->start_mark, "YAML anchors (&…) are not supported: write the value out where it is needed");
    struct tree *t = node(TREE_SCALAR, e);
    t->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    t->text = xstrndup(text, e->data.scalar.length);
    return place(b, t, &e->start_mark);
}

static int open_node(struct builder *b, const yaml_event_t *e)
{
    bool map = e->type == YAML_MAPPING_START_EVENT;
    if (map ? e->data.mapping_start.tag : e->data.sequence_start.tag)
        return fail(b, &e->start_mark, "YAML tags (!…) are not supported: write the value alone");
    if (map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor)
        return fail(b, &e->start_mark, "YAML anchors (&…) are not supported: write the value out where it is needed");
    if (b->depth == TREE_DEPTH_MAX)
        return fail(b, &e->start_mark, "nested too deeply");
    struct tree *t = node(map ? TREE_MAP : TREE_LIST, e);
    t->flow = map ? e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
                  : e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
    if (place(b, t, &e->start_mark) != 0)
        return -1;
    b->key[b->depth] = NULL;
    b->stack[b->depth++] = t;
    return 0;
}

static int take(struct builder *b, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++b->documents > 1)
            return fail(b, &e->start_mark, "a second YAML document (---): one file is one configuration");
        return 0;
    case YAML_ALIAS_EVENT:
        return fail(b, &e->start_mark, "YAML aliases (*…) are not supported: write the value out where it is needed");
    case YAML_SCALAR_EVENT:
        return scalar(b, e);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, e);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        b->stack[--b->depth]->end = e->end_mark.index;
        return 0;
    default:
        return 0;
    }
}

static int syntax_error(struct builder *b, const yaml_parser_t *p)
{
    *b->line = p->problem_mark.line + 1;
    const char *problem = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_READER_ERROR) {
        *b->line = p->mark.line + 1;
        return cause_set(b->cause, "not text: %s (UTF-8 is expected)", problem);
    }
    if (p->context)
        return cause_set(b->cause, "not YAML: %s %s", p->context, problem);
    return cause_set(b->cause, "not YAML: %s", problem);
}

int tree_parse(const char *text, size_t len, struct tree **out, size_t *line, char **cause)
{
    *out = NULL;
    *line = 1;
    if (len > TREE_BYTES_MAX)
        return cause_set(cause, "the file is larger than 1 MiB");
    struct builder b = {.line = line, .cause = cause};
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        return cause_set(cause, "out of memory");
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
    int rc = 0;
    for (bool end = false; rc == 0 && !end;) {
        yaml_event_t e;
        if (!yaml_parser_parse(&p, &e)) {
            rc = syntax_error(&b, &p);
            break;
        }
        end = e.type == YAML_STREAM_END_EVENT;
        rc = take(&b, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&p);
    if (rc != 0) {
        for (size_t i = 0; i < b.depth; i++)
            tree_destroy(b.key[i]);
        tree_destroy(b.root);
        return -1;
    }
    *out = b.root;
    return 0;
}

void tree_destroy(struct tree *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++) {
        if (t->keys)
            tree_destroy(t->keys[i]);
        tree_destroy(t->items[i]);
    }
    free(t->keys);
    free(t->items);
    free(t->text);
    free(t);
}

bool tree_is_null(const struct tree *t)
{
    return !t || (t->kind == TREE_SCALAR && t->plain &&
                  (!*t->text || strcmp(t->text, "~") == 0 || strcmp(t->text, "null") == 0));
}
