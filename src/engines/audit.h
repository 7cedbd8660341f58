/* What consensus emitted without the target, judged by the target afterwards.  Each token of a window is compared with
 * the one that the target draws behind the tokens that were emitted before it, so one wrong token says nothing of those
 * behind it.
 *
 * An audit checks the windows of one answer, in its target session, while the answer has no use for that one; what is
 * left when the answer is over is checked without it. */
#ifndef TIGHTWAD_ENGINES_AUDIT_H
#define TIGHTWAD_ENGINES_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/engine.h"

struct audit;

enum {
    AUDIT_LEFT_MAX = 128,     /* audits without their answer; those of further answers are not made */
    AUDIT_WINDOWS_MAX = 4096, /* of one answer, not yet checked */
};

/* Called on the loop when a check is over and the session is free, st: how it went; read: tokens of the path that the
 * target has seen.  The audit may be destroyed in it. */
typedef void audit_over_cb(void *arg, const struct backend_status *st, size_t read);

struct audit *audit_create(struct proxy *p, struct member *target, audit_over_cb *over, void *arg);
void audit_destroy(struct audit *u); /* NULL is fine */

/* Tokens at … at + n of the path are to be checked. */
void audit_add(struct audit *u, size_t at, size_t n);
/* Whether a check is under way. */
bool audit_busy(const struct audit *u);
/* Checks the next of them, where there is one and no check is under way.  sent: tokens of the path that the target has
 * seen. */
void audit_run(struct audit *u, struct backend_session *session, const int32_t *path, size_t sent);
/* The session is wanted by another: a check that is under way is broken off, to be made again.  Whether anything is
 * left to be checked. */
bool audit_suspend(struct audit *u);
/* The answer is over.  Takes the session and the path (from malloc; both may be NULL when nothing is left to be
 * checked) over, and goes on by itself; u is gone from the caller's view. */
void audit_leave(struct audit *u, struct backend_session *session, int32_t *path);

#endif
