#include "probe/models-here.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "probe/gguf.h"
#include "probe/ollama-store.h"
#include "probe/parts.h"

enum { PLACES_MAX = 64, NOTES_MAX = 5 };

/* $VARIABLE/rest where it is set, else the fallback; "~/" is the home directory. */
static const struct {
    const char *variable, *rest, *fallback;
} usual[] = {
    {"LLAMA_CACHE", "", "~/.cache/llama.cpp"},
    {"HF_HUB_CACHE", "", "~/.cache/huggingface/hub"},
    {"HF_HOME", "/hub", NULL},
    {"XDG_CACHE_HOME", "/llama.cpp", NULL},
    {"XDG_CACHE_HOME", "/huggingface/hub", NULL},
    {NULL, NULL, "~/.lmstudio/models"},
    {NULL, NULL, "~/.cache/lm-studio/models"},
    {NULL, NULL, "~/models"},
    {NULL, NULL, "~/llama.cpp/models"},
    {NULL, NULL, "/models"},
    {NULL, NULL, "/srv/models"},
    {NULL, NULL, "/opt/models"},
    {NULL, NULL, "/var/lib/models"},
};

struct search {
    struct machine *m;
    models_here_cb *cb; /* gets the paths, and m nothing; NULL: m is filled */
    void *arg;
    const struct models_here *s;
    int64_t until; /* clock_us */
    int entries, notes;
    bool cut; /* a cap or the time has ended it */
    struct {
        dev_t dev;
        ino_t ino;
    } seen[MODELS_HERE_MAX];
    size_t n_seen;
};

/* The folder's path, NULL where there is no home directory.  Owned by the caller. */
static char *expand(const char *path)
{
    const char *home = getenv("HOME");
    if (strncmp(path, "~/", 2) != 0)
        return xstrdup(path);
    return home != NULL && home[0] == '/' ? xasprintf("%s%s", home, path + 1) : NULL;
}

/* The given folders and the usual ones, whether they are there or not.  Owned by the caller, each. */
static size_t places(const struct models_here *s, char *list[PLACES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_folders && n < PLACES_MAX / 2; i++) {
        list[n] = expand(s->folders[i]);
        n += list[n] != NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(usual) && n < PLACES_MAX; i++) {
        const char *value = usual[i].variable != NULL ? getenv(usual[i].variable) : NULL;
        list[n] = value != NULL && value[0] == '/' ? xasprintf("%s%s", value, usual[i].rest)
                  : usual[i].fallback != NULL      ? expand(usual[i].fallback)
                                                   : NULL;
        n += list[n] != NULL;
    }
    return n;
}

static bool over(struct search *x)
{
    if (x->s->stop != NULL && atomic_load(x->s->stop))
        return true;
    size_t taken = x->m != NULL ? x->m->n_models : x->n_seen;
    x->cut |= taken >= MODELS_HERE_MAX || x->entries >= MODELS_HERE_ENTRIES || clock_us() > x->until;
    return x->cut;
}

/* False: it was there before, under another name. */
static bool note_file(struct search *x, const struct stat *st)
{
    for (size_t i = 0; i < x->n_seen; i++) {
        if (x->seen[i].dev == st->st_dev && x->seen[i].ino == st->st_ino)
            return false;
    }
    if (x->n_seen < ARRAY_LEN(x->seen)) {
        x->seen[x->n_seen].dev = st->st_dev;
        x->seen[x->n_seen++].ino = st->st_ino;
    }
    return true;
}

static struct machine_model *add_model(struct search *x, const char *name, const char *path, const char *from)
{
    char shown[512];
    struct machine_model *model = machine_add_model(x->m);
    machine_text(shown, sizeof(shown), name);
    model->name = xstrdup(shown);
    model->path = xstrdup(path);
    model->from = xstrdup(from);
    return model;
}

static void describe(struct machine_model *model, const struct gguf *g)
{
    machine_text(model->architecture, sizeof(model->architecture), g->architecture);
    machine_text(model->quantisation, sizeof(model->quantisation), g->file_type);
    machine_text(model->vocab, sizeof(model->vocab), g->vocab_fingerprint);
    model->parameters = g->n_params <= INT64_MAX ? (int64_t)g->n_params : -1;
}

/* The first of several files stands for all: their bytes and parameters are added up. */
static void add_parts(struct search *x, struct machine_model *model, const char *path, int parts)
{
    for (int i = 2; i <= parts && !over(x); i++) {
        struct stat st;
        char *part = parts_path(path, i);
        struct gguf *g = gguf_open(part, NULL);
        if (g == NULL || stat(part, &st) != 0) {
            model->parameters = -1;
            if (x->notes++ < NOTES_MAX)
                machine_add_note(x->m, "%s: part %d of %d can't be read", path, i, parts);
        } else {
            model->bytes += st.st_size;
            if (model->parameters >= 0)
                model->parameters += (int64_t)g->n_params;
        }
        gguf_destroy(g);
        free(part);
    }
}

