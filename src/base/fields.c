#include "base/fields.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

/* Words of servers may have been cut in the middle of a character by the size of their field, and JSON takes valid
 * UTF-8 only. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s);
    if (j)
        return j;
    struct buf b;
    buf_init(&b, 4096);
    utf8_add_repaired(&b, s, strlen(s));
    j = json_string(b.data);
    buf_finish(&b);
    return j;
}

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *count_or_null(int64_t n)
{
    return n >= 0 ? json_integer(n) : json_null();
}

static json_t *list_to_json(const struct field *f, const char *at, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, fields_to_json(f->of, at + i * f->of->size));
    return list;
}

static json_t *value_to_json(const struct field *f, const void *from)
{
    const char *at = (const char *)from + f->offset;
    const void *v = at;
    switch (f->kind) {
    case AS_TEXT:
        return text(at);
    case AS_NAME:
        return *at ? text(at) : json_null();
    case AS_BOOL:
        return json_boolean(*(const bool *)v);
    case AS_U8:
        return json_integer(*(const uint8_t *)v);
    case AS_U16:
        return json_integer(*(const uint16_t *)v);
    case AS_U32:
        return json_integer(*(const uint32_t *)v);
    case AS_U64:
    case AS_I64:
        return json_integer(*(const int64_t *)v);
    case AS_COUNT:
        return count_or_null(*(const int64_t *)v);
    case AS_COUNT32:
        return count_or_null(*(const int32_t *)v);
    case AS_PID:
        return *(const int64_t *)v > 0 ? json_integer(*(const int64_t *)v) : json_null();
    case AS_CAP:
        return *(const int64_t *)v == FIELD_AUTO ? json_string("auto") : json_integer(*(const int64_t *)v);
    case AS_NUMBER:
        return number_or_null(*(const double *)v);
    case AS_FLOAT:
        return number_or_null((double)*(const float *)v);
    case AS_WORD:
        return json_string(f->word(*(const int *)v));
    case AS_LIST:
        return list_to_json(f, at, *(const size_t *)(const void *)((const char *)from + f->count));
    case AS_OBJECT:
        return *(const bool *)(const void *)(at + f->count) ? fields_to_json(f->of, at) : json_null();
    }
    return NULL;
}

json_t *fields_to_json(const struct field_table *t, const void *from)
{
    json_t *o = json_object();
    for (size_t i = 0; i < t->n; i++) {
        const struct field *f = &t->row[i];
        json_t *v = f->has && !f->has(from) ? NULL : value_to_json(f, from);
        json_object_set_new(o, f->key, v ? v : json_null());
    }
    return o;
}

/* ---- back ---- */

static void take_text(char *to, size_t size, const json_t *v)
{
    const char *s = json_string_value(v);
    size_t len = s ? strlen(s) : 0;
    if (len >= size) {
        len = size - 1;
        len -= utf8_incomplete_tail(s, len);
    }
    memset(to, 0, size);
    if (len > 0)
        memcpy(to, s, len);
}

/* A whole number from 0 to most, else other. */
static int64_t take_count(const json_t *v, int64_t most, int64_t other)
{
    int64_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    return n >= 0 && n <= most ? n : other;
}

static double take_number(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static int take_word(const struct field *f, const json_t *v)
{
    const char *s = json_string_value(v);
    for (int i = 0; s && i < f->n_words; i++) {
        if (strcmp(f->word(i), s) == 0)
            return i;
    }
    return 0;
}

static void take_list(const struct field *f, char *to, size_t *count, const json_t *v)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 0, most = f->size / f->of->size;
    *count = n < most ? n : most;
    for (size_t i = 0; i < *count; i++)
        fields_from_json(f->of, to + i * f->of->size, json_array_get(v, i));
}

static void take_value(const struct field *f, void *into, const json_t *v)
{
    char *at = (char *)into + f->offset;
    void *to = at;
    switch (f->kind) {
    case AS_TEXT:
    case AS_NAME:
        take_text(at, f->size, v);
        return;
    case AS_BOOL:
        *(bool *)to = json_is_true(v);
        return;
    case AS_U8:
        *(uint8_t *)to = (uint8_t)take_count(v, UINT8_MAX, 0);
        return;
    case AS_U16:
        *(uint16_t *)to = (uint16_t)take_count(v, UINT16_MAX, 0);
        return;
    case AS_U32:
        *(uint32_t *)to = (uint32_t)take_count(v, UINT32_MAX, 0);
        return;
    case AS_U64:
    case AS_PID:
        *(int64_t *)to = take_count(v, INT64_MAX, 0);
        return;
    case AS_I64:
        *(int64_t *)to = json_integer_value(v);
        return;
    case AS_COUNT:
        *(int64_t *)to = take_count(v, INT64_MAX, -1);
        return;
    case AS_COUNT32:
        *(int32_t *)to = (int32_t)take_count(v, INT32_MAX, -1);
        return;
    case AS_CAP:
        *(int64_t *)to = json_is_integer(v) ? json_integer_value(v) : FIELD_AUTO;
        return;
    case AS_NUMBER:
        *(double *)to = take_number(v);
        return;
    case AS_FLOAT:
        *(float *)to = (float)take_number(v);
        return;
    case AS_WORD:
        *(int *)to = take_word(f, v);
        return;
    case AS_LIST:
        take_list(f, at, (size_t *)(void *)((char *)into + f->count), v);
        return;
    case AS_OBJECT:
        fields_from_json(f->of, at, v);
        *(bool *)(void *)(at + f->count) = json_is_object(v);
        return;
    }
}

void fields_from_json(const struct field_table *t, void *to, const json_t *o)
{
    memset(to, 0, t->size);
    for (size_t i = 0; i < t->n; i++)
        take_value(&t->row[i], to, json_object_get(o, t->row[i].key));
}
