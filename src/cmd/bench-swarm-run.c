/* How `bench swarm` measures: peers, links and programs are started, each row is fetched in turn, all are ended. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/bench-bulk.h"
#include "cmd/bench-swarm.h"
#include "cmd/self.h"
#include "probe/read-file.h"
#include "swarm/hashing.h"
#include "swarm/manifest-make.h"

enum {
    HASH_MS = 600000, /* for peers to hash the model */
    GET_MS = 3600000, /* for one transfer */
    LOOK_MS = 5,
    UP_US = 5000000,
    TAIL_MS = 5000,
    METALINK_PIECE = 1 << 20,
    CONNECTIONS = 4, /* of aria2c to each peer: it is fastest with a few */
};

/* ---- what a process has used ---- */

static int64_t memory_of(pid_t pid)
{
    char *path = xasprintf("/proc/%ld/status", (long)pid), *text = read_file("", path);
    int64_t kib = text != NULL ? read_file_value(text, "VmHWM") : -1;
    free(path);
    free(text);
    return kib >= 0 ? kib << 10 : -1;
}

/* User and system seconds; NAN when it is gone. */
static double cpu_of(pid_t pid)
{
    char *path = xasprintf("/proc/%ld/stat", (long)pid), *text = read_file("", path);
    const char *at = text != NULL ? strrchr(text, ')') : NULL; /* the name may hold anything */
    unsigned long user = 0, system = 0;
    bool ok = at != NULL && sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2;
    free(path);
    free(text);
    return ok ? (double)(user + system) / (double)sysconf(_SC_CLK_TCK) : NAN;
}

/* Seconds of all children that have ended, and theirs. */
static double ended_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double givers_cpu(const struct swarm_bench *b)
{
    double sum = 0;
    for (size_t i = 0; i < b->n_peers; i++)
        sum += cpu_of(b->peer[i]->child.pid);
    return sum;
}

/* "slowest_ms" of the last line of that event among those that the program printed; NAN: none. */
static double slowest_of(const struct stack_program *p, const char *event)
{
    char *text = stack_tail(p), *rest = text, *line;
    double slowest = NAN;
    while ((line = strsep(&rest, "\n")) != NULL) {
        json_t *o = json_parse_object(line, strlen(line), NULL);
        if (o != NULL && strcmp(json_text(o, "event"), event) == 0)
            slowest = json_number(o, "slowest_ms");
        json_decref(o);
    }
    free(text);
    return slowest;
}

/* ---- the model ---- */

struct waiting {
    struct event_base *base;
    struct manifest *m;
    char *why;
};

static void on_made(void *arg, struct manifest *m, uint64_t hashed, const char *why)
{
    struct waiting *w = arg;
    w->m = m;
    w->why = xstrdup(why);
    event_base_loopbreak(w->base);
}

static void on_hashed(void *arg, const char *why)
{
    struct waiting *w = arg;
    w->why = xstrdup(why);
    event_base_loopbreak(w->base);
}

/* What aria2c checks: the hashes of pieces of one size. */
static struct manifest_piece *hash_even(const struct swarm_bench *b, struct crew *crew, struct event_base *base,
                                        size_t *n, char **cause)
{
    struct waiting w = {.base = base};
    uint64_t size = b->m->total_size;
    *n = (size_t)((size + METALINK_PIECE - 1) / METALINK_PIECE);
    struct manifest_piece *piece = xcalloc(*n, sizeof(*piece));
    for (size_t i = 0; i < *n; i++) {
        piece[i].offset = (uint64_t)i * METALINK_PIECE;
        piece[i].size = size - piece[i].offset < METALINK_PIECE ? size - piece[i].offset : METALINK_PIECE;
    }
    int fd = open(b->path, O_RDONLY | O_CLOEXEC);
    struct hashing *h = fd >= 0 ? hashing_start(crew, fd, piece, *n, on_hashed, &w) : NULL;
    if (fd >= 0)
        close(fd);
    if (h != NULL)
        event_base_dispatch(base);
    if (h != NULL && w.why == NULL)
        return piece;
    cause_set(cause, "%s: %s", b->path, w.why != NULL ? w.why : "can't be read");
    free(w.why);
    free(piece);
    return NULL;
}

static void add_peers(const struct swarm_bench *b, struct buf *x)
{
    for (size_t i = 0; i < b->n_peers; i++)
        buf_printf(x, "<url>http://%s/v1/swarm/%s/file</url>\n", b->at[i], b->m->id);
    buf_adds(x, "</file></metalink>\n");
}

