/* How far a load is, on stderr: a bar on a terminal, log lines elsewhere. */
#ifndef TIGHTWAD_NODE_PROGRESS_H
#define TIGHTWAD_NODE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool bar;         /* stderr is a terminal and the log is text */
    bool drawn;       /* a bar stands on the line and has to be wiped */
    int percent;      /* last one shown, -1 none */
    int64_t shown_us; /* when the last line was written */
    char what[96];
};

/* log_is_json: no bar, whatever stderr is. */
void progress_init(struct progress *p, bool log_is_json);

/* what: "loading target.gguf"; a new one starts again from 0.  fraction: 0..1.  From one thread at a time. */
void progress_show(struct progress *p, const char *what, double fraction);

/* Wipes the bar. */
void progress_end(struct progress *p);

#endif
