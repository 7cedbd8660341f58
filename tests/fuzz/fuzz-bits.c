/* A set of pieces as text: what is taken is written as it came, and what is refused changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fuzz.h"
#include "swarm/bits.h"

/* The first byte says how many pieces there are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bits b;
    char *cause = NULL;
    if (size == 0)
        return 0;
    bits_init(&b, data[0]);
    bits_set(&b, 0, true);
    size_t before = b.count, count = 0;
    char *text = xstrndup((const char *)data + 1, size - 1), *again;
    int rc = bits_from_text(&b, text, &cause);
    for (size_t i = 0; i < b.n + 9; i++)
        count += bits_has(&b, i);
    if (count != b.count || b.n != data[0] || (rc == 0) != (cause == NULL) || bits_full(&b) != (count == b.n))
        abort();
    again = bits_to_text(&b);
    if (rc == 0 ? strcmp(again, text) != 0 : count != before)
        abort();
    free(again);
    free(text);
    free(cause);
    bits_finish(&b);
    return 0;
}
