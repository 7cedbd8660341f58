/* Manifests of any size, parsed by the crew: the largest take longer than the loop may stand still. */
#ifndef TIGHTWAD_SWARM_SWARM_PARSE_H
#define TIGHTWAD_SWARM_SWARM_PARSE_H

#include <stddef.h>

#include "base/crew.h"
#include "swarm/manifest.h"

struct swarm_parse;

/* m is the callee's; NULL and why in words. */
typedef void swarm_parse_cb(void *arg, struct manifest *m, const char *why);

struct swarm_parse *swarm_parse_text(struct crew *crew, const char *text, size_t len, swarm_parse_cb *done, void *arg);
struct swarm_parse *swarm_parse_file(struct crew *crew, const char *path, swarm_parse_cb *done, void *arg);
void swarm_parse_cancel(struct swarm_parse *p); /* done is not called; NULL is fine */

#endif
