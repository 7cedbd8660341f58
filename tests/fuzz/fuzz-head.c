/* The head of a request and its chunked body: what anybody on the network can send first. */
#include "fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/range.h"

/* Decodes in steps of the size given; whatever the steps, the body must be the same. */
static size_t decode(const char *in, size_t len, size_t step, char *out, enum chunked_result *result)
{
    struct chunked c;
    size_t total = 0, n;
    const char *data;

    chunked_init(&c);
    *result = CHUNKED_MORE;
    while (len > 0 && *result != CHUNKED_END && *result != CHUNKED_BAD) {
        size_t have = len < step ? len : step, left = have;

        do {
            *result = chunked_next(&c, &in, &left, &data, &n);
            if (*result == CHUNKED_DATA) {
                memcpy(out + total, data, n);
                total += n;
            }
        } while (*result == CHUNKED_DATA);
        len -= have - left;
    }
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *why = "";
    size_t length = head_length(text, size, 0);
    struct head h;
    int status;

    for (size_t from = 0; from <= size && from < length; from++) {
        if (head_length(text, size, from) != length)
            abort(); /* a head is as long as it is, however it arrived */
    }
    if (length == 0)
        return 0;
    status = head_parse(&h, text, length, &why);
    if (status != 0 && (status < 400 || *why == '\0'))
        abort();
    if (status == 0 && (!h.method || !h.path || h.path[0] != '/' || (h.chunked && h.content_length >= 0)))
        abort();
    uint64_t first, len;
    enum range_kind kind = range_read(head_field(&h, "range"), size, &first, &len);
    if (first > size || len > size - first || (kind == RANGE_PART) > (len > 0))
        abort();
    if (status == 0 && h.query)
        head_decode(h.query, true);
    head_finish(&h);

    char *whole = xmalloc(size + 1), *parts = xmalloc(size + 1);
    enum chunked_result a, b;
    size_t n = decode(text + length, size - length, size + 1, whole, &a);
    size_t m = decode(text + length, size - length, 1 + size % 3, parts, &b);

    if (n != m || memcmp(whole, parts, n) != 0 || (a == CHUNKED_END) != (b == CHUNKED_END) ||
        (a == CHUNKED_BAD) != (b == CHUNKED_BAD))
        abort();
    free(whole);
    free(parts);
    return 0;
}
