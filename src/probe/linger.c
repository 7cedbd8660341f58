#include "probe/linger.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HOLD_S = 3600, REPLY_MS = 200 };

/* All other files of the process it came from; no function that is not safe after a fork of a process with threads. */
static void close_others(int fd)
{
#ifdef SYS_close_range
    if ((fd == 0 || syscall(SYS_close_range, 0u, (unsigned)fd - 1, 0u) == 0) &&
        syscall(SYS_close_range, (unsigned)fd + 1, ~0u, 0u) == 0)
        return;
#endif
    long max = sysconf(_SC_OPEN_MAX);
    for (int i = 0; i < (max > 0 && max < 65536 ? (int)max : 65536); i++) {
        if (i != fd)
            close(i);
    }
}

/* What comes is taken, so that the other side has said all that it wants to say. */
static void hold(int fd)
{
    char what[512];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, HOLD_S * 1000) <= 0)
        return;
    while (poll(&p, 1, REPLY_MS) > 0 && read(fd, what, sizeof(what)) > 0)
        ;
}

void linger_keep(int fd)
{
    pid_t child = fork();
    if (child == 0) {
        /* Twice, so that nobody has to wait for the one that holds. */
        if (fork() == 0) {
            setsid();
            close_others(fd);
            hold(fd);
        }
        _exit(0);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}
