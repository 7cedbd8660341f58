/* The Range header of a request (RFC 9110, 14.1): one range of bytes. */
#ifndef TIGHTWAD_HTTP_RANGE_H
#define TIGHTWAD_HTTP_RANGE_H

#include <stdint.h>

enum range_kind {
    RANGE_WHOLE, /* none is asked for, several are, or what stands there is no range: the whole is sent (200) */
    RANGE_PART,  /* 206 */
    RANGE_NONE,  /* none of it exists (416) */
};

/* value: of the field, NULL if there is none; size: bytes of the whole.  *first, *len: what is to be sent; 0 and size
 * but for RANGE_PART. */
enum range_kind range_read(const char *value, uint64_t size, uint64_t *first, uint64_t *len);

#endif
