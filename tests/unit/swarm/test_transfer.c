/* A transfer against peers that are honest, slow, silent, wrong or liars: it ends with the right bytes, whoever lies is
 * found, and what can't be done yet is told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/evp.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/httpd.h"
#include "swarm/message.h"
#include "swarm/transfer.h"

enum { FAKES = 4, HELD = 64, STREAMS = 16, WAIT_S = 30, MIB = 1 << 20 };

/* What a peer does with requests for pieces. */
enum manner {
    HONEST,
    CORRUPT, /* one bit of each reply is wrong */
    LIAR,    /* says that it has all, and has nothing */
    SILENT,  /* takes requests and never answers */
    SHORT,   /* sends half of what it was asked for and hangs up */
    BUSY,    /* 429, twice; then honest */
    WHOLE,   /* does not know of ranges */
    SPOILER, /* wrong bytes, then no answer; asked from the front again, the right ones, then 429 for ever */
};

struct fake {
    struct rig *rig;
    struct httpd *server;
    enum manner manner;
    char address[SWARM_ADDRESS], id[SWARM_PEER_ID + 1];
    struct bits have;
    char *first; /* line instead of its hello */
    struct httpd_request *stream[STREAMS], *held[HELD];
    size_t n_held;
    const char *to;                  /* where its file lies: it redirects there */
    uint64_t expires;                /* when it has sent so many bytes, it answers 403 once; 0: never */
    unsigned asked, streams, fronts; /* fronts: requests from the first byte of a piece on */
    uint64_t sent;
};

struct rig {
    struct event_base *base;
    struct crew *crew;
    struct httpc *http;
    char dir[64];
    unsigned char *data;
    struct manifest *m;
    struct store *store;
    struct transfer *transfer;
    struct fake fake[FAKES];
    bool opened, done, ok;
    size_t peers_at_end; /* connected when it ended */
    char why[256];
    struct swarm_view_model model;
    struct swarm_view view;
};

static void on_stream_close(void *arg)
{
    struct httpd_request **slot = arg;
    httpd_cut(*slot);
    *slot = NULL;
}

static void on_events(struct fake *f, struct httpd_request *r)
{
    size_t i = 0;
    while (i < STREAMS && f->stream[i])
        i++;
    assert_true(i < STREAMS);
    f->stream[i] = r;
    f->streams++;
    httpd_on_close(r, on_stream_close, &f->stream[i]);
    httpd_stream_start(r, 200, "application/x-ndjson");
    struct bits none;
    bits_init(&none, f->have.n);
    char *line = f->first ? xstrdup(f->first) : message_hello(f->id, &f->have, &none);
    httpd_stream_send(r, line, strlen(line));
    free(line);
    bits_finish(&none);
}

static void say(struct fake *f, const char *line)
{
    for (size_t i = 0; i < STREAMS; i++)
        if (f->stream[i])
            httpd_stream_send(f->stream[i], line, strlen(line));
}

static void on_held_close(void *arg)
{
    struct httpd_request **slot = arg;
    httpd_cut(*slot);
    *slot = NULL;
}

/* len bytes of data, as the fake's manner is; whole: of the file. */
static void send_bytes(struct fake *f, struct httpd_request *r, int status, const unsigned char *data, size_t len)
{
    char *copy = xmemdup(data, len);
    f->sent += len;
    if (f->manner == CORRUPT || (f->manner == SPOILER && f->fronts == 1))
        copy[len / 2] ^= 1;
    if (f->manner == SHORT) {
        httpd_file_start(r, status, "application/octet-stream", len);
        httpd_cut(r);
    } else {
        httpd_reply_text(r, status, "application/octet-stream", copy, len);
    }
    free(copy);
}

