/* Jansson helpers.  Parsing has a depth limit (64 levels) and rejects NUL in strings, duplicate keys and bad UTF-8. */
#ifndef TIGHTWAD_BASE_JSON_H
#define TIGHTWAD_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

enum { JSON_DEPTH_MAX = 64 };

/* NULL and a cause (with line and column) when text is not one JSON value.  Owned by the caller. */
json_t *json_parse(const char *text, size_t len, char **cause);

/* Like json_parse, and strings may hold NUL: vocabularies have a token for every byte. */
json_t *json_parse_nul(const char *text, size_t len, char **cause);

/* Like json_parse, and the value must be an object. */
json_t *json_parse_object(const char *text, size_t len, char **cause);

/* Typed getters.  Absent or null: *out is left alone and 0 is returned.  Present and right: 1.  Wrong type or out of
 * range: -1 and a cause that names the key, what it is and what is expected. */
int json_get_int(const json_t *o, const char *key, int64_t min, int64_t max, int64_t *out, char **cause);
int json_get_double(const json_t *o, const char *key, double min, double max, double *out, char **cause);
int json_get_bool(const json_t *o, const char *key, bool *out, char **cause);
int json_get_string(const json_t *o, const char *key, const char **out, char **cause); /* borrowed */
/* For what is only shown: the text, borrowed, "" where there is none; the number, NAN where there is none. */
const char *json_text(const json_t *o, const char *key);
double json_number(const json_t *o, const char *key);
/* An array of token ids, each 0 <= id <= INT32_MAX; *out is owned by the caller (NULL when absent). */
int json_get_tokens(const json_t *o, const char *key, int32_t **out, size_t *n, char **cause);
json_t *json_tokens(const int32_t *tokens, size_t n); /* new reference */

/* A piece of text on the node protocol: a string, or an array of byte values where it is not valid UTF-8. */
json_t *json_piece(const char *text, size_t len);
/* The bytes, owned by the caller; -1 when o is neither. */
int json_piece_get(const json_t *o, char **text, size_t *len);

#endif
