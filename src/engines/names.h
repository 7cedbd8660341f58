/* The names that a request may ask for: the model's own, and with @exact, @consensus, @gate, @target, @draft behind it.
 */
#ifndef TIGHTWAD_ENGINES_NAMES_H
#define TIGHTWAD_ENGINES_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "engines/proxy.h"

/* How a request for this model (NULL: none was named) is to be served.  0, or -1 with err filled: 404, and what there
 * is instead. */
int names_choose(struct proxy *p, const char *model, enum proxy_mode *mode, struct oai_error *err);

/* What the model's plain name means now. */
enum proxy_mode names_default(const struct proxy *p);

/* A line in the log when that has changed since it was told last; exact at the start. */
void names_tell(struct proxy *p);

/* Whether model asks for the present target, by a name of its own, where another one is coming. */
bool names_asks_present(const struct proxy *p, const char *model);

/* Takes the modes that a configuration has.  When it is read again, only what has changed in it: what a command has
 * switched stays otherwise.  0, or -1 and a cause. */
int names_take(struct proxy *p, const struct config *cfg, char **cause);
void names_finish(struct proxy *p);

#endif