static void on_request(struct httpd_request *r, void *arg)
{
    struct fake *f = arg;
    const struct manifest *m = f->rig->m;
    const char *path = httpd_path(r), *piece = strstr(path, "/piece/"), *range = httpd_header(r, "Range");
    unsigned long long from = 0, to = 0;
    if (strstr(path, "/events")) {
        on_events(f, r);
        return;
    }
    size_t n = piece ? strtoul(piece + 7, NULL, 10) : 0;
    uint64_t base = piece ? m->piece[n].offset : 0;
    f->asked++;
    assert_true(n < m->n_pieces);
    if (f->to) {
        httpd_add_header(r, "Location", f->to);
        httpd_reply_text(r, 302, "text/plain", "", 0);
        return;
    }
    if (f->expires > 0 && f->sent >= f->expires) {
        f->expires = 0;
        httpd_reply_error(r, 403, NULL, NULL, "too late");
        return;
    }
    if (range && strncmp(range, "bytes=0-", 8) == 0)
        f->fronts++;
    bool spoils = f->manner == SPOILER && (f->asked == 1 || (f->fronts == 2 && strncmp(range, "bytes=0-", 8) == 0));
    if ((f->manner == BUSY && f->asked < 3) || (f->manner == SPOILER && f->fronts > 1 && !spoils)) {
        httpd_reply_error(r, 429, NULL, "busy", "later");
    } else if (f->manner == LIAR || (piece && !bits_has(&f->have, n))) {
        httpd_reply_error(r, 404, NULL, "not_had", "not here");
    } else if (f->manner == SILENT || (f->manner == SPOILER && !spoils)) {
        assert_true(f->n_held < HELD);
        f->held[f->n_held] = r;
        httpd_on_close(r, on_held_close, &f->held[f->n_held++]);
    } else if (f->manner == WHOLE) {
        send_bytes(f, r, 200, f->rig->data, (size_t)m->total_size);
    } else {
        assert_int_equal(sscanf(range, "bytes=%llu-%llu", &from, &to), 2);
        send_bytes(f, r, 206, f->rig->data + base + from, (size_t)(to - from + 1));
    }
}

static struct fake *fake_start(struct rig *r, size_t i, enum manner manner)
{
    struct fake *f = &r->fake[i];
    *f = (struct fake){.rig = r, .manner = manner};
    f->server =
        httpd_create(r->base, &(struct httpd_opts){.max_body = 1000, .max_headers = 8192, .idle_timeout_s = 60});
    httpd_route(f->server, HTTPD_GET, "/v1/swarm/", true, on_request, f);
    httpd_route(f->server, HTTPD_GET, "/m.gguf", true, on_request, f);
    int port = httpd_listen(f->server, "127.0.0.1", 0, NULL);
    assert_true(port > 0);
    snprintf(f->address, sizeof f->address, "127.0.0.1:%d", port);
    memset(f->id, 'a' + (int)i, SWARM_PEER_ID);
    bits_init(&f->have, r->m->n_pieces);
    bits_fill(&f->have);
    return f;
}

static void fake_stop(struct fake *f)
{
    if (!f->server)
        return;
    for (size_t i = 0; i < STREAMS; i++)
        if (f->stream[i])
            httpd_cut(f->stream[i]);
    for (size_t i = 0; i < f->n_held; i++)
        if (f->held[i])
            httpd_cut(f->held[i]);
    httpd_destroy(f->server);
    bits_finish(&f->have);
    free(f->first);
    *f = (struct fake){0};
}

static void on_opened(void *arg, enum store_result result, const char *why)
{
    struct rig *r = arg;
    assert_int_equal(result, STORE_OK);
    r->opened = true;
    event_base_loopbreak(r->base);
}

