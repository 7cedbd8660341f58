/* The thread that writes the log's lines, and what else a serving program prints: a terminal that is held (Ctrl-S) or a
 * pipe that nobody reads holds up this thread and nobody else. */
#ifndef TIGHTWAD_BASE_LOG_WRITER_H
#define TIGHTWAD_BASE_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_WRITER_BYTES = 256 * 1024 }; /* that wait; more lines are dropped, and a line tells how many */

/* Until it is started, and where there is no thread to be had, lines are written at once.  Not before a fork that goes
 * on in the child. */
void log_writer_start(void);
/* From now on: when standard error is the file `path` and that has more than max bytes, it becomes path.1 (an older one
 * goes) and a new one is begun.  NULL: none is (the path is copied).  While no writer
 * runs. */
void log_writer_turns_over(const char *path, int64_t max);
/* Waits for at most so long until what waits is written.  False: it hangs, and has been left behind. */
bool log_writer_stop(int patience_ms);

/* Waits for at most so long until what was put so far is written. */
void log_writer_flush(int patience_ms);

/* Takes a line with its newline, or several (a copy), for standard error or output.  False: there is no writer. */
bool log_writer_put(int fd, const char *text, size_t len);

#endif
