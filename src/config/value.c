#include "config/value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "config/url.h"
#include "config/words.h"

struct unit {
    const char *name;
    int64_t scale;
};

static const struct unit size_units[] = {
    {"", 1},      {"B", 1},        {"KiB", 1 << 10},   {"MiB", 1 << 20}, {"GiB", 1 << 30},
    {"kB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {NULL, 0},
};

static const struct unit gib_units[] = {
    {"", 1 << 30}, {"GiB", 1 << 30},   {"MiB", 1 << 20}, {"KiB", 1 << 10},
    {"B", 1},      {"GB", 1000000000}, {"MB", 1000000},  {NULL, 0},
};

static const struct unit duration_units[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {NULL, 0},
};

static bool is_string(const struct option *o)
{
    return o->type <= OPTION_SWITCH;
}

static bool is_words(const struct option *o)
{
    return o->type == OPTION_WORDS || o->type == OPTION_PATHS || o->type == OPTION_VARS;
}

char *value_quote(const char *text)
{
    size_t n = strnlen(text, 61);
    bool cut = n > 60;
    if (cut) {
        n = 60;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    char *q = xasprintf("\"%.*s%s\"", (int)n, text, cut ? "…" : "");
    for (char *p = q; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    }
    return q;
}

/* "wrong: \"TEXT\" (EXPECTED)"; the text of a secret is left out. */
static int bad(const struct option *o, const char *text, char **cause, const char *expected)
{
    if (o->type == OPTION_SECRET)
        return cause_set(cause, "%s: %s", o->key, expected);
    char *q = value_quote(text);
    int rc = cause_set(cause, "%s: %s is not %s", o->key, q, expected);
    free(q);
    return rc;
}

/* A decimal number with at most three decimals and a unit; -1 when it is not one, -2 when it is too large. */
static int parse_scaled(const char *s, const struct unit *units, int64_t *out)
{
    if (!isdigit((unsigned char)*s))
        return -1;
    int64_t whole = 0, part = 0, digits = 1;
    for (; isdigit((unsigned char)*s); s++) {
        if (whole > (INT64_MAX / 10000) / 10)
            return -2;
        whole = whole * 10 + (*s - '0');
    }
    if (*s == '.') {
        s++;
        for (; isdigit((unsigned char)*s) && digits < 1000; s++, digits *= 10)
            part = part * 10 + (*s - '0');
        if (digits == 1)
            return -1;
    }
    while (*s == ' ')
        s++;
    for (const struct unit *u = units; u->name; u++) {
        if (strcasecmp(u->name, s) != 0)
            continue;
        if (whole > INT64_MAX / u->scale - 1)
            return -2;
        *out = whole * u->scale + part * u->scale / digits;
        return 0;
    }
    return -1;
}

static int64_t unit_for(int64_t v, const struct unit *units, const char **name)
{
    static const char *const order[] = {"GiB", "MiB", "KiB", "h", "m", "s", "ms", "B", NULL};
    for (size_t i = 0; order[i]; i++) {
        for (const struct unit *u = units; u->name; u++) {
            if (strcmp(u->name, order[i]) == 0 && (u->scale == 1 || (v >= u->scale && v % u->scale == 0))) {
                *name = u->name;
                return u->scale;
            }
        }
    }
    *name = "";
    return 1;
}

static char *number_text(const struct option *o, int64_t v)
{
    if (o->type == OPTION_INT)
        return v == CONFIG_AUTO && o->or_auto ? xstrdup("auto") : xasprintf("%lld", (long long)v);
    if (v == 0)
        return xstrdup("0");
    if (o->type == OPTION_GIB && v % (1 << 30) == 0)
        return xasprintf("%lld", (long long)(v >> 30));
    const char *name = NULL;
    int64_t scale = unit_for(v, o->type == OPTION_DURATION ? duration_units : size_units, &name);
    return xasprintf("%lld%s", (long long)(v / scale), name);
}

static int parse_number(const struct option *o, const char *text, int64_t *out, char **cause)
{
    static const struct unit none[] = {{"", 1}, {NULL, 0}};
    const char *expected = o->type == OPTION_SIZE       ? "a size such as 10MiB (B, KiB, MiB, GiB, kB, MB, GB)"
                           : o->type == OPTION_DURATION ? "a duration such as 30s (ms, s, m, h; seconds without a unit)"
                           : o->type == OPTION_GIB      ? "a number of GiB such as 24 or 15.5"
                           : o->or_auto                 ? "a whole number or auto"
                                                        : "a whole number";
    if (o->or_auto && strcasecmp(text, "auto") == 0) {
        *out = CONFIG_AUTO;
        return 0;
    }
    const struct unit *units = o->type == OPTION_SIZE       ? size_units
                               : o->type == OPTION_DURATION ? duration_units
                               : o->type == OPTION_GIB      ? gib_units
                                                            : none;
    bool negative = *text == '-' && isdigit((unsigned char)text[1]);
    int64_t v = 0;
    int rc = parse_scaled(text + negative, units, &v);
    if (rc == -1 || (o->type == OPTION_INT && strchr(text, '.')))
        return bad(o, text, cause, expected);
    if (rc == -2 || negative || v < o->min || v > o->max) {
        char *min = number_text(o, o->min), *max = number_text(o, o->max), *q = value_quote(text);
        const char *unit = o->unit ? o->unit : "";
        cause_set(cause, "%s: %s is out of range: %s to %s%s%s%s", o->key, q, min, max, *unit ? " " : "", unit,
                  o->or_auto ? ", or auto" : "");
        free(min);
        free(max);
        free(q);
        return -1;
    }
    *out = v;
    return 0;
}

/* Ordinary decimals alone, whatever the locale: "0.05", ".5", "1". */
static int parse_share(const struct option *o, const char *text, double *out, char **cause)
{
    static const char expected[] = "a share from 0 to 1 such as 0.05";
    const char *s = text;
    double v = 0, scale = 1;
    size_t digits = 0;
    for (; isdigit((unsigned char)*s); s++, digits++)
        v = v * 10 + (*s - '0');
    if (*s == '.') {
        for (s++; isdigit((unsigned char)*s) && digits < 20; s++, digits++) {
            scale *= 10;
            v = v * 10 + (*s - '0');
        }
    }
    bool percent = digits > 0 && strcmp(s, "%") == 0;
    if (digits == 0 || (*s && !percent))
        return bad(o, text, cause, expected);
    v /= scale;
    if (percent || v > 1) {
        char *q = value_quote(text);
        if (v <= 100)
            cause_set(cause, "%s: %s is not %s; %g%% is written as %g", o->key, q, expected, v, v / 100);
        else
            cause_set(cause, "%s: %s is out of range: 0 to 1", o->key, q);
        free(q);
        return -1;
    }
    *out = v;
    return 0;
}

/* What YAML calls true and false is on and off. */
static int parse_switch(const struct option *o, const char *text, const char **kept, char **cause)
{
    static const char *const words[][3] = {
        {"on", "true", "yes"},
        {"off", "false", "no"},
        {"auto", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        for (size_t k = 0; k < 3 && words[i][k]; k++) {
            if (strcasecmp(text, words[i][k]) == 0) {
                *kept = words[i][0];
                return 0;
            }
        }
    }
    return bad(o, text, cause, "on, off or auto");
}

static int parse_bool(const struct option *o, const char *text, bool *out, char **cause)
{
    static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        bool is_yes = strcasecmp(text, yes[i]) == 0;
        if (is_yes || strcasecmp(text, no[i]) == 0) {
            *out = is_yes;
            return 0;
        }
    }
    return bad(o, text, cause, "true or false");
}

static int check_enum(const struct option *o, const char *text, char **cause)
{
    struct buf all;
    buf_init(&all, 1024);
    size_t n = 0;
    for (; o->names[n]; n++) {
        if (strcmp(o->names[n], text) == 0) {
            buf_finish(&all);
            return 0;
        }
        buf_printf(&all, "%s%s", n ? ", " : "", o->names[n]);
    }
    const char *near = config_nearest(text, o->names, n);
    char *q = value_quote(text);
    cause_set(cause, "%s: %s is not one of %s%s%s%s", o->key, q, all.data, near ? "; did you mean " : "",
              near ? near : "", near ? "?" : "");
    free(q);
    buf_finish(&all);
    return -1;
}

/* Whether text has characters that no line of text has: controls, line separators, byte-order marks.  lines: it may
 * have several lines. */
static bool has_controls(const char *text, bool lines)
{
    static const char *const odd[] = {"\u2028", "\u2029", "\ufeff", "\xef\xbf\xbe", "\xef\xbf\xbf"};
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (lines && (*p == '\n' || *p == '\t'))
            continue;
        if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0)) /* C0, delete, C1 */
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        if (strstr(text, odd[i]))
            return true;
    }
    return false;
}