/* A model of so many pieces of that size, and a store for it. */
static struct rig *rig_start(size_t n_pieces, size_t piece_size)
{
    struct rig *r = xcalloc(1, sizeof *r);
    size_t total = n_pieces * piece_size;
    uint64_t x = 1;
    log_set_level(LOG_ERROR);
    r->base = event_base_new();
    r->crew = crew_create(r->base, 2);
    r->http = httpc_create(r->base);
    snprintf(r->dir, sizeof r->dir, "/tmp/transfer-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    setenv("XDG_CACHE_HOME", r->dir, 1);
    r->data = xmalloc(total);
    for (size_t i = 0; i < total; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        r->data[i] = (unsigned char)(x >> 56);
    }
    r->m = xcalloc(1, sizeof *r->m);
    *r->m = (struct manifest){.filename = xstrdup("m.gguf"),
                              .total_size = total,
                              .piece_size = MANIFEST_PIECE_SIZE,
                              .n_pieces = n_pieces,
                              .piece = xcalloc(n_pieces, sizeof *r->m->piece),
                              .parameters = -1,
                              .context_length = -1};
    for (size_t i = 0; i < n_pieces; i++) {
        r->m->piece[i].offset = i * piece_size;
        r->m->piece[i].size = piece_size;
        EVP_Digest(r->data + i * piece_size, piece_size, r->m->piece[i].sha256, NULL, EVP_sha256(), NULL);
    }
    manifest_seal(r->m);
    r->store = store_open(r->base, r->crew, r->m, &(struct store_opts){.dir = r->dir}, on_opened, r);
    event_base_dispatch(r->base);
    assert_true(r->opened);
    return r;
}

static void rig_finish(struct rig *r)
{
    transfer_destroy(r->transfer);
    for (size_t i = 0; i < FAKES; i++)
        fake_stop(&r->fake[i]);
    store_destroy(r->store);
    httpc_destroy(r->http);
    crew_destroy(r->crew);
    event_base_free(r->base);
    manifest_destroy(r->m);
    char *command = xasprintf("rm -rf %s", r->dir);
    assert_int_equal(system(command), 0);
    free(command);
    free(r->data);
    free(r);
}

static void look(struct rig *r)
{
    r->view.n_peers = r->view.peers_in_all = 0;
    transfer_fill(r->transfer, &r->model, &r->view);
}

static void on_transfer(void *arg, bool ok, const char *why)
{
    struct rig *r = arg;
    assert_false(r->done);
    r->done = true;
    look(r);
    r->peers_at_end = r->model.peers;
    r->ok = ok;
    snprintf(r->why, sizeof r->why, "%s", why);
    event_base_loopbreak(r->base);
}

static void transfer_start(struct rig *r, int64_t limit)
{
    r->transfer = transfer_create(&(struct transfer_opts){.base = r->base,
                                                          .http = r->http,
                                                          .crew = r->crew,
                                                          .store = r->store,
                                                          .manifest = r->m,
                                                          .peer = "0123456789abcdef0123456789abcdef",
                                                          .download_limit = limit,
                                                          .seed = 7},
                                  on_transfer, r);
}

static const struct swarm_view_peer *seen(struct rig *r, size_t i)
{
    look(r);
    for (size_t k = 0; k < r->view.n_peers; k++)
        if (strcmp(r->view.peer[k].address, r->fake[i].address) == 0)
            return &r->view.peer[k];
    return NULL;
}

/* Runs the loop until the condition holds. */
static bool run_until(struct rig *r, bool (*condition)(struct rig *r))
{
    int64_t end = clock_us() + (int64_t)WAIT_S * 1000000;
    while (!condition(r) && clock_us() < end) {
        event_base_loopexit(r->base, &(struct timeval){.tv_usec = 10000});
        event_base_dispatch(r->base);
    }
    return condition(r);
}

static bool is_done(struct rig *r)
{
    return r->done;
}

/* It ends well, with the right bytes. */
static void arrives(struct rig *r)
{
    assert_true(run_until(r, is_done));
    assert_string_equal(r->why, "");
    assert_true(r->ok);
    look(r);
    assert_int_equal(r->model.have, r->m->total_size);
    const struct share *s = store_share(r->store);
    char *got = xmalloc((size_t)r->m->total_size);
    assert_true(bits_full(&s->have));
    assert_int_equal(s->fetching.count, 0);
    assert_int_equal(pread(s->fd, got, (size_t)r->m->total_size, 0), r->m->total_size);
    assert_memory_equal(got, r->data, r->m->total_size);
    free(got);
}

/* Before the first peer's silence is taken for what it is. */
static void arrives_soon(struct rig *r)
{
    int64_t start = clock_us();
    arrives(r);
    assert_true(clock_us() - start < 20000000);
}

static void from_many_at_once(void **state)
{
    struct rig *r = rig_start(12, 700 * 1024);
    (void)state;
    for (size_t i = 0; i < 3; i++)
        fake_start(r, i, HONEST);
    transfer_start(r, 0);
    for (size_t i = 0; i < 3; i++)
        transfer_add_peer(r->transfer, r->fake[i].address, true);
    arrives(r);
    assert_int_equal(r->model.fetched, r->m->total_size);
    assert_int_equal(r->model.wasted, 0);
    assert_int_equal(r->peers_at_end, 3);
    assert_int_equal(r->model.peers, 0);
    for (size_t i = 0; i < 3; i++)
        assert_in_range(r->fake[i].sent, 1, r->m->total_size - 1);
    rig_finish(r);
}

static void nothing_to_do_is_done_later(void **state)
{
    struct rig *r = rig_start(2, 1000);
    struct bits none;
    (void)state;
    bits_init(&none, 2);
    r->transfer = transfer_create(&(struct transfer_opts){.base = r->base,
                                                          .http = r->http,
                                                          .crew = r->crew,
                                                          .store = r->store,
                                                          .manifest = r->m,
                                                          .want = &none,
                                                          .peer = "0123456789abcdef0123456789abcdef"},
                                  on_transfer, r);
    bits_finish(&none);
    assert_false(r->done);
    assert_true(run_until(r, is_done));
    assert_true(r->ok);
    rig_finish(r);
}

static bool one_is_banned(struct rig *r)
{
    const struct swarm_view_peer *p = seen(r, 0);
    return p && p->state == SWARM_PEER_BANNED;
}

static void a_corrupt_peer_is_banned_after_two(void **state)
{
    struct rig *r = rig_start(6, 600 * 1024);
    (void)state;
    fake_start(r, 0, CORRUPT);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_banned));
    assert_true(seen(r, 0)->corrupt >= 2); /* what was under way by then may be wrong too */
    assert_false(r->done);
    assert_int_equal(r->model.have, 0);
    assert_in_range(r->model.wasted, 1200 * 1024, 12 * 600 * 1024);
    assert_int_equal(r->model.state, SWARM_WAITING);
    assert_non_null(strstr(r->model.why, r->fake[0].address));
    unsigned asked = r->fake[0].asked;
    fake_start(r, 1, HONEST);
    transfer_add_peer(r->transfer, r->fake[0].address, true); /* saying it again does not help it */
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    arrives(r);
    assert_int_equal(r->fake[0].asked, asked);
    assert_int_equal(r->fake[0].streams, 1);
    rig_finish(r);
}

