/* Collecting findings. */
#ifndef TIGHTWAD_CONFIG_FINDINGS_H
#define TIGHTWAD_CONFIG_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum { FINDINGS_MAX = 100 };

/* file:line for line > 0, else file alone. */
void findings_add(struct config_findings *f, bool error, const char *file, size_t line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Warnings alone are none. */
bool findings_have_error(const struct config_findings *f);

#endif