int value_check(const struct option *o, const char *text, char **cause)
{
    if (!utf8_valid(text, strlen(text)))
        return bad(o, "…", cause, "UTF-8");
    if (has_controls(text, o->type == OPTION_TEXT))
        return bad(o, text, cause,
                   o->type == OPTION_TEXT ? "text (it has a control character in it)"
                                          : "one line of text (it has a control character in it)");
    if (!*text)
        return bad(o, text, cause, "a text (leave the line out to have none)");
    if (strlen(text) > 4096)
        return bad(o, text, cause, "of a length that can be meant (at most 4096 bytes)");
    if (o->type == OPTION_SECRET && strpbrk(text, " \""))
        return bad(o, text, cause, "a key has no spaces or quotes in it");
    if (o->type == OPTION_HOST &&
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_%") != strlen(text))
        return bad(o, text, cause, "an address or a host name such as 127.0.0.1, without scheme and port");
    return 0;
}

int value_parse(const struct option *o, const char *text, void *at, char **cause)
{
    if (o->type == OPTION_BOOL)
        return parse_bool(o, text, at, cause);
    if (o->type == OPTION_SHARE)
        return parse_share(o, text, at, cause);
    if (!is_string(o))
        return parse_number(o, text, at, cause);
    char *kept = NULL;
    if (o->type == OPTION_URL) {
        char *why = NULL;
        kept = url_normalise(text, &why);
        if (!kept) {
            cause_set(cause, "%s: %s", o->key, why);
            free(why);
            return -1;
        }
    } else {
        if (o->type == OPTION_SWITCH ? parse_switch(o, text, &text, cause)
                                     : (o->type == OPTION_ENUM ? check_enum : value_check)(o, text, cause))
            return -1;
        kept = xstrdup(text);
        for (size_t n = strlen(kept); o->type == OPTION_TEXT && n > 1 && kept[n - 1] == '\n';)
            kept[--n] = '\0'; /* the end of a block of lines */
    }
    value_clear(o, at);
    *(char **)at = kept;
    return 0;
}

char *value_expand(const char *text, char **cause)
{
    struct buf b;
    buf_init(&b, 65536);
    bool fits = true;
    for (const char *p = text; *p && fits;) {
        if (strncmp(p, "$${", 3) == 0) {
            fits = buf_adds(&b, "${");
            p += 3;
        } else if (strncmp(p, "${", 2) == 0) {
            const char *name = p + 2;
            size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
            if (n == 0 || name[n] != '}' || isdigit((unsigned char)*name)) {
                cause_set(cause, "${ is not followed by a variable's name and } (write $${ to mean the characters)");
                goto fail;
            }
            char *var = xstrndup(name, n);
            const char *value = getenv(var);
            if (!value)
                cause_set(cause, "${%s}: the environment variable %s is not set", var, var);
            free(var);
            if (!value)
                goto fail;
            fits = buf_adds(&b, value);
            p = name + n + 1;
        } else {
            fits = buf_addc(&b, *p++);
        }
    }
    if (fits)
        return buf_steal(&b);
    cause_set(cause, "the value is too long once the variables in it are replaced");
fail:
    buf_finish(&b);
    return NULL;
}

char *value_text(const struct option *o, const void *at)
{
    if (o->type == OPTION_BOOL)
        return xstrdup(*(const bool *)at ? "true" : "false");
    if (o->type == OPTION_SHARE)
        return xasprintf("%.12g", *(const double *)at);
    if (is_words(o))
        return words_text(at, o->type == OPTION_VARS);
    if (o->type == OPTION_GIB && *(const int64_t *)at == 0)
        return NULL;
    if (!is_string(o))
        return number_text(o, *(const int64_t *)at);
    const char *s = *(char *const *)at;
    return s && o->type == OPTION_SECRET ? xstrdup("(set)") : xstrdup(s);
}

json_t *value_json(const struct option *o, const void *at)
{
    if (o->type == OPTION_BOOL)
        return json_boolean(*(const bool *)at);
    if (o->type == OPTION_SHARE)
        return json_real(*(const double *)at);
    if (is_words(o))
        return words_json(at, o->type == OPTION_VARS);
    if (o->type == OPTION_GIB && *(const int64_t *)at == 0)
        return json_null();
    if (!is_string(o)) {
        int64_t v = *(const int64_t *)at;
        return o->or_auto && v == CONFIG_AUTO ? json_string("auto") : json_integer(v);
    }
    char *s = value_text(o, at);
    json_t *j = s ? json_string(s) : json_null();
    free(s);
    return j ? j : json_null();
}

char *value_yaml_quoted(const char *text)
{
    struct buf b;
    buf_init(&b, 2 * strlen(text) + 8);
    buf_addc(&b, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_addc(&b, '\\');
        else if (*p == '$' && p[1] == '{')
            buf_addc(&b, '$');
        if (*p == '\n' || *p == '\t')
            buf_adds(&b, *p == '\n' ? "\\n" : "\\t");
        else
            buf_addc(&b, *p);
    }
    buf_addc(&b, '"');
    return buf_steal(&b);
}

char *value_yaml(const char *text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-:";
    size_t n = strlen(text);
    bool plain = n && strspn(text, safe) == n && !strchr("-:", *text) && text[n - 1] != ':';
    return plain && strcmp(text, "null") != 0 ? xstrdup(text) : value_yaml_quoted(text);
}

bool value_equal(const struct option *o, const void *a, const void *b)
{
    if (o->type == OPTION_BOOL)
        return *(const bool *)a == *(const bool *)b;
    if (o->type == OPTION_SHARE)
        return *(const double *)a == *(const double *)b;
    if (is_words(o))
        return words_equal(a, b);
    if (!is_string(o))
        return *(const int64_t *)a == *(const int64_t *)b;
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return x == y || (x && y && strcmp(x, y) == 0);
}

void value_clear(const struct option *o, void *at)
{
    if (is_words(o)) {
        words_clear(at);
    } else if (is_string(o)) {
        free(*(char **)at);
        *(char **)at = NULL;
    }
}