static bool one_is_asked(struct rig *r)
{
    return r->fake[0].asked > 0;
}

static bool first_is_had(struct rig *r)
{
    return bits_has(&store_share(r->store)->have, 0);
}

/* One that is mixed up with an honest peer in a wrong piece, gets it to send alone, and then never goes on. */
static void who_sends_alone_holds_nothing_up(void **state)
{
    struct rig *r = rig_start(2, 8 * MIB);
    (void)state;
    for (size_t i = 0; i < 2; i++)
        bits_set(&fake_start(r, i, i == 0 ? SPOILER : HONEST)->have, 1, false);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_asked));
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    assert_true(run_until(r, first_is_had));
    assert_int_equal(r->fake[0].fronts, 2); /* it did get it to send alone */
    assert_int_equal(seen(r, 1)->state, SWARM_PEER_UP);
    assert_int_equal(seen(r, 1)->corrupt, 0);
    rig_finish(r);
}

static bool three_are_had(struct rig *r)
{
    return store_share(r->store)->have.count == 3;
}

/* A piece that came from two is wrong: it is fetched whole from one, and who is honest is never blamed. */
static void the_liar_among_senders_is_found(void **state)
{
    (void)state;
    for (size_t liar = 0; liar < 2; liar++) {
        struct rig *r = rig_start(2, 8 * MIB);
        for (size_t i = 0; i < 2; i++)
            fake_start(r, i, i == liar ? CORRUPT : HONEST);
        bits_set(&r->fake[0].have, 1, false); /* both must begin with the same */
        bits_set(&r->fake[1].have, 1, false);
        transfer_start(r, 0);
        transfer_add_peer(r->transfer, r->fake[0].address, true);
        transfer_add_peer(r->transfer, r->fake[1].address, true);
        assert_true(run_until(r, first_is_had));
        assert_int_equal(seen(r, 1 - liar)->corrupt, 0);
        assert_int_equal(seen(r, 1 - liar)->state, SWARM_PEER_UP);
        look(r);
        assert_true(r->model.wasted > 0);
        rig_finish(r);
    }
}

