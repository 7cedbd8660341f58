#include "probe/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"
#include "probe/resolve.h"
#include "probe/rpc.h"
#include "probe/scan-answer.h"
#include "probe/scan-ask.h"
#include "probe/scan-place.h"

enum {
    SOCKETS_LEAST = 16,
    RPC_MS = 1500,    /* for a worker's answer */
    NAMES_MS = 700,   /* that the names of addresses are waited for in the end */
    NOBODY_AFTER = 3, /* connections without an answer: by then the system has asked twice who has the address */
    ARP_MAX_AGE_US = 100 * 1000,
    ARP_MAX = 256 * 1024,
    PROGRESS_US = 50 * 1000,
};

/* One port of one address: first a connection, then what serves there. */
struct attempt {
    TAILQ_ENTRY(attempt) entry;
    struct scan *scan;
    size_t place;
    struct scan_port port;
    int fd; /* -1: not connecting any more */
    struct event *event;
    int64_t begun_us, connect_us;
    struct scan_ask *ask;
    struct rpc_query *rpc;
};

/* A look-up: of a host that was named, or of the name of a place. */
struct named {
    struct scan *scan;
    char *name;
    int port;
    size_t place;
    struct resolve *resolve; /* NULL: over */
};

struct scan {
    struct event_base *base;
    struct httpc *http;
    scan_progress_cb *progress;
    scan_done_cb *done;
    void *arg;
    bool ask_workers;
    char *agent_token;
    size_t sockets;
    int connect_ms;
    struct scan_places places;
    TAILQ_HEAD(, attempt) attempts;
    size_t n_attempts;
    struct named **hosts, **names; /* look-ups, either way */
    size_t n_hosts, n_names;
    size_t n_done;
    struct event *kick, *deadline, *patience;
    int64_t begun_us, told_us;
    char *arp;
    int64_t arp_us;
    struct scan_summary summary;
};

static void pump(struct scan *s);

static void note(struct scan *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(struct scan *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    s->summary.note = xreallocarray(s->summary.note, s->summary.n_notes + 1, sizeof(char *));
    s->summary.note[s->summary.n_notes++] = xvasprintf(fmt, ap);
    va_end(ap);
}

/* ---- ends ---- */

static void attempt_free(struct attempt *a)
{
    struct scan *s = a->scan;
    TAILQ_REMOVE(&s->attempts, a, entry);
    s->n_attempts--;
    if (a->event != NULL)
        event_free(a->event);
    if (a->fd >= 0)
        close(a->fd);
    scan_ask_cancel(a->ask);
    rpc_query_cancel(a->rpc);
    free(a);
}

static void named_free(struct named **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        resolve_cancel(list[i]->resolve);
        free(list[i]->name);
        free(list[i]);
    }
    free(list);
}

static void scan_free(struct scan *s)
{
    while (!TAILQ_EMPTY(&s->attempts))
        attempt_free(TAILQ_FIRST(&s->attempts));
    named_free(s->hosts, s->n_hosts);
    named_free(s->names, s->n_names);
    struct event *events[] = {s->kick, s->deadline, s->patience};
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        event_free(events[i]);
    for (size_t i = 0; i < s->summary.n_notes; i++)
        free(s->summary.note[i]);
    free(s->summary.note);
    scan_places_finish(&s->places);
    free(s->agent_token);
    free(s->arp);
    free(s);
}

static void finish(struct scan *s)
{
    size_t n = 0;
    struct machine *list = xcalloc(s->places.n + 1, sizeof(*list));
    for (size_t i = 0; i < s->places.n; i++) {
        struct scan_place *k = &s->places.list[i];
        if (!k->found)
            continue;
        if (k->m.name[0] == '\0')
            snprintf(k->m.name, sizeof(k->m.name), "%s", k->m.address);
        list[n++] = k->m;
        k->found = false;
    }
    s->summary.addresses = s->places.n;
    s->summary.left_out = s->places.left_out;
    s->summary.seconds = (double)(clock_us() - s->begun_us) / 1e6;
    if (s->progress != NULL)
        s->progress(s->n_done, scan_places_total(&s->places), NULL, s->arg);
    s->done(list, n, &s->summary, s->arg);
    scan_free(s);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct scan *s = arg;
    (void)fd;
    (void)what;
    s->summary.timed_out = true;
    finish(s);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    finish(arg);
}

static void tell(struct scan *s, const struct machine *found)
{
    int64_t now = clock_us();
    if (s->progress == NULL || (found == NULL && now - s->told_us < PROGRESS_US))
        return;
    s->told_us = now;
    s->progress(s->n_done, scan_places_total(&s->places), found, s->arg);
}

