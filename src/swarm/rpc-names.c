#include "swarm/rpc-names.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folders.h"
#include "base/mem.h"

enum { NAMES_MAX = 65536 };

static char *path_of(const char *id)
{
    char *folder = folder_cache("rpc-names");
    char *path = folder != NULL && strlen(id) == strspn(id, "0123456789abcdef") ? xasprintf("%s/%s", folder, id) : NULL;
    free(folder);
    return path;
}

void rpc_names_read(struct rpc_names *names, const char *id)
{
    struct rpc_name x;
    char *path = path_of(id), line[128];
    FILE *f = path != NULL ? fopen(path, "re") : NULL;
    *names = (struct rpc_names){0};
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNx64, &x.offset, &x.size, &x.hash) == 3)
            rpc_names_set(names, x.offset, x.size, x.hash);
    }
    names->changed = false;
    if (f != NULL)
        fclose(f);
    free(path);
}

static struct rpc_name *find(const struct rpc_names *names, uint64_t offset, uint64_t size)
{
    for (size_t i = 0; i < names->n; i++) {
        if (names->list[i].offset == offset && names->list[i].size == size)
            return &names->list[i];
    }
    return NULL;
}

bool rpc_names_find(const struct rpc_names *names, uint64_t offset, uint64_t size, uint64_t *hash)
{
    const struct rpc_name *x = find(names, offset, size);
    if (x != NULL)
        *hash = x->hash;
    return x != NULL;
}

void rpc_names_set(struct rpc_names *names, uint64_t offset, uint64_t size, uint64_t hash)
{
    struct rpc_name *x = find(names, offset, size);
    if (x == NULL && names->n == NAMES_MAX)
        return;
    if (x == NULL) {
        if (names->n == names->size) {
            names->size = names->size > 0 ? 2 * names->size : 64;
            names->list = xreallocarray(names->list, names->size, sizeof(*names->list));
        }
        x = &names->list[names->n++];
        *x = (struct rpc_name){.offset = offset, .size = size, .hash = ~hash};
    }
    names->changed |= x->hash != hash;
    x->hash = hash;
}

void rpc_names_write(const struct rpc_names *names, const char *id)
{
    char *folder = folder_cache("rpc-names"), *path = path_of(id);
    if (names->changed && path != NULL && folder_make(folder) == 0) {
        char *beside = xasprintf("%s.XXXXXX", path); /* two of one model may end at once, in one process too */
        int fd = mkostemp(beside, O_CLOEXEC);
        FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
        for (size_t i = 0; f != NULL && i < names->n; i++)
            fprintf(f, "%" PRIu64 " %" PRIu64 " %016" PRIx64 "\n", names->list[i].offset, names->list[i].size,
                    names->list[i].hash);
        bool whole = f != NULL && ferror(f) == 0;
        if (f != NULL)
            whole = fclose(f) == 0 && whole;
        else if (fd >= 0)
            close(fd);
        if (fd >= 0 && (!whole || rename(beside, path) != 0))
            unlink(beside);
        free(beside);
    }
    free(folder);
    free(path);
}

void rpc_names_finish(struct rpc_names *names)
{
    free(names->list);
    *names = (struct rpc_names){0};
}