static void a_peer_without_what_it_says_is_banned(void **state)
{
    struct rig *r = rig_start(12, 10000);
    (void)state;
    fake_start(r, 0, LIAR);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_banned));
    assert_in_range(r->fake[0].asked, 4, 12);
    fake_start(r, 1, HONEST);
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    arrives(r);
    rig_finish(r);
}

static bool one_is_up(struct rig *r)
{
    const struct swarm_view_peer *p = seen(r, 0);
    return p && p->state == SWARM_PEER_UP;
}

/* What a silent peer has before it is asked of others at the end. */
static void a_silent_peer_holds_nothing_up(void **state)
{
    struct rig *r = rig_start(4, 600 * 1024);
    (void)state;
    fake_start(r, 0, SILENT);
    fake_start(r, 1, HONEST);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_asked));
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    arrives(r);
    assert_int_equal(r->fake[0].sent, 0);
    assert_int_equal(r->model.wasted, 0);
    rig_finish(r);
}

static void broken_replies_are_asked_for_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct rig *r = rig_start(3, 600 * 1024);
        fake_start(r, 0, i == 0 ? SHORT : BUSY);
        fake_start(r, 1, HONEST);
        transfer_start(r, 0);
        transfer_add_peer(r->transfer, r->fake[0].address, true);
        assert_true(run_until(r, one_is_asked));
        transfer_add_peer(r->transfer, r->fake[1].address, true);
        arrives(r);
        assert_true(seen(r, 0) == NULL || seen(r, 0)->state != SWARM_PEER_BANNED);
        rig_finish(r);
    }
}

static void a_busy_peer_is_asked_again(void **state)
{
    struct rig *r = rig_start(3, 600 * 1024);
    (void)state;
    fake_start(r, 0, BUSY);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    arrives(r);
    assert_int_equal(r->fake[0].streams, 1);
    rig_finish(r);
}

/* Streams that are none. */
static void nonsense_is_banned(void **state)
{
    static const char *const lines[] = {
        "{\"hello\":{}}\n",
        "{\"have\":[0]}\n", /* before its hello */
        "{\"hello\":{\"protocol\":1,\"peer\":\"aa\",\"pieces\":4,\"have\":\"8A==\",\"fetching\":[]}}\n",
        "{\"hello\":{\"protocol\":1,\"peer\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"pieces\":4,\"have\":\"//8=\","
        "\"fetching\":[]}}\n",
        "{\"hello\":{\"protocol\":1,\"peer\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"pieces\":4,\"have\":\"8A==\","
        "\"fetching\":[4]}}\n",
        "not JSON\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct rig *r = rig_start(4, 1000);
        fake_start(r, 0, HONEST)->first = xstrdup(lines[i]);
        transfer_start(r, 0);
        transfer_add_peer(r->transfer, r->fake[0].address, true);
        assert_true(run_until(r, one_is_banned));
        assert_int_equal(r->fake[0].asked, 0);
        rig_finish(r);
    }
}

static void flood(const char *line)
{
    struct rig *r = rig_start(4, 1000);
    struct buf b;
    fake_start(r, 0, HONEST);
    bits_finish(&r->fake[0].have);
    bits_init(&r->fake[0].have, 4);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_up));
    buf_init(&b, SIZE_MAX);
    while (b.len < 8 * MIB)
        buf_add(&b, line, strlen(line));
    say(&r->fake[0], b.data);
    buf_finish(&b);
    assert_true(run_until(r, one_is_banned));
    assert_non_null(strstr(seen(r, 0)->why, "flood"));
    rig_finish(r);
}

