#include "ui/screen-rescue.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ncurses.h>
#include <term.h>

#include "base/mem.h"

/* Those of a crash, and those that end a program which does not see to them itself. */
static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTERM, SIGHUP, SIGINT, SIGQUIT};
enum { CRASHES = 5 };

static struct {
    volatile sig_atomic_t armed;
    int tty;
    struct termios found;
    char leave[256];
    size_t n_leave;
    struct sigaction old[ARRAY_LEN(fatal)];
    bool caught[ARRAY_LEN(fatal)];
    bool registered; /* with atexit */
} rescue = {.tty = -1};

static int add_char(int c)
{
    if (rescue.n_leave < sizeof(rescue.leave))
        rescue.leave[rescue.n_leave++] = (char)c;
    return c;
}

/* An escape sequence cut off in the middle is ended by CAN, which shows nothing. */
static void compose_leave(void)
{
    static const char *const names[] = {"BD", "sgr0", "op", "rmkx", "cnorm", "rmcup"};
    rescue.n_leave = 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *text = tigetstr(names[i]);
        if (text != NULL && text != (const char *)-1)
            tputs(text, 1, add_char);
        else if (strcmp(names[i], "rmcup") == 0) { /* no screen of its own: below what was drawn */
            char *last = tigetstr("cup");
            if (last != NULL && last != (char *)-1)
                tputs(tparm(last, LINES - 1, 0, 0, 0, 0, 0, 0, 0, 0), 1, add_char);
            add_char('\r');
            add_char('\n');
        }
    }
}

static bool restore(bool stalled)
{
    static const char cancel = '\030';
    bool taken = true;
    if (stalled) {
        tcflush(rescue.tty, TCOFLUSH);
        tcflow(rescue.tty, TCOOFF); /* and on again: that lets go on what Ctrl-S has stopped */
        tcflow(rescue.tty, TCOON);
        taken = write(rescue.tty, &cancel, 1) == 1 &&
                write(rescue.tty, rescue.leave, rescue.n_leave) == (ssize_t)rescue.n_leave;
    }
    tcsetattr(rescue.tty, TCSANOW, &rescue.found);
    return taken;
}

void rescue_now(void)
{
    sigset_t stop, before;
    if (!rescue.armed)
        return;
    rescue.armed = 0;
    /* Settings may be changed from the background as well. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &stop, &before);
    restore(true);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_fatal(int sig, siginfo_t *info, void *context);

/* Only what is still ours: the program may have put in a handler since. */
static void let_go(void)
{
    struct sigaction now;
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++) {
        if (rescue.caught[i] && sigaction(fatal[i], NULL, &now) == 0 && now.sa_sigaction == on_fatal)
            sigaction(fatal[i], &rescue.old[i], NULL);
        rescue.caught[i] = false;
    }
}

/* The old action takes its course: a fault happens again on return, a signal that was sent is sent once more. */
static void on_fatal(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    bool fault = false;
    (void)context;
    for (size_t i = 0; i < CRASHES; i++)
        fault = fault || fatal[i] == sig;
    rescue_now();
    let_go();
    if (!fault || info->si_code <= 0)
        raise(sig);
    errno = saved;
}

void rescue_arm(int tty, const struct termios *found)
{
    struct sigaction sa = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigemptyset(&sa.sa_mask);
    rescue.tty = tty;
    rescue.found = *found;
    compose_leave();
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++) {
        sigaction(fatal[i], NULL, &rescue.old[i]);
        bool unseen = (rescue.old[i].sa_flags & SA_SIGINFO) == 0 && rescue.old[i].sa_handler == SIG_DFL;
        rescue.caught[i] = i < CRASHES || unseen;
        if (rescue.caught[i])
            sigaction(fatal[i], &sa, NULL);
    }
    if (!rescue.registered)
        atexit(rescue_now);
    rescue.registered = true;
    rescue.armed = 1;
}

bool rescue_disarm(bool stalled)
{
    sigset_t stop, before;
    if (!rescue.armed)
        return false;
    rescue.armed = 0;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &stop, &before);
    bool taken = restore(stalled);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    let_go();
    return taken;
}

const char *rescue_leave(size_t *len)
{
    *len = rescue.n_leave;
    return rescue.leave;
}
