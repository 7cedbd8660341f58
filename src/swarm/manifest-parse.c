/* A manifest from text that anybody may have written. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "swarm/manifest.h"

/* Values that the JSON may hold: a piece takes five commas and brackets.  What Jansson makes of more would be larger
 * than any manifest is worth. */
enum { VALUES_MAX = 6 * MANIFEST_PIECES_MAX, LABEL_MAX = 256 /* bytes of a name */ };

static bool too_many_values(const char *text, size_t len)
{
    size_t n = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == ',' || c == '[' || c == '{'))
            n++;
    }
    return n > VALUES_MAX;
}

/* A whole number that must be there. */
static int take_number(const json_t *o, const char *key, uint64_t min, uint64_t max, uint64_t *out, char **cause)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v))
        return cause_set(cause, "%s: %s, expected a whole number", key, v == NULL ? "missing" : "of another type");
    json_int_t n = json_integer_value(v);
    if (n < 0 || (uint64_t)n < min || (uint64_t)n > max)
        return cause_set(cause, "%s: %" JSON_INTEGER_FORMAT ", expected %" PRIu64 " to %" PRIu64, key, n, min, max);
    *out = (uint64_t)n;
    return 0;
}

/* The same for one that need not be there: -1 then. */
static int take_optional(const json_t *o, const char *key, int64_t *out, char **cause)
{
    uint64_t n = 0;
    *out = -1;
    if (json_object_get(o, key) == NULL || json_is_null(json_object_get(o, key)))
        return 0;
    if (take_number(o, key, 0, INT64_MAX, &n, cause) != 0)
        return -1;
    *out = (int64_t)n;
    return 0;
}

/* Names go to terminals and file systems. */
static int check_label(const char *key, const char *text, char **cause)
{
    size_t n = strlen(text);
    if (n == 0 || n > LABEL_MAX)
        return cause_set(cause, "%s: %zu bytes, expected 1 to %d", key, n, LABEL_MAX);
    char *shown = utf8_printable(text, n);
    bool same = strcmp(shown, text) == 0;
    free(shown);
    return same ? 0 : cause_set(cause, "%s: holds control characters", key);
}

static int take_label(const json_t *o, const char *key, char **out, char **cause)
{
    const json_t *v = json_object_get(o, key);
    if (v == NULL || json_is_null(v))
        return 0;
    if (!json_is_string(v))
        return cause_set(cause, "%s: of another type, expected a text", key);
    if (check_label(key, json_string_value(v), cause) != 0)
        return -1;
    *out = xstrdup(json_string_value(v));
    return 0;
}

static int take_hex(const char *key, const json_t *v, uint8_t *out, char **cause)
{
    const char *text = json_string_value(v);
    if (text == NULL || strlen(text) != 2 * MANIFEST_HASH ||
        strspn(text, "0123456789abcdefABCDEF") != 2 * MANIFEST_HASH)
        return cause_set(cause, "%s: expected a SHA-256 in %d hex digits", key, 2 * MANIFEST_HASH);
    for (size_t i = 0; i < MANIFEST_HASH; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return 0;
}

static int take_piece(struct manifest *m, size_t i, const json_t *v, uint64_t at, char **cause)
{
    struct manifest_piece *p = &m->piece[i];
    uint64_t index = i;
    if (!json_is_object(v))
        return cause_set(cause, "index: missing, the piece is no object");
    if (json_object_get(v, "index") != NULL && take_number(v, "index", i, i, &index, cause) != 0)
        return -1;
    /* One right value each: whatever overlaps, leaves a gap or lies beyond the end is refused by these. */
    if (take_number(v, "offset", at, at, &p->offset, cause) != 0)
        return -1;
    uint64_t left = m->total_size - at;
    if (take_number(v, "size", 1, left < m->piece_size ? left : m->piece_size, &p->size, cause) != 0)
        return -1;
    return take_hex("sha256", json_object_get(v, "sha256"), p->sha256, cause);
}

static int take_pieces(struct manifest *m, const json_t *list, char **cause)
{
    uint64_t at = 0;
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > MANIFEST_PIECES_MAX)
        return cause_set(cause, "pieces: expected a list of 1 to %d", MANIFEST_PIECES_MAX);
    m->piece = xcalloc(n, sizeof(*m->piece));
    m->n_pieces = n;
    for (size_t i = 0; i < n; i++) {
        if (at == m->total_size)
            return cause_set(cause, "pieces[%zu]: lies beyond total_size", i);
        char *why = NULL;
        if (take_piece(m, i, json_array_get(list, i), at, &why) != 0) {
            cause_set(cause, "pieces[%zu].%s", i, why);
            free(why);
            return -1;
        }
        at += m->piece[i].size;
    }
    if (at != m->total_size)
        return cause_set(cause, "pieces: they end at %" PRIu64 ", but total_size is %" PRIu64, at, m->total_size);
    return 0;
}

