#include "swarm/manifest-make.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "probe/gguf.h"
#include "swarm/hashing.h"
#include "swarm/manifest-note.h"

/* Time of change is kept in ticks of the kernel: what changes twice in one of them looks the same.  A file that changed
 * less than this before it was read gets no note. */
enum { SETTLED_NS = 20000000, LABEL_MAX = 256 };

struct manifest_making {
    struct crew *crew;
    char *path;
    bool again, store;
    char **drafters; /* NULL: as stored */
    size_t n_drafters;
    manifest_made_cb *done;
    void *arg;

    /* The crew's, while busy; the loop's otherwise. */
    int fd;
    struct stat before;
    bool settled; /* `before` tells every later change */
    struct manifest *m;
    bool stored; /* m is what was stored */
    char *why;

    bool busy, cancelled;
    struct hashing *hashing;
    uint64_t hashed, total; /* total 0: not known yet */
};

static void destroy(struct manifest_making *m)
{
    for (size_t i = 0; i < m->n_drafters; i++)
        free(m->drafters[i]);
    free(m->drafters);
    if (m->fd >= 0)
        close(m->fd);
    manifest_destroy(m->m);
    free(m->path);
    free(m->why);
    free(m);
}

/* ---- on a thread: what kind of model it is, and its pieces ---- */

/* What a file says of itself, as a manifest may hold it; NULL where nothing is left.  Owned by the caller. */
static char *label(const char *text)
{
    if (text == NULL)
        return NULL;
    char *shown = utf8_printable(text, strlen(text));
    size_t n = strlen(shown);
    if (n > LABEL_MAX)
        n = LABEL_MAX - utf8_incomplete_tail(shown, LABEL_MAX);
    shown[n] = '\0';
    if (n > 0)
        return shown;
    free(shown);
    return NULL;
}

/* Files of other stores have names of their own kind.  NULL: even so it can't be used.  Owned by the caller. */
static char *filename_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path;
    size_t n = strlen(base);
    bool ends = n > 5 && strcasecmp(base + n - 5, ".gguf") == 0;
    char *name = xasprintf("%s%s", base, ends ? "" : ".gguf");
    if (manifest_name_ok(name))
        return name;
    free(name);
    return NULL;
}

struct manifest *manifest_describe(const struct gguf *g, char *filename)
{
    struct manifest *m = xcalloc(1, sizeof(*m));
    m->filename = filename;
    m->total_size = g->file_size;
    m->piece_size = MANIFEST_PIECE_SIZE;
    m->model = label(g->name);
    m->architecture = label(g->architecture);
    m->quantisation = label(g->file_type);
    m->license = label(g->license);
    m->vocab = g->vocab_fingerprint[0] != '\0' ? xstrdup(g->vocab_fingerprint) : NULL;
    m->parameters = g->n_params > 0 && g->n_params <= INT64_MAX ? (int64_t)g->n_params : -1;
    m->context_length = g->n_ctx_train;
    m->piece = manifest_cut(g, m->piece_size, &m->n_pieces);
    return m;
}

static bool read_head(struct manifest_making *m)
{
    char *name = filename_of(m->path);
    if (name == NULL) {
        cause_set(&m->why,
                  "%s: the name can't be offered to others: at most %d bytes, no control characters, no dot in front",
                  m->path, MANIFEST_NAME_MAX);
        return false;
    }
    struct gguf *g = gguf_open(m->path, &m->why);
    if (g == NULL || g->file_size != (uint64_t)m->before.st_size) {
        if (g != NULL)
            cause_set(&m->why, "%s: it changes while it is read", m->path);
        gguf_destroy(g);
        free(name);
        return false;
    }
    m->m = manifest_describe(g, name);
    gguf_destroy(g);
    if (m->m->piece == NULL)
        cause_set(&m->why, "%s: larger than %d pieces of %d MiB", m->path, MANIFEST_PIECES_MAX,
                  MANIFEST_PIECE_SIZE >> 20);
    return m->m->piece != NULL;
}

/* True: they were others. */
static bool put_drafters(struct manifest *m, char *const *names, size_t n)
{
    bool same = n == m->n_drafters;
    for (size_t i = 0; same && i < n; i++)
        same = strcmp(m->drafters[i], names[i]) == 0;
    if (same)
        return false;
    for (size_t i = 0; i < m->n_drafters; i++)
        free(m->drafters[i]);
    free(m->drafters);
    m->drafters = xcalloc(n, sizeof(*m->drafters));
    m->n_drafters = n;
    for (size_t i = 0; i < n; i++)
        m->drafters[i] = xstrdup(names[i]);
    return true;
}

static void save_beside(const struct manifest_making *m)
{
    char *path = manifest_path(m->path), *text = manifest_text(m->m), *cause = NULL;
    struct buf there;
    bool same = file_read_plain(path, MANIFEST_TEXT_MAX, &there, NULL) == 0 && strcmp(there.data, text) == 0;
    if (!same && manifest_save(m->m, path, &cause) != 0)
        log_info("the manifest is kept in the cache alone: %s", cause);
    buf_finish(&there);
    free(cause);
    free(text);
    free(path);
}

