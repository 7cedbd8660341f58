/* A model file of any size for measuring what moves or hashes files: a sound GGUF with layers and tensors, and random
 * bytes in them.  Nothing can load it. */
#ifndef TIGHTWAD_CMD_BENCH_BULK_H
#define TIGHTWAD_CMD_BENCH_BULK_H

#include <stdint.h>

/* size: bytes, which the file comes close to from below.  0, or -1 and a cause. */
int bench_bulk_write(const char *path, uint64_t size, char **cause);

#endif
