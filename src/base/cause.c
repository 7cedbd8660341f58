#include "base/cause.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"

int cause_set(char **cause, const char *fmt, ...)
{
    if (cause == NULL)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    free(*cause);
    *cause = text;
    return -1;
}

int cause_prefix(char **cause, const char *fmt, ...)
{
    if (cause == NULL)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    char *prefix = xvasprintf(fmt, ap);
    va_end(ap);
    char *text = xasprintf("%s: %s", prefix, *cause != NULL ? *cause : "failed");
    free(prefix);
    free(*cause);
    *cause = text;
    return -1;
}
