#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <event2/event.h>
#include <openssl/evp.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "transfer-rig.h"

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

void say(struct fake *f, const char *line)
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

struct fake *fake_start(struct rig *r, size_t i, enum manner manner)
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
struct rig *rig_start(size_t n_pieces, size_t piece_size)
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

void rig_finish(struct rig *r)
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

void look(struct rig *r)
{
    r->view.n_peers = r->view.peers_in_all = 0;
    transfer_fill(r->transfer, &r->model, &r->view);
}

void on_transfer(void *arg, bool ok, const char *why)
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

void transfer_start(struct rig *r, int64_t limit)
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

const struct swarm_view_peer *seen(struct rig *r, size_t i)
{
    look(r);
    for (size_t k = 0; k < r->view.n_peers; k++)
        if (strcmp(r->view.peer[k].address, r->fake[i].address) == 0)
            return &r->view.peer[k];
    return NULL;
}

/* Runs the loop until the condition holds. */
bool run_until(struct rig *r, bool (*condition)(struct rig *r))
{
    int64_t end = clock_us() + (int64_t)WAIT_S * 1000000;
    while (!condition(r) && clock_us() < end) {
        event_base_loopexit(r->base, &(struct timeval){.tv_usec = 10000});
        event_base_dispatch(r->base);
    }
    return condition(r);
}

bool is_done(struct rig *r)
{
    return r->done;
}

/* It ends well, with the right bytes. */
void arrives(struct rig *r)
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
void arrives_soon(struct rig *r)
{
    int64_t start = clock_us();
    arrives(r);
    assert_true(clock_us() - start < 20000000);
}
bool one_is_asked(struct rig *r)
{
    return r->fake[0].asked > 0;
}
