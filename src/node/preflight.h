/* Checks that cost nothing, before a load that costs minutes. */
#ifndef TIGHTWAD_NODE_PREFLIGHT_H
#define TIGHTWAD_NODE_PREFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

struct preflight {
    const char *path; /* of the model file */
    int64_t ctx;      /* tokens per slot as options.h has it */
    int64_t slots;
    bool mmap;
    bool elsewhere; /* weights and cache may lie on other devices or machines: memory here says little */
};

/* The file is a sound GGUF, and model and cache fit the memory that is free (an estimate: caches of models that are
 * recurrent are smaller).  0, or -1 and a cause that names the file or the numbers. */
int preflight_check(const struct preflight *p, char **cause);

#endif
