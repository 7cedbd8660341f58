/* Where each value that is not a default came from. */
#ifndef TIGHTWAD_CONFIG_ORIGIN_H
#define TIGHTWAD_CONFIG_ORIGIN_H

#include <stddef.h>

#include "config/options.h"

struct config_origin {
    const struct option *option;
    size_t index;     /* of the drafter, else 0 */
    const char *file; /* borrowed from the config or static: a path, "$TIGHTWAD_PORT" */
    size_t line;      /* 0: no line */
};

void origin_set(struct config *c, const struct option *o, size_t index, const char *file, size_t line);
const struct config_origin *origin_get(const struct config *c, const struct option *o,
                                       size_t index); /* NULL: default */

#endif
