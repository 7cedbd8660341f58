/* What a verifier says of an answer: nothing but the word APPROVE passes one, a correction is text that may go to a
 * client, and a verdict that is closed stays what it is whatever else is said. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engines/verdict.h"

/* The rule once more, from its words: APPROVE, perhaps with a full stop, and blanks around it. */
static bool approves(const char *s, size_t n)
{
    while (n > 0 && (*s == ' ' || *s == '\t')) {
        s++;
        n--;
    }
    while (n > 0 && strchr(" \t\r\n", s[n - 1]) != NULL && s[n - 1] != '\0')
        n--;
    return (n == 7 && memcmp(s, "APPROVE", 7) == 0) || (n == 8 && memcmp(s, "APPROVE.", 8) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t at = 0, n = 0;
    enum verdict v = verdict_parse(text, size, &at, &n);
    if ((v == VERDICT_APPROVE) != approves(text, size))
        abort();
    if (v == VERDICT_CORRECT && (n == 0 || at > size || n > size - at || !utf8_valid(text + at, n)))
        abort();
    if (v != VERDICT_CORRECT && (at != 0 || n != 0))
        abort();
    /* Said in pieces. */
    for (size_t heard = 0; heard <= size && heard <= 64; heard++) {
        if (!verdict_open(text, heard) && (v == VERDICT_APPROVE || v == VERDICT_CORRECT))
            abort();
    }
    return 0;
}
