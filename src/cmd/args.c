#include "cmd/args.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "config/config.h"

static size_t count(const struct cmd_option *options)
{
    size_t n = 0;
    while (options != NULL && options[n].name != NULL)
        n++;
    return n;
}

char *cmd_did_you_mean(const char *prefix, const char *word, const char *const *names, size_t n)
{
    const char *near = n > 0 ? config_nearest(word, names, n) : NULL;
    return near != NULL ? xasprintf("; did you mean `%s%s`?", prefix, near) : xstrdup("");
}

static int unknown(const struct cmd_option *options, const char *given, char **cause)
{
    size_t n = count(options), len = strcspn(given, "=");
    const char **names = xcalloc(n + 1, sizeof(*names));
    for (size_t i = 0; i < n; i++)
        names[i] = options[i].name;
    names[n] = "help";
    char *name = xstrndup(given, len);
    char *hint = cmd_did_you_mean("--", name, names, n + 1);
    cause_set(cause, "there is no option --%s%s", name, hint);
    free(hint);
    free(name);
    free(names);
    return -1;
}

static void give(struct cmd_args *a, size_t option, const char *value)
{
    a->values[option] = value;
    a->given = xreallocarray(a->given, a->n_given + 1, sizeof(*a->given));
    a->given[a->n_given++] = (struct cmd_given){option, value};
}

static int take_long(struct cmd_args *a, const char *given, int *i, int argc, char *const *argv, char **cause)
{
    size_t len = strcspn(given, "=");
    for (size_t k = 0; k < count(a->options); k++) {
        const struct cmd_option *o = &a->options[k];
        if (strlen(o->name) != len || strncmp(o->name, given, len) != 0)
            continue;
        if (o->arg == NULL) {
            if (given[len] == '=')
                return cause_set(cause, "--%s takes no value", o->name);
            give(a, k, "");
        } else if (given[len] == '=') {
            give(a, k, given + len + 1);
        } else if (*i + 1 < argc) {
            give(a, k, argv[++*i]);
        } else {
            return cause_set(cause, "--%s wants a value: --%s %s", o->name, o->name, o->arg);
        }
        return 0;
    }
    return unknown(a->options, given, cause);
}

static int take_short(struct cmd_args *a, const char *given, int *i, int argc, char *const *argv, char **cause)
{
    for (const char *p = given; *p != '\0'; p++) {
        size_t k = 0, n = count(a->options);
        while (k < n && a->options[k].letter != *p)
            k++;
        if (k == n) {
            /* "-json" for "--json" is the likely slip */
            const char **names = xcalloc(n + 1, sizeof(*names));
            for (size_t j = 0; j < n; j++)
                names[j] = a->options[j].name;
            char *hint = given[1] != '\0' ? cmd_did_you_mean("--", given, names, n) : xstrdup("");
            cause_set(cause, "there is no option -%s%s", given, hint);
            free(hint);
            free(names);
            return -1;
        }
        const struct cmd_option *o = &a->options[k];
        if (o->arg == NULL) {
            give(a, k, "");
            continue;
        }
        if (p[1] != '\0')
            give(a, k, p + 1);
        else if (*i + 1 < argc)
            give(a, k, argv[++*i]);
        else
            return cause_set(cause, "-%c wants a value: -%c %s", o->letter, o->letter, o->arg);
        return 0;
    }
    return 0;
}

int cmd_args_parse(struct cmd_args *a, const struct cmd_option *options, int argc, char *const *argv, char **cause)
{
    *a = (struct cmd_args){.options = options};
    a->values = xcalloc(count(options), sizeof(*a->values));
    a->words = xcalloc((size_t)argc + 1, sizeof(*a->words));
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        const char *s = argv[i];
        int rc = 0;
        if (only_words || s[0] != '-' || s[1] == '\0')
            a->words[a->n_words++] = s;
        else if (strcmp(s, "--") == 0)
            only_words = true;
        else if (s[1] == '-')
            rc = take_long(a, s + 2, &i, argc, argv, cause);
        else
            rc = take_short(a, s + 1, &i, argc, argv, cause);
        if (rc != 0)
            return -1;
    }
    return 0;
}

void cmd_args_finish(struct cmd_args *a)
{
    free(a->values);
    free(a->given);
    free(a->words);
    *a = (struct cmd_args){0};
}

const char *cmd_args_get(const struct cmd_args *a, const char *name)
{
    for (size_t i = 0; i < count(a->options); i++) {
        if (strcmp(a->options[i].name, name) == 0)
            return a->values[i];
    }
    abort(); /* the verb asks for an option that its table does not have */
}

size_t cmd_args_all(const struct cmd_args *a, const char *name, const char **list, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_given; i++) {
        if (strcmp(a->options[a->given[i].option].name, name) != 0)
            continue;
        if (n < max)
            list[n] = a->given[i].value;
        n++;
    }
    return n;
}

bool cmd_args_has(const struct cmd_args *a, const char *name)
{
    return cmd_args_get(a, name) != NULL;
}

int cmd_args_int(const struct cmd_args *a, const char *name, int64_t min, int64_t max, int64_t *out, char **cause)
{
    const char *s = cmd_args_get(a, name);
    if (s == NULL)
        return 0;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (end == s || *end != '\0' || errno != 0 || v < min || v > max)
        return cause_set(cause, "--%s is \"%s\": a whole number from %" PRId64 " to %" PRId64 " is wanted", name, s,
                         min, max);
    *out = v;
    return 0;
}

int cmd_args_double(const struct cmd_args *a, const char *name, double min, double max, double *out, char **cause)
{
    const char *s = cmd_args_get(a, name);
    if (s == NULL)
        return 0;
    char *end;
    double v = strtod(s, &end);
    if (end == s || *end != '\0' || isnan(v) || v < min || v > max)
        return cause_set(cause, "--%s is \"%s\": a number from %g to %g is wanted", name, s, min, max);
    *out = v;
    return 0;
}

void cmd_options_print(const struct cmd_option *options, FILE *to)
{
    for (size_t i = 0; i < count(options); i++) {
        const struct cmd_option *o = &options[i];
        char *text = xasprintf("--%s%s%s", o->name, o->arg != NULL ? " " : "", o->arg != NULL ? o->arg : "");
        if (o->letter != 0)
            fprintf(to, "  -%c, %-22s %s\n", o->letter, text, o->help);
        else
            fprintf(to, "      %-22s %s\n", text, o->help);
        free(text);
    }
}
