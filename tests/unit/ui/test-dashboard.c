/* The dashboard on a terminal of its own: a child draws, the test is the terminal.  Whatever happens, the terminal is
 * given back as it was, and one that does not read holds nobody up. */
#include "tests.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fixture.h"
#include "ui/dashboard.h"

enum {
    TICK_MS = 50,
    LONG_MS = 20000, /* an end that does not come */
    JOIN_MS = 5000,
};

enum end { END_CLOSED, END_CRASH, END_NEVER };

struct terminal {
    int fd;
    pid_t pid;
    struct termios before;
    struct {
        char data[1 << 18];
        size_t n;
    } out;
};

static void nothing_ordered(void *arg, uint64_t id, json_t *request)
{
    (void)arg;
    (void)id;
    json_decref(request);
}

static void no_quit(void *arg, bool stop)
{
    (void)arg;
    (void)stop;
}

/* The child: so many ticks of the same picture (idle), or of one in which an answer grows. */
static void play(int ticks, bool idle, enum end end)
{
    struct event_base *base = event_base_new();
    struct feed *f = feed_create(base, &(struct feed_hooks){.order = nothing_ordered, .quit = no_quit});
    struct feed_picture *p = xcalloc(1, sizeof(*p));
    char *cause = NULL;
    fixture_picture(p);
    feed_connection(f, true, "here");
    feed_publish(f, &p->snapshot, &p->live);
    struct dashboard *d = dashboard_start(f, &(struct dashboard_opts){0}, &cause);
    if (d == NULL) {
        printf("no dashboard: %s\n", cause);
        fflush(stdout);
        _exit(3);
    }
    for (int i = 0; i < ticks || end == END_NEVER; i++) {
        usleep(TICK_MS * 1000);
        p->snapshot.tick++;
        p->snapshot.wall_ms += TICK_MS;
        if (!idle)
            live_add_text(&p->live, "and so on, and on, and on ", 26, LIVE_DRAFTER, 1);
        feed_publish(f, &p->snapshot, &p->live);
    }
    if (end == END_CRASH)
        raise(SIGSEGV);
    bool lost = false, taken = dashboard_join(d, JOIN_MS, &lost);
    _exit(lost ? 4 : taken ? 0 : 5);
}

static struct terminal *begin(int ticks, bool idle, enum end end, const char *term)
{
    struct terminal *t = xcalloc(1, sizeof(*t));
    struct winsize size = {.ws_row = 40, .ws_col = 120};
    int slave;
    assert_int_equal(openpty(&t->fd, &slave, NULL, NULL, &size), 0);
    assert_int_equal(tcgetattr(t->fd, &t->before), 0);
    t->pid = fork();
    assert_true(t->pid >= 0);
    if (t->pid == 0) {
        close(t->fd);
        login_tty(slave);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0}); /* of the crash that is meant */
        signal(SIGSEGV, SIG_DFL);                    /* the test library's handler would go on with the next test */
        if (term != NULL)
            setenv("TERM", term, 1);
        else
            unsetenv("TERM");
        setenv("LC_ALL", "C.UTF-8", 1);
        play(ticks, idle, end);
    }
    close(slave);
    return t;
}

/* Reads for so long, or until the child has closed its side. */
static void watch(struct terminal *t, int ms)
{
    int64_t until = clock_us() + (int64_t)ms * 1000, now;
    while ((now = clock_us()) < until) {
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        char piece[4096];
        if (poll(&p, 1, (int)((until - now) / 1000) + 1) <= 0)
            continue;
        ssize_t n = read(t->fd, piece, sizeof(piece));
        if (n <= 0)
            return;
        if (t->out.n + (size_t)n < sizeof(t->out.data)) {
            memcpy(t->out.data + t->out.n, piece, (size_t)n);
            t->out.n += (size_t)n;
        }
    }
}

static bool showed(const struct terminal *t, const char *text)
{
    return memmem(t->out.data, t->out.n, text, strlen(text)) != NULL;
}

static void until_shown(struct terminal *t, const char *text)
{
    for (int i = 0; i < LONG_MS / 20 && !showed(t, text); i++)
        watch(t, 20);
    assert_true(showed(t, text));
}

/* The child's status, after at most LONG_MS. */
static int end_of(struct terminal *t)
{
    int status = -1;
    for (int i = 0; i < LONG_MS / 10; i++) {
        if (waitpid(t->pid, &status, WNOHANG) == t->pid)
            return status;
        usleep(10000);
    }
    kill(t->pid, SIGKILL);
    waitpid(t->pid, &status, 0);
    fail_msg("the program does not end");
    return status;
}

static struct termios settings(const struct terminal *t)
{
    struct termios now;
    assert_int_equal(tcgetattr(t->fd, &now), 0);
    return now;
}

