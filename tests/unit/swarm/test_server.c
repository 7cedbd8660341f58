/* The server of a share: who gets what, in what order, and that nobody's hunger or sleep costs the others. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/crew.h"
#include "base/mem.h"
#include "swarm/message.h"
#include "swarm/server.h"

enum { WAIT_US = 20 * 1000000 };

static const char own_id[] = "00000000000000000000000000000001", other_id[] = "00000000000000000000000000000002";

struct world {
    struct event_base *base;
    struct crew *crew;
    struct manifest *manifest;
    struct share *share;
    struct swarm_server *server;
    int changed;   /* times that on_changed was called */
    int came;      /* peers that on_peer has told of */
    char last[64]; /* the last of them */
};

struct client {
    struct world *w;
    struct bufferevent *bev;
    struct buf in;
    bool eof;
};

/* n pieces of size bytes, none of them had; byte i of the file is 'a' + i % 26 in its first 64 KiB. */
static void make_share(struct world *w, size_t n, uint64_t size)
{
    struct manifest *m = xcalloc(1, sizeof(*m));
    char path[] = "/tmp/tightwad-test-XXXXXX", text[65536];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    assert_true(write(fd, text, sizeof(text)) == sizeof(text));
    assert_int_equal(ftruncate(fd, (off_t)(n * size)), 0);
    unlink(path);
    m->filename = xstrdup("test.gguf");
    m->parameters = m->context_length = -1;
    m->total_size = n * size;
    m->piece_size = size;
    m->n_pieces = n;
    m->piece = xcalloc(n, sizeof(*m->piece));
    for (size_t i = 0; i < n; i++)
        m->piece[i] = (struct manifest_piece){.offset = i * size, .size = size};
    manifest_seal(m);
    w->manifest = m;
    w->share = share_create(m, path, fd);
}

static void on_peer(void *arg, struct share *share, const char *peer, const char *address)
{
    struct world *w = arg;
    assert_ptr_equal(share, w->share);
    assert_true(strcmp(peer, other_id) == 0 || peer[0] == '\0');
    w->came++;
    snprintf(w->last, sizeof(w->last), "%s", address);
}

static struct world *begin(size_t n, uint64_t size, struct swarm_server_opts o)
{
    struct world *w = xcalloc(1, sizeof(*w));
    char *cause = NULL;
    w->base = event_base_new();
    w->crew = crew_create(w->base, 1);
    make_share(w, n, size);
    o.peer = own_id;
    w->server = swarm_server_create(w->base, w->crew, &o, on_peer, w, &cause);
    assert_non_null(w->server);
    swarm_server_add(w->server, w->share);
    return w;
}

static void end(struct world *w)
{
    swarm_server_destroy(w->server);
    share_destroy(w->share);
    crew_destroy(w->crew);
    manifest_destroy(w->manifest);
    event_base_free(w->base);
    free(w);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct client *c = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t n = evbuffer_get_length(in);
    buf_add(&c->in, evbuffer_pullup(in, -1), n);
    evbuffer_drain(in, n);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct client *c = arg;
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        c->eof = true;
}

static struct client *open_between(struct world *w, const char *from, const char *at)
{
    struct client *c = xcalloc(1, sizeof(*c));
    struct sockaddr_in own = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, from, &own.sin_addr);
    inet_pton(AF_INET, at, &to.sin_addr);
    to.sin_port = htons((uint16_t)swarm_server_port(w->server));
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    c->w = w;
    buf_init(&c->in, SIZE_MAX);
    c->bev = bufferevent_socket_new(w->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    bufferevent_socket_connect(c->bev, (struct sockaddr *)&to, sizeof(to));
    return c;
}

/* From that address of the loopback network. */
static struct client *open_from(struct world *w, const char *from)
{
    return open_between(w, from, "127.0.0.1");
}

static void ask(struct client *c, const char *what)
{
    char *text = xasprintf("GET /v1/swarm/%s/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", c->w->manifest->id, what);
    bufferevent_write(c->bev, text, strlen(text));
    free(text);
}

static struct client *ask_from(struct world *w, const char *from, const char *what)
{
    struct client *c = open_from(w, from);
    ask(c, what);
    return c;
}

