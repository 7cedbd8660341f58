/* Event streams and JSON lines of servers: cut anywhere, the events must be the same. */
#include "fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "http/lines.h"

static void collect(void *arg, const char *data, size_t len)
{
    struct buf *b = arg;

    if (data[len] != '\0')
        abort();
    buf_addc(b, '[');
    buf_add(b, data, len);
    buf_addc(b, ']');
}

static bool run(enum lines_kind kind, const char *s, size_t len, size_t step, struct buf *out)
{
    struct lines *l = lines_create(kind, 256, collect, out);
    bool ok = true;

    buf_init(out, SIZE_MAX);
    for (size_t i = 0; i < len && ok; i += step)
        ok = lines_feed(l, s + i, len - i < step ? len - i : step);
    lines_end(l);
    lines_destroy(l);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum lines_kind kinds[] = {LINES_SSE, LINES_NDJSON};
    struct buf whole, parts;

    for (size_t i = 0; i < 2; i++) {
        bool a = run(kinds[i], (const char *)data, size, size + 1, &whole);
        bool b = run(kinds[i], (const char *)data, size, 1 + size % 5, &parts);

        if (a != b || whole.len != parts.len || memcmp(whole.data, parts.data, whole.len) != 0)
            abort();
        buf_finish(&whole);
        buf_finish(&parts);
    }
    return 0;
}
