#include "probe/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static const char tail_form[] = "-00001-of-00002.gguf";

int parts_of(const char *path, int *part)
{
    size_t n = strlen(path), tail = sizeof(tail_form) - 1;
    int of = 1, read = 0;
    *part = 1;
    if (n > tail && sscanf(path + n - tail, "-%5d-of-%5d.gguf%n", part, &of, &read) == 2 && read == (int)tail &&
        of > 1 && of < PARTS_MAX && *part >= 1 && *part <= of)
        return of;
    *part = 1;
    return 1;
}

char *parts_path(const char *path, int part)
{
    int own, parts = parts_of(path, &own);
    if (parts == 1)
        return xstrdup(path);
    return xasprintf("%.*s-%05d-of-%05d.gguf", (int)(strlen(path) - (sizeof(tail_form) - 1)), path, part, parts);
}
