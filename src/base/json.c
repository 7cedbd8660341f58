#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"

/* Jansson's own limit is 2048 levels of recursion; ours is looked for before it parses.  Returns the offset of the
 * bracket that opens one level too many, or len. */
static size_t too_deep_at(const char *text, size_t len)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return i;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return len;
}

static json_t *parse(const char *text, size_t len, size_t flags, char **cause)
{
    if (too_deep_at(text, len) < len) {
        cause_set(cause, "JSON nested more than %d levels deep", JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t error;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags, &error);
    if (value == NULL)
        cause_set(cause, "not valid JSON: line %d, column %d: %s", error.line, error.column, error.text);
    return value;
}

json_t *json_parse(const char *text, size_t len, char **cause)
{
    return parse(text, len, 0, cause);
}

json_t *json_parse_nul(const char *text, size_t len, char **cause)
{
    return parse(text, len, JSON_ALLOW_NUL, cause);
}

json_t *json_parse_object(const char *text, size_t len, char **cause)
{
    json_t *value = json_parse(text, len, cause);
    if (value != NULL && !json_is_object(value)) {
        json_decref(value);
        cause_set(cause, "expected a JSON object");
        return NULL;
    }
    return value;
}

static const char *type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        break;
    }
    return "null";
}

/* The value, or NULL where it is absent or null. */
static const json_t *lookup(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

static int wrong_type(char **cause, const char *key, const json_t *v, const char *expected)
{
    return cause_set(cause, "\"%s\" is %s, expected %s", key, type_name(v), expected);
}

int json_get_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *out, char **cause)
{
    const json_t *v = lookup(o, key);
    if (v == NULL)
        return 0;
    if (!json_is_integer(v))
        return wrong_type(cause, key, v, "an integer");
    int64_t n = json_integer_value(v);
    if (n < min || n > max)
        return cause_set(cause, "\"%s\" is %lld, expected %lld to %lld", key, (long long)n, (long long)min,
                         (long long)max);
    *out = n;
    return 1;
}

int json_get_double(const json_t *o, const char *key, double min, double max, double *out, char **cause)
{
    const json_t *v = lookup(o, key);
    if (v == NULL)
        return 0;
    if (!json_is_number(v))
        return wrong_type(cause, key, v, "a number");
    double x = json_number_value(v);
    if (!(x >= min && x <= max))
        return cause_set(cause, "\"%s\" is %g, expected %g to %g", key, x, min, max);
    *out = x;
    return 1;
}

int json_get_bool(const json_t *o, const char *key, bool *out, char **cause)
{
    const json_t *v = lookup(o, key);
    if (v == NULL)
        return 0;
    if (!json_is_boolean(v))
        return wrong_type(cause, key, v, "true or false");
    *out = json_is_true(v);
    return 1;
}

int json_get_string(const json_t *o, const char *key, const char **out, char **cause)
{
    const json_t *v = lookup(o, key);
    if (v == NULL)
        return 0;
    if (!json_is_string(v))
        return wrong_type(cause, key, v, "a string");
    *out = json_string_value(v);
    return 1;
}

const char *json_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

double json_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

int json_get_tokens(const json_t *o, const char *key, int32_t **out, size_t *n, char **cause)
{
    const json_t *v = lookup(o, key);
    if (v == NULL) {
        *out = NULL;
        *n = 0;
        return 0;
    }
    if (!json_is_array(v))
        return wrong_type(cause, key, v, "an array of token ids");
    size_t count = json_array_size(v);
    int32_t *tokens = xmalloc(count * sizeof(*tokens));
    for (size_t i = 0; i < count; i++) {
        const json_t *t = json_array_get(v, i);
        if (!json_is_integer(t) || json_integer_value(t) < 0 || json_integer_value(t) > INT32_MAX) {
            free(tokens);
            return cause_set(cause, "\"%s\"[%zu] is not a token id (an integer from 0 to %d)", key, i, INT32_MAX);
        }
        tokens[i] = (int32_t)json_integer_value(t);
    }
    *out = tokens;
    *n = count;
    return 1;
}

json_t *json_tokens(const int32_t *tokens, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_integer(tokens[i]));
    return array;
}

json_t *json_piece(const char *text, size_t len)
{
    /* A NUL is valid UTF-8, but json_parse refuses it in a string. */
    json_t *piece = memchr(text, 0, len) == NULL ? json_stringn(text, len) : NULL;
    if (piece != NULL)
        return piece;
    piece = json_array();
    for (size_t i = 0; i < len; i++)
        json_array_append_new(piece, json_integer((unsigned char)text[i]));
    return piece;
}

int json_piece_get(const json_t *o, char **text, size_t *len)
{
    if (json_is_string(o)) {
        *len = json_string_length(o);
        *text = xstrndup(json_string_value(o), *len);
        return 0;
    }
    if (!json_is_array(o))
        return -1;
    size_t n = json_array_size(o);
    char *bytes = xmalloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        const json_t *b = json_array_get(o, i);
        if (!json_is_integer(b) || json_integer_value(b) < 0 || json_integer_value(b) > 255) {
            free(bytes);
            return -1;
        }
        bytes[i] = (char)json_integer_value(b);
    }
    bytes[n] = '\0';
    *text = bytes;
    *len = n;
    return 0;
}