static void attempt_end(struct attempt *a)
{
    struct scan *s = a->scan;
    attempt_free(a);
    s->n_done++;
    tell(s, NULL);
    event_active(s->kick, EV_TIMEOUT, 0);
}

/* ---- what is found ---- */

static void on_name(const char *name, void *arg)
{
    struct named *n = arg;
    struct scan *s = n->scan;
    struct machine *m = &s->places.list[n->place].m;
    n->resolve = NULL;
    if (name != NULL && m->name[0] == '\0') {
        machine_text(m->name, sizeof(m->name), name);
        tell(s, m);
    }
    event_active(s->kick, EV_TIMEOUT, 0);
}

static void look_up_name(struct scan *s, size_t place)
{
    const struct scan_place *k = &s->places.list[place];
    struct named *n = xcalloc(1, sizeof(*n));
    *n = (struct named){.scan = s, .place = place};
    s->names = xreallocarray(s->names, s->n_names + 1, sizeof(struct named *));
    s->names[s->n_names++] = n;
    n->resolve = resolve_name_start(s->base, (const struct sockaddr *)&k->address, k->len, on_name, n);
}

/* The machine that the place stands for. */
static struct machine *machine_of(struct scan *s, size_t place)
{
    size_t at = scan_places_machine(&s->places, place);
    struct scan_place *k = &s->places.list[at];
    if (!k->found) {
        k->found = true;
        machine_init(&k->m, MACHINE_SEEN);
        snprintf(k->m.address, sizeof(k->m.address), "%s", k->here ? "127.0.0.1" : k->host);
        if (k->here)
            gethostname(k->m.name, sizeof(k->m.name) - 1);
        else if (s->places.list[place].named)
            snprintf(k->m.name, sizeof(k->m.name), "%s", s->places.list[place].host);
        else
            look_up_name(s, at);
    }
    return &k->m;
}

/* Takes over what an ask or a worker's report filled in. */
static void add_found(struct attempt *a, struct machine *m)
{
    struct scan *s = a->scan;
    struct machine_service mine = m->service[0];
    bool loopback = strncmp(s->places.list[a->place].host, "127.", 4) == 0;
    struct machine *to = machine_of(s, a->place);
    if (mine.rtt_us < 0)
        m->service[0].rtt_us = m->rtt_us = a->connect_us;
    scan_answer_merge(to, m);
    for (size_t i = 0; i < to->n_services; i++) {
        /* What listens on all addresses is found on several of this machine's; this is the one that stays. */
        if (loopback && to->service[i].kind == mine.kind && to->service[i].port == mine.port)
            memcpy(to->service[i].host, mine.host, sizeof(mine.host));
    }
    tell(s, to);
}

/* sum: -1 unknown. */
static int64_t add_bytes(int64_t sum, uint64_t more)
{
    sum = sum > 0 ? sum : 0;
    return more < (uint64_t)(INT64_MAX - sum) ? sum + (int64_t)more : INT64_MAX;
}

static void add_worker(struct attempt *a, const struct rpc_report *r)
{
    struct machine m;
    machine_init(&m, MACHINE_SEEN);
    struct machine_service *service = machine_add_service(&m);
    service->kind = SERVICE_WORKER;
    service->port = a->port.port;
    snprintf(service->host, sizeof(service->host), "%s", a->scan->places.list[a->place].host);
    service->rtt_us = m.rtt_us = a->connect_us;
    if (r != NULL && r->major >= 0)
        snprintf(service->version, sizeof(service->version), "RPC %d.%d.%d", r->major, r->minor, r->patch);
    for (size_t i = 0; r != NULL && i < r->n_devices; i++) {
        service->memory = add_bytes(service->memory, r->devices[i].total);
        service->memory_free = add_bytes(service->memory_free, r->devices[i].free);
    }
    if (r != NULL)
        service->busy = r->state == RPC_SILENT || r->state == RPC_CLOSED;
    if (r != NULL && r->state == RPC_VERSION)
        machine_add_note(&m, "%s", r->text);
    add_found(a, &m);
}

static void on_worker(const struct rpc_report *r, void *arg)
{
    struct attempt *a = arg;
    const struct scan_place *k = &a->scan->places.list[a->place];
    bool usual = a->port.likely == SERVICE_WORKER;
    a->rpc = NULL;
    if (r->state == RPC_OK || r->state == RPC_VERSION || (usual && (r->state == RPC_SILENT || r->state == RPC_CLOSED)))
        add_worker(a, r);
    else if (k->port != 0)
        note(a->scan, "%s:%d takes connections, but is no Ollama, llama-server, node, worker or agent", k->host,
             k->port);
    attempt_end(a);
}

