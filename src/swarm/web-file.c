#include "swarm/web-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "swarm/manifest-make.h"
#include "swarm/store-io.h"
#include "swarm/store-part.h"

#define FIRST_LINE "tightwad download 1\n"

enum {
    MAP_MAX = 64 * 1024,
    HEAD_STEP = 1 << 20,   /* bytes: the head is looked for as the first of them are here, and again as more come */
    SYNC_STEP = 256 << 20, /* bytes that a power cut may cost */
};

void web_file_init(struct web_file *f, const char *dir, const char *name, const char *url)
{
    *f = (struct web_file){.dir_fd = -1, .fd = -1, .map_fd = -1, .look_at = HEAD_STEP};
    f->dir = xstrdup(dir);
    f->name = xstrdup(name);
    f->url = xstrndup(url, strcspn(url, "?#"));
    f->path = xasprintf("%s/%s", dir, name);
    f->part = xasprintf("%s.part", f->path);
    f->part_name = xasprintf("%s.part", name);
    f->map_name = xasprintf("%s.part.map", name);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void web_file_finish(struct web_file *f)
{
    close_fd(&f->map_fd);
    close_fd(&f->fd);
    close_fd(&f->dir_fd);
    EVP_MD_CTX_free(f->hash);
    manifest_destroy(f->manifest);
    free(f->dir);
    free(f->name);
    free(f->path);
    free(f->part);
    free(f->part_name);
    free(f->map_name);
    free(f->url);
    free(f->validator);
    *f = (struct web_file){.dir_fd = -1, .fd = -1, .map_fd = -1};
}

/* Which start of the machine this is: what was written since is there, on the disk or in memory. */
static char *boot_id(void)
{
    struct buf text;
    char *id = NULL;

    if (file_read("/proc/sys/kernel/random/boot_id", 64, &text, NULL) == 0)
        id = xstrndup(text.data, strcspn(text.data, "\n"));
    buf_finish(&text);
    return id ? id : xstrdup("unknown");
}

#define NUMBERS "%020" PRIu64 " %020" PRIu64 "\n"

static void note(struct web_file *f)
{
    char text[80];
    int n = snprintf(text, sizeof(text), NUMBERS, (uint64_t)f->written, f->synced);

    if (f->map_fd >= 0 && f->validator)
        store_io_write(f->map_fd, text, (size_t)n, (uint64_t)f->map_at); /* where it fails, more is fetched again */
}

static enum store_result failed(struct web_file *f, const char *doing, char **why)
{
    return store_part_error(f->dir_fd, f->part, errno, doing, why);
}

/* In the place of the map that there is, which stays where that fails: it is all that is known of the .part.  synced
 * bytes of the `written` ones are on the disk. */
static enum store_result write_map(struct web_file *f, const char *validator, uint64_t total, uint64_t written,
                                   uint64_t synced, char **why)
{
    char *boot = boot_id(), *beside = xasprintf("%s.new", f->map_name);
    int head, fd;
    char *text = xasprintf(FIRST_LINE "url %s\nvalidator %s\nboot %s\ntotal %" PRIu64 "\n%n" NUMBERS, f->url,
                           validator ? validator : "", boot, total, &head, written, synced);
    enum store_result result = STORE_OK;

    unlinkat(f->dir_fd, beside, 0); /* of a process that was killed; a link is not followed */
    fd = openat(f->dir_fd, beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 || store_io_write(fd, text, strlen(text), 0) != 0 || fsync(fd) != 0 ||
        renameat(f->dir_fd, beside, f->dir_fd, f->map_name) != 0) {
        result = failed(f, "the map beside it could not be written", why);
        close_fd(&fd);
        unlinkat(f->dir_fd, beside, 0);
    } else {
        close_fd(&f->map_fd);
        f->map_fd = fd;
        f->map_at = head;
        if (fsync(f->dir_fd) != 0)
            result = failed(f, "the map beside it could not be put on the disk", why);
    }
    free(beside);
    free(text);
    free(boot);
    return result;
}

/* "NAME VALUE\n" at *at, which goes on behind it.  NULL: it is something else.  Owned by the caller. */
static char *line_of(const char **at, const char *name)
{
    size_t len = strlen(name);
    const char *end = strchr(*at, '\n');
    char *value;

    if (!end || strncmp(*at, name, len) != 0 || (*at)[len] != ' ')
        return NULL;
    value = xstrndup(*at + len + 1, (size_t)(end - *at) - len - 1);
    *at = end + 1;
    return value;
}

/* False: the map is one of another URL, of which something has come, and *why. */
static bool read_lines(struct web_file *f, const char *at, char **why)
{
    char *url = line_of(&at, "url"), *validator = line_of(&at, "validator"), *boot = line_of(&at, "boot"),
         *total = line_of(&at, "total"), *now = boot_id();
    uint64_t written = 0, synced = 0;
    bool ours = true;

    if (url && validator && boot && total && validator[0] != '\0' &&
        sscanf(at, "%20" SCNu64 " %20" SCNu64, &written, &synced) == 2 && synced <= written) {
        f->total = strtoull(total, NULL, 10);
        f->synced = synced;
        f->written = strcmp(boot, now) == 0 ? written : synced;
        if (f->total > 0 && f->written > f->total)
            f->written = f->synced = 0;
        free(f->validator);
        f->validator = xstrdup(validator);
        ours = f->written == 0 || strcmp(url, f->url) == 0;
    }
    if (!ours)
        cause_set(why, "%s has %" PRIu64 " bytes of %s: go on with that URL, or move it away", f->part,
                  (uint64_t)f->written, url);
    free(url);
    free(validator);
    free(boot);
    free(total);
    free(now);
    return ours;
}

/* Nothing, or the beginning of a map of this kind: it was cut off.  No other kind of map is ever written so that it
 * could be that. */
static bool is_cut_off(const struct buf *text)
{
    return text->len < strlen(FIRST_LINE) && memcmp(text->data, FIRST_LINE, text->len) == 0;
}

static bool is_model(const struct web_file *f)
{
    char magic[4];

    return store_io_read(f->fd, magic, sizeof(magic), 0) == 0 && memcmp(magic, "GGUF", sizeof(magic)) == 0;
}

/* Whether the .part is one of this kind, or empty. */
static enum store_result read_map(struct web_file *f, char **why)
{
    char *path = xasprintf("%s.map", f->part);
    enum store_result result = STORE_OK;
    struct buf text;
    struct stat st;
    bool there = file_read(path, MAP_MAX, &text, NULL) == 0 && strlen(text.data) == text.len;

    if (fstat(f->fd, &st) != 0) {
        result = failed(f, "could not be looked at", why);
    } else if (there && strncmp(text.data, FIRST_LINE, strlen(FIRST_LINE)) == 0) {
        if (!read_lines(f, text.data + strlen(FIRST_LINE), why))
            result = STORE_FAILED;
        if (f->written > (uint64_t)st.st_size)
            f->written = f->synced = 0;
    } else if (st.st_blocks > 0 && !(there && is_cut_off(&text) && is_model(f))) {
        cause_set(why, "%s is there and is not of a download: pull the model from the swarm, or move it away", f->part);
        result = STORE_FAILED;
    }
    buf_finish(&text);
    free(path);
    return result;
}

enum store_result web_file_open(struct web_file *f, char **why)
{
    enum store_result result;
    struct stat st;

    f->dir_fd = store_part_folder(f->dir, why);
    if (f->dir_fd < 0)
        return STORE_FAILED;
    if (fstatat(f->dir_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        cause_set(why, "%s is there already: move it away to fetch it again", f->path);
        return STORE_FAILED;
    }
    result = store_part_open(f->dir_fd, f->part_name, f->part, &f->fd, why);
    if (result == STORE_OK)
        result = read_map(f, why);
    if (result == STORE_OK && f->validator)
        result = write_map(f, f->validator, f->total, f->written, f->synced, why); /* of this start of the machine */
    return result;
}

static void forget_hash(struct web_file *f)
{
    EVP_MD_CTX_free(f->hash);
    f->hash = NULL;
    manifest_destroy(f->manifest);
    f->manifest = NULL;
    f->look_at = HEAD_STEP;
    f->piece = 0;
    f->hashed = 0;
}

/* For that many bytes in the place of what there is.  Where nothing has come yet, nothing stays. */
static enum store_result has_room(struct web_file *f, uint64_t total, char **why)
{
    struct stat st;
    uint64_t taken = fstat(f->fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
    enum store_result result = store_part_fits(f->dir_fd, f->part, total > taken ? total - taken : 0, why);

    if (result != STORE_OK && f->written == 0) {
        unlinkat(f->dir_fd, f->part_name, 0);
        unlinkat(f->dir_fd, f->map_name, 0);
    }
    return result;
}

/* It is not the model that its manifest names. */
static enum store_result other_model(struct web_file *f, const char *how, char **why)
{
    unlinkat(f->dir_fd, f->part_name, 0);
    unlinkat(f->dir_fd, f->map_name, 0);
    cause_set(why, "what is at %s is not what the manifest says that lies beside it: %s", f->url, how);
    return STORE_FAILED;
}

enum store_result web_file_begin(struct web_file *f, const char *validator, uint64_t total, char **why)
{
    enum store_result result;

    if (f->size > 0 && total > 0 && total != f->size) {
        char *how = xasprintf("%" PRIu64 " bytes, not %" PRIu64, total, f->size);

        result = other_model(f, how, why);
        free(how);
        return result;
    }
    result = has_room(f, total, why);
    if (result == STORE_OK) /* first: a map must never tell of bytes that have gone */
        result = write_map(f, validator, total, 0, 0, why);
    if (result != STORE_OK)
        return result;
    if (f->written > 0)
        log_warn("swarm: %s: begins anew, without the %" PRIu64 " bytes that had come: %s", f->part,
                 (uint64_t)f->written,
                 f->validator && validator && strcmp(f->validator, validator) == 0
                     ? "the server does not go on where it was"
                     : "what the server has is not surely the same file");
    forget_hash(f);
    free(f->validator);
    f->validator = xstrdup(validator);
    f->total = total;
    f->written = f->synced = 0;
    if (ftruncate(f->fd, 0) != 0)
        return failed(f, "could not be emptied", why);
    if (ftruncate(f->fd, (off_t)total) != 0)
        return failed(f, "could not be made as long as the model", why);
    return STORE_OK;
}

/* The head, once it is here.  The file is as long as it will be, so what is not there yet reads as zeros: only a head
 * that ends where the written part has not ended yet counts. */
static void look_for_head(struct web_file *f)
{
    char *name, path[64];
    struct gguf *g;

    f->look_at = f->written + f->written / 4 + HEAD_STEP;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
    g = gguf_open(path, NULL);
    if (g && g->data_start <= f->written && g->file_size == f->total) {
        name = xstrdup(f->name);
        f->manifest = manifest_describe(g, name);
        if (!f->manifest->piece) {
            manifest_destroy(f->manifest);
            f->manifest = NULL;
        }
    }
    gguf_destroy(g);
}

/* Hashes what is written; data: the last len bytes of it, or NULL. */
static enum store_result hash_on(struct web_file *f, const char *data, size_t len, char **why)
{
    struct manifest *m = f->manifest;

    while (f->hashed < f->written) {
        struct manifest_piece *p = &m->piece[f->piece];
        uint64_t end = p->offset + p->size, to = end < f->written ? end : f->written, from = f->hashed;

        if (!f->hash) {
            f->hash = EVP_MD_CTX_new();
            if (!f->hash || EVP_DigestInit_ex(f->hash, EVP_sha256(), NULL) != 1)
                abort(); /* no memory */
        }
        if (data && from >= f->written - len)
            EVP_DigestUpdate(f->hash, data + (from - (f->written - len)), (size_t)(to - from));
        else if (store_io_hash(f->hash, f->fd, from, to, &f->stop) != 0)
            return failed(f, "could not be read", why);
        f->hashed = to;
        if (to < end)
            break;
        EVP_DigestFinal_ex(f->hash, p->sha256, NULL);
        EVP_MD_CTX_free(f->hash);
        f->hash = NULL;
        f->piece++;
    }
    return STORE_OK;
}

static enum store_result check_magic(struct web_file *f, char **why)
{
    char magic[4];

    if (f->written < sizeof(magic) || f->hashed > 0)
        return STORE_OK;
    if (store_io_read(f->fd, magic, sizeof(magic), 0) != 0)
        return failed(f, "could not be read", why);
    if (memcmp(magic, "GGUF", sizeof(magic)) == 0)
        return STORE_OK;
    unlinkat(f->dir_fd, f->part_name, 0);
    unlinkat(f->dir_fd, f->map_name, 0);
    cause_set(why, "what that URL leads to is no GGUF model");
    return STORE_FAILED;
}

enum store_result web_file_write(struct web_file *f, const void *data, size_t len, char **why)
{
    enum store_result result;

    if (f->total > 0 && f->written + len > f->total) {
        cause_set(why, "the server sends more than the %" PRIu64 " bytes that it has named", f->total);
        return STORE_FAILED;
    }
    if (store_io_write(f->fd, data, len, f->written) != 0)
        return failed(f, "could not be written", why);
    f->written += len;
    if (f->written - f->synced >= SYNC_STEP && fdatasync(f->fd) == 0)
        f->synced = f->written;
    note(f);
    result = check_magic(f, why);
    if (result == STORE_OK && !f->manifest && f->total > 0 && f->written >= f->look_at)
        look_for_head(f);
    if (result == STORE_OK && f->manifest)
        result = hash_on(f, data, len, why);
    return result;
}

enum store_result web_file_land(struct web_file *f, char **why)
{
    struct store_part_names n = {f->dir_fd, f->part_name, f->map_name, f->name, f->path};
    enum store_result result;
    char *cause = NULL;

    if (f->total == 0) {
        f->total = f->written;
        if (ftruncate(f->fd, (off_t)f->total) != 0)
            return failed(f, "could not be cut to its size", why);
    }
    if (!f->manifest)
        look_for_head(f);
    if (!f->manifest) {
        char *path = xasprintf("/proc/self/fd/%d", f->fd);

        gguf_destroy(gguf_open(path, &cause));
        cause_set(why, "%s: it is no model that can be used: %s", f->part, cause ? cause : "it has too many pieces");
        free(cause);
        free(path);
        return STORE_FAILED;
    }
    result = hash_on(f, NULL, 0, why);
    if (result != STORE_OK)
        return result;
    manifest_seal(f->manifest);
    if (f->id[0] != '\0' && strcmp(f->id, f->manifest->id) != 0) {
        char *how = xasprintf("its id is %s, not %s", f->manifest->id, f->id);

        result = other_model(f, how, why);
        free(how);
        return result;
    }
    result = store_part_sync(f->dir_fd, f->part, f->fd, why);
    return result == STORE_OK ? store_part_land(&n, f->fd, f->manifest, why) : result;
}
