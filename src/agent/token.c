#include "agent/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"

enum { RANDOM_BYTES = 32, TOKEN_MIN = 16, TOKEN_MAX = 512 };

char *agent_token_path(char **cause)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state != NULL && *state == '/')
        return xasprintf("%s/tightwad/agent-token", state);
    if (home != NULL && *home == '/')
        return xasprintf("%s/.local/state/tightwad/agent-token", home);
    cause_set(cause, "there is no home to keep the token in ($HOME and $XDG_STATE_HOME are not set): name a file with "
                     "--token-file FILE");
    return NULL;
}

/* The folders above the file, as far as they are missing. */
static int make_folders(const char *path, char **cause)
{
    char *copy = xstrdup(path);
    int rc = 0;
    for (char *slash = strchr(copy + 1, '/'); slash != NULL && rc == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            rc = cause_set(cause, "can't make the folder %s: %s", copy, strerror(errno));
        *slash = '/';
    }
    free(copy);
    return rc;
}

static char *make(const char *path, char **cause)
{
    unsigned char bytes[RANDOM_BYTES];
    char hex[2 * RANDOM_BYTES + 1];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        cause_set(cause, "the system gives no random numbers: %s", strerror(errno));
        return NULL;
    }
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    if (make_folders(path, cause) != 0)
        return NULL;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool written = fd >= 0 && dprintf(fd, "%s\n", hex) == (int)sizeof(hex) && fsync(fd) == 0;
    if (!written)
        cause_set(cause, "can't write the token into %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && !written)
        unlink(path);
    return written ? xstrdup(hex) : NULL;
}

/* Of one line of printable characters. */
static char *read_token(int fd, const char *path, char **cause)
{
    char text[TOKEN_MAX + 2];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n < 0) {
        cause_set(cause, "can't read the token in %s: %s", path, strerror(errno));
        return NULL;
    }
    text[n] = '\0';
    size_t len = strcspn(text, "\r\n");
    bool right = len >= TOKEN_MIN && len <= TOKEN_MAX && strspn(text + len, "\r\n") == (size_t)n - len;
    for (size_t i = 0; i < len; i++)
        right = right && text[i] > ' ' && text[i] < 0x7f;
    if (!right) {
        cause_set(cause, "%s is no token: expected one line of %d to %d printable characters without blanks", path,
                  TOKEN_MIN, TOKEN_MAX);
        return NULL;
    }
    return xstrndup(text, len);
}

char *agent_token_read(const char *path, char **cause)
{
    struct stat st;
    char *token = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        cause_set(cause, "can't read the token in %s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        cause_set(cause, "%s is no file", path);
    else if ((st.st_mode & 077) != 0)
        cause_set(cause, "%s has mode %04o, so others may read the token: chmod 600 it, and think of a new one", path,
                  (unsigned)(st.st_mode & 07777));
    else
        token = read_token(fd, path, cause);
    if (fd >= 0)
        close(fd);
    return token;
}

char *agent_token_load(const char *path, bool *made, char **cause)
{
    *made = access(path, F_OK) != 0 && errno == ENOENT;
    if (!*made)
        return agent_token_read(path, cause);
    char *token = make(path, cause);
    *made = token != NULL;
    return token;
}
