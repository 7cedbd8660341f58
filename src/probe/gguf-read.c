#include "probe/gguf-read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

void gguf_reader_init_memory(struct gguf_reader *r, const void *data, size_t len)
{
    *r = (struct gguf_reader){.fd = -1, .end = len, .chunk = data, .have = len};
}

void gguf_reader_init_file(struct gguf_reader *r, int fd, uint64_t size)
{
    *r = (struct gguf_reader){.fd = fd, .end = size, .own = xmalloc(GGUF_CHUNK)};
    r->chunk = r->own;
}

void gguf_reader_finish(struct gguf_reader *r)
{
    free(r->own);
    *r = (struct gguf_reader){.fd = -1};
}

uint64_t gguf_reader_left(const struct gguf_reader *r)
{
    return r->end - r->pos;
}

static bool fill(struct gguf_reader *r)
{
    ssize_t n;
    do {
        n = r->fd < 0 ? 0 : pread(r->fd, r->own, GGUF_CHUNK, (off_t)r->pos);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        r->problem = n < 0 ? strerror(errno) : "the file became shorter while it was read";
        return false;
    }
    r->at = 0;
    r->have = (size_t)n;
    return true;
}

bool gguf_read(struct gguf_reader *r, void *out, uint64_t n)
{
    if (r->problem)
        return false;
    if (n > gguf_reader_left(r)) {
        r->problem = "the file ends too early: it is cut off or damaged";
        return false;
    }
    uint8_t *to = out;
    while (n > 0) {
        if (r->at == r->have && !to) {
            r->pos += n; /* no need to fetch what is skipped */
            return true;
        }
        if (r->at == r->have && !fill(r))
            return false;
        size_t part = r->have - r->at;
        if (part > n)
            part = (size_t)n;
        if (to) {
            memcpy(to, r->chunk + r->at, part);
            to += part;
        }
        r->at += part;
        r->pos += part;
        n -= part;
    }
    return true;
}

bool gguf_read_uint(struct gguf_reader *r, unsigned bytes, uint64_t *out)
{
    uint8_t b[8];
    if (!gguf_read(r, b, bytes))
        return false;
    uint64_t v = 0;
    for (unsigned i = bytes; i-- > 0;)
        v = v << 8 | b[i];
    *out = v;
    return true;
}
