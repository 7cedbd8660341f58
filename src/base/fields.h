/* A struct as a JSON object, there and back, by one table: what is written can be read, and under the same name. */
#ifndef TIGHTWAD_BASE_FIELDS_H
#define TIGHTWAD_BASE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

enum field_kind {
    AS_TEXT, /* char[]: always a string */
    AS_NAME, /* char[]: "" is null */
    AS_BOOL, /* bool */
    AS_U8,   /* the unsigned ones, and AS_I64: always a number */
    AS_U16,
    AS_U32,
    AS_U64,
    AS_I64,
    AS_COUNT,   /* int64_t: below 0 is null */
    AS_COUNT32, /* int32_t: below 0 is null */
    AS_PID,     /* int64_t: 0 is null */
    AS_CAP,     /* int64_t: FIELD_AUTO is "auto" */
    AS_NUMBER,  /* double: null unless finite */
    AS_FLOAT,   /* float: null unless finite */
    AS_WORD,    /* an enum, or an int: one of its words */
    AS_LIST,    /* an array of structs and a size_t that counts them */
    AS_OBJECT,  /* a struct with a bool that says whether it is there: null where it is not */
};

enum { FIELD_AUTO = -1 };

struct field {
    const char *key;
    enum field_kind kind;
    size_t offset; /* in the struct, bytes */
    size_t size;   /* bytes: of the char[], of the array */
    const char *(*word)(int value);
    int n_words;                   /* values from 0 on */
    const struct field_table *of;  /* AS_LIST, AS_OBJECT */
    size_t count;                  /* offset: AS_LIST of its size_t, AS_OBJECT of its bool in that struct */
    bool (*has)(const void *from); /* false: null, whatever the value is; NULL: always has */
};

struct field_table {
    const struct field *row;
    size_t n;
    size_t size; /* sizeof the struct */
};

/* Rows of a table: s is the struct's name without `struct`. */
#define FIELD_AT(s, member) .offset = offsetof(struct s, member), .size = sizeof(((struct s *)0)->member)
#define FIELD_ROW(s, kind_, member)                                                                                    \
    {                                                                                                                  \
        .key = #member, .kind = kind_, FIELD_AT(s, member)                                                             \
    }
#define FIELD_NAMED(s, kind_, key_, member)                                                                            \
    {                                                                                                                  \
        .key = key_, .kind = kind_, FIELD_AT(s, member)                                                                \
    }
#define FIELD_WORD(s, member, word_, n)                                                                                \
    {                                                                                                                  \
        .key = #member, .kind = AS_WORD, FIELD_AT(s, member), .word = word_, .n_words = n                              \
    }
#define FIELD_LIST(s, key_, member, count_, table)                                                                     \
    {                                                                                                                  \
        .key = key_, .kind = AS_LIST, FIELD_AT(s, member), .count = offsetof(struct s, count_), .of = &(table)         \
    }
#define FIELD_TABLE(rows, s)                                                                                           \
    {                                                                                                                  \
        .row = rows, .n = ARRAY_LEN(rows), .size = sizeof(struct s)                                                    \
    }

/* New reference.  Text that is not UTF-8 is repaired. */
json_t *fields_to_json(const struct field_table *t, const void *from);

/* Fills the whole struct; what is missing, of the wrong type or out of range is unknown: -1, NAN, "", false, 0.  Lists
 * and texts are cut at their size. */
void fields_from_json(const struct field_table *t, void *to, const json_t *o);

#endif
