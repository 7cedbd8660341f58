#include "cmd/init-checks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/util.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/child.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/self.h"

enum { REPORT_MAX = 1 << 20, CHUNK = 8192 }; /* bytes of one line; of one read */

struct wizard_check {
    struct child child;
    int fd;
    struct event *readable;
    struct buf lines; /* what has come of the next line */
    json_t *last;     /* the newest report */
    wizard_report_cb *report;
    void *arg;
};

static void release(struct wizard_check *c)
{
    child_stop(&c->child, 0); /* it holds nothing that would want an orderly end */
    event_free(c->readable);
    close(c->fd);
    buf_finish(&c->lines);
    json_decref(c->last);
    free(c);
}

/* Takes the whole lines out of the buffer; the newest one counts. */
static bool take_lines(struct wizard_check *c)
{
    bool news = false;
    for (char *end; (end = memchr(c->lines.data, '\n', c->lines.len)) != NULL;) {
        json_t *o = json_parse_object(c->lines.data, (size_t)(end - c->lines.data), NULL);
        buf_drop(&c->lines, (size_t)(end - c->lines.data) + 1);
        if (o == NULL)
            continue;
        json_decref(c->last);
        c->last = o;
        news = true;
    }
    return news;
}

static void finish(struct wizard_check *c)
{
    bool complete = c->last != NULL && !json_is_null(json_object_get(c->last, "ok"));
    c->report(c->arg, c->last, true, complete ? NULL : "the examination broke off: `tightwad doctor` says why");
    release(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct wizard_check *c = arg;
    char chunk[CHUNK];
    (void)what;
    ssize_t n = read(fd, chunk, sizeof(chunk));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !buf_add(&c->lines, chunk, (size_t)n)) {
        finish(c);
        return;
    }
    if (take_lines(c))
        c->report(c->arg, c->last, false, NULL);
}

struct wizard_check *init_check_start(struct event_base *base, const char *path, wizard_report_cb *report, void *arg,
                                      char **cause)
{
    char *self = self_program();
    int fds[2];
    if (self == NULL || pipe2(fds, O_CLOEXEC) != 0) {
        cause_set(cause, "the servers can't be asked: %s", self == NULL ? "/proc is missing" : strerror(errno));
        free(self);
        return NULL;
    }
    const char *const argv[] = {self, "-c", path, "doctor", "--json-lines", NULL};
    struct wizard_check *c = xcalloc(1, sizeof(*c));
    *c = (struct wizard_check){.fd = fds[0], .report = report, .arg = arg};
    int rc = child_start(&c->child, "tightwad doctor", argv, NULL, fds[1], -1, cause);
    close(fds[1]);
    free(self);
    if (rc != 0) {
        close(fds[0]);
        free(c);
        return NULL;
    }
    evutil_make_socket_nonblocking(c->fd);
    buf_init(&c->lines, REPORT_MAX);
    c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_add(c->readable, NULL);
    return c;
}

void init_check_cancel(struct wizard_check *c)
{
    if (c != NULL)
        release(c);
}
