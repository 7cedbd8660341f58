/* What the demo shows: a few questions asked both ways, and the sum of it. */
#ifndef TIGHTWAD_CMD_DEMO_SHOW_H
#define TIGHTWAD_CMD_DEMO_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/client.h"
#include "cmd/term.h"

struct demo_question {
    const char *prompt;
    double temperature;
    int64_t seed;
};

struct demo_script {
    const struct demo_question *questions; /* the target alone is watched on the first one, where it takes its time */
    size_t n;
    const char *with; /* "the pool and the drafter": who answers, in words */
};

extern const struct demo_script demo_exact_script, demo_tree_script;

/* Prints the answers on stdout, who wrote each token told apart, and compares each with the target alone.  0 when all
 * were asked, *identical whether all were byte for byte the same; -1 and a cause when one could not be asked. */
int demo_show(struct client *c, const struct demo_script *script, bool *identical, char **cause);

/* One answer of a model, painted as it comes where paint is given.  0, or -1 and a cause; finish it in both cases. */
int demo_ask(struct client *c, const char *model, const struct demo_question *q, struct paint *paint,
             struct client_answer *a, char **cause);
/* Tokens a second of generation alone, from the first text on; of a short answer that came in one go, over all of it.
 */
double demo_rate(const struct client_answer *a);
bool demo_same(const struct client_answer *a, const struct client_answer *b);

#endif
