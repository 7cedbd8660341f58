/* Bytes from a file or from memory, in order, with a known end: nothing is read or skipped beyond it. */
#ifndef TIGHTWAD_PROBE_GGUF_READ_H
#define TIGHTWAD_PROBE_GGUF_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GGUF_CHUNK = 65536 };

struct gguf_reader {
    int fd;               /* -1: memory */
    uint64_t pos, end;    /* bytes taken so far; bytes there are */
    const uint8_t *chunk; /* bytes at hand */
    size_t at, have;      /* next of chunk, bytes in it */
    uint8_t *own;         /* fd: the space behind chunk */
    const char *problem;  /* NULL until a read fails */
};

void gguf_reader_init_memory(struct gguf_reader *r, const void *data, size_t len);
/* fd stays the caller's; size: the file's. */
void gguf_reader_init_file(struct gguf_reader *r, int fd, uint64_t size);
void gguf_reader_finish(struct gguf_reader *r);

/* Bytes that have not been taken yet. */
uint64_t gguf_reader_left(const struct gguf_reader *r);

/* False (and r->problem) when there are not that many bytes.  out NULL: skipped. */
bool gguf_read(struct gguf_reader *r, void *out, uint64_t n);
/* The same for a little-endian number of 1, 2, 4 or 8 bytes. */
bool gguf_read_uint(struct gguf_reader *r, unsigned bytes, uint64_t *out);

#endif
