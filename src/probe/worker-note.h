/* What a `tightwad worker` tells other programs of this user on its machine: a small file in the runtime folder, locked
 * while the worker lives, so that who fills its cache knows where that is. */
#ifndef TIGHTWAD_PROBE_WORKER_NOTE_H
#define TIGHTWAD_PROBE_WORKER_NOTE_H

#include <stdint.h>

struct worker_note {
    char *cache;        /* the folder; NULL: it keeps no tensors */
    uint64_t cache_max; /* bytes; 0: no bound */
};

/* Writes the note of the worker at that port, and keeps it locked as long as the descriptor that it returns is open;
 * -1 and a cause. */
int worker_note_write(int port, const struct worker_note *n, char **cause);
void worker_note_remove(int port, int fd); /* fd < 0: there is none */

/* 0 and *n (finish it), or -1 and a cause: no worker of this user runs at that port.  A few system calls. */
int worker_note_read(int port, struct worker_note *n, char **cause);
void worker_note_finish(struct worker_note *n);

#endif
