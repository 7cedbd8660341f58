#include "probe/read-file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

char *read_file(const char *root, const char *path)
{
    char *full = xasprintf("%s%s", root, path);
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    free(full);
    if (fd < 0)
        return NULL;
    char *text = xmalloc(READ_FILE_MAX + 1);
    size_t n = 0;
    ssize_t got;
    while (n < READ_FILE_MAX && (got = read(fd, text + n, READ_FILE_MAX - n)) > 0)
        n += (size_t)got;
    close(fd);
    text[n] = '\0';
    return text;
}

static int64_t number(const char *s)
{
    char *end;
    s += strspn(s, " \t");
    if (!isdigit((unsigned char)*s))
        return -1;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    return errno == 0 ? v : -1;
}

int64_t read_file_number(const char *root, const char *path)
{
    char *text = read_file(root, path);
    int64_t v = text != NULL ? number(text) : -1;
    free(text);
    return v;
}

int64_t read_file_value(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && strchr(": \t", line[n]) != NULL && line[n] != '\0')
            return number(line + n + (line[n] == ':'));
    }
    return -1;
}
