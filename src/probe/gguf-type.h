/* The tensor and file types that GGUF files use, as ggml numbers them. */
#ifndef TIGHTWAD_PROBE_GGUF_TYPE_H
#define TIGHTWAD_PROBE_GGUF_TYPE_H

#include <stdint.h>

/* "q4_K"; NULL for a type that is not known (ggml itself has a gguf_type_name, so this one is called otherwise).
 * *block: elements of a block, *bytes: its size (both may be NULL). */
const char *gguf_tensor_type_name(uint32_t type, uint32_t *block, uint32_t *bytes);

/* general.file_type as people call it: "Q4_K_M"; NULL when it is not known. */
const char *gguf_file_type_name(int64_t file_type);

#endif
