#include "swarm/manifest-note.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/file.h"
#include "base/folders.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#define NOTE_SUFFIX ".note"

/* The first line of the note: it must be the same to the byte. */
static char *first_line(const struct stat *st)
{
    return xasprintf("{\"device\":%llu,\"inode\":%llu,\"size\":%lld,\"mtime_ns\":%lld%09ld}\n",
                     (unsigned long long)st->st_dev, (unsigned long long)st->st_ino, (long long)st->st_size,
                     (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

static char *note_path(const char *dir, const struct stat *st)
{
    return xasprintf("%s/%llx-%llx" NOTE_SUFFIX, dir, (unsigned long long)st->st_dev, (unsigned long long)st->st_ino);
}

struct manifest *manifest_note_read(const struct stat *st)
{
    char *dir = folder_cache("manifests"), *cause = NULL;
    struct manifest *m = NULL;
    struct buf text;
    if (dir == NULL)
        return NULL;
    char *path = note_path(dir, st), *first = first_line(st);
    if (file_read(path, MANIFEST_TEXT_MAX, &text, NULL) == 0 && strncmp(text.data, first, strlen(first)) == 0) {
        m = manifest_parse(text.data + strlen(first), text.len - strlen(first), &cause);
        if (m == NULL)
            log_debug("%s: %s", path, cause);
    }
    if (m != NULL && m->total_size != (uint64_t)st->st_size) {
        manifest_destroy(m);
        m = NULL;
    }
    buf_finish(&text);
    free(cause);
    free(first);
    free(path);
    free(dir);
    return m;
}

struct old_note {
    char *path; /* NULL: none */
    struct timespec when;
};

static size_t count_notes(const char *dir, struct old_note *oldest)
{
    DIR *d = opendir(dir);
    size_t n = 0, tail = strlen(NOTE_SUFFIX);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        size_t len = strlen(e->d_name);
        struct stat st;
        if (len <= tail || strcmp(e->d_name + len - tail, NOTE_SUFFIX) != 0 ||
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        n++;
        if (oldest->path != NULL &&
            (st.st_mtim.tv_sec > oldest->when.tv_sec ||
             (st.st_mtim.tv_sec == oldest->when.tv_sec && st.st_mtim.tv_nsec >= oldest->when.tv_nsec)))
            continue;
        free(oldest->path);
        *oldest = (struct old_note){.path = xasprintf("%s/%s", dir, e->d_name), .when = st.st_mtim};
    }
    if (d != NULL)
        closedir(d);
    return n;
}

/* One comes, one goes. */
static void make_room(const char *dir)
{
    struct old_note oldest = {0};
    if (count_notes(dir, &oldest) >= MANIFEST_NOTES_MAX)
        unlink(oldest.path);
    free(oldest.path);
}

void manifest_note_write(const struct manifest *m, const struct stat *st)
{
    char *dir = folder_cache("manifests"), *cause = NULL;
    struct buf text;
    if (dir == NULL)
        return;
    char *path = note_path(dir, st), *first = first_line(st), *rest = manifest_text(m);
    buf_init(&text, MANIFEST_TEXT_MAX);
    if (buf_adds(&text, first) && buf_adds(&text, rest) && folder_make(dir) == 0) {
        if (access(path, F_OK) != 0)
            make_room(dir);
        if (file_replace(path, text.data, text.len, 0600, &cause) != 0)
            log_debug("%s: %s", path, cause);
    }
    buf_finish(&text);
    free(cause);
    free(rest);
    free(first);
    free(path);
    free(dir);
}
