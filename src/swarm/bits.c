#include "swarm/bits.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/cause.h"
#include "base/mem.h"

static size_t bytes_of(size_t n)
{
    return (n + 7) / 8;
}

void bits_init(struct bits *b, size_t n)
{
    *b = (struct bits){.byte = xcalloc(bytes_of(n) + 1, 1), .n = n};
}

void bits_finish(struct bits *b)
{
    free(b->byte);
    *b = (struct bits){0};
}

void bits_copy(struct bits *to, const struct bits *from)
{
    uint8_t *byte = xcalloc(bytes_of(from->n) + 1, 1);
    if (from->n > 0)
        memcpy(byte, from->byte, bytes_of(from->n));
    free(to->byte);
    *to = (struct bits){.byte = byte, .n = from->n, .count = from->count};
}

bool bits_has(const struct bits *b, size_t i)
{
    return i < b->n && (b->byte[i / 8] & (0x80u >> i % 8)) != 0;
}

bool bits_set(struct bits *b, size_t i, bool on)
{
    if (i >= b->n || bits_has(b, i) == on)
        return false;
    b->byte[i / 8] ^= (uint8_t)(0x80u >> i % 8);
    b->count = on ? b->count + 1 : b->count - 1;
    return true;
}

void bits_fill(struct bits *b)
{
    if (b->n == 0)
        return;
    memset(b->byte, 0xff, bytes_of(b->n));
    if (b->n % 8 != 0)
        b->byte[b->n / 8] = (uint8_t)(0xff00u >> b->n % 8);
    b->count = b->n;
}

bool bits_full(const struct bits *b)
{
    return b->count == b->n;
}

char *bits_to_text(const struct bits *b)
{
    size_t n = bytes_of(b->n);
    char *text = xcalloc((n + 2) / 3 * 4 + 1, 1);
    EVP_EncodeBlock((unsigned char *)text, b->byte, (int)n);
    return text;
}

int bits_from_text(struct bits *b, const char *text, char **cause)
{
    size_t n = bytes_of(b->n), len = strlen(text);
    if (len != (n + 2) / 3 * 4)
        return cause_set(cause, "a set of %zu pieces is %zu characters of base64, this is %zu", b->n, (n + 2) / 3 * 4,
                         len);
    uint8_t *byte = xcalloc(len + 1, 1);
    /* EVP_DecodeBlock takes padding as zeros and blanks as nothing: what it made must be written as it came. */
    int made = EVP_DecodeBlock(byte, (const unsigned char *)text, (int)len);
    struct bits read = {.byte = byte, .n = b->n};
    char *again = made >= (int)n ? bits_to_text(&read) : NULL;
    int rc = 0;
    if (again == NULL || strcmp(again, text) != 0)
        rc = cause_set(cause, "a set of pieces that is not base64");
    else if (b->n % 8 != 0 && (byte[n - 1] & (0xffu >> b->n % 8)) != 0)
        rc = cause_set(cause, "a set of pieces that names more than the %zu there are", b->n);
    free(again);
    if (rc != 0) {
        free(byte);
        return rc;
    }
    for (size_t i = 0; i < n; i++)
        read.count += (size_t)__builtin_popcount(byte[i]);
    free(b->byte);
    *b = read;
    return 0;
}
