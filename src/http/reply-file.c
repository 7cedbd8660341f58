/* Replies out of a file.  The bufferevent sends the head; the body goes from file to socket by sendfile, with an event
 * of its own, so that none of it passes through this process. */
#include "http/conn.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "base/held.h"

/* Bytes in one call: on loopback the receiver's part of the work is done in it too, and the loop has others to serve.
 */
enum { SEND_STEP = 256 * 1024 };

/* Bytes that the kernel takes ahead of what the link carries.  Left to itself it takes megabytes of each connection,
 * and then it is no more our choice whom a slow link serves. */
enum { UNSENT_MAX = 512 * 1024 };

bool httpd_is_head(const struct httpd_request *r)
{
    return r->head.method && strcmp(r->head.method, "HEAD") == 0;
}

enum range_kind httpd_range(const struct httpd_request *r, uint64_t size, const char *etag, uint64_t *first,
                            uint64_t *len)
{
    const char *range = head_field(&r->head, "Range"), *condition = head_field(&r->head, "If-Range");
    bool applies = strcmp(r->head.method, "GET") == 0 && (!condition || (etag && strcmp(condition, etag) == 0));

    return range_read(applies ? range : NULL, size, first, len);
}

void httpd_file_start(struct httpd_request *r, int status, const char *content_type, uint64_t length)
{
    if (!r->conn)
        return;
    reply_status(r, status, content_type);
    evbuffer_add_printf(bufferevent_get_output(r->conn->bev), "Content-Length: %" PRIu64 "\r\n\r\n", length);
    r->owed = httpd_is_head(r) ? 0 : length;
}

uint64_t httpd_file_owed(const struct httpd_request *r)
{
    return r->conn ? r->owed : 0;
}

static void wait_for_room(struct httpd_conn *c)
{
    event_add(c->send, &(struct timeval){.tv_sec = CONN_STALL_S});
}

/* Ends with the handler's callback, after which nothing here holds any more. */
static void send_some(struct httpd_conn *c, evutil_socket_t fd)
{
    struct httpd_request *r = c->request;
    off_t at = (off_t)r->send_at;
    ssize_t n = sendfile(fd, r->send_fd, &at, r->send_len < SEND_STEP ? r->send_len : SEND_STEP);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        wait_for_room(c);
        return;
    }
    if (n <= 0) { /* the peer is gone, or the file is shorter than it was */
        conn_gone(c);
        return;
    }
    httpd_count_bytes(c->server, 0, (size_t)n);
    r->owed -= (uint64_t)n;
    r->send_at += (uint64_t)n;
    r->send_len -= (size_t)n;
    if (r->send_len > 0)
        wait_for_room(c);
    else if (r->on_drain)
        r->on_drain(r->drain_arg);
}

static void on_send(evutil_socket_t fd, short what, void *arg)
{
    struct httpd_conn *c = arg;
    struct httpd *h = c->server;
    struct held held = held_begin();

    if (what & EV_TIMEOUT)
        conn_gone(c);
    else
        send_some(c, fd);
    httpd_took(h, &held);
}

void httpd_file_send(struct httpd_request *r, int fd, uint64_t offset, size_t len)
{
    struct httpd_conn *c = r->conn;

    if (!c || r->send_len > 0 || len == 0 || len > r->owed)
        return;
    r->send_fd = fd;
    r->send_at = offset;
    r->send_len = len;
    if (!c->send) {
        setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){UNSENT_MAX}, sizeof(int));
        c->send = event_new(httpd_base(c->server), bufferevent_getfd(c->bev), EV_WRITE, on_send, c);
    }
    if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
        wait_for_room(c);
    else
        bufferevent_setwatermark(c->bev, EV_WRITE, 0, 0); /* conn_head_sent when the head is out */
}

void conn_head_sent(struct httpd_conn *c)
{
    bufferevent_setwatermark(c->bev, EV_WRITE, HTTPD_LOW_WATER, 0);
    wait_for_room(c);
}

void httpd_file_end(struct httpd_request *r)
{
    if (r->conn && r->owed > 0)
        httpd_cut(r);
    else
        conn_reply_done(r);
}
