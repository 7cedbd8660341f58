/* Small GGUF files for tests: a head, and tensors of zeros with a few bytes that differ (sparse: large ones cost
 * nothing). */
#ifndef TIGHTWAD_TEST_MODEL_FILE_H
#define TIGHTWAD_TEST_MODEL_FILE_H

#include <stdint.h>

struct model_tensor {
    const char *name;
    uint64_t size; /* bytes, a multiple of 4 */
};

/* Writes them one after the other, at multiples of 32 bytes.  Where the data starts. */
uint64_t model_file_write(const char *path, const struct model_tensor *t, unsigned n, unsigned layers);

#endif
