/* What every fuzz target defines. */
#ifndef TIGHTWAD_FUZZ_H
#define TIGHTWAD_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Feeds one input to the parser; must not crash, hang or grow without bound.  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
