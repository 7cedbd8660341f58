#include "engines/audit.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engines/consensus.h"
#include "engines/proxy-internal.h"

struct audit_window {
    size_t at, n;
};

struct audit {
    struct proxy *proxy;
    struct member *target;
    unsigned era;        /* of the proxy's counts */
    audit_over_cb *over; /* NULL: the answer is over */
    void *arg;
    struct audit_window *window; /* first … n are to be checked */
    size_t first, n, size;
    size_t done, wrong; /* tokens of the first one that were judged, and those that were wrong */
    struct backend_call *call;
    int32_t emitted[VOTE_WINDOW_MAX]; /* that the call under way is about, */
    size_t n_emitted;                 /* at most */
    /* when the answer is over */
    int32_t *path;
    struct backend_session *session;
    struct audit *next;
};

struct audit *audit_create(struct proxy *p, struct member *target, audit_over_cb *over, void *arg)
{
    struct audit *u = xcalloc(1, sizeof(*u));
    u->proxy = p;
    u->target = target;
    u->era = p->consensus.era;
    u->over = over;
    u->arg = arg;
    return u;
}

static void unlink_left(struct audit *u)
{
    struct consensus *c = &u->proxy->consensus;
    struct audit **at = &c->left;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    c->n_left--;
}

void audit_destroy(struct audit *u)
{
    if (u == NULL)
        return;
    if (u->over == NULL)
        unlink_left(u);
    if (u->call != NULL)
        backend_cancel(u->call);
    backend_session_close(u->session);
    free(u->path);
    free(u->window);
    free(u);
}

void audit_add(struct audit *u, size_t at, size_t n)
{
    if (u->n - u->first == AUDIT_WINDOWS_MAX)
        return;
    if (u->n == u->size) {
        u->size = u->size * 2 + 16;
        u->window = xreallocarray(u->window, u->size, sizeof(*u->window));
    }
    u->window[u->n++] = (struct audit_window){at, n};
}

bool audit_busy(const struct audit *u)
{
    return u->call != NULL;
}

/* The verdict's tokens, the target's own next one with them, are what it draws behind the emitted tokens as far as it
 * agrees with them, and in the place of the first that it does not. */
static void judge(struct audit *u, const struct backend_verdict *v)
{
    const struct audit_window *w = &u->window[u->first];
    size_t n = v->accepted + 1 < u->n_emitted ? v->accepted + 1 : u->n_emitted;
    u->wrong += v->tokens[n - 1].id != u->emitted[n - 1];
    u->done += n;
    if (u->done < w->n)
        return;
    if (u->era == u->proxy->consensus.era)
        consensus_count_audit(u->proxy, w->n, u->wrong);
    u->first++;
    u->done = u->wrong = 0;
}

/* Of those without their answer one at a time asks the target, the oldest first: they can wait. */
static void run_left(struct consensus *c)
{
    for (struct audit *u = c->left; u != NULL; u = u->next) {
        if (u->call != NULL)
            return;
    }
    if (c->left != NULL)
        audit_run(c->left, c->left->session, c->left->path, 0);
}

static void on_verdict(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct audit *u = arg;
    u->call = NULL;
    size_t read = 0;
    if (st->error == BACKEND_OK) {
        const struct audit_window *w = &u->window[u->first];
        read = w->at + u->done + v->accepted;
        judge(u, v);
    }
    /* What the target will not check it is not asked again. */
    if (st->error == BACKEND_REFUSED || st->error == BACKEND_TOO_LONG || st->error == BACKEND_UNSUPPORTED) {
        u->first++;
        u->done = u->wrong = 0;
    }
    if (u->over != NULL) {
        u->over(u->arg, st, read);
        return;
    }
    struct consensus *c = &u->proxy->consensus;
    if (st->error != BACKEND_OK || u->first == u->n)
        audit_destroy(u); /* nothing of it is on the stack but this call, which is over */
    run_left(c);
}

void audit_run(struct audit *u, struct backend_session *session, const int32_t *path, size_t sent)
{
    if (u->call != NULL || u->first == u->n)
        return;
    const struct audit_window *w = &u->window[u->first];
    size_t at = w->at + u->done, rest = w->n - u->done, fits = backend_verify_most(session);
    u->n_emitted = rest - 1 < fits ? rest : fits + 1;
    memcpy(u->emitted, path + at, u->n_emitted * sizeof(*path));
    u->call = backend_verify(session, path, at, u->emitted, u->n_emitted - 1, -1,
                             member_deadline_ms(u->target, at > sent ? at - sent : 0), on_verdict, u);
}

bool audit_suspend(struct audit *u)
{
    if (u->call != NULL)
        backend_cancel(u->call);
    u->call = NULL;
    return u->first < u->n;
}

void audit_leave(struct audit *u, struct backend_session *session, int32_t *path)
{
    struct consensus *c = &u->proxy->consensus;
    u->over = NULL;
    struct audit **at = &c->left;
    while (*at != NULL)
        at = &(*at)->next;
    *at = u;
    c->n_left++;
    u->session = session;
    u->path = path;
    if (c->n_left > AUDIT_LEFT_MAX || (u->first == u->n && u->call == NULL))
        audit_destroy(u);
    run_left(c);
}
