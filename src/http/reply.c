#include "http/conn.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { COPY_MAX = 16 * 1024 }; /* larger bodies are handed over rather than copied */

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "Unknown";
}

static struct evbuffer *output(const struct httpd_request *r)
{
    return bufferevent_get_output(r->conn->bev);
}

void reply_status(struct httpd_request *r, int status, const char *content_type)
{
    struct evbuffer *out = output(r);

    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", status, reason(status));
    if (content_type)
        evbuffer_add_printf(out, "Content-Type: %s\r\n", content_type);
    evbuffer_add(out, r->extra.data, r->extra.len);
    if (r->close)
        evbuffer_add(out, "Connection: close\r\n", 19);
    else if (r->head.minor == 0)
        evbuffer_add(out, "Connection: keep-alive\r\n", 24);
}

static void release(const void *data, size_t len, void *arg)
{
    free(arg);
}

/* text is copied, or taken over when owned. */
static void reply(struct httpd_request *r, int status, const char *content_type, char *text, size_t len, bool owned)
{
    if (r->conn) {
        struct evbuffer *out = output(r);

        reply_status(r, status, content_type);
        if (status == 204)
            evbuffer_add(out, "\r\n", 2);
        else
            evbuffer_add_printf(out, "Content-Length: %zu\r\n\r\n", len);
        if (!httpd_is_head(r) && status != 204) {
            if (owned && len > COPY_MAX && evbuffer_add_reference(out, text, len, release, text) == 0)
                owned = false;
            else
                evbuffer_add(out, text, len);
        }
    }
    if (owned)
        free(text);
    conn_reply_done(r);
}

void httpd_add_header(struct httpd_request *r, const char *name, const char *value)
{
    /* A line break in a value would let it write headers of its own. */
    if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n"))
        return;
    if (strcasecmp(name, "Retry-After") == 0)
        r->retry_after = true;
    buf_printf(&r->extra, "%s: %s\r\n", name, value);
}

void httpd_reply_text(struct httpd_request *r, int status, const char *content_type, const char *text, size_t len)
{
    reply(r, status, content_type, (char *)text, len, false);
}

struct shared {
    void (*release)(void *arg);
    void *arg;
};

static void release_shared(const void *data, size_t len, void *arg)
{
    struct shared *s = arg;

    s->release(s->arg);
    free(s);
}

void httpd_reply_shared(struct httpd_request *r, int status, const char *content_type, const char *text, size_t len,
                        void (*release_text)(void *arg), void *arg)
{
    if (r->conn) {
        reply_status(r, status, content_type);
        evbuffer_add_printf(output(r), "Content-Length: %zu\r\n\r\n", len);
    }
    if (r->conn && !httpd_is_head(r) && len > 0) {
        struct shared *s = xmalloc(sizeof(*s));

        *s = (struct shared){release_text, arg};
        evbuffer_add_reference(output(r), text, len, release_shared, s);
    } else {
        release_text(arg);
    }
    conn_reply_done(r);
}

void httpd_reply_json(struct httpd_request *r, int status, json_t *body)
{
    /* 15 digits: what was rounded to 0.3 is written as that. */
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

    json_decref(body);
    if (!text)
        text = xstrdup("null");
    reply(r, status, "application/json", text, strlen(text), true);
}

static const char *error_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    case 501: /* what the request asked of HTTP */
    case 505:
        return "invalid_request_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

void httpd_reply_error(struct httpd_request *r, int status, const char *param, const char *code, const char *fmt, ...)
{
    struct buf message;
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = xvasprintf(fmt, ap);
    va_end(ap);
    buf_init(&message, SIZE_MAX); /* it may quote what the client sent */
    utf8_add_repaired(&message, text, strlen(text));
    free(text);
    if ((status == 429 || status == 503) && !r->retry_after)
        httpd_add_header(r, "Retry-After", "1");
    httpd_reply_json(r, status,
                     json_pack("{s:{s:s#,s:s,s:s?,s:s?}}", "error", "message", message.data, (int)message.len, "type",
                               error_type(status), "param", param, "code", code));
    buf_finish(&message);
}

void httpd_stream_start(struct httpd_request *r, int status, const char *content_type)
{
    if (!r->conn)
        return;
    if (r->head.minor == 0)
        r->raw = r->close = true;
    reply_status(r, status, content_type);
    if (r->raw)
        evbuffer_add(output(r), "\r\n", 2);
    else
        evbuffer_add(output(r), "Transfer-Encoding: chunked\r\n\r\n", 30);
}

void httpd_stream_send(struct httpd_request *r, const char *data, size_t len)
{
    struct evbuffer *out;

    if (!r->conn || len == 0 || httpd_is_head(r))
        return;
    out = output(r);
    if (!r->raw)
        evbuffer_add_printf(out, "%zx\r\n", len);
    evbuffer_add(out, data, len);
    if (!r->raw)
        evbuffer_add(out, "\r\n", 2);
    if (evbuffer_get_length(out) >= HTTPD_HIGH_WATER)
        r->above = true;
}

size_t httpd_stream_pending(const struct httpd_request *r)
{
    return r->conn ? evbuffer_get_length(output(r)) : 0;
}

void httpd_stream_end(struct httpd_request *r)
{
    if (r->conn && !r->raw && !httpd_is_head(r))
        evbuffer_add(output(r), "0\r\n\r\n", 5);
    conn_reply_done(r);
}

static void call_close(evutil_socket_t fd, short what, void *arg)
{
    struct httpd_request *r = arg;

    if (r->on_close)
        r->on_close(r->close_arg);
}

void httpd_on_close(struct httpd_request *r, void (*fn)(void *arg), void *arg)
{
    r->on_close = fn;
    r->close_arg = arg;
    if (!r->conn && r->server && !r->close_event) {
        r->close_event = event_new(httpd_base(r->server), -1, 0, call_close, r);
        event_active(r->close_event, EV_TIMEOUT, 0);
    }
}

void httpd_on_drain(struct httpd_request *r, void (*fn)(void *arg), void *arg)
{
    r->on_drain = fn;
    r->drain_arg = arg;
}
