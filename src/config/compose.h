/* The text of a cluster.yaml from an advice: what a person would have written, each value with why. */
#ifndef TIGHTWAD_CONFIG_COMPOSE_H
#define TIGHTWAD_CONFIG_COMPOSE_H

#include <stdbool.h>
#include <stddef.h>

#include "advise/advice.h"

struct compose_opts {
    const char *host; /* what the proxy listens on; NULL: loopback */
    int port;         /* 0: 8088 */
};

/* list: the machines that the advice was made of.  o may be NULL.  An advice without a target gives a file that the
 * loader takes and `proxy start` refuses.  Texts of strangers (names of models, of machines) are put in quotes where
 * they are values and made harmless where they are comments.  Owned by the caller. */
char *compose_yaml(const struct advice *a, const struct machine *list, const struct compose_opts *o);

/* The estimate that a text made by compose_yaml notes, in tokens/s: what `tightwad bench` is held against.  false: it
 * notes none; *drafted is NAN where only the target alone is estimated. */
bool compose_estimate(const char *text, size_t len, double *alone, double *drafted);

#endif
