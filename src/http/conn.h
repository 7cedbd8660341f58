/* Inside the HTTP server: connections and requests (httpd.c: the server, its routes and listeners; conn.c: from bytes
 * to requests; reply.c: from replies to bytes).
 *
 * Not evhttp: its close callback, its one timeout, its lenient framing, its error pages, and its lack of back-pressure
 * would each have to be worked around.  Bufferevents are what it stands on, and the parser is ours. */
#ifndef TIGHTWAD_HTTP_CONN_H
#define TIGHTWAD_HTTP_CONN_H

#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "base/buf.h"
#include "base/held.h"
#include "http/chunked.h"
#include "http/head.h"
#include "http/httpd.h"
#include "http/peer.h"

struct httpd_listener;

enum conn_state {
    CONN_HEAD,   /* between requests, or a head is arriving */
    CONN_BODY,   /* a body is arriving */
    CONN_HANDLE, /* a handler has the request; a reply may be under way */
    CONN_FLUSH,  /* the last reply is being sent */
    CONN_LINGER, /* all is sent and our side shut: what still comes is dropped until the peer closes, since closing with
                    bytes unread would reset the connection and could take the reply with it */
};

struct httpd_conn {
    TAILQ_ENTRY(httpd_conn) entry;
    struct httpd *server;
    struct bufferevent *bev; /* owned */
    struct event *timer;     /* the deadline of the state */
    struct event *kick;      /* goes on with what has arrived, from the loop */
    struct event *send;      /* there is room for more of a file; NULL before the first */
    enum conn_state state;
    struct httpd_request *request; /* in CONN_BODY and CONN_HANDLE */
    struct chunked chunked;
    size_t scanned;  /* bytes of the input known to hold no end of a head */
    size_t progress; /* bytes of the body since the deadline was set */
    bool eof;        /* the peer has ended its stream */
    bool busy, dead; /* inside process(); freed when it ends */
    struct peer peer;
};

struct httpd_request {
    struct httpd_conn *conn; /* NULL once the peer is gone */
    struct httpd *server;    /* NULL once it is destroyed */
    struct head head;
    char *body; /* NUL-terminated, NULL if none */
    size_t body_len, body_size;
    struct peer peer;
    httpd_handler *handler; /* found by httpd_admit */
    void *handler_arg;
    struct buf extra; /* headers to add to the reply, whole lines */
    bool retry_after; /* is among them */
    bool close;       /* the connection ends with this reply */
    bool raw;         /* a streamed reply that ends with the connection (HTTP/1.0) */
    bool above;       /* pending went over HTTPD_HIGH_WATER, on_drain is due */
    uint64_t owed;    /* bytes of a reply out of a file that are not sent yet */
    int send_fd;      /* the part of it that is on its way: */
    uint64_t send_at;
    size_t send_len;
    char **values; /* decoded query values, owned */
    size_t n_values;
    void (*on_close)(void *arg);
    void *close_arg;
    struct event *close_event; /* calls on_close when it was set after the peer had gone */
    void (*on_drain)(void *arg);
    void *drain_arg;
};

/* httpd.c */
struct event_base *httpd_base(const struct httpd *h);
const struct httpd_opts *httpd_options(const struct httpd *h);
bool httpd_has_room(const struct httpd *h, const struct peer *peer); /* for one more connection of that peer */
void httpd_took(struct httpd *h, const struct held *held);           /* a callback that began then has ended */
void httpd_count_bytes(struct httpd *h, size_t in, size_t out);
void httpd_add_listener(struct httpd *h, struct httpd_listener *l); /* owned by h from now on */
void httpd_conn_opened(struct httpd *h, struct httpd_conn *c);
void httpd_conn_closed(struct httpd *h, struct httpd_conn *c);
/* Finds the handler of a request whose head is there and checks peer, method and token.  False: it was refused, that is
 * replied to. */
bool httpd_admit(struct httpd_request *r);

/* listener.c */
void listener_destroy(struct httpd_listener *l);

/* reply.c */
void reply_status(struct httpd_request *r, int status, const char *content_type); /* the head but for its length */

/* reply-file.c */
void conn_head_sent(struct httpd_conn *c); /* the output is empty, and a part of a file is to be sent */

/* conn.c */
enum { CONN_STALL_S = 300 }; /* how long a peer may leave a reply unread */
void conn_accept(struct httpd *h, evutil_socket_t fd, const struct peer *peer); /* takes fd */
void conn_close(struct httpd_conn *c);         /* as if the peer had gone, without a word to handlers */
void conn_gone(struct httpd_conn *c);          /* the peer has gone: the handler is told */
void conn_reply_done(struct httpd_request *r); /* all of the reply is in the output; frees the request */
void request_free(struct httpd_request *r);

#endif