static bool take_stored(struct manifest_making *m)
{
    m->m = m->again ? NULL : manifest_note_read(&m->before);
    if (m->m == NULL)
        return false;
    char *name = filename_of(m->path);
    if (name != NULL) {
        free(m->m->filename);
        m->m->filename = name;
    }
    if (m->drafters != NULL && put_drafters(m->m, m->drafters, m->n_drafters))
        manifest_note_write(m->m, &m->before);
    if (m->store)
        save_beside(m);
    m->stored = true;
    return true;
}

static int64_t since_ns(const struct timespec *t)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)(now.tv_sec - t->tv_sec) * 1000000000 + (now.tv_nsec - t->tv_nsec);
}

static void work_head(void *data)
{
    struct manifest_making *m = data;
    m->fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (m->fd < 0 || fstat(m->fd, &m->before) != 0) {
        cause_set(&m->why, "%s: %s", m->path, errno == ENOENT ? "there is no such file" : strerror(errno));
        return;
    }
    if (!S_ISREG(m->before.st_mode)) {
        cause_set(&m->why, "%s: not a file", m->path);
        return;
    }
    m->settled = since_ns(&m->before.st_mtim) > SETTLED_NS;
    if (take_stored(m) || !read_head(m))
        return;
    if (m->drafters != NULL)
        put_drafters(m->m, m->drafters, m->n_drafters);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void work_tail(void *data)
{
    struct manifest_making *m = data;
    struct stat after;
    if (fstat(m->fd, &after) != 0 || !same_file(&m->before, &after)) {
        cause_set(&m->why, "%s: it was changed while it was read", m->path);
        return;
    }
    manifest_seal(m->m);
    if (m->settled)
        manifest_note_write(m->m, &after);
    if (m->store)
        save_beside(m);
}

/* ---- on the loop ---- */

static void end(struct manifest_making *m)
{
    struct manifest *made = m->why == NULL ? m->m : NULL;
    if (made != NULL)
        m->m = NULL;
    m->done(m->arg, made, m->stored ? 0 : m->hashed, m->why);
    destroy(m);
}

static void on_drop(void *data)
{
    struct manifest_making *m = data;
    m->busy = false;
    if (m->cancelled)
        destroy(m);
}

static void on_tail(void *data)
{
    struct manifest_making *m = data;
    m->busy = false;
    if (m->cancelled)
        destroy(m);
    else
        end(m);
}

static void on_hashed(void *arg, const char *why)
{
    struct manifest_making *m = arg;
    m->hashed = hashing_bytes(m->hashing);
    m->hashing = NULL;
    if (why != NULL) {
        cause_set(&m->why, "%s: %s", m->path, why);
        end(m);
        return;
    }
    m->busy = true;
    crew_add(m->crew, &(struct crew_job){.work = work_tail, .done = on_tail, .drop = on_drop, .data = m});
}

static void on_head(void *data)
{
    struct manifest_making *m = data;
    m->busy = false;
    if (m->cancelled) {
        destroy(m);
        return;
    }
    if (m->why != NULL || m->stored) {
        end(m);
        return;
    }
    m->total = m->m->total_size;
    m->hashing = hashing_start(m->crew, m->fd, m->m->piece, m->m->n_pieces, on_hashed, m);
    if (m->hashing == NULL) {
        cause_set(&m->why, "%s: no file descriptor is left to read it", m->path);
        end(m);
    }
}

struct manifest_making *manifest_make(struct crew *crew, const struct manifest_make_opts *o, manifest_made_cb *done,
                                      void *arg)
{
    struct manifest_making *m = xcalloc(1, sizeof(*m));
    *m = (struct manifest_making){.crew = crew,
                                  .path = xstrdup(o->path),
                                  .again = o->again,
                                  .store = o->store,
                                  .done = done,
                                  .arg = arg,
                                  .fd = -1,
                                  .busy = true};
    if (o->n_drafters > 0)
        m->drafters = xcalloc(o->n_drafters, sizeof(*m->drafters));
    while (m->n_drafters < o->n_drafters && m->n_drafters < MANIFEST_DRAFTERS_MAX) {
        m->drafters[m->n_drafters] = xstrdup(o->drafters[m->n_drafters]);
        m->n_drafters++;
    }
    crew_add(crew, &(struct crew_job){.work = work_head, .done = on_head, .drop = on_drop, .data = m});
    return m;
}

void manifest_making_progress(const struct manifest_making *m, uint64_t *done, uint64_t *total)
{
    *total = m->total;
    *done = m->hashing != NULL ? hashing_bytes(m->hashing) : m->hashed;
}

void manifest_making_cancel(struct manifest_making *m)
{
    if (m == NULL)
        return;
    m->cancelled = true;
    hashing_cancel(m->hashing);
    m->hashing = NULL;
    if (!m->busy)
        destroy(m);
}

/* ---- what is stored ---- */

struct manifest *manifest_stored(const char *path)
{
    struct stat st;
    struct manifest *m = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? manifest_note_read(&st) : NULL;
    char *name = m != NULL ? filename_of(path) : NULL;
    if (name != NULL) {
        free(m->filename);
        m->filename = name;
    }
    return m;
}

void manifest_note(const struct manifest *m, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == m->total_size)
        manifest_note_write(m, &st);
}
