#include "cmd/manifest-verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/hash-line.h"
#include "cmd/manifest-show.h"
#include "cmd/show-machine.h"
#include "swarm/hashing.h"
#include "swarm/manifest-make.h"

enum { NAMED_MAX = 20 /* wrong pieces that are named on a terminal */ };

struct verifying {
    struct event_base *base;
    struct hashing *hashing;
    const struct manifest *m;
    struct hash_line line;
    double seconds;
    char *why; /* NULL: all was read */
};

static void progress(void *arg, uint64_t *done, uint64_t *total)
{
    const struct verifying *v = arg;
    *total = v->m->total_size;
    *done = hashing_bytes(v->hashing);
}

static void on_hashed(void *arg, const char *why)
{
    struct verifying *v = arg;
    v->seconds = hash_line_end(&v->line);
    v->why = xstrdup(why);
    event_base_loopbreak(v->base);
}

/* What the file's pieces really are, owned by the caller; NULL and a cause. */
static struct manifest_piece *hash_file(const struct manifest *m, const char *path, int fd, double *seconds,
                                        char **cause)
{
    struct manifest_piece *piece = xmemdup(m->piece, m->n_pieces * sizeof(*piece));
    struct verifying v = {.base = event_base_new(), .m = m};
    struct crew *crew = crew_create(v.base, 0);
    v.hashing = crew != NULL ? hashing_start(crew, fd, piece, m->n_pieces, on_hashed, &v) : NULL;
    if (v.hashing != NULL) {
        hash_line_start(&v.line, v.base, path, progress, &v);
        event_base_dispatch(v.base);
        *seconds = v.seconds;
    } else {
        v.why = xstrdup("no thread, or no file descriptor, is to be had");
    }
    crew_destroy(crew);
    event_base_free(v.base);
    if (v.why == NULL)
        return piece;
    cause_set(cause, "%s: %s", path, v.why);
    free(v.why);
    free(piece);
    return NULL;
}

static json_t *bad_json(const struct manifest *m, const struct manifest_piece *is)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (memcmp(m->piece[i].sha256, is[i].sha256, MANIFEST_HASH) != 0)
            json_array_append_new(list, json_integer((json_int_t)i));
    }
    return list;
}

static void print_words(const struct manifest *m, const char *path, const json_t *bad, double seconds)
{
    char *rate = show_bytes((int64_t)((double)m->total_size / seconds));
    size_t n = json_array_size(bad);
    if (n == 0)
        printf("%s: all %zu pieces are right (%.1f s, %s/s)\n", path, m->n_pieces, seconds, rate);
    else
        printf("%s: %zu of %zu pieces are wrong (%.1f s, %s/s)\n", path, n, m->n_pieces, seconds, rate);
    for (size_t i = 0; i < n && i < NAMED_MAX; i++) {
        size_t index = (size_t)json_integer_value(json_array_get(bad, i));
        printf("  piece %zu: %" PRIu64 " bytes from %" PRIu64 " on\n", index, m->piece[index].size,
               m->piece[index].offset);
    }
    if (n > NAMED_MAX)
        printf("  and %zu more\n", n - NAMED_MAX);
    free(rate);
}

static int compare(const struct manifest *m, const char *path, int fd, bool json)
{
    char *cause = NULL;
    double seconds = 0;
    struct manifest_piece *is = hash_file(m, path, fd, &seconds, &cause);
    if (is == NULL)
        return cmd_fail_cause(cause);
    json_t *bad = bad_json(m, is);
    bool ok = json_array_size(bad) == 0;
    if (json) {
        json_t *o =
            json_pack("{s:s,s:s,s:b,s:I,s:O,s:I,s:f}", "path", path, "id", m->id, "ok", ok, "pieces",
                      (json_int_t)m->n_pieces, "wrong", bad, "bytes", (json_int_t)m->total_size, "seconds", seconds);
        if (o != NULL)
            json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(o);
    } else {
        print_words(m, path, bad, seconds);
    }
    json_decref(bad);
    free(is);
    return ok ? CMD_OK : CMD_FAILED;
}

static bool unchanged(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int verify(const struct manifest *m, const char *path, bool json)
{
    struct stat before, after;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &before) != 0 || !S_ISREG(before.st_mode)) {
        int rc = cmd_fail("%s: %s", path, fd < 0 ? strerror(errno) : "not a file");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = CMD_FAILED;
    if ((uint64_t)before.st_size != m->total_size)
        cmd_fail("%s has %lld bytes, its manifest says %" PRIu64 ": it is another file, or cut off", path,
                 (long long)before.st_size, m->total_size);
    else
        rc = compare(m, path, fd, json);
    /* What was just found right need not be hashed again to be given out. */
    if (rc == CMD_OK && fstat(fd, &after) == 0 && unchanged(&before, &after))
        manifest_note(m, path);
    close(fd);
    return rc;
}

int manifest_verify(struct cmd_env *env, const struct cmd_args *args)
{
    const char *path = args->words[0], *given = cmd_args_get(args, "manifest");
    char *cause = NULL, *source = NULL, *beside = manifest_path(path);
    bool model = true;
    (void)env;
    struct manifest *m;
    if (given != NULL)
        m = manifest_load(given, &cause);
    else if (access(beside, F_OK) == 0)
        m = manifest_load_beside(path, &cause);
    else
        m = manifest_named(path, &model, &source, &cause);
    free(beside);
    free(source);
    if (m != NULL && !model)
        cause_set(&cause, "%s is a manifest; name the model, and the manifest by --manifest", path);
    int rc = m != NULL && model ? verify(m, path, cmd_args_has(args, "json")) : cmd_fail_cause(cause);
    manifest_destroy(m);
    return rc;
}
