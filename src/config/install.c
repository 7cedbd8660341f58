#include "config/install.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/tree.h"

enum { BACKUPS = 3 }; /* older ones that are kept */

char *install_path(const char *given, char **cause)
{
    char *path = config_find(given);
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (path)
        return path;
    if (xdg && *xdg)
        return xasprintf("%s/tightwad/cluster.yaml", xdg);
    if (home && *home)
        return xasprintf("%s/.config/tightwad/cluster.yaml", home);
    cause_set(cause, "there is no home directory to write cluster.yaml in: say where with -c FILE");
    return NULL;
}

/* Everything before the last slash of the path. */
static int make_folders(const char *path, char **cause)
{
    char *copy = xstrdup(path);
    int rc = 0;
    for (char *slash = strchr(copy + 1, '/'); slash && rc == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            rc = cause_set(cause, "can't make the folder %s: %s", copy, strerror(errno));
        *slash = '/';
    }
    free(copy);
    return rc;
}

static int check(const char *path, const char *text, char **cause)
{
    struct config_findings f = {0};
    struct config *c = config_load_text(path, text, strlen(text), &f);
    int rc = 0;
    for (size_t i = 0; i < f.n && rc == 0; i++) {
        if (f.list[i].error)
            rc = cause_set(cause, "what would be written is not right: %s: %s", f.list[i].where, f.list[i].text);
    }
    if (!c && rc == 0)
        rc = cause_set(cause, "what would be written is no configuration");
    config_destroy(c);
    config_findings_finish(&f);
    return rc;
}

/* PATH.bak.2 becomes PATH.bak.3, and so on.  One that can't be moved is written over. */
static void make_room(const char *backup)
{
    for (int i = BACKUPS; i > 0; i--) {
        char *from = i > 1 ? xasprintf("%s.%d", backup, i - 1) : xstrdup(backup), *to = xasprintf("%s.%d", backup, i);
        rename(from, to);
        free(from);
        free(to);
    }
}

static int keep_old(const char *path, const struct buf *old, char **backup, char **cause)
{
    struct buf before;
    char *ignored = NULL;
    *backup = xasprintf("%s.bak", path);
    bool same = file_read(*backup, TREE_BYTES_MAX, &before, &ignored) == 0 && before.len == old->len &&
                memcmp(before.data, old->data, old->len) == 0;
    free(ignored);
    buf_finish(&before);
    if (same)
        return 0;
    make_room(*backup);
    if (file_replace(*backup, old->data, old->len, 0600, cause) == 0)
        return 0;
    cause_prefix(cause, "the old file can't be kept as %s", *backup);
    free(*backup);
    *backup = NULL;
    return -1;
}

int install_config(const char *path, const char *text, char **backup, char **cause)
{
    struct buf old;
    size_t len = strlen(text);
    *backup = NULL;
    if (check(path, text, cause) != 0)
        return cause_prefix(cause, "%s", path);
    bool there = access(path, F_OK) == 0;
    int rc;
    if (there) {
        rc = file_read(path, TREE_BYTES_MAX, &old, cause);
    } else {
        buf_init(&old, 1);
        rc = make_folders(path, cause);
    }
    bool same = there && rc == 0 && old.len == len && memcmp(old.data, text, len) == 0;
    if (rc == 0 && there && !same)
        rc = keep_old(path, &old, backup, cause);
    if (rc == 0 && !same)
        rc = file_replace(path, text, len, 0600, cause);
    buf_finish(&old);
    if (rc == 0)
        return 0;
    free(*backup);
    *backup = NULL;
    return cause_prefix(cause, "%s", path);
}