static void ask_worker(struct attempt *a)
{
    const struct rpc_ask ask = {
        .host = a->scan->places.list[a->place].host, .port = a->port.port, .timeout_ms = RPC_MS};
    a->rpc = rpc_query_start(a->scan->base, &ask, on_worker, a);
}

static void on_asked(struct machine *m, void *arg)
{
    struct attempt *a = arg;
    a->ask = NULL;
    if (m == NULL && a->scan->places.list[a->place].port != 0) {
        ask_worker(a); /* somebody said that something is there */
        return;
    }
    if (m != NULL)
        add_found(a, m);
    attempt_end(a);
}

static void opened(struct attempt *a)
{
    struct scan *s = a->scan;
    const struct scan_place *k = &s->places.list[a->place];
    s->summary.open++;
    a->connect_us = clock_us() - a->begun_us;
    event_free(a->event);
    a->event = NULL;
    close(a->fd);
    a->fd = -1;
    if (a->port.likely != SERVICE_WORKER) {
        const struct scan_ask_opts opts = {.host = k->host,
                                           .port = a->port.port,
                                           .likely = a->port.likely,
                                           .agent_token = k->named ? s->agent_token : NULL};
        a->ask = scan_ask_start(s->http, &opts, on_asked, a);
    } else if (s->ask_workers) {
        ask_worker(a);
    } else {
        add_worker(a, NULL);
        attempt_end(a);
    }
}

/* ---- connections ---- */

/* Read anew where it is old: a scan asks often. */
static const char *arp_table(struct scan *s)
{
    int64_t now = clock_us();
    if (s->arp != NULL && now - s->arp_us < ARP_MAX_AGE_US)
        return s->arp;
    int fd = open("/proc/net/arp", O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    s->arp = xrealloc(s->arp, ARP_MAX);
    for (ssize_t n = 1; fd >= 0 && n > 0 && len<ARP_MAX - 1; len += n> 0 ? (size_t)n : 0)
        n = read(fd, s->arp + len, ARP_MAX - 1 - len);
    s->arp[len] = '\0';
    s->arp_us = now;
    if (fd >= 0)
        close(fd);
    return s->arp;
}

static void no_answer(struct attempt *a)
{
    struct scan_place *k = &a->scan->places.list[a->place];
    k->timeouts++;
    if (!k->named && k->address.ss_family == AF_INET && k->timeouts >= NOBODY_AFTER)
        k->nobody = scan_arp_is_nobody(arp_table(a->scan),
                                       ntohl(((const struct sockaddr_in *)(const void *)&k->address)->sin_addr.s_addr));
}

static void on_connect(evutil_socket_t fd, short what, void *arg)
{
    struct attempt *a = arg;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof(error);
    /* Where the loop was held up, the connection may stand although its time is over. */
    if ((what & EV_TIMEOUT) && poll(&p, 1, 0) == 0)
        error = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0) {
        opened(a);
        return;
    }
    if (error == ETIMEDOUT || error == EHOSTUNREACH)
        no_answer(a);
    attempt_end(a);
}

static void attempt_start(struct scan *s, size_t place, const struct scan_port *port)
{
    const struct scan_place *k = &s->places.list[place];
    struct sockaddr_storage to = k->address;
    struct attempt *a = xcalloc(1, sizeof(*a));
    *a = (struct attempt){.scan = s, .place = place, .port = *port, .begun_us = clock_us()};
    TAILQ_INSERT_TAIL(&s->attempts, a, entry);
    s->n_attempts++;
    s->summary.tried++;
    if (to.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&to)->sin6_port = htons((uint16_t)port->port);
    else
        ((struct sockaddr_in *)(void *)&to)->sin_port = htons((uint16_t)port->port);
    a->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0 && s->summary.n_notes == 0)
        note(s, "not all could be tried: %s", strerror(errno));
    if (a->fd < 0 || (connect(a->fd, (const struct sockaddr *)&to, k->len) != 0 && errno != EINPROGRESS)) {
        attempt_end(a);
        return;
    }
    a->event = event_new(s->base, a->fd, EV_WRITE, on_connect, a);
    event_add(a->event, &(struct timeval){s->connect_ms / 1000, s->connect_ms % 1000 * 1000});
}

static bool any_pending(struct named *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i]->resolve != NULL)
            return true;
    }
    return false;
}

