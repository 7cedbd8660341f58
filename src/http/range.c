#include "http/range.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DIGITS_MAX = 18 }; /* of a number that is taken as it is; more are beyond the end of any file */

/* Moves *s behind the digits there.  False: there are none. */
static bool read_number(const char **s, uint64_t *value)
{
    size_t n = strspn(*s, "0123456789"), zeros = strspn(*s, "0");
    if (n == 0)
        return false;
    *value = n - zeros > DIGITS_MAX ? UINT64_MAX : strtoull(*s, NULL, 10);
    *s += n;
    return true;
}

enum range_kind range_read(const char *value, uint64_t size, uint64_t *first, uint64_t *len)
{
    uint64_t from = 0, to = UINT64_MAX;
    *first = 0;
    *len = size;
    if (value == NULL || strncasecmp(value, "bytes=", 6) != 0)
        return RANGE_WHOLE;
    value += 6;
    value += strspn(value, " \t");
    bool has_from = read_number(&value, &from);
    if (*value++ != '-')
        return RANGE_WHOLE;
    bool has_to = read_number(&value, &to);
    value += strspn(value, " \t");
    if (*value != '\0' || (!has_from && !has_to) || (has_from && to < from))
        return RANGE_WHOLE;
    if (!has_from) { /* the last `to` bytes */
        from = to < size ? size - to : 0;
        to = to > 0 ? UINT64_MAX : 0;
    }
    if (from >= size || to < from)
        return RANGE_NONE;
    *first = from;
    *len = (to < size ? to + 1 : size) - from;
    return RANGE_PART;
}
