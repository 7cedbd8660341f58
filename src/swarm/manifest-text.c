/* The two forms of a manifest: the one that people read, and the canonical one that its id is the hash of. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "base/buf.h"
#include "base/mem.h"
#include "swarm/manifest.h"

/* How the same values are set: canonical, or for people. */
struct style {
    const char *colon, *comma;       /* within a line */
    const char *line, *inner, *deep; /* before a key of the manifest, of the metadata, a piece; after the comma */
    bool all;                        /* what the id leaves out, too */
};

static const struct style canonical = {.colon = ":", .comma = ",", .line = "", .inner = "", .deep = ""};
static const struct style readable = {
    .colon = ": ", .comma = ", ", .line = "\n  ", .inner = "\n    ", .deep = "\n    ", .all = true};

static void add_string(struct buf *b, const char *text)
{
    json_t *s = json_string(text);
    char *quoted = json_dumps(s, JSON_ENCODE_ANY | JSON_COMPACT);
    buf_adds(b, quoted);
    free(quoted);
    json_decref(s);
}

/* Begins a value: the comma before it where one is needed, and the key. */
static void add_key(struct buf *b, const struct style *s, const char *before, const char *key)
{
    if (b->data[b->len - 1] != '{')
        buf_addc(b, ',');
    buf_printf(b, "%s\"%s\"%s", before, key, s->colon);
}

static void add_text(struct buf *b, const struct style *s, const char *before, const char *key, const char *value)
{
    if (value == NULL)
        return;
    add_key(b, s, before, key);
    add_string(b, value);
}

static void add_number(struct buf *b, const struct style *s, const char *before, const char *key, int64_t value)
{
    if (value < 0)
        return;
    add_key(b, s, before, key);
    buf_printf(b, "%" PRId64, value);
}

static void add_drafters(struct buf *b, const struct style *s, const struct manifest *m)
{
    add_key(b, s, s->inner, "compatible_drafters");
    buf_addc(b, '[');
    for (size_t i = 0; i < m->n_drafters; i++) {
        if (i > 0)
            buf_adds(b, s->comma);
        add_string(b, m->drafters[i]);
    }
    buf_addc(b, ']');
}

static void add_metadata(struct buf *b, const struct style *s, const struct manifest *m)
{
    add_key(b, s, s->line, "metadata");
    buf_addc(b, '{');
    add_text(b, s, s->inner, "architecture", m->architecture);
    if (s->all && m->n_drafters > 0)
        add_drafters(b, s, m);
    add_number(b, s, s->inner, "context_length", m->context_length);
    add_text(b, s, s->inner, "license", m->license);
    add_number(b, s, s->inner, "parameters", m->parameters);
    add_text(b, s, s->inner, "quantisation", m->quantisation);
    add_text(b, s, s->inner, "vocab", m->vocab);
    if (b->data[b->len - 1] != '{')
        buf_adds(b, s->line);
    buf_addc(b, '}');
}

static void add_pieces(struct buf *b, const struct style *s, const struct manifest *m)
{
    add_key(b, s, s->line, "pieces");
    buf_addc(b, '[');
    for (size_t i = 0; i < m->n_pieces; i++) {
        const struct manifest_piece *p = &m->piece[i];
        char hash[2 * MANIFEST_HASH + 1];
        for (size_t k = 0; k < MANIFEST_HASH; k++)
            snprintf(hash + 2 * k, 3, "%02x", p->sha256[k]);
        buf_printf(b, "%s%s{\"index\"%s%zu%s\"offset\"%s%" PRIu64 "%s\"sha256\"%s\"%s\"%s\"size\"%s%" PRIu64 "}",
                   i > 0 ? "," : "", s->deep, s->colon, i, s->comma, s->colon, p->offset, s->comma, s->colon, hash,
                   s->comma, s->colon, p->size);
    }
    buf_adds(b, s->line);
    buf_addc(b, ']');
}

/* Keys in the order of their bytes where it must be so; for people the id and the names come first. */
static void set(struct buf *b, const struct style *s, const struct manifest *m)
{
    buf_init(b, SIZE_MAX / 2);
    buf_addc(b, '{');
    if (s->all) {
        add_text(b, s, s->line, "id", m->id);
        add_text(b, s, s->line, "filename", m->filename);
        add_text(b, s, s->line, "model", m->model);
        add_number(b, s, s->line, "total_size", (int64_t)m->total_size);
        add_metadata(b, s, m);
        add_number(b, s, s->line, "piece_size", (int64_t)m->piece_size);
        add_pieces(b, s, m);
        buf_adds(b, "\n}\n");
        return;
    }
    add_metadata(b, s, m);
    add_text(b, s, s->line, "model", m->model);
    add_number(b, s, s->line, "piece_size", (int64_t)m->piece_size);
    add_pieces(b, s, m);
    add_number(b, s, s->line, "total_size", (int64_t)m->total_size);
    buf_addc(b, '}');
}

char *manifest_text(const struct manifest *m)
{
    struct buf b;
    set(&b, &readable, m);
    return buf_steal(&b);
}

void manifest_seal(struct manifest *m)
{
    struct buf b;
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    set(&b, &canonical, m);
    if (EVP_Digest(b.data, b.len, sum, &n, EVP_sha256(), NULL) != 1 || n != MANIFEST_HASH)
        abort(); /* libcrypto without SHA-256, or out of memory */
    for (size_t i = 0; i < MANIFEST_HASH; i++)
        snprintf(m->id + 2 * i, 3, "%02x", sum[i]);
    buf_finish(&b);
}
