#include "node/worker.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <llama.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/listen.h"
#include "http/peer.h"
#include "node/llama-log.h"
#include "node/worker-cache.h"
#include "node/worker-front.h"
#include "node/worker-options.h"
#include "node/worker-stock.h"
#include "probe/worker-note.h"

struct worker {
    struct worker_options opts;
    struct event_base *base;
    struct worker_front *front;
    char *cache; /* the folder that the server uses; NULL: none */
    uint64_t cache_max;
    char *address; /* HOST:PORT as bound */
    bool local;    /* nobody but this machine can reach it */
    int port;
    int note;   /* see worker-note.h; -1: none */
    int status; /* of the process */
};

static double gib(uint64_t bytes)
{
    return (double)bytes / (1024.0 * 1024.0 * 1024.0);
}

/* Who may connect, in words. */
static const char *who(const struct worker *w)
{
    if (w->opts.allow_text != NULL)
        return w->opts.allow_text;
    return w->local ? "this machine alone (--listen makes it reachable)" : "this machine and private networks";
}

static void print_device(const json_t *d)
{
    uint64_t total = (uint64_t)json_integer_value(json_object_get(d, "total"));
    uint64_t unused = (uint64_t)json_integer_value(json_object_get(d, "free"));
    printf("  %-8s %s", json_string_value(json_object_get(d, "name")),
           json_string_value(json_object_get(d, "description")));
    if (total > 0)
        printf(", %.1f GiB, %.1f GiB free", gib(total), gib(unused));
    putchar('\n');
}

static void print_text(const struct worker *w, const json_t *devices)
{
    struct worker_cache_report cache;
    const json_t *list = json_object_get(devices, "devices"), *d;
    size_t i;
    printf("Lending at %s", w->address);
    if (devices != NULL)
        printf(" (ggml RPC protocol %s)", json_string_value(json_object_get(devices, "protocol")));
    putchar('\n');
    json_array_foreach((json_t *)list, i, d) print_device(d);
    if (devices == NULL)
        printf("  %-8s what %s takes by itself or by --device\n", "devices", w->opts.stock);
    if (w->cache != NULL) {
        worker_cache_look(w->cache, &cache);
        printf("  %-8s %s, %.1f GiB", "cache", w->cache, gib(cache.bytes));
        if (w->cache_max > 0)
            printf(" of at most %.1f GiB", gib(w->cache_max));
        putchar('\n');
    }
    printf("  %-8s %s; one client at a time, trusted, nothing encrypted\n", "serves", who(w));
    fflush(stdout);
}

static json_t *allow_json(const struct worker *w)
{
    json_t *list = json_array();
    char *copy = xstrdup(w->opts.allow_text != NULL ? w->opts.allow_text : w->local ? "loopback" : "loopback,private");
    char *rest = copy, *part;
    while ((part = strsep(&rest, ",")) != NULL) {
        part += strspn(part, " ");
        part[strcspn(part, " ")] = '\0';
        json_array_append_new(list, json_string(part));
    }
    free(copy);
    return list;
}

static void print_json(const struct worker *w, const json_t *devices)
{
    struct worker_cache_report cache;
    json_t *all =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:o}", "address", w->address, "host", w->opts.host, "port", w->port, "pid",
                  (int)getpid(), "server_pid", (int)worker_front_server_pid(w->front), "allow", allow_json(w));
    json_object_update(all, (json_t *)devices);
    if (w->cache != NULL) {
        worker_cache_look(w->cache, &cache);
        json_object_set_new(all, "cache",
                            json_pack("{s:s, s:I, s:I, s:I}", "folder", w->cache, "bytes", (json_int_t)cache.bytes,
                                      "files", (json_int_t)cache.files, "max", (json_int_t)w->cache_max));
    } else {
        json_object_set_new(all, "cache", json_null());
    }
    char *text = json_dumps(all, JSON_COMPACT);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(all);
}

static void on_ready(const json_t *devices, void *arg)
{
    const struct worker *w = arg;
    if (w->opts.json)
        print_json(w, devices);
    else
        print_text(w, devices);
}

