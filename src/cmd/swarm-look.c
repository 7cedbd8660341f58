#include "cmd/swarm-look.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/folders.h"
#include "base/mem.h"
#include "cmd/client.h"

enum { LOOK_TIMEOUT_MS = 3000, LOOK_MAX = 64 };

/* "swarm-PID.sock" → PID; 0: another file. */
static long pid_of(const char *name)
{
    long pid = 0;
    int end = 0;
    return sscanf(name, "swarm-%ld.sock%n", &pid, &end) == 1 && end > 0 && name[end] == '\0' && pid > 0 ? pid : 0;
}

static int is_socket(const struct dirent *d)
{
    return pid_of(d->d_name) > 0;
}

static bool ask(struct swarm_seen *s, const char *path)
{
    struct client c;
    client_init_unix(&c, path);
    s->json = client_get(&c, "/v1/swarm/view", NULL, LOOK_TIMEOUT_MS, NULL);
    client_finish(&c);
    if (s->json == NULL)
        return false;
    fields_from_json(&swarm_view_fields, &s->view, s->json);
    return true;
}

static int by_pid(const void *a, const void *b)
{
    long x = ((const struct swarm_seen *)a)->pid, y = ((const struct swarm_seen *)b)->pid;
    return (x > y) - (x < y);
}

struct swarm_seen *swarm_look(size_t *n)
{
    char *dir = folder_runtime();
    struct dirent **found = NULL;
    int count = scandir(dir, &found, is_socket, alphasort);
    struct swarm_seen *list = xcalloc(LOOK_MAX, sizeof(*list));
    *n = 0;
    for (int i = 0; i < count; i++) {
        char *path = xasprintf("%s/%s", dir, found[i]->d_name);
        long pid = pid_of(found[i]->d_name);
        if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            unlink(path);
        else if (*n < LOOK_MAX && ask(&list[*n], path))
            list[(*n)++].pid = pid;
        free(path);
        free(found[i]);
    }
    free(found);
    free(dir);
    qsort(list, *n, sizeof(*list), by_pid);
    return list;
}

void swarm_look_free(struct swarm_seen *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_decref(list[i].json);
    free(list);
}
