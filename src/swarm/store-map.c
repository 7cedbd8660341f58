#include "swarm/store-map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "swarm/store-io.h"

#define FIRST_LINE "tightwad part 1\n"

enum { MAP_MAX = MANIFEST_TEXT_MAX + MANIFEST_PIECES_MAX + 256 }; /* bytes of the file */

static char *map_text(const struct manifest *m, const struct bits *had, size_t *bits, size_t *len)
{
    char *text, *json = manifest_text(m);
    int head;

    text = xasprintf(FIRST_LINE "id %s\npieces %zu\n%n%*s\n%s", m->id, m->n_pieces, &head, (int)m->n_pieces, "", json);
    free(json);
    for (size_t i = 0; i < m->n_pieces; i++)
        text[(size_t)head + i] = bits_has(had, i) ? '1' : '0';
    *bits = (size_t)head;
    *len = strlen(text);
    return text;
}

static char *new_name(const char *name)
{
    return xasprintf("%s.new", name);
}

void store_map_drop_new(int dir, const char *name)
{
    char *beside = new_name(name);

    unlinkat(dir, beside, 0);
    free(beside);
}

int store_map_write_new(struct store_map *map, int dir, const char *name, const struct manifest *m,
                        const struct bits *had)
{
    size_t bits, len;
    char *text = map_text(m, had, &bits, &len), *beside = new_name(name);
    int error = 0, fd;

    unlinkat(dir, beside, 0); /* of a process that was killed; a link is not followed */
    fd = openat(dir, beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 || store_io_write(fd, text, len, 0) != 0 || fsync(fd) != 0)
        error = errno;
    if (error == 0) {
        store_map_close(map);
        *map = (struct store_map){.fd = fd, .bits = (off_t)bits};
    } else if (fd >= 0) {
        unlinkat(dir, beside, 0);
        close(fd);
    }
    free(text);
    free(beside);
    errno = error;
    return error == 0 ? 0 : -1;
}

int store_map_take_new(int dir, const char *name)
{
    char *beside = new_name(name);
    int error = renameat(dir, beside, dir, name) == 0 && fsync(dir) == 0 ? 0 : errno;

    free(beside);
    errno = error;
    return error == 0 ? 0 : -1;
}

int store_map_write(struct store_map *map, int dir, const char *name, const struct manifest *m, const struct bits *had)
{
    int error;

    if (store_map_write_new(map, dir, name, m, had) != 0)
        return -1;
    if (store_map_take_new(dir, name) == 0)
        return 0;
    error = errno;
    store_map_close(map);
    store_map_drop_new(dir, name);
    errno = error;
    return -1;
}

int store_map_note(const struct store_map *map, size_t piece, bool had)
{
    return map->fd < 0 ? 0 : store_io_write(map->fd, had ? "1" : "0", 1, (uint64_t)map->bits + piece);
}

void store_map_close(struct store_map *map)
{
    if (map->fd >= 0)
        close(map->fd);
    map->fd = -1;
}

static char *read_text(int dir, const char *name, size_t *len)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    char *text = NULL;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= MAP_MAX) {
        *len = (size_t)st.st_size;
        text = xmalloc(*len + 1);
        text[*len] = '\0';
        if (store_io_read(fd, text, *len, 0) != 0 || strlen(text) != *len) {
            free(text);
            text = NULL;
        }
    }
    close(fd);
    return text;
}

/* Those of n digits that are 1.  False: something else is among them. */
static bool read_bits(struct bits *had, const char *digits, size_t n)
{
    if (strspn(digits, "01") != n || digits[n] != '\n')
        return false;
    bits_init(had, n);
    for (size_t i = 0; i < n; i++)
        bits_set(had, i, digits[i] == '1');
    return true;
}

bool store_map_read(int dir, const char *name, const struct manifest *mine, struct bits *had, struct manifest **other)
{
    char id[MANIFEST_ID + 1];
    struct manifest *m = NULL;
    struct bits found = {0};
    size_t len, n = 0;
    char *text = read_text(dir, name, &len);
    int head = -1;
    bool ok = text != NULL && sscanf(text, FIRST_LINE "id %64[0-9a-f]\npieces %6zu\n%n", id, &n, &head) == 2 &&
              head > 0 && n <= MANIFEST_PIECES_MAX && read_bits(&found, text + head, n);

    if (ok && (!mine || strcmp(id, mine->id) != 0)) {
        const char *json = text + head + n + 1;

        m = manifest_parse(json, len - (size_t)(json - text), NULL);
        ok = m != NULL && strcmp(m->id, id) == 0 && m->n_pieces == n;
    } else if (ok) {
        ok = mine->n_pieces == n;
    }
    free(text);
    if (!ok) {
        bits_finish(&found);
        manifest_destroy(m);
        return false;
    }
    *had = found;
    *other = m;
    return true;
}

void store_map_find_new(int dir, const char *name)
{
    char *beside = new_name(name);
    struct manifest *whose = NULL;
    struct bits had = {0};

    if (!store_map_read(dir, beside, NULL, &had, &whose) || store_map_take_new(dir, name) != 0)
        unlinkat(dir, beside, 0);
    bits_finish(&had);
    manifest_destroy(whose);
    free(beside);
}
