/* The line that shows how far hashing has come, on a terminal and nowhere else. */
#ifndef TIGHTWAD_CMD_HASH_LINE_H
#define TIGHTWAD_CMD_HASH_LINE_H

#include <stdint.h>

#include <event2/event.h>

/* Bytes hashed so far and in all; total 0: not known yet. */
typedef void hash_line_fn(void *arg, uint64_t *done, uint64_t *total);

struct hash_line {
    hash_line_fn *fn;
    void *arg;
    const char *what; /* borrowed: the file's name */
    struct event *tick;
    int64_t since_us; /* clock_us at the start */
};

/* Drawn on stderr ten times a second while it is a terminal. */
void hash_line_start(struct hash_line *l, struct event_base *base, const char *what, hash_line_fn *fn, void *arg);
/* Draws the line for the last time and clears it.  Returns the seconds since the start. */
double hash_line_end(struct hash_line *l);

#endif