static void assert_restored(const struct terminal *t)
{
    struct termios now = settings(t);
    assert_int_equal(now.c_lflag, t->before.c_lflag);
    assert_int_equal(now.c_iflag, t->before.c_iflag);
    assert_int_equal(now.c_oflag, t->before.c_oflag);
}

static void finish(struct terminal *t)
{
    close(t->fd);
    free(t);
}

static void the_terminal_is_given_back(void **state)
{
    struct terminal *t = begin(10, false, END_CLOSED, "xterm-256color");
    (void)state;
    until_shown(t, "qwen3:32b");
    assert_int_equal(settings(t).c_lflag & (ECHO | ICANON | ISIG), 0);
    until_shown(t, "\033[?1049l"); /* its own screen again */
    int status = end_of(t);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_restored(t);
    finish(t);
}

static void a_crash_gives_it_back(void **state)
{
    struct terminal *t = begin(5, false, END_CRASH, "xterm-256color");
    (void)state;
    until_shown(t, "\033[?1049l");
    int status = end_of(t);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    assert_restored(t);
    finish(t);
}

static void a_signal_gives_it_back(void **state)
{
    struct terminal *t = begin(0, false, END_NEVER, "xterm-256color");
    (void)state;
    until_shown(t, "qwen3:32b");
    kill(t->pid, SIGTERM);
    until_shown(t, "\033[?1049l");
    int status = end_of(t);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_restored(t);
    finish(t);
}

/* Nobody reads: the program ends as ever.  (The first picture alone is more than a pty takes.) */
static void a_terminal_that_does_not_read(void **state)
{
    struct terminal *t = begin(40, false, END_CLOSED, "xterm-256color");
    (void)state;
    int status = end_of(t);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 5);
    assert_restored(t);
    finish(t);
}

/* Ctrl-S, and what follows is as if it had never been. */
static void output_that_is_stopped(void **state)
{
    struct terminal *t = begin(60, false, END_CLOSED, "xterm-256color");
    (void)state;
    until_shown(t, "qwen3:32b");
    assert_int_equal(write(t->fd, "\023", 1), 1);
    watch(t, 300);
    size_t before = t->out.n;
    watch(t, 1000);
    assert_int_equal(t->out.n, before);
    assert_int_equal(write(t->fd, "\021", 1), 1);
    until_shown(t, "\033[?1049l");
    assert_true(WIFEXITED(end_of(t)));
    assert_restored(t);
    finish(t);
}

/* Pictures that show nothing new cost the line to the terminal nothing. */
static void idle_is_quiet(void **state)
{
    struct terminal *t = begin(0, true, END_NEVER, "xterm-256color");
    (void)state;
    until_shown(t, "qwen3:32b");
    watch(t, 1500); /* the first sample of the history is drawn a second later */
    size_t before = t->out.n;
    watch(t, 1500);
    assert_int_equal(t->out.n, before);
    kill(t->pid, SIGKILL);
    end_of(t);
    finish(t);
}

/* A page that is pasted is no series of orders, typed keys are. */
static void pasted_text_is_no_order(void **state)
{
    static const char pasted[] = "\033[200~?\n?s?\n\033[201~", typed[] = "?";
    struct terminal *t = begin(0, true, END_NEVER, "xterm-256color");
    (void)state;
    until_shown(t, "qwen3:32b");
    assert_true(showed(t, "\033[?2004h"));
    assert_int_equal(write(t->fd, pasted, sizeof(pasted) - 1), sizeof(pasted) - 1);
    watch(t, 500);
    assert_false(showed(t, "The engines"));
    assert_int_equal(write(t->fd, typed, 1), 1);
    until_shown(t, "The engines");
    kill(t->pid, SIGTERM);
    until_shown(t, "\033[?2004l");
    end_of(t);
    finish(t);
}

static void a_terminal_that_is_not_known(void **state)
{
    static const char *const terms[] = {NULL, "no-such-terminal"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(terms); i++) {
        struct terminal *t = begin(1, false, END_CLOSED, terms[i]);
        until_shown(t, terms[i] == NULL ? "TERM is not set" : "no-such-terminal");
        int status = end_of(t);
        assert_int_equal(WEXITSTATUS(status), 3);
        assert_restored(t);
        finish(t);
    }
}

const struct CMUnitTest dashboard_tests[] = {
    cmocka_unit_test(the_terminal_is_given_back), cmocka_unit_test(a_crash_gives_it_back),
    cmocka_unit_test(a_signal_gives_it_back),     cmocka_unit_test(a_terminal_that_does_not_read),
    cmocka_unit_test(output_that_is_stopped),     cmocka_unit_test(idle_is_quiet),
    cmocka_unit_test(pasted_text_is_no_order),    cmocka_unit_test(a_terminal_that_is_not_known),
};
const size_t dashboard_count = ARRAY_LEN(dashboard_tests);
