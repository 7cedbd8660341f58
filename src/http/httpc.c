#include "http/httpc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/held.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/chunked.h"

enum {
    CONNECTIONS_KEPT = 256,
    HANDLES_KEPT = 64, /* easy handles kept for the next calls: making one costs more than a request */
    REPLY_MAX = 64 << 20,
    CONNECT_TIMEOUT_MS = 3000,
    HEAD_MAX = 64 * 1024,   /* bytes kept of a head */
    STREAM_MAX = 64 * 1024, /* bytes that wait for on_data; curl is held up above */
    BULK_MAX = 256 * 1024,  /* and bytes that were taken before on_data is told of them */
};

struct httpc_call {
    TAILQ_ENTRY(httpc_call) entry; /* in client->calls */
    TAILQ_ENTRY(httpc_call) ready; /* in client->ready */
    bool is_ready;
    struct httpc *client;
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    char error[CURL_ERROR_SIZE];
    bool (*on_data)(void *arg, const char *data, size_t len);
    bool (*take)(void *arg, int status, const char *data, size_t len);
    void (*on_done)(void *arg, const struct httpc_result *r);
    void *arg;
    size_t taken;                                       /* bytes that take got and on_data was not told of yet */
    struct event *timer;                                /* the nearer of both deadlines */
    int64_t started_us, active_us, timeout_us, idle_us; /* the last two: 0 for none */
    struct buf in;                                      /* the body, or what on_data has not taken yet */
    struct chunked chunked;
    bool is_chunked, chunked_ended;
    bool keep_head;
    struct buf head;  /* keep_head: header lines of the newest head */
    int status;       /* of the newest head */
    size_t head_size; /* of the request */
    uint64_t wire_in;
    enum httpc_error failed; /* a reason of our own, beside what curl says */
    const char *why;
    bool counted;  /* in client->counters */
    bool in_multi; /* curl works on it */
    bool finished; /* curl is done with it; code says how */
    CURLcode code;
    bool paused;                 /* on_data said false */
    bool resumed;                /* httpc_resume was called inside on_data, before it said false */
    bool full;                   /* STREAM_MAX is reached */
    bool in_callback, cancelled; /* cancelled inside its own callback: freed when that returns */
};

TAILQ_HEAD(call_list, httpc_call);

struct httpc {
    struct event_base *base;
    CURLM *multi;
    struct event *timer; /* curl's one timer */
    struct event *kick;  /* delivers what is ready, from the loop */
    struct call_list calls, ready;
    CURL *spare[HANDLES_KEPT];
    size_t n_spare;
    struct httpc_counters counters;
};

/* One socket that curl watches. */
struct watch {
    struct event *event;
    short what;
};

static void make_ready(struct httpc_call *call)
{
    if (call->is_ready)
        return;
    call->is_ready = true;
    TAILQ_INSERT_TAIL(&call->client->ready, call, ready);
}

static void unmake_ready(struct httpc_call *call)
{
    if (!call->is_ready)
        return;
    call->is_ready = false;
    TAILQ_REMOVE(&call->client->ready, call, ready);
}

static void leave_multi(struct httpc_call *call)
{
    if (call->in_multi)
        curl_multi_remove_handle(call->client->multi, call->easy);
    call->in_multi = false;
}