/* The file aria2c is given (RFC 5854). */
static int write_metalink(struct swarm_bench *b, const struct manifest_piece *piece, size_t n, char **cause)
{
    struct buf x;
    buf_init(&x, SIZE_MAX / 2);
    buf_printf(&x,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">"
               "<file name=\"m.gguf\"><size>%" PRIu64 "</size>\n<pieces length=\"%d\" type=\"sha-256\">\n",
               b->m->total_size, METALINK_PIECE);
    for (size_t i = 0; i < n; i++) {
        buf_adds(&x, "<hash>");
        for (size_t k = 0; k < MANIFEST_HASH; k++)
            buf_printf(&x, "%02x", piece[i].sha256[k]);
        buf_adds(&x, "</hash>\n");
    }
    buf_adds(&x, "</pieces>\n");
    add_peers(b, &x);
    b->metalink = stack_write(&b->stack, "m.meta4", x.data, cause);
    buf_finish(&x);
    return b->metalink != NULL ? 0 : -1;
}

/* A file to fetch, under a name of its own, with its manifest. */
static int make_model(struct swarm_bench *b, struct crew *crew, struct event_base *base, char **cause)
{
    struct waiting w = {.base = base};
    char *dir = xasprintf("%s/source", b->stack.dir);
    b->dest = xasprintf("%s/fetched", b->stack.dir);
    b->path = xasprintf("%s/m.gguf", dir);
    int rc = mkdir(dir, 0700) == 0 && mkdir(b->dest, 0700) == 0
                 ? 0
                 : cause_set(cause, "%s cannot be made: %s", dir, strerror(errno));
    free(dir);
    char *model = rc == 0 && b->model != NULL ? realpath(b->model, NULL) : NULL;
    if (rc == 0 && b->model == NULL)
        rc = bench_bulk_write(b->path, b->size, cause);
    else if (rc == 0 && (model == NULL || symlink(model, b->path) != 0))
        rc = cause_set(cause, "%s: %s", b->model, strerror(errno));
    free(model);
    if (rc != 0)
        return -1;
    manifest_make(crew, &(struct manifest_make_opts){.path = b->path}, on_made, &w);
    event_base_dispatch(base);
    b->m = w.m;
    if (w.m == NULL)
        cause_set(cause, "%s", w.why);
    free(w.why);
    return w.m != NULL ? 0 : -1;
}

/* ---- peers ---- */

static bool gives(const json_t *o)
{
    return json_array_size(json_object_get(o, "shares")) > 0;
}

static void arg_program(struct swarm_bench *b, struct stack_argv *a)
{
    char *self = self_program();
    stack_arg(a, "%s", self);
    free(self);
    stack_arg(a, "-c");
    stack_arg(a, "%s", b->empty);
    stack_arg(a, "swarm");
}

static int start_peer(struct swarm_bench *b, size_t i, char **cause)
{
    struct stack_argv a = {0};
    int port = child_free_port(0);
    arg_program(b, &a);
    stack_arg(&a, "seed");
    stack_arg(&a, "%s", b->path);
    stack_arg(&a, "--listen");
    stack_arg(&a, "127.0.0.1:%d", port);
    stack_arg(&a, "--no-discovery");
    stack_arg(&a, "--json");
    struct stack_program *p = b->peer[i] = stack_start(&b->stack, "a peer", &a, cause);
    if (p == NULL)
        return -1;
    p->address = xasprintf("127.0.0.1:%d", port);
    if (stack_wait_http(&b->stack, p, "/v1/swarm", gives, HASH_MS, cause) != 0)
        return -1;
    b->at[i] = drawer_front(&b->stack, &b->link, p->address, cause);
    return b->at[i] != NULL ? 0 : -1;
}