static void a_flood_is_banned(void **state)
{
    char *line = xasprintf("{\"fetching\":[1],\"x\":\"%04000d\"}\n", 0), empty[4001];
    (void)state;
    memset(empty, '\n', 4000);
    empty[4000] = '\0';
    flood(line);
    flood(empty);
    free(line);
}

static bool other_is_up(struct rig *r)
{
    const struct swarm_view_peer *p = seen(r, 1);
    return p && p->state == SWARM_PEER_UP;
}

/* One peer is enough to find the rest; what is not private is never asked. */
static void peers_tell_of_others(void **state)
{
    struct rig *r = rig_start(4, 1000);
    (void)state;
    fake_start(r, 0, HONEST);
    fake_start(r, 1, HONEST);
    for (size_t i = 0; i < 2; i++) {
        bits_finish(&r->fake[i].have);
        bits_init(&r->fake[i].have, 4);
    }
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_up));
    char *line = xasprintf("{\"peers\":[\"8.8.8.8:9192\",\"%s\"]}\n", r->fake[1].address);
    say(&r->fake[0], line);
    free(line);
    assert_true(run_until(r, other_is_up));
    look(r);
    assert_int_equal(r->view.peers_in_all, 2);
    assert_int_equal(store_share(r->store)->n_peers, 2);
    say(&r->fake[0], "{\"bye\":true}\n");
    assert_true(run_until(r, other_is_up));
    rig_finish(r);
}

/* A host that is told of under many ports takes a few places, and what nobody has tried yet stays. */
static void nobody_fills_the_table(void **state)
{
    struct rig *r = rig_start(2, 1000);
    char address[SWARM_ADDRESS];
    (void)state;
    transfer_start(r, 0);
    for (int i = 0; i < 100; i++) {
        snprintf(address, sizeof address, "192.0.2.1:%d", 2000 + i);
        transfer_add_peer(r->transfer, address, false);
    }
    look(r);
    assert_int_equal(r->view.peers_in_all, 8);
    for (int i = 0; i < 100; i++) {
        snprintf(address, sizeof address, "198.51.100.%d:9192", i);
        transfer_add_peer(r->transfer, address, false);
    }
    look(r);
    assert_int_equal(r->view.peers_in_all, 64);
    assert_string_equal(r->view.peer[0].address, "192.0.2.1:2000");
    rig_finish(r);
}

static bool first_has_answered(struct rig *r)
{
    return r->fake[0].streams > 0 && seen(r, 0) == NULL;
}

/* An address of this very process, and a second one of a peer. */
static void itself_and_twins_are_left_alone(void **state)
{
    struct rig *r = rig_start(4, 1000);
    (void)state;
    snprintf(fake_start(r, 0, HONEST)->id, SWARM_PEER_ID + 1, "0123456789abcdef0123456789abcdef");
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, first_has_answered));
    fake_start(r, 1, SILENT);
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    assert_true(run_until(r, other_is_up));
    fake_start(r, 2, HONEST);
    memcpy(r->fake[2].id, r->fake[1].id, sizeof r->fake[2].id);
    transfer_add_peer(r->transfer, r->fake[2].address, false);
    for (int64_t end = clock_us() + 300000; clock_us() < end;)
        event_base_loop(r->base, EVLOOP_ONCE);
    assert_int_equal(r->fake[0].streams, 1);
    assert_int_equal(r->fake[0].asked, 0);
    assert_int_equal(r->fake[2].streams, 1);
    assert_int_equal(r->fake[2].asked, 0);
    rig_finish(r);
}

/* Pieces that come by another way while it runs count, and only what nobody has is waited for. */
static void pieces_from_elsewhere_count(void **state)
{
    struct rig *r = rig_start(4, 1000);
    (void)state;
    fake_start(r, 0, HONEST);
    bits_set(&r->fake[0].have, 2, false);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, three_are_had));
    for (int64_t end = clock_us() + 200000; clock_us() < end;)
        event_base_loop(r->base, EVLOOP_ONCE);
    look(r);
    assert_int_equal(r->model.state, SWARM_WAITING);
    assert_int_equal(r->model.have, 3000);
    assert_non_null(strstr(r->model.why, "1 "));
    assert_false(r->done);
    share_set_have(store_share(r->store), 2);
    assert_true(run_until(r, is_done));
    assert_true(r->ok);
    rig_finish(r);
}