static void free_call(struct httpc_call *call)
{
    struct httpc *c = call->client;

    leave_multi(call);
    unmake_ready(call);
    TAILQ_REMOVE(&c->calls, call, entry);
    if (c->n_spare < HANDLES_KEPT) {
        curl_easy_reset(call->easy);
        c->spare[c->n_spare++] = call->easy;
    } else {
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    event_free(call->timer);
    buf_finish(&call->in);
    buf_finish(&call->head);
    free(call->body);
    free(call);
}

static void fail(struct httpc_call *call, enum httpc_error error, const char *why)
{
    if (call->failed == HTTPC_OK) {
        call->failed = error;
        call->why = why;
    }
}

static bool was_sent(const struct httpc_call *call)
{
    long sent = 0;

    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    return sent > 0;
}

static enum httpc_error error_of(const struct httpc_call *call)
{
    if (call->failed != HTTPC_OK)
        return call->failed;
    switch (call->code) {
    case CURLE_OK:
        return HTTPC_OK;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        /* curl calls a reply without a head an unsupported protocol too. */
        return was_sent(call) ? HTTPC_BROKEN : HTTPC_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTPC_TIMEOUT;
    default:
        return HTTPC_BROKEN;
    }
}

/* Bytes of the request's head as curl writes it.  Its own count includes the body or not, depending on the size and the
 * release. */
static size_t head_size(const struct httpc_opts *o, const struct curl_slist *headers)
{
    const char *scheme_end = strstr(o->url, "://"), *host = scheme_end ? scheme_end + 3 : o->url;
    size_t host_len = strcspn(host, "/?#"), path_len = strcspn(host + host_len, "#"), n;
    const char *at = memchr(host, '@', host_len), *method = o->method ? o->method : o->body ? "POST" : "GET";
    bool tls = strncasecmp(o->url, "https:", 6) == 0;
    size_t port_len = tls ? 4 : 3; /* ":443" and ":80" are left out */

    if (host[host_len] != '/')
        path_len++;
    n = strlen(method) + 1 + path_len + strlen(" HTTP/1.1\r\n") + strlen("Host: \r\n") + strlen("\r\n");
    if (at) {
        host_len -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    if (host_len > port_len && memcmp(host + host_len - port_len, tls ? ":443" : ":80", port_len) == 0)
        host_len -= port_len;
    n += host_len;
    for (const struct curl_slist *h = headers; h; h = h->next) {
        size_t len = strlen(h->data);

        if (len > 0 && h->data[len - 1] != ':') /* those without a value take a header away */
            n += len + strlen("\r\n");
    }
    if (o->body)
        n += (size_t)snprintf(NULL, 0, "Content-Length: %zu\r\n", o->len);
    return n;
}

static uint64_t bytes_out(const struct httpc_call *call)
{
    curl_off_t body = 0;

    curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &body);
    return was_sent(call) ? call->head_size + (uint64_t)body : 0;
}

static void count(struct httpc_call *call)
{
    if (call->counted) /* cancelled in its on_done */
        return;
    call->counted = true;
    call->client->counters.bytes_out += bytes_out(call);
    call->client->counters.bytes_in += call->wire_in;
}

static void done(struct httpc_call *call)
{
    struct httpc_result r = {.error = error_of(call), .body = call->in.data, .len = call->in.len};
    char *type = NULL;

    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
    r.status = call->status;
    r.content_type = type ? type : "";
    r.bytes_in = call->wire_in;
    r.bytes_out = bytes_out(call);
    r.elapsed_us = clock_us() - call->started_us;
    r.message = "ok";
    if (r.error != HTTPC_OK)
        r.message = call->why ? call->why : call->error[0] ? call->error : curl_easy_strerror(call->code);
    count(call);
    leave_multi(call);
    event_del(call->timer);
    call->in_callback = true;
    call->on_done(call->arg, &r);
    free_call(call);
}

static bool streams(const struct httpc_call *call)
{
    return call->on_data && (call->status == 200 || call->status == 206);
}

/* Gives what has arrived to its owner. */
static void deliver(struct httpc_call *call)
{
    bool bulk = call->taken > 0;

    if (streams(call) && !call->paused && (bulk || call->in.len > 0)) {
        size_t len = bulk ? call->taken : call->in.len;
        bool taken;

        call->in_callback = true;
        call->resumed = false;
        call->taken = 0;
        taken = call->on_data(call->arg, bulk ? NULL : call->in.data, len);
        call->in_callback = false;
        if (call->cancelled) {
            free_call(call);
            return;
        }
        call->paused = !taken && !call->resumed;
        if (taken) {
            buf_clear(&call->in);
        } else if (call->resumed && !bulk) {
            make_ready(call);
            return;
        }
        bool full = call->full;
        call->full = false; /* curl may bring more at once, and fill it again */
        if (call->in_multi && !call->finished && (call->paused || full))
            curl_easy_pause(call->easy, call->paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
    }
    if (call->finished && !call->paused)
        done(call);
}

/* What curl has finished and what it has brought. */
static void after_curl(struct httpc *c)
{
    struct httpc_call *call;
    size_t n = 0;
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left))) {
        char *private = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        call = (struct httpc_call *)private;
        call->finished = true;
        call->code = m->data.result;
        if (call->code == CURLE_OK && call->is_chunked && !call->chunked_ended)
            fail(call, HTTPC_BROKEN, "the reply ended inside a chunk");
        make_ready(call);
    }
    TAILQ_FOREACH(call, &c->ready, ready)
    n++;
    for (; n > 0 && (call = TAILQ_FIRST(&c->ready)); n--) {
        unmake_ready(call);
        deliver(call);
    }
    /* Those that have more already wait for the other events of the loop. */
    if (!TAILQ_EMPTY(&c->ready))
        event_add(c->kick, &(struct timeval){.tv_sec = 0});
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    struct held held = held_begin();

    after_curl(arg);
    held_end(&held, &((struct httpc *)arg)->counters.slowest_us);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct httpc *c = arg;
    struct held held = held_begin();
    int running;

    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    after_curl(c);
    held_end(&held, &c->counters.slowest_us);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct httpc *c = arg;
    int running, bits = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    struct held held = held_begin();

    curl_multi_socket_action(c->multi, fd, bits, &running);
    after_curl(c);
    held_end(&held, &c->counters.slowest_us);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct httpc *c = arg;
    struct watch *w = socket_arg;
    short want = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));

    if (what == CURL_POLL_REMOVE) {
        if (w) {
            event_free(w->event);
            free(w);
        }
        curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    if (w && w->what == want)
        return 0;
    if (!w) {
        w = xcalloc(1, sizeof(*w));
        curl_multi_assign(c->multi, fd, w);
    } else {
        event_free(w->event);
    }
    w->what = want;
    w->event = event_new(c->base, fd, (short)(want | EV_PERSIST), on_socket, c);
    event_add(w->event, NULL);
    return 0;
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct httpc *c = arg;

    if (ms < 0)
        event_del(c->timer);
    else if (ms == 0)
        event_active(c->timer, EV_TIMEOUT, 0);
    else
        event_add(c->timer, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
    return 0;
}

static bool put(struct httpc_call *call, const char *data, size_t len)
{
    if (call->take && streams(call)) {
        if (call->take(call->arg, call->status, data, len)) {
            call->taken += len;
            return true;
        }
        fail(call, HTTPC_BROKEN, "the reply is not what was asked for");
        return false;
    }
    if (buf_add(&call->in, data, len))
        return true;
    fail(call, HTTPC_TOO_LARGE, "the reply is too large");
    return false;
}

static bool decode(struct httpc_call *call, const char *data, size_t len)
{
    const char *part;
    size_t n;

    if (!call->is_chunked)
        return put(call, data, len);
    for (;;) {
        switch (chunked_next(&call->chunked, &data, &len, &part, &n)) {
        case CHUNKED_DATA:
            if (put(call, part, n))
                continue;
            return false;
        case CHUNKED_MORE:
            return true;
        case CHUNKED_END:
            call->chunked_ended = true;
            return true;
        case CHUNKED_BAD:
            fail(call, HTTPC_BROKEN, "the reply is not in the chunked coding that its header names");
            return false;
        }
    }
}

/* The body comes undecoded, so that bytes on the wire can be counted. */
static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct httpc_call *call = arg;
    size_t len = size * n;

    if (streams(call) && (call->in.len >= STREAM_MAX || call->taken >= BULK_MAX)) {
        call->full = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    call->wire_in += len;
    call->active_us = clock_us();
    if (!decode(call, data, len))
        return len > 0 ? 0 : CURL_WRITEFUNC_ERROR;
    make_ready(call);
    return len;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    static const char name[] = "Transfer-Encoding:";
    struct httpc_call *call = arg;
    size_t len = size * n;

    call->wire_in += len;
    call->active_us = clock_us();
    if (len > 5 && memcmp(data, "HTTP/", 5) == 0) {
        const char *space = memchr(data, ' ', len);

        call->status = space ? atoi(space + 1) : 0; /* the line ends in CR LF, which stops atoi */
        call->is_chunked = false;                   /* a head after an interim one starts afresh */
        if (call->keep_head)
            buf_clear(&call->head);
    } else if (len > sizeof(name) - 1 && strncasecmp(data, name, sizeof(name) - 1) == 0) {
        char *value = xstrndup(data + sizeof(name) - 1, len - (sizeof(name) - 1));

        call->is_chunked = strcasestr(value, "chunked") != NULL;
        free(value);
    }
    if (call->keep_head)
        buf_add(&call->head, data, len); /* what goes beyond the cap is not known */
    return len;
}

/* Ends a call that curl still works on, for a reason of ours. */
static void give_up(struct httpc_call *call, enum httpc_error error, const char *why)
{
    fail(call, error, why);
    leave_multi(call); /* closes its connection */
    call->finished = true;
    call->paused = false;
    make_ready(call);
}

static void set_deadline(struct httpc_call *call)
{
    int64_t now = clock_us(), left = INT64_MAX;

    if (call->timeout_us > 0)
        left = call->started_us + call->timeout_us - now;
    if (call->idle_us > 0 && !call->paused && call->active_us + call->idle_us - now < left)
        left = call->active_us + call->idle_us - now;
    if (left == INT64_MAX)
        return;
    if (left < 0)
        left = 0;
    event_add(call->timer, &(struct timeval){.tv_sec = left / 1000000, .tv_usec = left % 1000000});
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct httpc_call *call = arg;
    struct httpc *c = call->client;
    int64_t now = clock_us();

    if (call->finished)
        return;
    if (call->timeout_us > 0 && now >= call->started_us + call->timeout_us)
        give_up(call, HTTPC_TIMEOUT, "no complete reply within the time limit");
    else if (call->idle_us > 0 && !call->paused && now >= call->active_us + call->idle_us)
        give_up(call, HTTPC_TIMEOUT, "the server went silent");
    else
        set_deadline(call);
    after_curl(c);
}

struct httpc *httpc_create(struct event_base *base)
{
    static bool initialized;
    struct httpc *c = xcalloc(1, sizeof(*c));

    signal(SIGPIPE, SIG_IGN); /* curl leaves it to us with CURLOPT_NOSIGNAL */
    if (!initialized)
        curl_global_init(CURL_GLOBAL_DEFAULT);
    initialized = true;
    c->base = base;
    TAILQ_INIT(&c->calls);
    TAILQ_INIT(&c->ready);
    c->timer = evtimer_new(base, on_timer, c);
    c->kick = event_new(base, -1, 0, on_kick, c);
    c->multi = curl_multi_init();
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    return c;
}

void httpc_destroy(struct httpc *c)
{
    if (!c)
        return;
    while (!TAILQ_EMPTY(&c->calls))
        free_call(TAILQ_FIRST(&c->calls));
    while (c->n_spare > 0)
        curl_easy_cleanup(c->spare[--c->n_spare]);
    curl_multi_cleanup(c->multi); /* closes the kept connections, which still calls watch_socket */
    event_free(c->timer);
    event_free(c->kick);
    free(c);
}

void httpc_get_counters(const struct httpc *c, struct httpc_counters *out)
{
    *out = c->counters;
}

static void set_headers(struct httpc_call *call, const struct httpc_opts *o)
{
    bool typed = false;

    for (const char *const *h = o->headers; h && *h; h++) {
        if (strncasecmp(*h, "Content-Type:", 13) == 0)
            typed = true;
        call->headers = curl_slist_append(call->headers, *h);
    }
    /* What curl would add by itself is of no use to any server here. */
    call->headers = curl_slist_append(call->headers, "Accept:");
    call->headers = curl_slist_append(call->headers, "Expect:");
    if (o->body && !typed)
        call->headers = curl_slist_append(call->headers, "Content-Type: application/json");
    if (o->bearer) {
        char *line = xasprintf("Authorization: Bearer %s", o->bearer);

        call->headers = curl_slist_append(call->headers, line);
        free(line);
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

/* Programs that we start must not hold our connections open. */
static int close_on_exec(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return CURL_SOCKOPT_OK;
}

static void set_transport(struct httpc_call *call, const struct httpc_opts *o)
{
    const char *ca = getenv("SSL_CERT_FILE"); /* as OpenSSL's own programs do, which curl's default overrides */
    CURL *e = call->easy;

    curl_easy_setopt(e, CURLOPT_URL, o->url);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, close_on_exec);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_TRANSFER_DECODING, 0L);
#if CURL_AT_LEAST_VERSION(7, 85, 0)
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(e, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(o->connect_timeout_ms > 0 ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS));
    /* A proxy from the environment is for the world outside, not for the machines of a cluster. */
    if (strncasecmp(o->url, "https:", 6) != 0 || o->unix_socket)
        curl_easy_setopt(e, CURLOPT_PROXY, "");
    if (o->unix_socket)
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, o->unix_socket);
    if (ca)
        curl_easy_setopt(e, CURLOPT_CAINFO, ca);
}

