/* An HTTP/1.1 server on the loop: routes, limits, JSON and streamed replies with back-pressure. */
#ifndef TIGHTWAD_HTTP_HTTPD_H
#define TIGHTWAD_HTTP_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>

#include "http/range.h"

struct httpd;
struct httpd_request;

struct httpd_opts {
    size_t max_body;         /* bytes; more: 413 */
    size_t max_headers;      /* bytes; more: 431 or 400 */
    int idle_timeout_s;      /* a connection that sends no complete request within this is closed (slow loris) */
    const char *token;       /* bearer token that every route not marked public wants; NULL: none (copied) */
    size_t max_connections;  /* open at once, 0: no limit; more are closed as they come */
    size_t max_per_address;  /* of them from one address, 0: no limit (unix sockets have none) */
    bool private_peers_only; /* refuse (403) peers that are not loopback, RFC 1918, ULA, link-local or 100.64/10 */
};

enum httpd_method { HTTPD_GET = 1, HTTPD_POST = 2, HTTPD_DELETE = 4 };

/* Called on the loop with a complete request.  The handler replies exactly once, now or later: one of httpd_reply_*,
 * httpd_stream_start … httpd_stream_end, or httpd_file_start … httpd_file_end.  The request is gone after that. */
typedef void httpd_handler(struct httpd_request *r, void *arg);

struct httpd *httpd_create(struct event_base *base, const struct httpd_opts *opts);
void httpd_destroy(struct httpd *h); /* closes all connections without a word to handlers, whose
                                          requests still have to be ended or are lost; not from inside a callback of
                                          this server; NULL is fine */
void httpd_set_token(struct httpd *h, const char *token);
void httpd_set_private_peers_only(struct httpd *h, bool on);

/* path: exact, or a prefix when it ends in "/".  public: served without the token.  A known path with another method
 * answers 405 with Allow, an unknown one 404, both as OpenAI error objects. */
void httpd_route(struct httpd *h, enum httpd_method method, const char *path, bool is_public, httpd_handler *fn,
                 void *arg);

/* Listens (TCP_NODELAY); port 0 picks a free one.  Returns the port, or -1 and a cause ("port 8088 on 127.0.0.1 is in
 * use: …"). */
int httpd_listen(struct httpd *h, const char *host, int port, char **cause);
/* Listens on a unix socket (mode 0600; a stale file is replaced).  0, or -1 and a cause. */
int httpd_listen_unix(struct httpd *h, const char *path, char **cause);

const char *httpd_body(const struct httpd_request *r, size_t *len); /* NUL-terminated */
const char *httpd_path(const struct httpd_request *r);
const char *httpd_query(struct httpd_request *r, const char *key); /* decoded, or NULL; holds as long as r */
const char *httpd_header(const struct httpd_request *r, const char *name);
const char *httpd_peer(const struct httpd_request *r);   /* address text, "unix" on a unix socket */
bool httpd_peer_is_local(const struct httpd_request *r); /* loopback or unix socket */
bool httpd_peer_is_here(const struct httpd_request *r);  /* or this machine by another address of its own */

/* Whether it comes with this bearer token; takes as long for any wrong one.  For routes marked public that decide by
 * themselves, which then answer 401: the token is missing or wrong; what: "API key", "token". */
bool httpd_bears(const struct httpd_request *r, const char *token);
void httpd_reply_unauthorized(struct httpd_request *r, const char *what);

void httpd_add_header(struct httpd_request *r, const char *name, const char *value); /* before the reply */

void httpd_reply_json(struct httpd_request *r, int status, json_t *body); /* steals body */
void httpd_reply_text(struct httpd_request *r, int status, const char *content_type, const char *text, size_t len);
/* text is neither copied nor freed: release is called, at once or later, when it is not needed any more. */
void httpd_reply_shared(struct httpd_request *r, int status, const char *content_type, const char *text, size_t len,
                        void (*release)(void *arg), void *arg);
/* {"error":{"message","type","param","code"}}; type by status (invalid_request_error, server_error …); param and code
 * may be NULL.  429 and 503 get Retry-After: 1 unless set before. */
void httpd_reply_error(struct httpd_request *r, int status, const char *param, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* A chunked reply.  send never blocks; bytes that the peer does not read yet are counted by pending.  A caller stops
 * producing above HTTPD_HIGH_WATER and goes on when on_drain calls (below HTTPD_LOW_WATER). */
enum { HTTPD_HIGH_WATER = 256 * 1024, HTTPD_LOW_WATER = 64 * 1024 };
void httpd_stream_start(struct httpd_request *r, int status, const char *content_type);
void httpd_stream_send(struct httpd_request *r, const char *data, size_t len);
size_t httpd_stream_pending(const struct httpd_request *r);
void httpd_stream_end(struct httpd_request *r);

/* What the request's Range, If-Range (against etag, with its quotes; NULL: there is none) and method ask of something
 * of that size: see range_read.  A part wants status 206 and a Content-Range, none of it 416. */
enum range_kind httpd_range(const struct httpd_request *r, uint64_t size, const char *etag, uint64_t *first,
                            uint64_t *len);
bool httpd_is_head(const struct httpd_request *r); /* it wants no body */

/* A reply of `length` bytes that lie in files, given part by part.  Each part goes from the file to the socket without
 * being read into this process, but what is not in the page cache is waited for: see to it that it is.  fd stays the
 * caller's and open until on_drain calls: all of that part is sent, the next may be given.  A file that is shorter
 * than said closes the connection (on_close). */
void httpd_file_start(struct httpd_request *r, int status, const char *content_type, uint64_t length);
void httpd_file_send(struct httpd_request *r, int fd, uint64_t offset, size_t len); /* when none is on its way */
uint64_t httpd_file_owed(const struct httpd_request *r); /* bytes not sent yet; 0 for HEAD and when the peer is gone */
void httpd_file_end(struct httpd_request *r); /* with bytes still owed the connection is cut, which says so */

/* Instead of a reply, or of its end: the connection is closed. */
void httpd_cut(struct httpd_request *r);

/* on_close: the client went away before the reply was complete; called at once, also before the reply has started; the
 * handler must still end the request (any reply function), which then only frees it. */
void httpd_on_close(struct httpd_request *r, void (*fn)(void *arg), void *arg);
void httpd_on_drain(struct httpd_request *r, void (*fn)(void *arg), void *arg);

struct httpd_counters {
    uint64_t requests, bytes_in, bytes_out; /* bytes of whole connections, heads included */
    size_t connections;                     /* open now */
    size_t pending;                         /* bytes of replies on all of them that are not written yet */
    uint64_t slowest_us; /* longest that one callback of this server has held the loop (base/held.h) */
};
void httpd_get_counters(const struct httpd *h, struct httpd_counters *out);

#endif