static void news_of_a_peer_are_used(void **state)
{
    struct rig *r = rig_start(4, 1000);
    (void)state;
    fake_start(r, 0, HONEST);
    bits_finish(&r->fake[0].have);
    bits_init(&r->fake[0].have, 4);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_up));
    bits_fill(&r->fake[0].have);
    say(&r->fake[0], "{\"fetching\":[0,1,2,3]}\n{\"have\":[3,1]}\n{\"have\":[0,2],\"new\":1}\n{\"later\":true}\n");
    arrives(r);
    rig_finish(r);
}

static void a_limit_is_kept(void **state)
{
    struct rig *r = rig_start(4, 512 * 1024);
    int64_t start = clock_us();
    (void)state;
    fake_start(r, 0, HONEST);
    transfer_start(r, 2 * MIB);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    arrives(r);
    assert_true(clock_us() - start > 400000); /* 2 MiB at 2 MiB/s, of which some come at once */
    rig_finish(r);
}

static bool no_ranges_is_told(struct rig *r)
{
    look(r);
    return r->view.n_peers == 1 && strstr(r->view.peer[0].why, "parts of files") != NULL;
}

static bool circles_are_told(struct rig *r)
{
    look(r);
    return strstr(r->view.peer[0].why, "in circles") != NULL;
}

static void a_web_server_helps_out(void **state)
{
    struct rig *r = rig_start(6, 300 * 1024);
    (void)state;
    fake_start(r, 0, HONEST);
    fake_start(r, 1, WHOLE); /* has no ranges: of no use */
    transfer_start(r, 0);
    char *url = xasprintf("http://%s/m.gguf", r->fake[1].address);
    transfer_add_web(r->transfer, url);
    transfer_add_web(r->transfer, url);
    assert_true(run_until(r, no_ranges_is_told));
    free(url);
    url = xasprintf("http://%s/m.gguf", r->fake[0].address);
    transfer_add_web(r->transfer, url);
    free(url);
    arrives(r);
    assert_int_equal(r->fake[0].streams, 0);
    assert_int_equal(r->fake[0].sent, r->m->total_size);
    rig_finish(r);
}

/* The only peer with the pieces is asked, and gives nothing. */
static void a_web_server_is_asked_where_peers_are_too_slow(void **state)
{
    struct rig *r = rig_start(12, 300 * 1024);
    (void)state;
    fake_start(r, 0, SILENT);
    fake_start(r, 1, HONEST);
    char *url = xasprintf("http://%s/m.gguf", r->fake[1].address);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_asked));
    transfer_add_web(r->transfer, url);
    arrives_soon(r);
    free(url);
    rig_finish(r);
}

static bool others_are_up(struct rig *r)
{
    const struct swarm_view_peer *p = seen(r, 2);
    return one_is_asked(r) && p && p->state == SWARM_PEER_UP;
}

/* Nor by a peer that has nothing, and whose speed is therefore unknown. */
static void a_seeder_is_asked_where_others_give_nothing(void **state)
{
    struct rig *r = rig_start(12, 300 * 1024);
    (void)state;
    bits_set(&fake_start(r, 0, SILENT)->have, 3, false);
    fake_start(r, 1, HONEST);
    bits_finish(&fake_start(r, 2, HONEST)->have);
    bits_init(&r->fake[2].have, 12);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[2].address, true);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, others_are_up));
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    arrives_soon(r);
    rig_finish(r);
}

/* A server that has its files elsewhere, at addresses that are good for some time only. */
static void a_web_server_redirects(void **state)
{
    struct rig *r = rig_start(6, 300 * 1024);
    (void)state;
    for (size_t i = 0; i < 2; i++)
        fake_start(r, i, HONEST);
    char *url = xasprintf("http://%s/m.gguf", r->fake[0].address);
    char *to = xasprintf("//%s/m.gguf?key=1", r->fake[1].address);
    r->fake[0].to = to;
    r->fake[1].expires = r->m->total_size / 2;
    transfer_start(r, 0);
    transfer_add_web(r->transfer, url);
    arrives(r);
    assert_int_equal(r->fake[0].sent, 0);
    assert_true(r->fake[0].asked >= 2 && r->fake[0].asked < r->fake[1].asked);
    assert_int_equal(r->model.wasted, 0);
    free(url);
    free(to);
    rig_finish(r);
}