struct httpc_call *httpc_start(struct httpc *c, const struct httpc_opts *o)
{
    struct httpc_call *call = xcalloc(1, sizeof(*call));
    size_t max;
    CURL *e = c->n_spare > 0 ? c->spare[--c->n_spare] : curl_easy_init();

    call->client = c;
    call->easy = e;
    call->on_data = o->on_data;
    call->take = o->take;
    call->keep_head = o->keep_head;
    if (o->keep_head)
        buf_init(&call->head, HEAD_MAX);
    call->on_done = o->on_done;
    call->arg = o->arg;
    call->timer = evtimer_new(c->base, on_deadline, call);
    call->started_us = call->active_us = clock_us();
    call->timeout_us = (int64_t)o->timeout_ms * 1000;
    call->idle_us = (int64_t)o->idle_timeout_ms * 1000;
    chunked_init(&call->chunked);
    max = o->max_reply ? o->max_reply : REPLY_MAX;
    if (o->on_data && max < STREAM_MAX + CURL_MAX_WRITE_SIZE)
        max = STREAM_MAX + CURL_MAX_WRITE_SIZE; /* what may come before on_data is asked */
    buf_init(&call->in, max);
    TAILQ_INSERT_TAIL(&c->calls, call, entry);

    set_transport(call, o);
    set_headers(call, o);
    curl_easy_setopt(e, CURLOPT_PRIVATE, call);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
    if (o->receive > 0)
        curl_easy_setopt(e, CURLOPT_BUFFERSIZE, (long)o->receive);
    if (o->body) {
        call->body = xmemdup(o->body, o->len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->len);
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, call->body);
    }
    if (o->method && strcmp(o->method, "HEAD") == 0)
        curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    else if (o->method)
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, o->method);
    call->head_size = head_size(o, call->headers);
    set_deadline(call);
    call->in_multi = curl_multi_add_handle(c->multi, e) == CURLM_OK;
    if (!call->in_multi) {
        give_up(call, HTTPC_BROKEN, "the HTTP client could not take the call");
        event_active(c->kick, EV_TIMEOUT, 0);
    }
    return call;
}

