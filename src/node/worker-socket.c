#include "node/worker-socket.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

enum {
    KEEP_IDLE_S = 5,
    KEEP_EVERY_S = 2,
    KEEP_COUNT = 5,
    PEER_TIMEOUT_MS = 15000,
};

void worker_socket_keep_watch(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S},
                   {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_EVERY_S},
                   {IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT},
                   {IPPROTO_TCP, TCP_USER_TIMEOUT, PEER_TIMEOUT_MS}};
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

int worker_socket_first_byte(int fd)
{
    unsigned char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 1)
        return byte;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? -1 : -2;
}

bool worker_socket_is_suspect(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           (info.tcpi_probes > 0 || info.tcpi_retransmits > 0);
}

void worker_socket_count(int fd, uint64_t *in, uint64_t *out)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    memset(&info, 0, sizeof(info));
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    *in = info.tcpi_bytes_received;
    *out = info.tcpi_bytes_acked;
}
