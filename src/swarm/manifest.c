#include "swarm/manifest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/utf8.h"

struct manifest *manifest_keep(struct manifest *m)
{
    m->kept++;
    return m;
}

void manifest_destroy(struct manifest *m)
{
    if (m == NULL || m->kept-- > 0)
        return;
    for (size_t i = 0; i < m->n_drafters; i++)
        free(m->drafters[i]);
    free(m->drafters);
    free(m->filename);
    free(m->piece);
    free(m->model);
    free(m->architecture);
    free(m->quantisation);
    free(m->license);
    free(m->vocab);
    free(m);
}

static struct manifest *load(const char *path, int (*read)(const char *, size_t, struct buf *, char **), char **cause)
{
    struct buf text;
    struct manifest *m = NULL;
    if (read(path, MANIFEST_TEXT_MAX, &text, cause) == 0)
        m = manifest_parse(text.data, text.len, cause);
    buf_finish(&text);
    if (m == NULL)
        cause_prefix(cause, "%s", path);
    return m;
}

struct manifest *manifest_load(const char *path, char **cause)
{
    return load(path, file_read, cause);
}

struct manifest *manifest_load_beside(const char *model, char **cause)
{
    char *path = manifest_path(model);
    struct manifest *m = load(path, file_read_plain, cause);
    free(path);
    return m;
}

int manifest_save(const struct manifest *m, const char *path, char **cause)
{
    char *text = manifest_text(m);
    int rc = file_replace_plain(path, text, strlen(text), 0644, cause);
    free(text);
    return rc == 0 ? 0 : cause_prefix(cause, "%s", path);
}

char *manifest_path(const char *model)
{
    return xasprintf("%s" MANIFEST_SUFFIX, model);
}

/* The first piece that ends behind `at`; n_pieces: none does. */
static size_t piece_at(const struct manifest *m, uint64_t at)
{
    size_t low = 0, high = m->n_pieces;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (m->piece[mid].offset + m->piece[mid].size > at)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

void manifest_span(const struct manifest *m, uint64_t offset, uint64_t size, size_t *first, size_t *end)
{
    uint64_t last = 0;
    *first = *end = piece_at(m, offset);
    if (size > 0 && *first < m->n_pieces)
        *end = __builtin_add_overflow(offset, size - 1, &last) ? m->n_pieces : piece_at(m, last) + 1;
    if (*end > m->n_pieces)
        *end = m->n_pieces;
}

bool manifest_id_read(const char *text, char id[MANIFEST_ID + 1])
{
    if (strncasecmp(text, "sha256:", 7) == 0)
        text += 7;
    if (strlen(text) != MANIFEST_ID)
        return false;
    for (size_t i = 0; i < MANIFEST_ID; i++) {
        if (!isxdigit((unsigned char)text[i]))
            return false;
        id[i] = (char)tolower((unsigned char)text[i]);
    }
    id[MANIFEST_ID] = '\0';
    return true;
}

bool manifest_name_ok(const char *name)
{
    size_t n = strlen(name), tail = strlen(".gguf");
    if (n <= tail || n > MANIFEST_NAME_MAX || name[0] == '.' || strchr(name, '/') != NULL ||
        strcasecmp(name + n - tail, ".gguf") != 0)
        return false;
    char *shown = utf8_printable(name, n); /* control characters and broken UTF-8 come out otherwise */
    bool ok = strcmp(shown, name) == 0;
    free(shown);
    return ok;
}
