#include "cmd/manifest-show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/show-machine.h"
#include "swarm/manifest-make.h"

static bool is_manifest(const char *path)
{
    size_t n = strlen(path), tail = strlen(MANIFEST_SUFFIX);
    return n > tail && strcmp(path + n - tail, MANIFEST_SUFFIX) == 0;
}

struct manifest *manifest_named(const char *path, bool *model, char **source, char **cause)
{
    *model = !is_manifest(path);
    *source = NULL;
    if (!*model) {
        *source = xstrdup(path);
        return manifest_load(path, cause);
    }
    if (access(path, F_OK) != 0) {
        cause_set(cause, "%s: there is no such file", path);
        return NULL;
    }
    struct manifest *m = manifest_stored(path);
    if (m != NULL) {
        *source = xstrdup("stored, and the model is as it was then");
        return m;
    }
    char *beside = manifest_path(path);
    if (access(beside, F_OK) == 0)
        m = manifest_load_beside(path, cause);
    else
        cause_set(cause, "%s has no manifest; `tightwad manifest create` makes one", path);
    *source =
        m != NULL ? xasprintf("%s (not compared with the model: `tightwad manifest verify` does that)", beside) : NULL;
    free(beside);
    return m;
}

static void line(const char *what, const char *text)
{
    if (text != NULL)
        printf("  %-13s %s\n", what, text);
}

static void print_pieces(const struct manifest *m)
{
    printf("\n  %-6s %14s %10s  %s\n", "piece", "offset", "bytes", "sha256");
    for (size_t i = 0; i < m->n_pieces; i++) {
        const struct manifest_piece *p = &m->piece[i];
        printf("  %-6zu %14" PRIu64 " %10" PRIu64 "  ", i, p->offset, p->size);
        for (size_t k = 0; k < MANIFEST_HASH; k++)
            printf("%02x", p->sha256[k]);
        putchar('\n');
    }
}

static void print_words(const struct manifest *m, const char *source, bool pieces)
{
    char *size = show_bytes((int64_t)m->total_size), *largest = show_bytes((int64_t)m->piece_size);
    printf("%s\n", m->filename);
    line("id", m->id);
    line("model", m->model);
    line("architecture", m->architecture);
    if (m->parameters >= 0)
        printf("  %-13s %" PRId64 "\n", "parameters", m->parameters);
    line("quantisation", m->quantisation);
    if (m->context_length >= 0)
        printf("  %-13s %" PRId64 " tokens in training\n", "context", m->context_length);
    line("licence", m->license);
    line("vocabulary", m->vocab);
    for (size_t i = 0; i < m->n_drafters; i++)
        line(i == 0 ? "drafters" : "", m->drafters[i]);
    printf("  %-13s %s (%" PRIu64 " bytes)\n", "size", size, m->total_size);
    printf("  %-13s %zu, at most %s each\n", "pieces", m->n_pieces, largest);
    line("from", source);
    if (pieces)
        print_pieces(m);
    free(size);
    free(largest);
}

int manifest_show(struct cmd_env *env, const struct cmd_args *args)
{
    char *cause = NULL, *source = NULL;
    bool model = false;
    (void)env;
    struct manifest *m = manifest_named(args->words[0], &model, &source, &cause);
    if (m == NULL) {
        free(source);
        return cmd_fail_cause(cause);
    }
    if (cmd_args_has(args, "json")) {
        char *text = manifest_text(m);
        fputs(text, stdout);
        free(text);
    } else {
        print_words(m, source, cmd_args_has(args, "pieces"));
    }
    manifest_destroy(m);
    free(source);
    return CMD_OK;
}
