/* What went wrong, in words: functions that a user can make fail return -1 (or NULL) and fill a cause. */
#ifndef TIGHTWAD_BASE_CAUSE_H
#define TIGHTWAD_BASE_CAUSE_H

/* Replaces *cause (freed if set; cause itself may be NULL) by the formatted text, owned by the caller.  Returns -1. */
int cause_set(char **cause, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before *cause. Returns -1. */
int cause_prefix(char **cause, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
