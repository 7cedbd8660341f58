/* Any bytes as a GGUF file: read or refused with a cause, and what was read stays inside the file. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "probe/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *cause = NULL;
    struct gguf *g = gguf_parse(data, size, &cause);
    if ((g == NULL) != (cause != NULL))
        abort();
    for (size_t i = 0; g && i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        if (t->offset < g->data_start || t->offset + t->size > size)
            abort();
    }
    if (g && (!g->architecture || g->n_vocab > (int64_t)size))
        abort();
    gguf_destroy(g);
    free(cause);
    return 0;
}