static void on_failed(const char *why, void *arg)
{
    struct worker *w = arg;
    log_error("%s", why);
    w->status = 1;
    event_base_loopbreak(w->base);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct worker *w = arg;
    log_info("stopping");
    event_base_loopbreak(w->base);
}

/* Notes what fd is bound to. */
static void note_address(struct worker *w, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct peer self = {0};
    if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        peer_describe(&self, (struct sockaddr *)&sa);
    w->local = self.local;
    w->port = listen_port(fd);
    bool v6 = strchr(w->opts.host, ':') != NULL;
    w->address = xasprintf("%s%s%s:%d", v6 ? "[" : "", w->opts.host, v6 ? "]" : "", w->port);
}

static int prepare_cache(struct worker *w, char **cause)
{
    const struct worker_options *o = &w->opts;
    if (o->cache == NULL)
        return 0;
    w->cache = o->stock != NULL ? worker_stock_cache(o->cache) : xstrdup(o->cache);
    if (worker_cache_prepare(w->cache, cause) != 0) {
        if (o->cache_named)
            return -1;
        log_warn("no cache: %s", *cause);
        free(w->cache);
        w->cache = NULL;
        return 0;
    }
    w->cache_max = o->cache_max < 0 ? worker_cache_half(w->cache) : (uint64_t)o->cache_max;
    return 0;
}

static void leave_note(struct worker *w)
{
    const struct worker_note note = {.cache = w->cache, .cache_max = w->cache_max};
    char *cause = NULL;
    w->note = worker_note_write(w->port, &note, &cause);
    if (w->note < 0)
        log_info("this machine's agent can't fill the cache beforehand: %s", cause);
    free(cause);
}

static int start(struct worker *w, char **cause)
{
    static const struct worker_front_events events = {.ready = on_ready, .failed = on_failed};
    if (w->opts.stock != NULL && strchr(w->opts.stock, '/') != NULL && access(w->opts.stock, X_OK) != 0)
        return cause_set(cause, "--stock %s: %s", w->opts.stock, strerror(errno));
    if (prepare_cache(w, cause) != 0)
        return -1;
    int fd = listen_bind(w->opts.host, (int)w->opts.port, cause);
    if (fd < 0)
        return -1;
    evutil_make_socket_nonblocking(fd);
    note_address(w, fd);
    leave_note(w);
    w->front = worker_front_create(w->base, &w->opts, w->cache, w->cache_max, &events, w);
    return worker_front_start(w->front, fd, cause);
}

static int run(struct worker *w)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct event *handlers[ARRAY_LEN(signals)];
    char *cause = NULL;
    w->base = event_base_new();
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
        handlers[i] = evsignal_new(w->base, signals[i], on_signal, w);
        event_add(handlers[i], NULL);
    }
    if (start(w, &cause) == 0) {
        event_base_dispatch(w->base);
    } else {
        log_error("%s", cause != NULL ? cause : "could not start");
        w->status = 1;
    }
    worker_front_destroy(w->front);
    worker_note_remove(w->port, w->note);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        event_free(handlers[i]);
    event_base_free(w->base);
    free(w->cache);
    free(w->address);
    free(cause);
    return w->status;
}

int worker_main(int argc, char **argv)
{
    struct worker w = {.note = -1};
    char *cause = NULL;
    int status = 0;
    log_set_program("tightwad-worker");
    if (worker_options_parse(&w.opts, argc, argv, &cause) != 0) {
        fprintf(stderr, "tightwad-worker: %s\n", cause);
        free(cause);
        worker_options_finish(&w.opts);
        return 2;
    }
    log_set_level(w.opts.log_level);
    log_set_json(w.opts.log_json);
    signal(SIGPIPE, SIG_IGN);
    llama_log_install();
    if (w.opts.help)
        worker_options_print_help(stdout);
    else if (w.opts.version)
        printf("tightwad-worker %s, llama.cpp %s\n", TIGHTWAD_VERSION, llama_version());
    else
        status = run(&w);
    worker_options_finish(&w.opts);
    return status;
}