void httpc_cancel(struct httpc_call *call)
{
    count(call);
    if (call->in_callback) {
        leave_multi(call);
        call->cancelled = true;
    } else {
        free_call(call);
    }
}

void httpc_resume(struct httpc_call *call)
{
    call->resumed = true;
    if (!call->paused)
        return;
    call->paused = false;
    call->active_us = clock_us();
    set_deadline(call);
    if (call->in_multi && !call->finished)
        curl_easy_pause(call->easy, CURLPAUSE_CONT);
    make_ready(call);
    event_active(call->client->kick, EV_TIMEOUT, 0);
}

int httpc_status(const struct httpc_call *call)
{
    return call->status;
}

char *httpc_header(const struct httpc_call *call, const char *name)
{
    const char *line = call->head.data, *end;
    size_t len = strlen(name);

    for (; (end = strchr(line, '\n')); line = end + 1) {
        const char *value = line + len + 1, *last = end;

        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        while (value < last && strchr(" \t", *value))
            value++;
        while (last > value && strchr(" \t\r", last[-1]))
            last--;
        return xstrndup(value, (size_t)(last - value));
    }
    return NULL;
}

char *httpc_redirect(const char *url, const char *location)
{
    CURLU *u = curl_url();
    char *text = NULL, *to = NULL;

    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK &&
        (strncasecmp(text, "https:", 6) == 0 ||
         (strncasecmp(text, "http:", 5) == 0 && strncasecmp(url, "https:", 6) != 0)))
        to = xstrdup(text);
    curl_free(text);
    curl_url_cleanup(u);
    return to;
}
