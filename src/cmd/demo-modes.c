#include "cmd/demo-modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/demo-show.h"

static int show_exact(struct client *c, bool *held, char **cause)
{
    return demo_show(c, &demo_exact_script, held, cause);
}

static int64_t number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? (int64_t)json_number_value(v) : 0;
}

/* What each drafter brought, as the proxy has counted it. */
static int print_drafters(struct client *c, char **cause)
{
    json_t *status = client_settled(c, cause);
    size_t i;
    json_t *b;
    json_array_foreach(json_object_get(status, "backends"), i, b)
    {
        if (i > 0)
            printf("%s: %lld of %lld drafted tokens right; ahead of the others in %lld of the %lld rounds that it "
                   "drafted in\n",
                   json_string_value(json_object_get(b, "name")), (long long)number(b, "accepted"),
                   (long long)number(b, "drafted"), (long long)number(b, "wins"), (long long)number(b, "offered"));
    }
    json_decref(status);
    return status != NULL ? 0 : -1;
}

static int show_tree(struct client *c, bool *held, char **cause)
{
    int rc = demo_show(c, &demo_tree_script, held, cause);
    return rc == 0 ? print_drafters(c, cause) : rc;
}

const struct demo_mode demo_modes[] = {
    {.name = "exact",
     .helpers = {"small"},
     .promise = "every answer was the target's own",
     .proxy = "",
     .show = show_exact},
    {.name = "tree",
     .helpers = {"numbers", "words"},
     .promise = "every answer was the target's own",
     .proxy = "",
     .show = show_tree},
    {.name = "consensus",
     .helpers = {"draft", "small", "mid"},
     .promise = "every exact answer beside it was the target's own",
     .proxy = "  consensus_mode: strict  # approximate; majority and any_disagree are the others\n"
              "  default_mode: exact\n"
              "  consensus_audit: 0.2\n"
              "  consensus_max_error: 0.1  # of a few answers: one wrong token is a large share\n",
     .show = demo_show_consensus},
    {.name = "gate",
     .helpers = {"draft", "mid", "numbers", "words"},
     .agents = true,
     .promise = "no wrong answer was approved, and no fewer were right than the target's own",
     .proxy = "",
     .gate = "  routing: round_robin\n",
     .show = demo_show_gate},
    {0},
};

const struct demo_mode *demo_mode_find(const char *name, char **cause)
{
    const char *names[ARRAY_LEN(demo_modes)];
    size_t n = 0;
    for (const struct demo_mode *m = demo_modes; m->name != NULL; m++) {
        if (strcmp(m->name, name) == 0)
            return m;
        names[n++] = m->name;
    }
    names[n] = NULL;
    char *hint = cmd_did_you_mean("", name, names, n);
    cause_set(cause, "--mode is \"%s\": exact, tree, consensus or gate is wanted%s", name, hint);
    free(hint);
    return NULL;
}