/* Starts what there is room for; ends the scan when all is done. */
static void pump(struct scan *s)
{
    size_t place, skipped;
    struct scan_port port;
    while (s->n_attempts < s->sockets) {
        bool more = scan_places_next(&s->places, &place, &port, &skipped);
        s->n_done += skipped;
        if (!more)
            break;
        attempt_start(s, place, &port);
    }
    if (s->n_attempts > 0 || any_pending(s->hosts, s->n_hosts))
        return;
    if (!any_pending(s->names, s->n_names))
        finish(s);
    else if (!event_pending(s->patience, EV_TIMEOUT, NULL))
        event_add(s->patience, &(struct timeval){.tv_usec = NAMES_MS * 1000});
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    pump(arg);
}

/* ---- hosts that are named ---- */

/* IPv4 before IPv6: workers and stock servers listen there. */
static void on_host(struct addrinfo *list, int error, void *arg)
{
    struct named *n = arg;
    struct scan *s = n->scan;
    const struct addrinfo *best = list;
    n->resolve = NULL;
    for (const struct addrinfo *i = list; i != NULL; i = i->ai_next) {
        if (i->ai_family == AF_INET) {
            best = i;
            break;
        }
    }
    if (best != NULL)
        scan_places_add(&s->places, best->ai_addr, best->ai_addrlen, n->name, n->port, true);
    else
        note(s, "%s: no machine of this name is known (%s)", n->name, gai_strerror(error));
    if (list != NULL)
        freeaddrinfo(list);
    event_active(s->kick, EV_TIMEOUT, 0);
}

static int add_hosts(struct scan *s, const struct scan_opts *o, char **cause)
{
    s->hosts = xcalloc(o->n_hosts + 1, sizeof(struct named *));
    for (size_t i = 0; i < o->n_hosts; i++) {
        struct named *n = xcalloc(1, sizeof(*n));
        n->scan = s;
        s->hosts[s->n_hosts++] = n;
        if (scan_host_parse(o->hosts[i], &n->name, &n->port, cause) != 0)
            return -1;
    }
    for (size_t i = 0; i < s->n_hosts; i++)
        s->hosts[i]->resolve = resolve_start(s->base, s->hosts[i]->name, s->hosts[i]->port, on_host, s->hosts[i]);
    return 0;
}

static int add_places(struct scan *s, const struct scan_opts *o, char **cause)
{
    struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!o->no_loopback)
        scan_places_add(&s->places, (const struct sockaddr *)&loopback, sizeof(loopback), NULL, 0, true);
    for (size_t i = 0; i < o->n_subnets; i++) {
        struct scan_net net;
        if (scan_net_parse(&net, o->subnets[i], cause) != 0)
            return -1;
        scan_places_add_net(&s->places, &net);
    }
    if (!o->no_local)
        scan_places_add_local(&s->places);
    return 0;
}

/* A quarter of the files that the process may open, so that the rest of it goes on. */
static size_t sockets_allowed(int wanted)
{
    struct rlimit r;
    size_t most = wanted > 0 ? (size_t)wanted : SCAN_SOCKETS;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur != RLIM_INFINITY && r.rlim_cur / 4 < most)
        most = (size_t)(r.rlim_cur / 4);
    return most > SOCKETS_LEAST || wanted > 0 ? most : SOCKETS_LEAST;
}

struct scan *scan_start(struct event_base *base, struct httpc *http, const struct scan_opts *opts,
                        scan_progress_cb *progress, scan_done_cb *done, void *arg, char **cause)
{
    struct scan *s = xcalloc(1, sizeof(*s));
    int ms = opts->timeout_ms > 0 ? opts->timeout_ms : SCAN_TIMEOUT_MS;
    *s = (struct scan){.base = base,
                       .http = http,
                       .progress = progress,
                       .done = done,
                       .arg = arg,
                       .ask_workers = opts->ask_workers,
                       .agent_token = xstrdup(opts->agent_token),
                       .sockets = sockets_allowed(opts->sockets),
                       .connect_ms = opts->connect_ms > 0 ? opts->connect_ms : SCAN_CONNECT_MS,
                       .begun_us = clock_us()};
    TAILQ_INIT(&s->attempts);
    s->kick = event_new(base, -1, 0, on_kick, s);
    s->deadline = evtimer_new(base, on_deadline, s);
    s->patience = evtimer_new(base, on_patience, s);
    scan_places_init(&s->places, opts->addresses > 0 ? opts->addresses : SCAN_ADDRESSES);
    if (add_places(s, opts, cause) != 0 || add_hosts(s, opts, cause) != 0) {
        scan_free(s);
        return NULL;
    }
    event_add(s->deadline, &(struct timeval){ms / 1000, ms % 1000 * 1000});
    event_active(s->kick, EV_TIMEOUT, 0);
    return s;
}

void scan_cancel(struct scan *s)
{
    if (s != NULL)
        scan_free(s);
}
