/* Models that lie on this machine, and the room for more. */
#ifndef TIGHTWAD_PROBE_MODELS_HERE_H
#define TIGHTWAD_PROBE_MODELS_HERE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "probe/machine.h"

enum {
    MODELS_HERE_MAX = 200,      /* models that are taken */
    MODELS_HERE_DEPTH = 6,      /* folders below one that is looked in */
    MODELS_HERE_ENTRIES = 20000 /* that are looked at in all */
};

struct models_here {
    const char *const *folders; /* looked in first, before the usual places */
    size_t n_folders;
    int timeout_ms;
    const atomic_bool *stop;
};

/* Adds the models of Ollama's store and the GGUF files in the folders given, in llama.cpp's, Hugging Face's and LM
 * Studio's places and in ~/models and /models and the like, each once; of a split one the first file stands for all.
 * Where a cap or the time ends the search, a note says so.  Blocks. */
void models_here_probe(struct machine *m, const struct models_here *s);

/* Every GGUF file in those folders and places and every blob of a model in Ollama's store, all parts of a split one,
 * each file once and none of them read.  False: no more, please.  Blocks. */
typedef bool models_here_cb(void *arg, const char *path);
void models_here_each(const struct models_here *s, models_here_cb *cb, void *arg);

/* Adds the file systems on which those places lie, each once; where none of them is there, the home directory's. */
void models_here_disks(struct machine *m, const struct models_here *s);

#endif
