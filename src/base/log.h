/* The log: one line an event, to stderr as text or JSON lines, and into a ring that the status and the dashboard show.
 * Thread-safe. */
#ifndef TIGHTWAD_BASE_LOG_H
#define TIGHTWAD_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_line {
    int64_t wall_ms; /* since 1970, UTC */
    enum log_level level;
    char text[232]; /* cut to fit, UTF-8 never cut in the middle; stderr gets all of it */
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
bool log_level_from_name(const char *name, enum log_level *out); /* debug, info, warn, error */
const char *log_level_name(enum log_level level);
void log_set_json(bool json);
void log_set_stderr(bool on);           /* off while the dashboard owns the terminal */
void log_set_program(const char *name); /* static string put before text lines */

/* One line each, without a newline at the end. */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same at LOG_INFO, for what happens all the time and is shown otherwise: it leaves the ring to what is news. */
void log_event(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Copies the newest lines, oldest first, at most n (the ring keeps 256).  Returns how many were copied. */
size_t log_recent(struct log_line *out, size_t n);

#endif
