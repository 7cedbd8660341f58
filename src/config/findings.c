#include "config/findings.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"

void findings_add(struct config_findings *f, bool error, const char *file, size_t line, const char *fmt, ...)
{
    if (f->n > FINDINGS_MAX)
        return;
    f->list = xreallocarray(f->list, f->n + 1, sizeof(*f->list));
    struct config_finding *it = &f->list[f->n++];
    if (f->n > FINDINGS_MAX) {
        /* Counts as an error: one may be among those that are not told. */
        *it = (struct config_finding){true, xstrdup(file), xstrdup("and more: mend these first")};
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    it->error = error;
    it->where = line ? xasprintf("%s:%zu", file, line) : xstrdup(file);
    it->text = xvasprintf(fmt, ap);
    va_end(ap);
}

bool findings_have_error(const struct config_findings *f)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->list[i].error)
            return true;
    }
    return false;
}

void config_findings_finish(struct config_findings *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->list[i].where);
        free(f->list[i].text);
    }
    free(f->list);
    *f = (struct config_findings){0};
}

void config_findings_print(const struct config_findings *f, FILE *to)
{
    for (size_t i = 0; i < f->n; i++)
        fprintf(to, "%s: %s: %s\n", f->list[i].where, f->list[i].error ? "error" : "warning", f->list[i].text);
}
