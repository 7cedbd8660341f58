/* tightwad manifest: what a model file is made of, for the swarm. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/hash-line.h"
#include "cmd/manifest-show.h"
#include "cmd/manifest-verify.h"
#include "cmd/show-machine.h"
#include "probe/ollama-store.h"
#include "swarm/manifest-make.h"

extern const struct cmd cmd_manifest;

enum { MODELS_MAX = 256 /* words of one command line */ };

struct creating {
    struct event_base *base;
    struct crew *crew;
    struct manifest_making *making;
    struct hash_line line;
    const char *path; /* of the model */
    bool json;
    int rc;
};

static void progress(void *arg, uint64_t *done, uint64_t *total)
{
    const struct creating *c = arg;
    if (c->making != NULL)
        manifest_making_progress(c->making, done, total);
}

/* Where it was written to; NULL: the folder takes none.  Owned by the caller. */
static char *place_of(const struct manifest *m, const char *model)
{
    struct manifest *there = manifest_load_beside(model, NULL);
    bool same = there != NULL && strcmp(there->id, m->id) == 0;
    manifest_destroy(there);
    return same ? manifest_path(model) : NULL;
}

static void print_made(const struct creating *c, const struct manifest *m, uint64_t hashed, double seconds)
{
    char *place = place_of(m, c->path);
    if (c->json) {
        json_t *o = json_pack("{s:s,s:s?,s:s,s:I,s:I,s:I,s:f}", "path", c->path, "manifest", place, "id", m->id,
                              "pieces", (json_int_t)m->n_pieces, "bytes", (json_int_t)m->total_size, "hashed",
                              (json_int_t)hashed, "seconds", seconds);
        if (o != NULL)
            json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(o);
    } else {
        char *size = show_bytes((int64_t)m->total_size), *rate = show_bytes((int64_t)((double)hashed / seconds));
        printf("%s\n  id        %s\n  pieces    %zu, %s\n", c->path, m->id, m->n_pieces, size);
        if (hashed > 0)
            printf("  hashed    in %.1f s, %s/s\n", seconds, rate);
        else
            printf("  hashed    before, and unchanged since\n");
        printf("  manifest  %s\n", place != NULL ? place : "kept in the cache alone: the model's folder takes none");
        free(size);
        free(rate);
    }
    fflush(stdout);
    free(place);
}

static void on_made(void *arg, struct manifest *m, uint64_t hashed, const char *why)
{
    struct creating *c = arg;
    double seconds = hash_line_end(&c->line);
    c->making = NULL;
    if (m != NULL)
        print_made(c, m, hashed, seconds);
    else
        c->rc = cmd_fail("%s", why);
    manifest_destroy(m);
    event_base_loopbreak(c->base);
}

static void create_one(struct creating *c, struct manifest_make_opts *o)
{
    char *cause = NULL, *found = NULL;
    c->path = o->path;
    if (strncmp(o->path, "ollama:", 7) == 0) {
        found = ollama_store_find(o->path + 7, &cause);
        if (found == NULL) {
            c->rc = cmd_fail_cause(cause);
            return;
        }
        c->path = o->path = found;
    }
    hash_line_start(&c->line, c->base, c->path, progress, c);
    c->making = manifest_make(c->crew, o, on_made, c);
    event_base_dispatch(c->base);
    free(found);
}

/* "A,B" apart; -1 where there are too many.  *copy holds the names. */
static int split_names(const char *given, char **copy, const char **names, size_t *n, char **cause)
{
    char *at = *copy = xstrdup(given), *name;
    *n = 0;
    while ((name = strsep(&at, ",")) != NULL) {
        if (*name == '\0' || *n == MANIFEST_DRAFTERS_MAX)
            return cause_set(cause, "--drafters: \"%s\", expected 1 to %d names with commas between them", given,
                             MANIFEST_DRAFTERS_MAX);
        names[(*n)++] = name;
    }
    return 0;
}

