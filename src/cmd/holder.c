#include "cmd/holder.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cmd/cmd.h"

struct parent {
    pid_t child;
    int line, signals;
    bool have_settings;
    struct termios settings;
};

/* The letters on the line. */
static const char word_term = 't', word_hup = 'h', word_release = 'r';

static void tell(int fd, char word)
{
    if (send(fd, &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return; /* it is about to end */
}

static void take_signal(const struct parent *p)
{
    struct signalfd_siginfo info;
    if (read(p->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGTERM)
        tell(p->line, word_term);
    else if (info.ssi_signo == SIGHUP)
        tell(p->line, word_hup);
    /* SIGINT and SIGQUIT come from the keyboard, and the child has them too. */
}

/* A child that was killed could not restore anything. */
static void restore(const struct parent *p)
{
    static const char reset[] = "\033[?1049l\033[?25h\033[0m\033[?1l\033>\r\n";
    if (!p->have_settings || tcsetattr(STDIN_FILENO, TCSANOW, &p->settings) != 0)
        return;
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    if (poll(&out, 1, 0) == 1 && write(STDOUT_FILENO, reset, sizeof(reset) - 1) < 0)
        return;
}

static int how_it_ended(const struct parent *p, int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    restore(p);
    fprintf(stderr, "tightwad: ended by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    return 128 + WTERMSIG(status);
}

/* Until the child has ended, or wants to be let go. */
static int hold(const struct parent *p)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = p->line, .events = POLLIN}, {.fd = p->signals, .events = POLLIN}};
        char word = 0;
        int status;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return CMD_FAILED;
        if (recv(p->line, &word, 1, MSG_DONTWAIT) == 1 && word == word_release)
            return CMD_OK;
        if (waitpid(p->child, &status, WNOHANG) == p->child)
            return how_it_ended(p, status);
        if ((fds[1].revents & POLLIN) != 0)
            take_signal(p);
        else if ((fds[0].revents & POLLHUP) != 0) /* its end comes at once: there is nothing more to read */
            return waitpid(p->child, &status, 0) == p->child ? how_it_ended(p, status) : CMD_FAILED;
    }
}

int holder_fork(int *rc)
{
    struct parent p = {.have_settings = tcgetattr(STDIN_FILENO, &p.settings) == 0};
    int line[2];
    sigset_t set, before;
    *rc = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) != 0)
        return -1;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    sigprocmask(SIG_BLOCK, &set, &before);
    fflush(NULL);
    p.child = fork();
    if (p.child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(line[0]);
        return line[1];
    }
    close(line[1]);
    p.line = line[0];
    if (p.child > 0) {
        p.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        *rc = hold(&p);
        close(p.signals);
    } else {
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    close(line[0]);
    return -1;
}

enum holder_word holder_read(int fd)
{
    char word = 0;
    ssize_t n = recv(fd, &word, 1, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        return HOLDER_GONE;
    return n < 0 ? HOLDER_NOTHING : word == word_term ? HOLDER_TERM : word == word_hup ? HOLDER_HUP : HOLDER_NOTHING;
}

void holder_release(int fd)
{
    setsid();
    tell(fd, word_release);
    close(fd);
}
