#include "config/words.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config/value.h"

void words_add(struct config_words *w, const char *text)
{
    w->list = xreallocarray(w->list, w->n + 1, sizeof(*w->list));
    w->list[w->n++] = xstrdup(text);
}

void words_clear(struct config_words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->list[i]);
    free(w->list);
    *w = (struct config_words){0};
}

bool words_equal(const struct config_words *a, const struct config_words *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->list[i], b->list[i]) != 0)
            return false;
    }
    return true;
}

bool words_is_secret(const char *name)
{
    static const char *const marks[] = {"TOKEN", "KEY", "SECRET", "PASSW"};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (strcasestr(name, marks[i]))
            return true;
    }
    return false;
}

/* The name of NAME=VALUE, owned by the caller, and what may be shown of the value, borrowed. */
static char *split(const char *word, const char **value)
{
    size_t n = strcspn(word, "=");
    char *name = xstrndup(word, n);
    *value = words_is_secret(name) ? "(set)" : word + n + (word[n] == '=');
    return name;
}

char *words_text(const struct config_words *w, bool vars)
{
    struct buf b;
    if (w->n == 0)
        return NULL;
    buf_init(&b, 16 << 20);
    buf_addc(&b, vars ? '{' : '[');
    for (size_t i = 0; i < w->n; i++) {
        const char *value = w->list[i];
        char *name = vars ? split(w->list[i], &value) : NULL, *yaml = value_yaml_quoted(value);
        buf_printf(&b, "%s%s%s%s", i ? ", " : "", vars ? name : "", vars ? ": " : "", yaml);
        free(name);
        free(yaml);
    }
    buf_addc(&b, vars ? '}' : ']');
    return buf_steal(&b);
}

json_t *words_json(const struct config_words *w, bool vars)
{
    if (w->n == 0)
        return json_null();
    json_t *j = vars ? json_object() : json_array();
    for (size_t i = 0; i < w->n; i++) {
        const char *value = w->list[i];
        char *name = vars ? split(w->list[i], &value) : NULL;
        if (vars)
            json_object_set_new(j, name, json_string(value));
        else
            json_array_append_new(j, json_string(value));
        free(name);
    }
    return j;
}
