/* Models that lie here are given out: their files found, hashed where that was not done, and opened. */
#include "swarm/swarm-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"

enum { GIVE_DEPTH = 6, GIVE_ENTRIES = 20000 };

/* What the crew looks for on the disk; lives longer than its giving where that is stopped. */
struct look {
    struct giving *giving; /* NULL: stopped */
    char *path, **file;    /* a file, or those below a folder */
    size_t n, entries;
    bool file_only; /* the path is not to be a folder */
    int fd;         /* the file, opened; -1: not */
    struct stat st;
    char *cause;
};

/* One path that the user has given. */
struct giving {
    struct swarm *swarm;
    char *path, **file;
    bool file_only;
    size_t n, at;
    swarm_shared_cb *done;
    void *arg;
    struct look *look;
    struct manifest_making *making;
    int fd;             /* file[at], opened before its manifest is made; -1: not */
    struct stat st;     /* as it was then */
    struct manifest *m; /* of file[at], once made */
    struct event *later;
    struct giving *next;
};

static void look_free(void *data)
{
    struct look *l = data;
    for (size_t i = 0; i < l->n; i++)
        free(l->file[i]);
    if (l->fd >= 0)
        close(l->fd);
    free(l->file);
    free(l->path);
    free(l->cause);
    free(l);
}

static void add_file(struct look *l, const char *path)
{
    l->file = xreallocarray(l->file, l->n + 1, sizeof(*l->file));
    l->file[l->n++] = xstrdup(path);
}

static bool is_model(const char *name)
{
    size_t n = strlen(name);
    return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".gguf") == 0;
}

/* Links to folders are not followed: they may lead anywhere, and round in circles. */
static void look_below(struct look *l, const char *dir, int depth)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        struct stat st;
        char *path = xasprintf("%s/%s", dir, list[i]->d_name);
        if (l->entries++ < GIVE_ENTRIES && l->n < SWARM_ITEMS_MAX && list[i]->d_name[0] != '.' &&
            lstat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode) && depth < GIVE_DEPTH)
                look_below(l, path, depth + 1);
            else if (is_model(list[i]->d_name) && stat(path, &st) == 0 && S_ISREG(st.st_mode))
                add_file(l, path);
        }
        free(path);
        free(list[i]);
    }
    free(list);
}

static void look_work(void *data)
{
    struct look *l = data;
    struct stat st;
    if (stat(l->path, &st) != 0) {
        cause_set(&l->cause, "%s: %s", l->path, strerror(errno));
    } else if (S_ISREG(st.st_mode)) {
        add_file(l, l->path);
    } else if (l->file_only) {
        cause_set(&l->cause, "%s is no regular file: expected the path of a model file", l->path);
    } else if (!S_ISDIR(st.st_mode)) {
        cause_set(&l->cause, "%s is neither a file nor a folder", l->path);
    } else {
        size_t len = strlen(l->path);
        while (len > 1 && l->path[len - 1] == '/')
            l->path[--len] = '\0';
        look_below(l, l->path, 0);
        if (l->n == 0)
            cause_set(&l->cause, "%s: there is no .gguf file in it, nor in %d folders below", l->path, GIVE_DEPTH);
    }
}

static void open_work(void *data)
{
    struct look *l = data;
    l->fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (l->fd < 0 || fstat(l->fd, &l->st) != 0)
        cause_set(&l->cause, "%s: %s", l->path, strerror(errno));
}

/* Its manifest is that of the open file where that is the same before and after, and still goes by the name. */
static void check_work(void *data)
{
    struct look *l = data;
    struct stat named;
    struct share_stamp before = share_stamp_of(&l->st);
    if (share_stamp_differs(&before, l->fd) || stat(l->path, &named) != 0 || named.st_ino != l->st.st_ino ||
        named.st_dev != l->st.st_dev)
        cause_set(&l->cause, "%s has changed while it was looked at", l->path);
}

static void look_start(struct giving *g, const char *path, void (*work)(void *), void (*done)(void *))
{
    struct look *l = xcalloc(1, sizeof(*l));
    *l = (struct look){.giving = g, .path = xstrdup(path), .file_only = g->file_only, .fd = g->fd, .st = g->st};
    g->fd = -1;
    g->look = l;
    crew_add(g->swarm->crew, &(struct crew_job){.work = work, .done = done, .drop = look_free, .data = l});
}

static void giving_free(struct giving *g)
{
    if (g->look != NULL)
        g->look->giving = NULL;
    manifest_making_cancel(g->making);
    manifest_destroy(g->m);
    if (g->fd >= 0)
        close(g->fd);
    for (size_t i = 0; i < g->n; i++)
        free(g->file[i]);
    free(g->file);
    free(g->path);
    event_free(g->later);
    free(g);
}

/* The next file, or the next path, on a turn of the loop of its own. */
static void go_on(struct giving *g)
{
    event_active(g->later, EV_TIMEOUT, 0);
}

static void tell(struct giving *g, const char *path, const struct manifest *m, const char *why)
{
    if (g->done != NULL)
        g->done(g->arg, path, m, why);
    if (g->fd >= 0)
        close(g->fd);
    g->fd = -1;
    g->at++;
    go_on(g);
}

static bool is_given(const struct swarm *s, const char *path)
{
    for (const struct swarm_item *i = s->items; i != NULL; i = i->next) {
        if (i->given != NULL && strcmp(i->given, path) == 0)
            return true;
    }
    return false;
}