static void redirects_in_circles_end(void **state)
{
    struct rig *r = rig_start(2, 1000);
    (void)state;
    char *url = xasprintf("http://%s/m.gguf", fake_start(r, 0, HONEST)->address);
    r->fake[0].to = "/m.gguf";
    transfer_start(r, 0);
    transfer_add_web(r->transfer, url);
    assert_true(run_until(r, circles_are_told));
    assert_in_range(r->fake[0].asked, 20, 100);
    free(url);
    rig_finish(r);
}

/* In the middle of everything. */
static void it_can_be_ended_at_any_time(void **state)
{
    (void)state;
    for (int turns = 0; turns < 60; turns += 3) {
        struct rig *r = rig_start(4, 700 * 1024);
        fake_start(r, 0, HONEST);
        fake_start(r, 1, CORRUPT);
        transfer_start(r, 0);
        transfer_add_peer(r->transfer, r->fake[0].address, true);
        transfer_add_peer(r->transfer, r->fake[1].address, true);
        for (int i = 0; i < turns && !r->done; i++)
            event_base_loop(r->base, EVLOOP_ONCE);
        assert_true(turns > 0 || r->model.fetched == 0);
        rig_finish(r);
    }
}

static void nobody_there_is_told(void **state)
{
    struct rig *r = rig_start(2, 1000);
    (void)state;
    transfer_start(r, 0);
    look(r);
    assert_int_equal(r->model.state, SWARM_FINDING);
    transfer_add_peer(r->transfer, "nonsense/:1", true);
    transfer_add_peer(r->transfer, "host:1", false); /* others tell numbers only */
    look(r);
    assert_int_equal(r->view.peers_in_all, 0);
    transfer_add_peer(r->transfer, "127.0.0.1:1", true);
    for (int64_t end = clock_us() + 300000; clock_us() < end;)
        event_base_loop(r->base, EVLOOP_ONCE);
    look(r);
    assert_int_equal(r->model.state, SWARM_WAITING);
    assert_non_null(strstr(r->model.why, "127.0.0.1:1"));
    assert_true(isnan(r->model.eta));
    rig_finish(r);
}

const struct CMUnitTest transfer_tests[] = {
    cmocka_unit_test(from_many_at_once),
    cmocka_unit_test(nothing_to_do_is_done_later),
    cmocka_unit_test(a_corrupt_peer_is_banned_after_two),
    cmocka_unit_test(the_liar_among_senders_is_found),
    cmocka_unit_test(who_sends_alone_holds_nothing_up),
    cmocka_unit_test(a_peer_without_what_it_says_is_banned),
    cmocka_unit_test(a_silent_peer_holds_nothing_up),
    cmocka_unit_test(broken_replies_are_asked_for_again),
    cmocka_unit_test(a_busy_peer_is_asked_again),
    cmocka_unit_test(nonsense_is_banned),
    cmocka_unit_test(a_flood_is_banned),
    cmocka_unit_test(peers_tell_of_others),
    cmocka_unit_test(nobody_fills_the_table),
    cmocka_unit_test(itself_and_twins_are_left_alone),
    cmocka_unit_test(pieces_from_elsewhere_count),
    cmocka_unit_test(news_of_a_peer_are_used),
    cmocka_unit_test(a_limit_is_kept),
    cmocka_unit_test(a_web_server_helps_out),
    cmocka_unit_test(a_web_server_is_asked_where_peers_are_too_slow),
    cmocka_unit_test(a_seeder_is_asked_where_others_give_nothing),
    cmocka_unit_test(a_web_server_redirects),
    cmocka_unit_test(redirects_in_circles_end),
    cmocka_unit_test(it_can_be_ended_at_any_time),
    cmocka_unit_test(nobody_there_is_told),
};
const size_t transfer_count = ARRAY_LEN(transfer_tests);