static bool listens(int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static int start_rsync(struct swarm_bench *b, char **cause)
{
    struct stack_argv a = {0};
    int port = child_free_port(0);
    /* As root it would read as nobody, who may not. */
    char *text = xasprintf("port = %d\naddress = 127.0.0.1\nuse chroot = no\n%s[m]\npath = %s/source\n", port,
                           geteuid() == 0 ? "uid = 0\ngid = 0\n" : "", b->stack.dir);
    char *file = stack_write(&b->stack, "rsyncd.conf", text, cause), *at = xasprintf("127.0.0.1:%d", port);
    stack_arg(&a, "rsync");
    stack_arg(&a, "--daemon");
    stack_arg(&a, "--no-detach");
    stack_arg(&a, "--config=%s", file != NULL ? file : "");
    if (file != NULL && stack_start(&b->stack, "the rsync daemon", &a, cause) != NULL) {
        for (int64_t until = clock_us() + UP_US; !listens(port) && clock_us() < until;)
            stack_nap(&b->stack, LOOK_MS);
        b->daemon_at = drawer_front(&b->stack, &b->link, at, cause);
    }
    stack_argv_finish(&a);
    free(text);
    free(file);
    free(at);
    return b->daemon_at != NULL ? 0 : -1;
}

/* ---- one transfer ---- */

static void arg_getter(struct swarm_bench *b, enum swarm_bench_row row, struct stack_argv *a)
{
    if (row == BENCH_SWARM) {
        arg_program(b, a);
        stack_arg(a, "pull");
        stack_arg(a, "%s", b->m->id);
        for (size_t i = 0; i < b->n_peers; i++)
            stack_arg(a, "--peer=%s", b->at[i]);
        stack_arg(a, "--dest=%s", b->dest);
        stack_arg(a, "--listen=127.0.0.1:%d", child_free_port(0));
        stack_arg(a, "--no-local");
        stack_arg(a, "--no-discovery");
        stack_arg(a, "--json");
    } else if (row == BENCH_ARIA2C) {
        stack_arg(a, "aria2c");
        stack_arg(a, "--no-conf");
        stack_arg(a, "--quiet");
        stack_arg(a, "--file-allocation=none");
        stack_arg(a, "--max-connection-per-server=%d", CONNECTIONS);
        stack_arg(a, "--split=%zu", CONNECTIONS * b->n_peers);
        stack_arg(a, "--min-split-size=1M");
        stack_arg(a, "--dir=%s", b->dest);
        stack_arg(a, "--metalink-file=%s", b->metalink);
    } else {
        stack_arg(a, "rsync");
        stack_arg(a, "--whole-file");
        stack_arg(a, "--copy-links");
        stack_arg(a, "rsync://%s/m/m.gguf", b->daemon_at);
        stack_arg(a, "%s/m.gguf", b->dest);
    }
}

static int compare(const char *a, const char *b, char **cause)
{
    enum { CHUNK = 1 << 20 };
    FILE *f = fopen(a, "re"), *g = fopen(b, "re");
    char *x = xmalloc(CHUNK), *y = xmalloc(CHUNK);
    bool same = f != NULL && g != NULL;
    for (size_t n = 1; same && n > 0;) {
        n = fread(x, 1, CHUNK, f);
        same = fread(y, 1, CHUNK, g) == n && memcmp(x, y, n) == 0;
    }
    if (f != NULL)
        fclose(f);
    if (g != NULL)
        fclose(g);
    free(x);
    free(y);
    return same ? 0 : cause_set(cause, "what was fetched is not what is given out");
}

/* Until it has ended; how much it holds is looked at on the way. */
static int follow(struct swarm_bench *b, struct stack_program *p, struct swarm_bench_use *use, char **cause)
{
    int64_t until = clock_us() + (int64_t)GET_MS * 1000;
    char *how = NULL;
    *use = (struct swarm_bench_use){.memory = -1, .slowest = NAN};
    for (;;) {
        int64_t memory = memory_of(p->child.pid);
        use->memory = memory > use->memory ? memory : use->memory;
        if (child_ended(&p->child, &how))
            break;
        if (b->stack.stop)
            return cause_set(cause, "interrupted");
        if (clock_us() > until)
            return cause_set(cause, "it does not end");
        stack_nap(&b->stack, LOOK_MS);
    }
    char *tail = p->child.well ? NULL : stack_tail(p);
    int rc = p->child.well ? 0 : cause_set(cause, "%s; it printed:\n%s", how, tail);
    free(tail);
    free(how);
    return rc;
}

static int fetch(struct swarm_bench *b, enum swarm_bench_row row, struct swarm_bench_run *run, char **cause)
{
    struct stack_argv a = {0};
    char *file = xasprintf("%s/m.gguf", b->dest), *manifest = manifest_path(file);
    unlink(file);
    unlink(manifest);
    arg_getter(b, row, &a);
    double before = givers_cpu(b), ended = ended_cpu();
    int64_t since = clock_us();
    struct stack_program *p = stack_start(&b->stack, swarm_bench_name(row), &a, cause);
    int rc = p != NULL ? follow(b, p, &run->getter, cause) : -1;
    run->seconds = (double)(clock_us() - since) / 1e6;
    run->getter.cpu = ended_cpu() - ended;
    run->givers_cpu = row == BENCH_RSYNC ? NAN : givers_cpu(b) - before; /* the daemon's are not asked */
    if (rc == 0 && row == BENCH_SWARM)
        run->getter.slowest = slowest_of(p, "done");
    if (rc == 0)
        rc = compare(b->path, file, cause);
    stack_end(&b->stack, p);
    unlink(file);
    unlink(manifest);
    free(file);
    free(manifest);
    return rc;
}

/* ---- all of it ---- */

static bool installed(const char *program)
{
    char *said = child_output((const char *const[]){program, "--version", NULL}, 5000, 65536);
    free(said);
    return said != NULL;
}

static int prepare(struct swarm_bench *b, char **cause)
{
    struct event_base *base = event_base_new();
    struct crew *crew = crew_create(base, 0);
    size_t n = 0;
    char *cache = xasprintf("XDG_CACHE_HOME=%s/cache", b->stack.dir);
    putenv(
        cache); /* of this process as well: the peers then find the manifest that it makes; kept by the environment */
    stack_set_env(&b->stack, cache);
    b->empty = stack_write(&b->stack, "empty.yaml", "{}\n", cause);
    int rc = b->empty != NULL && crew != NULL ? make_model(b, crew, base, cause) : -1;
    for (size_t i = 0; rc == 0 && i < b->n_peers; i++)
        rc = start_peer(b, i, cause);
    b->result[BENCH_SWARM].there = true;
    b->result[BENCH_ARIA2C].there = installed("aria2c");
    b->result[BENCH_RSYNC].there = installed("rsync");
    if (rc == 0 && b->wanted[BENCH_ARIA2C] && b->result[BENCH_ARIA2C].there) {
        struct manifest_piece *piece = hash_even(b, crew, base, &n, cause);
        rc = piece != NULL ? write_metalink(b, piece, n, cause) : -1;
        free(piece);
    }
    if (rc == 0 && b->wanted[BENCH_RSYNC] && b->result[BENCH_RSYNC].there)
        rc = start_rsync(b, cause);
    crew_destroy(crew);
    event_base_free(base);
    return rc;
}

/* What the peers tell when they are ended. */
static void ask_givers(struct swarm_bench *b)
{
    b->giver = (struct swarm_bench_use){.memory = -1, .slowest = NAN};
    for (size_t i = 0; i < b->n_peers; i++) {
        struct stack_program *p = b->peer[i];
        int64_t memory = memory_of(p->child.pid), until = clock_us() + (int64_t)TAIL_MS * 1000;
        char *how = NULL;
        b->giver.memory = memory > b->giver.memory ? memory : b->giver.memory;
        kill(p->child.pid, SIGTERM);
        while (!child_ended(&p->child, &how) && clock_us() < until)
            stack_nap(&b->stack, LOOK_MS);
        free(how);
        b->giver.slowest = fmax(b->giver.slowest, slowest_of(p, "stopped"));
    }
}

int swarm_bench_measure(struct swarm_bench *b, char **cause)
{
    if (stack_init(&b->stack, cause) != 0 || prepare(b, cause) != 0)
        return -1;
    for (size_t i = 0; i < b->runs; i++) {
        for (int row = 0; row < BENCH_SWARM_ROWS; row++) {
            struct swarm_bench_result *r = &b->result[row];
            if (!b->wanted[row] || !r->there || r->failure != NULL)
                continue;
            if (fetch(b, (enum swarm_bench_row)row, &r->run[r->n_runs], &r->failure) == 0)
                r->n_runs++;
            if (b->stack.stop)
                return cause_set(cause, "interrupted");
        }
    }
    ask_givers(b);
    return 0;
}

void swarm_bench_finish(struct swarm_bench *b)
{
    stack_finish(&b->stack);
    for (size_t i = 0; i < b->n_peers; i++)
        free(b->at[i]);
    for (int i = 0; i < BENCH_SWARM_ROWS; i++)
        free(b->result[i].failure);
    manifest_destroy(b->m);
    free(b->path);
    free(b->dest);
    free(b->daemon_at);
    free(b->metalink);
    free(b->empty);
}
