#include "base/folders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"

char *folder_cache(const char *name)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg != NULL && *xdg == '/')
        return xasprintf("%s/tightwad/%s", xdg, name);
    return home != NULL && *home == '/' ? xasprintf("%s/.cache/tightwad/%s", home, name) : NULL;
}

int folder_make(const char *dir)
{
    char *path = xstrdup(dir);
    int rc = 0;
    for (char *at = path + 1; rc == 0 && at != NULL; at++) {
        at = strchr(at, '/');
        if (at != NULL)
            *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            rc = -1;
        if (at == NULL)
            break;
        *at = '/';
    }
    int error = errno;
    free(path);
    errno = error;
    return rc;
}

char *folder_runtime(void)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    if (run != NULL && *run == '/')
        return xasprintf("%s/tightwad", run);
    return xasprintf("/tmp/tightwad-%lu", (unsigned long)getuid());
}

/* In /tmp anybody may have made the name first, hence lstat and the checks. */
int folder_runtime_make(char **cause)
{
    char *dir = folder_runtime();
    struct stat st;
    int rc = 0;
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        rc = cause_set(cause, "can't make %s: %s", dir, strerror(errno));
    else if (lstat(dir, &st) < 0)
        rc = cause_set(cause, "can't look at %s: %s", dir, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        rc = cause_set(cause, "%s is not a directory", dir);
    else if (st.st_uid != getuid())
        rc = cause_set(cause, "%s belongs to another user (uid %lu)", dir, (unsigned long)st.st_uid);
    else if ((st.st_mode & 077) != 0)
        rc = cause_set(cause, "%s has mode %04o, so others may enter it: it must be 0700", dir,
                       (unsigned)(st.st_mode & 07777));
    free(dir);
    return rc;
}
