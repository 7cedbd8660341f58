/* FNV-1a with 64 bits (Fowler, Noll, Vo): ggml's RPC server names what it keeps by it. */
#ifndef TIGHTWAD_BASE_FNV_H
#define TIGHTWAD_BASE_FNV_H

#include <stddef.h>
#include <stdint.h>

#define FNV_INIT 0xcbf29ce484222325u

/* The hash of more bytes; begins with FNV_INIT. */
static inline uint64_t fnv_add(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

#endif