/* A path for the callback; when that wants no more, the search is over. */
static void tell_path(struct search *x, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && note_file(x, &st) && !x->cb(x->arg, path))
        x->cut = true;
}

static void take_file(struct search *x, const char *path, const char *name)
{
    struct stat st;
    char *cause = NULL;
    int part, parts = parts_of(name, &part);
    if (part != 1 || stat(path, &st) != 0 || !S_ISREG(st.st_mode) || !note_file(x, &st))
        return;
    struct gguf *g = gguf_open(path, &cause);
    if (g == NULL) {
        if (x->notes++ < NOTES_MAX)
            machine_add_note(x->m, "model not usable: %s", cause);
    } else if (strcmp(g->architecture, "clip") != 0) { /* eyes for a model, and none itself */
        struct machine_model *model = add_model(x, name, path, "file");
        model->bytes = st.st_size;
        describe(model, g);
        add_parts(x, model, path, parts);
    }
    gguf_destroy(g);
    free(cause);
}

static void walk(struct search *x, const char *dir, int depth)
{
    DIR *d = opendir(dir);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL && !over(x); e = readdir(d)) {
        size_t n = strlen(e->d_name);
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        x->entries++;
        char *path = xasprintf("%s/%s", dir, e->d_name);
        if (n > 5 && strcasecmp(e->d_name + n - 5, ".gguf") == 0 && x->cb != NULL)
            tell_path(x, path);
        else if (n > 5 && strcasecmp(e->d_name + n - 5, ".gguf") == 0)
            take_file(x, path, e->d_name);
        else if (depth < MODELS_HERE_DEPTH && (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN) &&
                 lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            walk(x, path, depth + 1);
        free(path);
    }
    if (d != NULL)
        closedir(d);
}

static bool take_ollama(const char *name, const char *path, void *arg)
{
    struct search *x = arg;
    struct stat st;
    if (over(x))
        return false;
    x->entries++;
    /* A name that stands for a file that was there before is a model of its own all the same: people know it by it. */
    if (path == NULL)
        return true;
    if (x->cb != NULL) {
        tell_path(x, path);
        return true;
    }
    struct machine_model *model = add_model(x, name, path, "ollama");
    if (stat(path, &st) == 0) {
        model->bytes = st.st_size;
        note_file(x, &st);
    }
    struct gguf *g = gguf_open(path, NULL);
    if (g != NULL)
        describe(model, g);
    gguf_destroy(g);
    return true;
}

static void look(struct search *x)
{
    char *list[PLACES_MAX];
    x->until = clock_us() + (int64_t)x->s->timeout_ms * 1000;
    ollama_store_each(take_ollama, x);
    size_t n = places(x->s, list);
    for (size_t i = 0; i < n; i++) {
        walk(x, list[i], 1);
        free(list[i]);
    }
}

void models_here_each(const struct models_here *s, models_here_cb *cb, void *arg)
{
    struct search *x = xcalloc(1, sizeof(*x));
    *x = (struct search){.cb = cb, .arg = arg, .s = s};
    look(x);
    free(x);
}

void models_here_probe(struct machine *m, const struct models_here *s)
{
    struct search *x = xcalloc(1, sizeof(*x));
    *x = (struct search){.m = m, .s = s};
    look(x);
    if (x->cut)
        machine_add_note(m, "models: the search was ended after %d files and folders; more may be there", x->entries);
    free(x);
}

/* The file system that a folder lies on, where it is there and was not seen before. */
static bool add_disk(struct machine *m, const char *path, dev_t *seen, size_t *n_seen)
{
    struct stat st;
    struct statvfs v;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode) || statvfs(path, &v) != 0)
        return false;
    for (size_t i = 0; i < *n_seen; i++) {
        if (seen[i] == st.st_dev)
            return true;
    }
    seen[(*n_seen)++] = st.st_dev;
    struct machine_disk *d = machine_add_disk(m);
    d->path = xstrdup(path);
    d->size = (int64_t)(v.f_blocks * v.f_frsize);
    d->free_ = (int64_t)(v.f_bavail * v.f_frsize);
    return true;
}

void models_here_disks(struct machine *m, const struct models_here *s)
{
    char *list[PLACES_MAX], *stores[OLLAMA_STORES];
    dev_t seen[PLACES_MAX + OLLAMA_STORES + 2];
    size_t n_seen = 0, n_stores = ollama_store_folders(stores), n = places(s, list);
    bool any = false;
    for (size_t i = 0; i < n_stores; i++) {
        any |= add_disk(m, stores[i], seen, &n_seen);
        free(stores[i]);
    }
    for (size_t i = 0; i < n; i++) {
        any |= add_disk(m, list[i], seen, &n_seen);
        free(list[i]);
    }
    const char *home = getenv("HOME");
    if (!any && !(home != NULL && add_disk(m, home, seen, &n_seen)))
        add_disk(m, "/", seen, &n_seen);
}
