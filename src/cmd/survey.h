/* What there is to build on: this machine, and what answers on the network, looked at side by side. */
#ifndef TIGHTWAD_CMD_SURVEY_H
#define TIGHTWAD_CMD_SURVEY_H

#include <stddef.h>

#include "probe/here.h"
#include "probe/scan.h"

struct survey {
    struct machine *list; /* [0] this machine; one entry for each */
    size_t n;
    char **note; /* what the scan could not do, a line each */
    size_t n_notes;
};

/* Blocks until both are through (each has its deadline).  scan NULL: this machine's own probe alone.  The scan's
 * progress is shown on stderr where that is a terminal, in a line that is drawn over itself and taken away.  0 and *s
 * (finish it), or -1 and a cause when a subnet or host can't be read. */
int survey_make(struct survey *s, const struct here_opts *here, const struct scan_opts *scan, char **cause);
void survey_finish(struct survey *s);

enum { SURVEY_NAMES = 64 };

/* The values of a list with commas (NULL: none) into names, SURVEY_NAMES at most.  They point into what is returned,
 * which the caller frees after them. */
char *survey_split(const char *text, const char **names, size_t *n);

#endif