static void leave(struct client *c)
{
    bufferevent_free(c->bev);
    buf_finish(&c->in);
    free(c);
}

static void nothing(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

typedef bool condition(const struct client *c, const char *text, size_t n);

static bool until(struct client *c, condition *holds, const char *text, size_t n)
{
    struct event *tick = event_new(c->w->base, -1, EV_PERSIST, nothing, NULL);
    int64_t last = clock_us() + WAIT_US;
    event_add(tick, &(struct timeval){.tv_usec = 10000});
    while (!holds(c, text, n) && clock_us() < last)
        event_base_loop(c->w->base, EVLOOP_ONCE);
    event_free(tick);
    return holds(c, text, n);
}

static bool has_text(const struct client *c, const char *text, size_t n)
{
    (void)n;
    return strstr(c->in.data, text) != NULL;
}

static bool has_bytes(const struct client *c, const char *text, size_t n)
{
    (void)text;
    const char *head = strstr(c->in.data, "\r\n\r\n");
    return head != NULL && c->in.len - (size_t)(head + 4 - c->in.data) >= n;
}

static bool has_ended(const struct client *c, const char *text, size_t n)
{
    (void)text;
    (void)n;
    return c->eof;
}

static bool streams_are(const struct client *c, const char *text, size_t n)
{
    struct swarm_server_counters now;
    (void)text;
    swarm_server_counters(c->w->server, &now);
    return now.streams == n;
}

static bool uploads_are(const struct client *c, const char *text, size_t n)
{
    struct swarm_server_counters now;
    (void)text;
    swarm_server_counters(c->w->server, &now);
    return now.uploads + now.waiting == n;
}

static void reads(struct client *c, const char *text)
{
    if (!until(c, has_text, text, 0))
        fail_msg("no \"%s\" in \"%s\"", text, c->in.data);
}

static void run_ms(struct world *w, int ms)
{
    event_base_loopexit(w->base, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
    event_base_dispatch(w->base);
}

static void only_what_is_had_is_given(void **state)
{
    struct world *w = begin(3, 1000, (struct swarm_server_opts){0});
    (void)state;
    struct client *c = ask_from(w, "127.0.0.1", "piece/1");
    reads(c, "not_had");
    share_set_have(w->share, 1);
    ask(c, "piece/1");
    reads(c, "HTTP/1.1 200 OK");
    reads(c, "mnopqrstuvwxyzab"); /* byte 1000 is 'a' + 12 */
    ask(c, "file");
    reads(c, "not_complete");
    ask(c, "piece/3");
    reads(c, "unknown_piece");
    ask(c, "piece/18446744073709551617");
    reads(c, "it has 0 to 2");
    ask(c, "piece/../manifest");
    reads(c, "\\\"../manifest\\\" is no piece");
    ask(c, "secrets");
    reads(c, "unknown_url");
    leave(c);
    end(w);
}

static void streams_tell_what_changes(void **state)
{
    struct world *w = begin(20, 10, (struct swarm_server_opts){0});
    (void)state;
    share_set_have(w->share, 0);
    share_set_fetching(w->share, 9, true);
    struct client *c = ask_from(w, "127.0.0.1", "events?peer=00000000000000000000000000000002&port=4711");
    reads(c, "{\"hello\":{\"protocol\":1,\"peer\":\"00000000000000000000000000000001\",\"pieces\":20,"
             "\"have\":\"gAAA\",\"fetching\":[9]}}\n");
    assert_int_equal(w->came, 1);
    assert_string_equal(w->last, "127.0.0.1:4711");
    assert_string_equal(w->share->peer[0], "127.0.0.1:4711");
    share_set_have(w->share, 9);
    share_set_fetching(w->share, 2, true);
    share_set_fetching(w->share, 3, true);
    share_set_have(w->share, 1);
    share_set_fetching(w->share, 3, false);
    reads(c, "{\"have\":[1,9]}\n");
    reads(c, "{\"fetching\":[2]}\n");
    reads(c, "{\"dropped\":[3]}\n"); /* what came between is left out, what is so at the end is told */
    share_add_peer(w->share, "10.0.0.9:1");
    reads(c, "{\"peers\":[\"10.0.0.9:1\"]}\n"); /* and not the one that it is itself */
    swarm_server_remove(w->server, w->share);
    reads(c, "{\"bye\":true}\n");
    assert_int_equal(w->share->n_peers, 1);
    ask(c, "events");
    reads(c, "unknown_model");
    leave(c);
    end(w);
}

static void streams_are_counted(void **state)
{
    struct world *w = begin(3, 10, (struct swarm_server_opts){0});
    struct client *c[70];
    (void)state;
    for (size_t i = 0; i < 4; i++) { /* as one does that knows this process by several addresses */
        c[i] = ask_from(w, "127.0.0.1", "events?peer=00000000000000000000000000000002&port=4711");
        reads(c[i], "hello");
    }
    assert_true(until(c[3], streams_are, NULL, 4));
    assert_false(c[0]->eof);
    c[4] = ask_from(w, "127.0.0.1", "events?peer=00000000000000000000000000000002&port=4711");
    reads(c[4], "hello");
    assert_true(until(c[0], has_ended, NULL, 0)); /* it took the place of the oldest */
    assert_true(until(c[4], streams_are, NULL, 4));
    assert_int_equal(w->share->n_peers, 1);
    for (size_t i = 5; i < 70; i++) {
        c[i] = ask_from(w, "127.0.0.1", "events");
        reads(c[i], i <= 64 ? "hello" : "busy");
    }
    struct client *d = ask_from(w, "127.0.0.2", "events?port=80");
    reads(d, "hello");
    ask(c[69], "events?peer=00000000000000000000000000000001");
    reads(c[69], "409 Conflict");
    ask(c[69], "events?peer=me");
    reads(c[69], "bad_query");
    ask(c[69], "events?port=65536");
    assert_true(until(c[69], streams_are, NULL, 65));
    for (size_t i = 0; i < 70; i++)
        leave(c[i]);
    assert_true(until(d, streams_are, NULL, 1));
    leave(d);
    end(w);
}

/* Half a megabyte of news, again and again, to one that reads none of it. */
static void a_reader_that_is_behind_costs_little(void **state)
{
    enum { PIECES = 65536 };
    struct world *w = begin(PIECES, 1, (struct swarm_server_opts){0});
    (void)state;
    struct client *c = ask_from(w, "127.0.0.1", "events"), *other = ask_from(w, "127.0.0.2", "events");
    reads(c, "hello");
    reads(other, "hello");
    bufferevent_disable(c->bev, EV_READ);
    for (int round = 0; round < 41; round++) {
        for (size_t i = 0; i < PIECES; i++)
            share_set_fetching(w->share, i, round % 2 == 0);
        reads(other, "65535]}");
        buf_clear(&other->in);
        run_ms(w, 5);
    }
    for (size_t i = 0; i < PIECES; i += 2)
        share_set_fetching(w->share, i, false);
    share_set_have(w->share, 7);
    bufferevent_enable(c->bev, EV_READ);
    reads(c, "65534]}");
    assert_true(c->in.len < 30u * 450000); /* 41 rounds would have been more */
    struct bits fetching;
    bits_init(&fetching, PIECES);
    char *body = c->in.data + strcspn(c->in.data, "{"), *line;
    while ((line = strsep(&body, "\n")) != NULL) {
        struct message m;
        if (line[0] != '{' || body == NULL)
            continue; /* the sizes of chunks */
        assert_int_equal(message_parse(&m, line, strlen(line), PIECES, NULL), 0);
        for (size_t i = 0; i < m.n_pieces; i++)
            bits_set(&fetching, m.piece[i], m.kind == MESSAGE_FETCHING);
        message_finish(&m);
    }
    assert_int_equal(fetching.count, PIECES / 2 - 1);
    assert_memory_equal(fetching.byte, w->share->fetching.byte, PIECES / 8);
    leave(c);
    leave(other);
    bits_finish(&fetching);
    end(w);
}

/* One slot, and who has it does not read: the others get it after a while. */
static void a_sleeper_keeps_nobody_waiting(void **state)
{
    struct world *w = begin(64, 1 << 20, (struct swarm_server_opts){.upload_slots = 1});
    (void)state;
    bits_fill(&w->share->have);
    struct client *sleeper = ask_from(w, "127.0.0.2", "file");
    reads(sleeper, "200 OK");
    bufferevent_disable(sleeper->bev, EV_READ);
    struct client *c = ask_from(w, "127.0.0.1", "piece/0");
    assert_true(until(c, has_bytes, NULL, 1 << 20));
    assert_memory_equal(strstr(c->in.data, "\r\n\r\n") + 4, "abcdefg", 7);
    bufferevent_enable(sleeper->bev, EV_READ); /* and it gets all of its own when it wakes */
    assert_true(until(sleeper, has_bytes, NULL, 64 << 20));
    assert_true(until(c, uploads_are, NULL, 0));
    leave(sleeper);
    leave(c);
    end(w);
}

static size_t rank;

struct finisher {
    struct client *c;
    size_t rank;
};

/* Who has sent many requests is served in turn with who has sent one. */
static void nobody_is_served_twice_before_others(void **state)
{
    struct world *w = begin(8, 300000, (struct swarm_server_opts){.upload_slots = 1, .upload_limit = 2000000});
    struct finisher f[6];
    (void)state;
    bits_fill(&w->share->have);
    for (size_t i = 0; i < 6; i++) {
        f[i] = (struct finisher){.c = ask_from(w, i == 5 ? "127.0.0.2" : "127.0.0.1", "piece/1")};
        assert_true(until(f[i].c, uploads_are, NULL, i + 1)); /* in this order */
    }
    rank = 0;
    int64_t last = clock_us() + WAIT_US;
    while (rank < 6 && clock_us() < last) {
        event_base_loop(w->base, EVLOOP_ONCE);
        for (size_t i = 0; i < 6; i++) {
            if (f[i].rank == 0 && has_bytes(f[i].c, NULL, 300000))
                f[i].rank = ++rank;
        }
    }
    assert_int_equal(rank, 6);
    assert_true(f[5].rank <= 3); /* the first was under way, and its next had been waiting longer */
    for (size_t i = 0; i < 6; i++)
        leave(f[i].c);
    end(w);
}

static void the_limit_is_kept(void **state)
{
    struct world *w = begin(4, 1 << 20, (struct swarm_server_opts){.upload_limit = 2 << 20});
    int64_t since = clock_us();
    (void)state;
    bits_fill(&w->share->have);
    struct client *a = ask_from(w, "127.0.0.1", "piece/0"), *b = ask_from(w, "127.0.0.2", "piece/1");
    assert_true(until(a, has_bytes, NULL, 1 << 20));
    assert_true(until(b, has_bytes, NULL, 1 << 20));
    assert_true(clock_us() - since > 800000); /* 2 MiB at 2 MiB/s, less what may go at once */
    since = clock_us();
    swarm_server_set_limits(w->server, 1000, 0);
    ask(a, "piece/2");
    run_ms(w, 50);
    swarm_server_set_limits(w->server, 0, 0); /* at 1000 bytes a second it would take a quarter of an hour */
    assert_true(until(a, has_bytes, NULL, 2 << 20));
    leave(a);
    leave(b);
    end(w);
}

static void a_flood_is_refused(void **state)
{
    enum { MANY = 100 };
    struct world *w = begin(64, 1 << 20, (struct swarm_server_opts){.upload_slots = 1, .upload_limit = 1000});
    struct client *c[MANY];
    struct swarm_server_counters now;
    size_t busy = 0;
    (void)state;
    bits_fill(&w->share->have);
    for (size_t i = 0; i < MANY; i++)
        c[i] = ask_from(w, "127.0.0.1", "piece/5");
    reads(c[MANY - 1], "429 Too Many Requests");
    for (size_t i = 0; i < MANY; i++)
        busy += strstr(c[i]->in.data, "Retry-After: 1\r\n") != NULL;
    assert_int_equal(busy, MANY - 96);
    swarm_server_counters(w->server, &now);
    assert_int_equal(now.uploads + now.waiting, 96);
    assert_int_equal(now.refused, busy);
    struct client *d = ask_from(w, "127.0.0.2", "piece/5"); /* another is not refused */
    assert_true(until(d, uploads_are, NULL, 97));
    swarm_server_set_limits(w->server, 0, 0);
    assert_true(until(d, has_bytes, NULL, 1 << 20));
    for (size_t i = 0; i < MANY; i++)
        leave(c[i]);
    leave(d);
    end(w);
}

static void what_is_under_way_outlives_its_share(void **state)
{
    struct world *w = begin(32, 1 << 20, (struct swarm_server_opts){0});
    (void)state;
    bits_fill(&w->share->have);
    struct client *c = ask_from(w, "127.0.0.1", "file"), *m = ask_from(w, "127.0.0.1", "manifest");
    reads(c, "200 OK");
    reads(m, "\"filename\": \"test.gguf\"");
    ask(m, "manifest");
    share_destroy(w->share);
    w->share = NULL;
    assert_true(until(c, has_bytes, NULL, 32 << 20));
    buf_clear(&c->in);
    ask(c, "file");
    reads(c, "unknown_model");
    leave(c);
    leave(m);
    end(w);
}

static void a_file_that_is_cut_short_ends_the_reply(void **state)
{
    struct world *w = begin(32, 1 << 20, (struct swarm_server_opts){0});
    (void)state;
    bits_fill(&w->share->have);
    assert_int_equal(ftruncate(w->share->fd, 20 << 20), 0);
    struct client *c = ask_from(w, "127.0.0.1", "file"), *d = ask_from(w, "127.0.0.1", "piece/31");
    assert_true(until(c, has_ended, NULL, 0));
    assert_false(has_bytes(c, NULL, (20 << 20) + 1));
    reads(d, "unreadable");
    leave(c);
    leave(d);
    end(w);
}

static void on_changed(void *arg, struct share *share)
{
    struct world *w = arg;
    assert_ptr_equal(share, w->share);
    w->changed++;
}

static void a_file_that_was_written_to_is_not_sent(void **state)
{
    struct world *w = begin(32, 1 << 20, (struct swarm_server_opts){0});
    struct stat st;
    (void)state;
    bits_fill(&w->share->have);
    assert_int_equal(fstat(w->share->fd, &st), 0);
    w->share->stamp = share_stamp_of(&st);
    swarm_server_on_changed(w->server, on_changed, w);
    struct client *c = ask_from(w, "127.0.0.1", "file"), *d = ask_from(w, "127.0.0.1", "piece/31");
    assert_true(until(d, has_bytes, NULL, 1 << 20));
    reads(c, "200 OK");
    bufferevent_disable(c->bev, EV_READ);
    run_ms(w, 100); /* what the socket takes is gone, and the clock of the file system has gone on */
    assert_int_equal(w->changed, 0);
    assert_int_equal(pwrite(w->share->fd, "other", 5, 31 << 20), 5);
    run_ms(w, 100);
    bufferevent_enable(c->bev, EV_READ);
    assert_true(until(c, has_ended, NULL, 0));
    assert_false(has_bytes(c, NULL, 31 << 20));
    buf_clear(&d->in);
    ask(d, "piece/31");
    reads(d, "unreadable");
    assert_true(w->changed > 0);
    leave(c);
    leave(d);
    end(w);
}

static void leaving_says_goodbye(void **state)
{
    struct world *w = begin(64, 1 << 20, (struct swarm_server_opts){.upload_slots = 1});
    (void)state;
    bits_fill(&w->share->have);
    struct client *stream = ask_from(w, "127.0.0.1", "events"), *busy = ask_from(w, "127.0.0.1", "file");
    reads(stream, "hello");
    reads(busy, "200 OK");
    bufferevent_disable(busy->bev, EV_READ);
    struct client *waits = ask_from(w, "127.0.0.1", "piece/1");
    assert_true(until(waits, uploads_are, NULL, 2));
    swarm_server_destroy(w->server);
    w->server = NULL;
    reads(stream, "{\"bye\":true}\n");
    reads(waits, "503 Service Unavailable");
    bufferevent_enable(busy->bev, EV_READ);
    assert_true(until(busy, has_ended, NULL, 0));
    leave(stream);
    leave(busy);
    leave(waits);
    end(w);
}

static void doors_are_kept(void **state)
{
    struct world *w = begin(1, 10, (struct swarm_server_opts){.token = "secret", .allow = "10.0.0.0/8,fd00::/8"});
    struct world *open = begin(1, 10, (struct swarm_server_opts){0});
    (void)state;
    assert_true(swarm_server_allows(w->server, "10.1.2.3:80"));
    assert_true(swarm_server_allows(w->server, "127.0.0.1"));
    assert_true(swarm_server_allows(w->server, "[fd00::1]:80"));
    assert_true(swarm_server_allows(w->server, "fd00::1"));
    assert_false(swarm_server_allows(w->server, "192.168.0.1:80"));
    assert_false(swarm_server_allows(w->server, "example.com:80"));
    assert_false(swarm_server_allows(w->server, ""));
    assert_true(swarm_server_allows(open->server, "192.168.0.1:80"));
    assert_false(swarm_server_allows(open->server, "8.8.8.8:80"));
    struct client *c = ask_from(w, "127.0.0.1", "manifest");
    reads(c, "401 Unauthorized");
    bufferevent_write(c->bev, "GET /v1/swarm HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n\r\n", 73);
    reads(c, "\"protocol\":1");
    leave(c);
    c = open_from(open, "127.0.0.1");
    bufferevent_write(c->bev, "GET /v1/swarm HTTP/1.1\r\nHost: evil.example.com\r\n\r\n", 50);
    reads(c, "unknown_host");
    bufferevent_write(c->bev, "GET /v1/swarm/view HTTP/1.1\r\nHost: localhost\r\n\r\n", 48);
    reads(c, "unknown_model"); /* of this user's socket alone */
    leave(c);
    end(w);
    end(open);
}

/* A web page whose name has been turned to an address of this machine in its network asks from that very address. */
static void a_page_gets_nothing_by_another_address(void **state)
{
    struct swarm_server_opts o = {.host = "0.0.0.0", .allow = "0.0.0.0/0"};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(9)};
    socklen_t len = sizeof(at);
    char own[INET_ADDRSTRLEN], *text;
    (void)state;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "198.51.100.1", &at.sin_addr); /* nothing is sent: which address would it go out from? */
    bool has = connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    if (!has || ntohl(at.sin_addr.s_addr) >> 24 == 127)
        skip();
    inet_ntop(AF_INET, &at.sin_addr, own, sizeof(own));
    struct world *w = begin(1, 10, o);
    struct client *c = open_between(w, own, own);
    bufferevent_write(c->bev, "GET /v1/swarm HTTP/1.1\r\nHost: evil.example.com\r\n\r\n", 50);
    reads(c, "unknown_host");
    text = xasprintf("GET /v1/swarm HTTP/1.1\r\nHost: %s:%d\r\n\r\n", own, swarm_server_port(w->server));
    bufferevent_write(c->bev, text, strlen(text));
    reads(c, "200 OK");
    free(text);
    leave(c);
    end(w);
}

const struct CMUnitTest server_tests[] = {
    cmocka_unit_test(only_what_is_had_is_given),
    cmocka_unit_test(streams_tell_what_changes),
    cmocka_unit_test(streams_are_counted),
    cmocka_unit_test(a_reader_that_is_behind_costs_little),
    cmocka_unit_test(a_sleeper_keeps_nobody_waiting),
    cmocka_unit_test(nobody_is_served_twice_before_others),
    cmocka_unit_test(the_limit_is_kept),
    cmocka_unit_test(a_flood_is_refused),
    cmocka_unit_test(what_is_under_way_outlives_its_share),
    cmocka_unit_test(a_file_that_is_cut_short_ends_the_reply),
    cmocka_unit_test(a_file_that_was_written_to_is_not_sent),
    cmocka_unit_test(leaving_says_goodbye),
    cmocka_unit_test(doors_are_kept),
    cmocka_unit_test(a_page_gets_nothing_by_another_address),
};
const size_t server_count = sizeof(server_tests) / sizeof(server_tests[0]);
