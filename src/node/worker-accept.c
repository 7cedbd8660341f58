/* The dynamic linker looks a function up in the program before it looks in libc, so this accept() is the one that
 * ggml's RPC server calls (the program is linked with it exported). */
#include "node/worker-accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/worker-child.h"

static int channel = -1;
static atomic_int server = -1; /* the socket that ggml's server believes to listen on */

void worker_accept_from(int fd)
{
    channel = fd;
}

static bool take_server(int fd)
{
    int none = -1;
    if (channel < 0)
        return false;
    if (!atomic_compare_exchange_strong(&server, &none, fd))
        return none == fd;
    /* The number stays taken, the port does not. */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) {
        dup3(null, fd, O_CLOEXEC);
        close(null);
    }
    return true;
}

/* The next client's socket; -1 when the channel has ended. */
static int next_client(void)
{
    static const char ready = WORKER_READY;
    char word;
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = &word, .iov_len = 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
    if (send(channel, &ready, 1, MSG_NOSIGNAL) != 1)
        return -1;
    ssize_t n;
    while ((n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

__attribute__((visibility("default"))) int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    if (!take_server(fd))
        return accept4(fd, address, length, 0);
    int client = next_client();
    if (client < 0)
        _exit(0);
    if (address != NULL)
        getpeername(client, address, length);
    return client;
}
