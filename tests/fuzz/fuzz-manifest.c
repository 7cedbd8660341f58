/* Manifests that anybody may have written: what is taken covers its file piece by piece, its name stays in the folder,
 * and it comes back the same from its own text. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "swarm/manifest.h"

static void check_pieces(const struct manifest *m)
{
    uint64_t at = 0;
    for (size_t i = 0; i < m->n_pieces; i++) {
        size_t first, end;
        if (m->piece[i].offset != at || m->piece[i].size == 0 || m->piece[i].size > m->piece_size)
            abort();
        manifest_span(m, at, m->piece[i].size, &first, &end);
        if (first != i || end != i + 1)
            abort();
        at += m->piece[i].size;
    }
    if (at != m->total_size || m->n_pieces == 0 || m->n_pieces > MANIFEST_PIECES_MAX ||
        m->piece_size > MANIFEST_PIECE_SIZE)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *cause = NULL;
    struct manifest *m = manifest_parse((const char *)data, size, &cause);
    if (m == NULL) {
        if (cause == NULL)
            abort();
        free(cause);
        return 0;
    }
    check_pieces(m);
    if (!manifest_name_ok(m->filename) || strchr(m->filename, '/') != NULL)
        abort();
    char *text = manifest_text(m);
    struct manifest *again = manifest_parse(text, strlen(text), &cause);
    if (again == NULL || strcmp(again->id, m->id) != 0)
        abort();
    char *text_again = manifest_text(again);
    if (strcmp(text, text_again) != 0)
        abort();
    free(text);
    free(text_again);
    manifest_destroy(m);
    manifest_destroy(again);
    return 0;
}
