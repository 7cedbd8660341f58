/* An HTTP client on the loop: one libcurl multi handle, keep-alive, per-call deadlines, cancellation that closes the
 * connection so that it reaches the server. */
#ifndef TIGHTWAD_HTTP_HTTPC_H
#define TIGHTWAD_HTTP_HTTPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

struct httpc;
struct httpc_call;

enum httpc_error {
    HTTPC_OK,          /* a complete reply came; look at status */
    HTTPC_UNREACHABLE, /* no name, no route, refused */
    HTTPC_TIMEOUT,     /* a deadline passed */
    HTTPC_BROKEN,      /* the connection broke or the reply is not HTTP */
    HTTPC_TOO_LARGE,   /* the reply is over max_reply */
};

struct httpc_result {
    enum httpc_error error;
    const char *message; /* words for a log line, never NULL */
    int status;          /* HTTP status, 0 if none came */
    const char *body;    /* the whole body (NUL-terminated), or what was not given to on_data; never NULL */
    size_t len;
    const char *content_type;     /* "" if none */
    uint64_t bytes_out, bytes_in; /* on the wire with headers, without TLS and TCP */
    int64_t elapsed_us;
};

/* Of all calls together, each as in its result.  A call counts once, just before on_done or when it is cancelled, then
 * with what was sent and had arrived so far. */
struct httpc_counters {
    uint64_t bytes_out, bytes_in;
    uint64_t slowest_us; /* longest that one event of the client, with the callbacks it led to, has held the loop */
};

struct httpc_opts {
    const char *url;
    const char *method;         /* NULL: POST with a body, else GET */
    const char *unix_socket;    /* path, or NULL */
    const char *bearer;         /* API key, or NULL */
    const char *const *headers; /* "Name: value", NULL-terminated, or NULL */
    const char *body;           /* JSON unless headers name a Content-Type; copied */
    size_t len;
    int connect_timeout_ms; /* 0: 3000 */
    int timeout_ms;         /* whole call; 0: none */
    int idle_timeout_ms;    /* most time without a byte while the reply is awaited or arrives; 0: none */
    size_t max_reply;       /* 0: 64 MiB; for a stream: of what on_data does not take */
    /* With on_data the body of a reply with status 200 or 206 is given as it comes; false stops reading until
     * httpc_resume.  Other statuses still arrive as one body in on_done. */
    bool (*on_data)(void *arg, const char *data, size_t len);
    /* For bulk, beside on_data: what on_data would get goes here first, uncopied, from inside the client: it copies
     * what it wants and calls nothing of this client; false breaks the call off (HTTPC_BROKEN).  on_data is then told
     * of it: data NULL, len the bytes since last time. */
    bool (*take)(void *arg, int status, const char *data, size_t len);
    bool keep_head; /* for httpc_header */
    int receive;    /* bytes to read from the connection at once, 0: 16 KiB */
    /* Called once, never from inside httpc_start; the result holds during the call only.  Not called after cancel. */
    void (*on_done)(void *arg, const struct httpc_result *r);
    void *arg;
};

struct httpc *httpc_create(struct event_base *base);
void httpc_destroy(struct httpc *c); /* cancels everything; NULL is fine */
void httpc_get_counters(const struct httpc *c, struct httpc_counters *out);

/* All strings are copied.  The call is owned by the client and gone after on_done or cancel. */
struct httpc_call *httpc_start(struct httpc *c, const struct httpc_opts *opts);
void httpc_cancel(struct httpc_call *call); /* closes its connection; may be called inside any callback */
void httpc_resume(struct httpc_call *call); /* after on_data returned false: that data is given again, unless taken */
/* The value of a header of the reply so far, blanks around it left out; NULL: it has none of that name (the first
 * counts). Owned by the caller. */
char *httpc_header(const struct httpc_call *call, const char *name);
/* Where a reply with that Location leads: an http or https URL, owned by the caller; NULL: none, or from https to http.
 */
char *httpc_redirect(const char *url, const char *location);
int httpc_status(const struct httpc_call *call); /* of the reply so far, 0: none has come */

#endif
