#include "node/option-table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"

enum { COLUMNS = 100 };

static size_t count_names(const struct option_row *row)
{
    size_t n = 0;
    while (n < ARRAY_LEN(row->names) && row->names[n] != NULL)
        n++;
    return n;
}

static const struct option_row *find(const struct option_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++) {
        for (size_t j = 0; j < count_names(&t->rows[i]); j++) {
            if (strcmp(t->rows[i].names[j], name) == 0)
                return &t->rows[i];
        }
    }
    return NULL;
}

static int unknown(const struct option_table *t, const char *name, char **cause)
{
    const char **names = xcalloc(t->n * ARRAY_LEN(t->rows->names), sizeof(*names));
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        for (size_t j = 0; j < count_names(&t->rows[i]); j++)
            names[n++] = t->rows[i].names[j];
    }
    const char *near = config_nearest(name, names, n);
    if (near != NULL)
        cause_set(cause, "unknown option %s: did you mean %s? (--help shows all)", name, near);
    else
        cause_set(cause, "unknown option %s (--help shows all)", name);
    free(names);
    return -1;
}

void option_set_text(char **to, const char *value)
{
    free(*to);
    *to = xstrdup(value);
}

int option_parse_number(const char *name, const char *value, int64_t min, int64_t max, int64_t *out, char **cause)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || n < min || n > max)
        return cause_set(cause, "%s %s: expected a whole number from %lld to %lld", name, value, (long long)min,
                         (long long)max);
    *out = n;
    return 0;
}

int option_parse_listen(const char *name, const char *value, char **to_host, int64_t *port, char **cause)
{
    const char *host = value, *colon;
    size_t host_len;
    if (value[0] == '[') {
        const char *close = strchr(value, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return cause_set(cause, "%s %s: expected HOST:PORT, for IPv6 [ADDRESS]:PORT", name, value);
        host = value + 1;
        host_len = (size_t)(close - host);
        colon = close[1] == ':' ? close + 1 : NULL;
    } else {
        colon = strrchr(value, ':');
        if (colon != NULL && strchr(value, ':') != colon)
            return cause_set(cause, "%s %s: expected HOST:PORT, for IPv6 [ADDRESS]:PORT", name, value);
        host_len = colon != NULL ? (size_t)(colon - value) : strlen(value);
    }
    if (colon != NULL && option_parse_number(name, colon + 1, 0, 65535, port, cause) != 0)
        return -1;
    if (host_len > 0) {
        free(*to_host);
        *to_host = xstrndup(host, host_len);
    }
    return 0;
}

static int set(const struct option_row *row, void *to, const char *name, char *value, char **cause)
{
    void *field = (char *)to + row->offset;
    if (row->arg != NULL && *value == '\0')
        return cause_set(cause, "%s: expected %s, got an empty one", name, row->arg);
    switch (row->kind) {
    case OPTION_FLAG:
    case OPTION_FLAG_OFF:
        *(bool *)field = row->kind == OPTION_FLAG;
        return 0;
    case OPTION_INT:
        return option_parse_number(name, value, row->min, row->max, field, cause);
    case OPTION_TEXT:
        option_set_text(field, value);
        return 0;
    case OPTION_LEVEL:
        if (!log_level_from_name(value, field))
            return cause_set(cause, "%s %s: expected debug, info, warn or error", name, value);
        return 0;
    case OPTION_FORMAT:
        if (strcmp(value, "text") != 0 && strcmp(value, "json") != 0)
            return cause_set(cause, "%s %s: expected text or json", name, value);
        *(bool *)field = strcmp(value, "json") == 0;
        return 0;
    case OPTION_OWN:
        return row->own(to, name, value, cause);
    }
    return 0;
}

int option_table_parse(const struct option_table *t, void *to, int argc, char **argv, char **cause)
{
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i], *equals = strchr(arg, '=');
        if (arg[0] != '-' || arg[1] == '\0')
            return cause_set(cause, "%s: expected an option (%s)", arg, t->stray);
        bool joined = strncmp(arg, "--", 2) == 0 && equals != NULL;
        char *name = joined ? xstrndup(arg, (size_t)(equals - arg)) : xstrdup(arg);
        const struct option_row *row = find(t, name);
        int rc = 0;
        if (row == NULL)
            rc = unknown(t, name, cause);
        else if (row->arg == NULL && joined)
            rc = cause_set(cause, "%s takes no argument", name);
        else if (row->arg != NULL && !joined && i + 1 >= argc)
            rc = cause_set(cause, "%s wants an argument: %s %s", name, name, row->arg);
        else
            rc = set(row, to, name, joined ? equals + 1 : row->arg != NULL ? argv[++i] : NULL, cause);
        free(name);
        if (rc != 0)
            return -1;
    }
    return 0;
}

void option_table_finish(const struct option_table *t, void *to)
{
    for (size_t i = 0; i < t->n; i++) {
        char **text = (char **)(void *)((char *)to + t->rows[i].offset);
        if (t->rows[i].kind != OPTION_TEXT)
            continue;
        free(*text);
        *text = NULL;
    }
}

/* Words of text from column indent, where the line stands already, and a newline. */
static void print_wrapped(FILE *to, const char *text, int indent)
{
    int column = indent;
    for (const char *word = text; *word != '\0';) {
        int len = (int)strcspn(word, " ");
        if (column > indent && column + 1 + len > COLUMNS) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
        }
        column += fprintf(to, "%s%.*s", column > indent ? " " : "", len, word);
        word += len + (word[len] == ' ');
    }
    fputc('\n', to);
}

static void print_row(const struct option_row *row, int indent, FILE *out)
{
    int column = fprintf(out, "  ");
    /* Short forms first, as the eye expects them. */
    for (int length = 0; length < 2; length++) {
        for (size_t j = 0; j < count_names(row); j++) {
            if ((row->names[j][1] == '-') == (length == 1))
                column += fprintf(out, "%s%s", column > 2 ? ", " : "", row->names[j]);
        }
    }
    if (row->arg != NULL)
        column += fprintf(out, " %s", row->arg);
    for (const char *c = row->arg; c != NULL && *c != '\0'; c++)
        column -= (*c & 0xc0) == 0x80; /* one column a character */
    if (column >= indent)
        column = fprintf(out, "\n") - 1;
    fprintf(out, "%*s", indent - column, "");
    char *help =
        row->preset_text != NULL ? xasprintf("%s (default: %s)", row->help, row->preset_text) : xstrdup(row->help);
    print_wrapped(out, help, indent);
    free(help);
}

void option_table_print(const struct option_table *t, FILE *out)
{
    for (size_t i = 0; i < t->n; i++)
        print_row(&t->rows[i], t->indent, out);
}
