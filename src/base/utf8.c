#include "base/utf8.h"

#include <string.h>

#include "base/buf.h"

enum sequence { SEQUENCE_VALID, SEQUENCE_INVALID, SEQUENCE_INCOMPLETE };

/* Looks at the character that begins at s (len > 0).  *n: its bytes; those of the maximal subpart when it is invalid
 * (Unicode 15, table 3-7 and "U+FFFD substitution of maximal subparts"); those present when its rest is missing. */
static enum sequence look(const unsigned char *s, size_t len, size_t *n)
{
    size_t want;
    unsigned char low = 0x80, high = 0xbf; /* range of the second byte */

    *n = 1;
    if (s[0] < 0x80)
        return SEQUENCE_VALID;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return SEQUENCE_INVALID;
    want = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] == 0xe0)
        low = 0xa0; /* shorter forms exist below */
    else if (s[0] == 0xed)
        high = 0x9f; /* surrogates above */
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f; /* U+10FFFF is the last */
    for (; *n < want; ++*n) {
        if (*n == len)
            return SEQUENCE_INCOMPLETE;
        if (s[*n] < low || s[*n] > high)
            return SEQUENCE_INVALID;
        low = 0x80;
        high = 0xbf;
    }
    return SEQUENCE_VALID;
}

bool utf8_valid(const char *s, size_t len)
{
    size_t i = 0, n;

    while (i < len) {
        if (look((const unsigned char *)s + i, len - i, &n) != SEQUENCE_VALID)
            return false;
        i += n;
    }
    return true;
}

size_t utf8_incomplete_tail(const char *s, size_t len)
{
    size_t n;

    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)s[len - back];

        if (c >= 0xc0)
            return look((const unsigned char *)s + len - back, back, &n) == SEQUENCE_INCOMPLETE ? back : 0;
        if (c < 0x80)
            return 0;
    }
    return 0;
}

bool utf8_add_repaired(struct buf *out, const char *s, size_t len)
{
    size_t i = 0, from = 0, n;

    while (i < len) {
        if (look((const unsigned char *)s + i, len - i, &n) != SEQUENCE_VALID) {
            if (!buf_add(out, s + from, i - from) || !buf_adds(out, "\xef\xbf\xbd"))
                return false;
            from = i + n;
        }
        i += n;
    }
    return buf_add(out, s + from, len - from);
}

/* After 0xe2: U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069. */
static bool turns_direction(unsigned char second, unsigned char third)
{
    return (second == 0x80 && (third == 0x8e || third == 0x8f || (third >= 0xa8 && third <= 0xae))) ||
           (second == 0x81 && third >= 0xa6 && third <= 0xa9);
}

char *utf8_printable(const char *s, size_t len)
{
    struct buf b;

    buf_init(&b, 3 * len + 16);
    utf8_add_repaired(&b, s, len);
    for (size_t i = 0; i < b.len; i++) {
        unsigned char c = (unsigned char)b.data[i];

        if (c < 0x20 || c == 0x7f)
            b.data[i] = ' ';
        else if (c == 0xc2 && (unsigned char)b.data[i + 1] < 0xa0)
            b.data[i] = b.data[i + 1] = ' ';
        else if (c == 0xe2 && turns_direction((unsigned char)b.data[i + 1], (unsigned char)b.data[i + 2]))
            b.data[i] = b.data[i + 1] = b.data[i + 2] = ' ';
    }
    return buf_steal(&b);
}

char *utf8_one_line(const char *s)
{
    struct buf b;

    buf_init(&b, 2 * strlen(s) + 16);
    for (size_t n; *s != '\0'; s += n + strspn(s + n, "\n ")) {
        n = strcspn(s, "\n");
        buf_add(&b, b.len > 0 ? "; " : "", b.len > 0 ? 2 : 0);
        buf_add(&b, s, n);
    }
    char *clean = utf8_printable(b.data, b.len);
    buf_finish(&b);
    return clean;
}
