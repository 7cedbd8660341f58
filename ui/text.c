#include "ui/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"

enum { REPLACEMENT = 0xfffd };

/* Decodes one character of n > 0 bytes.  Returns its bytes, or 0: not valid here. */
static size_t decode(const unsigned char *s, size_t n, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0x80) {
        *out = s[0];
        return 1;
    }
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n < len)
        return 0;
    uint32_t c = s[0] & (0xffU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fU);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *out = c;
    return len;
}

/* Characters that are not shown but change how others are: joiners, variation selectors, directions, tags. */
static bool is_format(uint32_t c)
{
    return c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || c == 0x61c ||
           (c >= 0xe0000 && c <= 0xe0fff);
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

static void take_marks(const char *s, size_t n, struct text_cell *out)
{
    uint32_t c;
    size_t len;
    while (out->bytes < n && (s[out->bytes] & 0x80) != 0 &&
           (len = decode((const unsigned char *)s + out->bytes, n - out->bytes, &c)) > 0) {
        bool format = is_format(c);
        if (!format && (is_control(c) || wcwidth((wchar_t)c) != 0))
            return;
        if (!format && out->n_marks < TEXT_MARKS)
            out->mark[out->n_marks++] = (wchar_t)c;
        out->bytes += len;
    }
}

void text_first(const char *s, size_t n, bool ascii, struct text_cell *out)
{
    uint32_t c = REPLACEMENT;
    size_t len = decode((const unsigned char *)s, n, &c);
    *out = (struct text_cell){.bytes = len > 0 ? len : 1, .columns = 1};
    if (c == '\n') {
        out->character = L'\n';
        out->columns = 0;
        return;
    }
    if (c == '\t' || c == 0x2028 || c == 0x2029)
        c = ' ';
    if (len == 0 || is_control(c))
        c = REPLACEMENT;
    if (ascii) {
        out->character = c < 0x7f ? (wchar_t)c : L'?';
        out->columns = is_format(c) ? 0 : 1;
        return;
    }
    if (c >= 0x80) {
        out->columns = is_format(c) ? 0 : wcwidth((wchar_t)c);
        if (out->columns < 0) {
            c = REPLACEMENT;
            out->columns = 1;
        }
    }
    out->character = out->columns > 0 ? (wchar_t)c : 0;
    if (out->columns > 0)
        take_marks(s, n, out);
}

int text_columns(const char *s, size_t n, bool ascii)
{
    int columns = 0;
    struct text_cell cell;
    for (size_t at = 0; at < n; at += cell.bytes) {
        text_first(s + at, n - at, ascii, &cell);
        columns += cell.character == L'\n' ? 1 : cell.columns;
    }
    return columns;
}

size_t text_line(const char *s, size_t n, int columns, bool words, bool ascii)
{
    size_t at = 0, after_blank = 0;
    int used = 0;
    struct text_cell cell;
    while (at < n) {
        text_first(s + at, n - at, ascii, &cell);
        if (cell.character == L'\n')
            return at + cell.bytes;
        bool blank = cell.character == L' ';
        if (used + cell.columns > columns && at > 0) {
            if (blank) /* hangs over the edge, unseen */
                return at + cell.bytes;
            return words && after_blank > 0 ? after_blank : at;
        }
        used += cell.columns;
        at += cell.bytes;
        if (blank)
            after_blank = at;
    }
    return at;
}

int text_lines(const char *s, size_t n, int columns, bool ascii)
{
    int lines = 0;
    for (size_t at = 0; at < n; lines++)
        at += text_line(s + at, n - at, columns, true, ascii);
    return lines;
}

bool text_holds(const char *s, const char *needle)
{
    size_t len = strlen(needle);
    for (; len > 0; s++) {
        if (strncasecmp(s, needle, len) == 0)
            return true;
        if (*s == '\0')
            return false;
    }
    return true;
}

static char *unknown(char *out, size_t size, bool ascii)
{
    snprintf(out, size, "%s", ascii ? "-" : "–");
    return out;
}

char *text_number(char *out, size_t size, double value, bool ascii)
{
    if (!isfinite(value))
        return unknown(out, size, ascii);
    double a = fabs(value);
    snprintf(out, size, "%.*f", a == 0 || a >= 99.95 ? 0 : a < 0.995 ? 2 : 1, value);
    return out;
}

static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

/* The unit in which bytes are fewer than a thousand. */
static size_t unit_of(int64_t bytes, double *value)
{
    size_t unit = 0;
    for (*value = (double)bytes; *value >= 1000 && unit + 1 < ARRAY_LEN(units); unit++)
        *value /= 1024;
    return unit;
}

char *text_bytes(char *out, size_t size, int64_t bytes, bool ascii)
{
    double value;
    if (bytes < 0)
        return unknown(out, size, ascii);
    size_t unit = unit_of(bytes, &value);
    snprintf(out, size, "%.*f %s", unit == 0 || value >= 99.95 ? 0 : 1, value, units[unit]);
    return out;
}

char *text_share(char *out, size_t size, int64_t used, int64_t all, bool ascii)
{
    double value, part = (double)used;
    char first[16];
    if (all < 0)
        return text_bytes(out, size, used, ascii);
    size_t unit = unit_of(all, &value);
    for (size_t i = 0; i < unit; i++)
        part /= 1024;
    if (used < 0)
        unknown(first, sizeof(first), ascii);
    else
        snprintf(first, sizeof(first), "%.*f", unit == 0 || part >= 99.95 ? 0 : 1, part);
    snprintf(out, size, "%s/%.*f %s", first, unit == 0 || value >= 99.95 ? 0 : 1, value, units[unit]);
    return out;
}

char *text_percent(char *out, size_t size, double share, bool ascii)
{
    if (!isfinite(share))
        return unknown(out, size, ascii);
    snprintf(out, size, "%.0f %%", 100 * share);
    return out;
}

char *text_small(char *out, size_t size, double share, bool ascii)
{
    char number[16];
    if (!isfinite(share))
        return unknown(out, size, ascii);
    snprintf(out, size, "%s %%", text_number(number, sizeof(number), 100 * share, ascii));
    return out;
}

char *text_interval(char *out, size_t size, double low, double high, bool ascii)
{
    char a[16], b[16];
    if (!isfinite(low) || !isfinite(high))
        return unknown(out, size, ascii);
    snprintf(out, size, "%s to %s %%", text_number(a, sizeof(a), 100 * low, ascii),
             text_number(b, sizeof(b), 100 * high, ascii));
    return out;
}

char *text_milliseconds(char *out, size_t size, double ms, bool ascii)
{
    if (!isfinite(ms) || ms < 0)
        return unknown(out, size, ascii);
    if (ms < 999.5)
        snprintf(out, size, "%.*f ms", ms < 99.95 ? 1 : 0, ms);
    else if (ms < 99950)
        snprintf(out, size, "%.1f s", ms / 1000);
    else
        snprintf(out, size, "%.0f min", ms / 60000);
    return out;
}

char *text_clock(char *out, size_t size, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    strftime(out, size, "%H:%M:%S", &tm);
    return out;
}

char *text_duration(char *out, size_t size, int64_t ms)
{
    int64_t minutes = ms / 60000, hours = minutes / 60;
    if (minutes < 1)
        snprintf(out, size, "%" PRId64 " s", ms / 10000 * 10);
    else if (hours < 1)
        snprintf(out, size, "%" PRId64 " min", minutes);
    else if (hours < 48)
        snprintf(out, size, "%" PRId64 " h %" PRId64 " min", hours, minutes % 60);
    else
        snprintf(out, size, "%" PRId64 " days", hours / 24);
    return out;
}