static void on_checked(void *data)
{
    struct look *l = data;
    struct giving *g = l->giving;
    if (g != NULL) {
        struct swarm *s = g->swarm;
        struct manifest *m = g->m;
        char *cause = NULL;
        g->look = NULL;
        g->m = NULL;
        if (l->cause != NULL)
            cause_set(&cause, "%s", l->cause);
        else if ((uint64_t)l->st.st_size != m->total_size)
            cause_set(&cause, "%s has changed while it was looked at", l->path);
        else if (s->n_items >= SWARM_ITEMS_MAX)
            cause_set(&cause, "%s: %d models are given out already", l->path, SWARM_ITEMS_MAX);
        struct swarm_item *known = swarm_item_of(s, m->id);
        if (cause == NULL && known == NULL) {
            struct share *share = share_create(m, l->path, l->fd);
            l->fd = -1;
            share->stamp = share_stamp_of(&l->st);
            bits_fill(&share->have);
            struct swarm_item *item = swarm_item_add(s, share, NULL);
            item->given = xstrdup(l->path);
            item->wanted = m->total_size;
        }
        if (cause == NULL)
            swarm_failed_forget(s, l->path, NULL);
        tell(g, l->path, cause == NULL ? m : NULL, cause != NULL ? cause : "");
        manifest_destroy(m);
        free(cause);
    }
    look_free(l);
}

static void on_made(void *arg, struct manifest *m, uint64_t hashed, const char *why)
{
    struct giving *g = arg;
    g->making = NULL;
    if (m == NULL) {
        tell(g, g->file[g->at], NULL, why);
        return;
    }
    g->m = m;
    look_start(g, g->file[g->at], check_work, on_checked);
}

static void on_open(void *data)
{
    struct look *l = data;
    struct giving *g = l->giving;
    if (g != NULL) {
        const struct manifest_make_opts o = {.path = l->path, .store = true};
        g->look = NULL;
        g->fd = l->fd;
        g->st = l->st;
        l->fd = -1;
        if (l->cause != NULL)
            tell(g, l->path, NULL, l->cause);
        else
            g->making = manifest_make(g->swarm->crew, &o, on_made, g);
    }
    look_free(l);
}

static void on_look(void *data)
{
    struct look *l = data;
    struct giving *g = l->giving;
    if (g != NULL) {
        g->look = NULL;
        g->file = l->file;
        g->n = l->n;
        l->file = NULL;
        l->n = 0;
        if (l->cause != NULL)
            tell(g, l->path, NULL, l->cause);
        else
            go_on(g);
    }
    look_free(l);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct giving *g = arg;
    struct swarm *s = g->swarm;
    if (g->file == NULL && g->at == 0) {
        look_start(g, g->path, look_work, on_look);
    } else if (g->at < g->n) {
        look_start(g, g->file[g->at], open_work, on_open);
    } else {
        s->givings = g->next;
        giving_free(g);
        if (s->givings != NULL)
            go_on(s->givings);
    }
}

static int give(struct swarm *s, const char *path, bool file_only, swarm_shared_cb *done, void *arg, char **cause)
{
    size_t n = 0;
    struct giving **end = &s->givings;
    if (is_given(s, path)) {
        for (const struct swarm_item *i = s->items; i != NULL && done != NULL; i = i->next) {
            if (i->given != NULL && strcmp(i->given, path) == 0)
                done(arg, path, i->share->manifest, "");
        }
        return 0;
    }
    swarm_failed_forget(s, path, NULL);
    for (; *end != NULL; end = &(*end)->next)
        n++;
    if (n >= SWARM_GIVINGS_MAX)
        return cause_set(cause, "%s: %d others wait to be given out already", path, SWARM_GIVINGS_MAX);
    struct giving *g = xcalloc(1, sizeof(*g));
    *g = (struct giving){.swarm = s, .path = xstrdup(path), .file_only = file_only, .fd = -1, .done = done, .arg = arg};
    g->later = evtimer_new(s->base, on_later, g);
    *end = g;
    if (s->givings == g)
        go_on(g);
    return 0;
}

int swarm_share(struct swarm *s, const char *path, swarm_shared_cb *done, void *arg, char **cause)
{
    return give(s, path, false, done, arg, cause);
}

int swarm_share_file(struct swarm *s, const char *path, swarm_shared_cb *done, void *arg, char **cause)
{
    return give(s, path, true, done, arg, cause);
}

bool swarm_is_sharing(const struct swarm *s)
{
    return s->givings != NULL;
}

void swarm_give_stop(struct swarm *s)
{
    while (s->givings != NULL) {
        struct giving *g = s->givings;
        s->givings = g->next;
        giving_free(g);
    }
}

bool swarm_give_fill(const struct swarm *s, struct swarm_view_model *m)
{
    const struct giving *g = s->givings;
    uint64_t done = 0, total = 0;
    if (g == NULL || g->at >= g->n)
        return false;
    const char *slash = strrchr(g->file[g->at], '/'), *name = slash != NULL ? slash + 1 : g->file[g->at];
    if (g->making != NULL)
        manifest_making_progress(g->making, &done, &total);
    *m = (struct swarm_view_model){
        .state = SWARM_HASHING, .size = total, .wanted = total, .have = done, .eta = NAN, .availability = NAN};
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->file, sizeof(m->file), "%s", name);
    return true;
}