static int run_create(struct cmd_env *env, const struct cmd_args *args)
{
    const char *names[MANIFEST_DRAFTERS_MAX], *given = cmd_args_get(args, "drafters");
    char *copy = NULL, *cause = NULL;
    struct manifest_make_opts o = {.again = cmd_args_has(args, "again"), .store = true, .drafters = names};
    (void)env;
    if (given != NULL && split_names(given, &copy, names, &o.n_drafters, &cause) != 0) {
        free(copy);
        int rc = cmd_usage_error("manifest create: %s", cause);
        free(cause);
        return rc;
    }
    struct creating c = {.base = event_base_new(), .json = cmd_args_has(args, "json"), .rc = CMD_OK};
    c.crew = crew_create(c.base, 0);
    for (size_t i = 0; c.crew != NULL && i < args->n_words; i++) {
        o.path = args->words[i];
        create_one(&c, &o);
    }
    if (c.crew == NULL)
        c.rc = cmd_fail("no thread is to be had");
    crew_destroy(c.crew);
    event_base_free(c.base);
    free(copy);
    return c.rc;
}

static const struct cmd_option create_options[] = {
    {0, "again", NULL, "hash even what has not changed since the last time"},
    {0, "drafters", "NAME,…", "models that can draft for this one, told to whoever pulls it"},
    {0, "json", NULL, "one JSON object a line for each model"},
    {0},
};

static const struct cmd manifest_create = {
    .name = "create",
    .usage = "MODEL.gguf|ollama:NAME[:TAG]… [--again] [--drafters NAME,…] [--json]",
    .summary = "hash a model's pieces and write its manifest beside it",
    .help =
        "The file is read once, on all cores.  A file that is as it was (size, time of change, inode) is not read\n"
        "again.  Where the model's folder takes no file, the manifest is kept in ~/.cache/tightwad/manifests alone,\n"
        "and the swarm finds it there.  A model that is split into several files has a manifest for each.\n\n"
        "    tightwad manifest create ~/models/Qwen3-32B-Q4_K_M.gguf --drafters Qwen3-0.6B",
    .options = create_options,
    .min_words = 1,
    .max_words = MODELS_MAX,
    .run = run_create,
};

static const struct cmd_option show_options[] = {
    {0, "json", NULL, "the manifest itself"},
    {0, "pieces", NULL, "list the pieces as well"},
    {0},
};

static const struct cmd manifest_show_cmd = {
    .name = "show",
    .usage = "MODEL.gguf|FILE.tightwad.manifest [--pieces] [--json]",
    .summary = "tell what a manifest says",
    .help = "For a model the stored manifest is taken, else the one beside it; nothing is hashed.",
    .options = show_options,
    .min_words = 1,
    .max_words = 1,
    .run = manifest_show,
};

static const struct cmd_option verify_options[] = {
    {0, "json", NULL, "the result as one JSON object"},
    {0, "manifest", "FILE", "the manifest to compare with, instead of the one beside the model"},
    {0},
};

static const struct cmd manifest_verify_cmd = {
    .name = "verify",
    .usage = "MODEL.gguf [--manifest FILE] [--json]",
    .summary = "hash a model and compare it with its manifest",
    .help =
        "Every piece is read, whatever is stored.  Exit code 0: all pieces are what the manifest says; 1: some are\n"
        "not (they are named), or something can't be read.",
    .options = verify_options,
    .min_words = 1,
    .max_words = 1,
    .run = manifest_verify,
};

static const struct cmd *const subs[] = {&manifest_create, &manifest_show_cmd, &manifest_verify_cmd, NULL};

const struct cmd cmd_manifest = {
    .name = "manifest",
    .usage = "create|show|verify MODEL.gguf",
    .summary = "what a model file is made of: its pieces and their hashes",
    .help =
        "Models are cut into pieces at their tensors, so that a changed header or template changes one piece and\n"
        "not all.  The id of a manifest is the SHA-256 of its content: `tightwad swarm pull ID` trusts nothing else.",
    .subs = subs,
};
