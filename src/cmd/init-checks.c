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
#include "config/config.h"

enum { REPORT_MAX = 1 << 20, CHUNK = 8192 }; /* bytes of one line; of one read */

struct wizard_check {
    struct event_base *base;
    struct child child;
    int fd; /* what it writes; -1 none runs */
    struct event *readable;
    struct buf out;   /* what has come of the next line; of the plan: all of it */
    json_t *report;   /* the newest of the doctor's, with what the plan says */
    char *path;       /* the configuration */
    bool pool, plans; /* it has a pool; the second child runs, which plans it */
    wizard_report_cb *cb;
    void *arg;
};

static void end_child(struct wizard_check *c)
{
    child_stop(&c->child, 0); /* it holds nothing that would want an orderly end */
    if (c->readable != NULL)
        event_free(c->readable);
    if (c->fd >= 0)
        close(c->fd);
    c->readable = NULL;
    c->fd = -1;
    buf_finish(&c->out);
    buf_init(&c->out, REPORT_MAX);
}

static void release(struct wizard_check *c)
{
    end_child(c);
    buf_finish(&c->out);
    json_decref(c->report);
    free(c->path);
    free(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg);

/* Runs `tightwad -c PATH WORDS` and reads what it writes.  err: its stderr as well. */
static int start_child(struct wizard_check *c, const char *const *words, bool err, char **cause)
{
    const char *argv[8] = {NULL, "-c", c->path};
    char *self = self_program();
    int fds[2];
    if (self == NULL || pipe2(fds, O_CLOEXEC) != 0) {
        cause_set(cause, "the servers can't be asked: %s", self == NULL ? "/proc is missing" : strerror(errno));
        free(self);
        return -1;
    }
    argv[0] = self;
    for (size_t i = 0; words[i] != NULL && 3 + i + 1 < ARRAY_LEN(argv); i++)
        argv[3 + i] = words[i];
    int rc = child_start(&c->child, words[0], argv, NULL, fds[1], err ? fds[1] : -1, cause);
    close(fds[1]);
    free(self);
    if (rc != 0) {
        close(fds[0]);
        return -1;
    }
    c->fd = fds[0];
    evutil_make_socket_nonblocking(c->fd);
    c->readable = event_new(c->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_add(c->readable, NULL);
    return 0;
}

/* Takes the doctor's whole lines; the newest one counts. */
static bool take_reports(struct wizard_check *c)
{
    bool news = false;
    for (char *end; (end = memchr(c->out.data, '\n', c->out.len)) != NULL;) {
        json_t *o = json_parse_object(c->out.data, (size_t)(end - c->out.data), NULL);
        buf_drop(&c->out, (size_t)(end - c->out.data) + 1);
        if (o == NULL)
            continue;
        json_decref(c->report);
        c->report = o;
        news = true;
    }
    return news;
}

/* The plan is one JSON object; before it stand messages, "tightwad: worker …: nothing listens there: …". */
static void take_plan(struct wizard_check *c)
{
    static const char head[] = "tightwad: ";
    json_t *notes = json_array();
    const char *s = c->out.data;
    while (strncmp(s, head, sizeof(head) - 1) == 0) {
        size_t n = strcspn(s, "\n");
        json_array_append_new(notes, json_stringn(s + sizeof(head) - 1, n - (sizeof(head) - 1)));
        s += n + (s[n] != '\0');
    }
    json_t *plan = json_parse_object(s, strlen(s), NULL);
    json_object_set_new(c->report, "plan", plan != NULL ? plan : json_null());
    json_object_set_new(c->report, "plan_notes", notes);
}

static void finish(struct wizard_check *c, const char *why)
{
    c->cb(c->arg, c->report, true, why);
    release(c);
}

/* The doctor is through: a pool is planned next, else it is all. */
static void doctor_ended(struct wizard_check *c)
{
    static const char *const words[] = {"inspect", "--plan", "--json", NULL};
    char *cause = NULL;
    end_child(c);
    if (c->report == NULL || json_is_null(json_object_get(c->report, "ok"))) {
        finish(c, "the examination broke off: `tightwad doctor` says why");
        return;
    }
    c->plans = c->pool && start_child(c, words, true, &cause) == 0;
    if (!c->plans)
        finish(c, cause);
    free(cause);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct wizard_check *c = arg;
    char chunk[CHUNK];
    (void)what;
    ssize_t n = read(fd, chunk, sizeof(chunk));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && buf_add(&c->out, chunk, (size_t)n)) {
        if (!c->plans && take_reports(c))
            c->cb(c->arg, c->report, false, NULL);
    } else if (c->plans) {
        take_plan(c);
        finish(c, NULL);
    } else {
        doctor_ended(c);
    }
}

/* Whether the configuration has a pool, whose target is started with the cluster. */
static bool has_pool(const char *path)
{
    struct config_findings findings = {0};
    struct config *c = config_load(path, &findings);
    bool pool = c != NULL && config_target_is_pool(c);
    config_findings_finish(&findings);
    config_destroy(c);
    return pool;
}

struct wizard_check *init_check_start(struct event_base *base, const char *path, wizard_report_cb *report, void *arg,
                                      char **cause)
{
    static const char *const words[] = {"doctor", "--json-lines", NULL};
    struct wizard_check *c = xcalloc(1, sizeof(*c));
    *c = (struct wizard_check){
        .base = base, .fd = -1, .path = xstrdup(path), .pool = has_pool(path), .cb = report, .arg = arg};
    buf_init(&c->out, REPORT_MAX);
    if (start_child(c, words, false, cause) == 0)
        return c;
    release(c);
    return NULL;
}

void init_check_cancel(struct wizard_check *c)
{
    if (c != NULL)
        release(c);
}
