/* The head of an HTTP/1 request, parsed strictly (RFC 9110, 9112): whatever two readers could understand differently
 * is refused. */
#ifndef TIGHTWAD_HTTP_HEAD_H
#define TIGHTWAD_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_FIELDS_MAX = 100 };

struct head_field {
    char *name, *value; /* inside head.text */
};

struct head {
    char *text;   /* owned copy, cut into the strings below */
    char *method; /* "GET" */
    char *path;   /* percent-decoded, begins with "/" */
    char *query;  /* as it came, without "?"; NULL if none */
    int minor;    /* HTTP/1.minor */
    struct head_field fields[HEAD_FIELDS_MAX];
    size_t n_fields;
    int64_t content_length; /* -1: none given */
    bool chunked;           /* Transfer-Encoding: chunked */
    bool keep_alive;        /* what the client wants */
    bool expect_continue;
};

/* Where the head at the start of data ends (after its empty line), 0 while it is incomplete.  from: bytes known from an
 * earlier call not to contain the end. */
size_t head_length(const char *data, size_t len, size_t from);

/* data: a whole head.  0, or the HTTP status to refuse it with and *why (static).  Either way finish it. */
int head_parse(struct head *h, const char *data, size_t len, const char **why);
void head_finish(struct head *h);

/* The value of the first field of that name (any case), or NULL. */
const char *head_field(const struct head *h, const char *name);

/* Percent-decodes in place; plus: "+" is a space (queries).  False when it is malformed, holds a NUL or is not UTF-8.
 */
bool head_decode(char *s, bool plus);

#endif