static int take_drafters(struct manifest *m, const json_t *list, char **cause)
{
    size_t n = json_array_size(list);
    if (list == NULL || json_is_null(list) || (json_is_array(list) && n == 0))
        return 0;
    if (!json_is_array(list) || n > MANIFEST_DRAFTERS_MAX)
        return cause_set(cause, "compatible_drafters: expected a list of at most %d names", MANIFEST_DRAFTERS_MAX);
    m->drafters = xcalloc(n, sizeof(*m->drafters));
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL)
            return cause_set(cause, "compatible_drafters: expected a list of names");
        if (check_label("compatible_drafters", name, cause) != 0)
            return -1;
        m->drafters[m->n_drafters++] = xstrdup(name);
    }
    return 0;
}

static int take_metadata(struct manifest *m, const json_t *o, char **cause)
{
    uint8_t vocab[MANIFEST_HASH];
    m->parameters = m->context_length = -1;
    if (o == NULL || json_is_null(o))
        return 0;
    if (!json_is_object(o))
        return cause_set(cause, "metadata: of another type, expected an object");
    if (take_label(o, "architecture", &m->architecture, cause) != 0 ||
        take_label(o, "quantisation", &m->quantisation, cause) != 0 ||
        take_label(o, "license", &m->license, cause) != 0 || take_label(o, "vocab", &m->vocab, cause) != 0 ||
        (m->vocab != NULL && take_hex("vocab", json_object_get(o, "vocab"), vocab, cause) != 0) ||
        take_optional(o, "parameters", &m->parameters, cause) != 0 ||
        take_optional(o, "context_length", &m->context_length, cause) != 0 ||
        take_drafters(m, json_object_get(o, "compatible_drafters"), cause) != 0) {
        cause_prefix(cause, "metadata");
        return -1;
    }
    for (char *c = m->vocab; c != NULL && *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return 0;
}

static int take_filename(struct manifest *m, const json_t *v, char **cause)
{
    const char *name = json_string_value(v);
    if (name == NULL || !manifest_name_ok(name))
        return cause_set(cause,
                         "filename: %s, expected a plain file name that ends in .gguf (no slash, no control "
                         "characters, no dot in front, at most %d bytes)",
                         name == NULL ? "missing or of another type" : "not acceptable", MANIFEST_NAME_MAX);
    m->filename = xstrdup(name);
    return 0;
}

/* The id that the text gives, if it does, must be the one of what it says. */
static int check_id(struct manifest *m, const json_t *v, char **cause)
{
    char given[MANIFEST_ID + 1];
    manifest_seal(m);
    if (v == NULL || json_is_null(v))
        return 0;
    if (!json_is_string(v) || !manifest_id_read(json_string_value(v), given))
        return cause_set(cause, "id: expected %d hex digits", MANIFEST_ID);
    if (strcmp(given, m->id) != 0)
        return cause_set(cause, "id: it says %s, but the id of its content is %s: it was changed or is damaged", given,
                         m->id);
    return 0;
}

static int take_all(struct manifest *m, const json_t *o, char **cause)
{
    const uint64_t most = (uint64_t)MANIFEST_PIECES_MAX * MANIFEST_PIECE_SIZE;
    if (take_filename(m, json_object_get(o, "filename"), cause) != 0 || take_label(o, "model", &m->model, cause) != 0 ||
        take_number(o, "total_size", 1, most, &m->total_size, cause) != 0 ||
        take_number(o, "piece_size", 1, MANIFEST_PIECE_SIZE, &m->piece_size, cause) != 0 ||
        take_pieces(m, json_object_get(o, "pieces"), cause) != 0 ||
        take_metadata(m, json_object_get(o, "metadata"), cause) != 0)
        return -1;
    return check_id(m, json_object_get(o, "id"), cause);
}

struct manifest *manifest_parse(const char *text, size_t len, char **cause)
{
    if (len > MANIFEST_TEXT_MAX || too_many_values(text, len)) {
        cause_set(cause, "larger than a manifest can be (%d MiB, %d pieces)", MANIFEST_TEXT_MAX >> 20,
                  MANIFEST_PIECES_MAX);
        return NULL;
    }
    json_t *o = json_parse_object(text, len, cause);
    if (o == NULL)
        return NULL;
    struct manifest *m = xcalloc(1, sizeof(*m));
    int rc = take_all(m, o, cause);
    json_decref(o);
    if (rc == 0)
        return m;
    manifest_destroy(m);
    return NULL;
}
