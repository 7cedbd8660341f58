#include "swarm/find.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/noise.h"

enum {
    CARDS_MAX = 16, /* Linux lets a socket join 20 groups */
    REGULARLY_US = 30 * 1000 * 1000,
    APART_US = 1000 * 1000, /* between announcements */
    ANSWER_US = 250 * 1000, /* those who are asked answer within that, not all at once */
    ASK_TIMES = 2,
    READ_AT_ONCE = 32, /* datagrams a turn of the loop */
    /* What is heard in a window of time; the rest is not looked at.  Nobody drowns the others: each sender has a share
     * of its own (those whose addresses fall on one of so many places have one together). */
    WINDOW_US = 10 * 1000 * 1000,
    PLACES = 256,
    HEARD_OF_ONE = 40,
    HEARD_IN_ALL = 2000,
};

/* A network interface, by one of its IPv4 addresses. */
struct card {
    unsigned index;
    struct in_addr address;
    bool announced; /* this process can be reached there */
};

struct find {
    find_peer_cb *on_peer;
    void *arg;
    struct event *readable, *timer;
    int fd;
    char peer[FIND_PEER + 1];
    char *interface; /* NULL: all */
    char *host;      /* NULL: all */
    int port;        /* UDP */
    int serving;     /* TCP, 0: nowhere */
    char (*id)[FIND_ID + 1];
    size_t n_ids;
    struct card card[CARDS_MAX];
    size_t n_cards;
    int asks_left;
    int64_t sent;   /* when, clock_us */
    int64_t due;    /* when the timer fires */
    int64_t window; /* when it began */
    unsigned heard, heard_of[PLACES];
    uint64_t rng, key; /* of chance, and of the senders' places */
};

/* --- interfaces --- */

static bool is_wanted(const struct find *f, const struct ifaddrs *i)
{
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_UP) == 0)
        return false;
    if (f->interface == NULL)
        return (i->ifa_flags & (IFF_MULTICAST | IFF_LOOPBACK)) != 0;
    char text[INET_ADDRSTRLEN] = "";
    const struct sockaddr_in *in = (const void *)i->ifa_addr;
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    return strcmp(text, f->interface) == 0;
}

/* Whether who listens on `host` is reached at an address: any loopback address stands for all of them. */
static bool serves_at(const char *host, struct in_addr address)
{
    struct in_addr at;
    if (host == NULL)
        return true;
    if (inet_pton(AF_INET, host, &at) != 1)
        return false;
    bool both_loop = ntohl(at.s_addr) >> 24 == 127 && ntohl(address.s_addr) >> 24 == 127;
    return both_loop || at.s_addr == address.s_addr;
}

/* An interface has come, or another address of one. */
static void add_card(struct find *f, unsigned index, struct in_addr address)
{
    bool announced = serves_at(f->host, address);
    for (size_t i = 0; i < f->n_cards; i++) {
        struct card *c = &f->card[i];
        if (c->index == index && (c->address.s_addr == address.s_addr || !announced))
            return;
    }
    if (f->n_cards == CARDS_MAX)
        return;
    struct ip_mreqn join = {.imr_ifindex = (int)index};
    inet_pton(AF_INET, FIND_GROUP, &join.imr_multiaddr);
    /* EADDRINUSE: it has joined there already. */
    if (setsockopt(f->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) == 0 || errno == EADDRINUSE)
        f->card[f->n_cards++] = (struct card){index, address, announced};
}

/* Interfaces come and go: looked at before each announcement. */
static void look_at_cards(struct find *f)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        return; /* those known before are used */
    f->n_cards = 0;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
        if (is_wanted(f, i))
            add_card(f, if_nametoindex(i->ifa_name), ((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr);
    freeifaddrs(list);
}

/* --- sending --- */

/* Nobody is told when it can't be sent: a network that is down is a network without peers. */
static void send_on(const struct find *f, const struct card *card, const char *text, size_t len)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control = {.room = {0}};
    struct iovec part = {(void *)(uintptr_t)text, len};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof to,
                       .msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control.room};
    struct in_pktinfo from = {.ipi_ifindex = (int)card->index, .ipi_spec_dst = card->address};
    inet_pton(AF_INET, FIND_GROUP, &to.sin_addr);
    control.head = (struct cmsghdr){CMSG_LEN(sizeof from), IPPROTO_IP, IP_PKTINFO};
    memcpy(CMSG_DATA(&control.head), &from, sizeof from);
    (void)sendmsg(f->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_part(const struct find *f, size_t first, bool asks)
{
    struct find_message m = {.port = f->serving, .asks = asks};
    memcpy(m.peer, f->peer, sizeof m.peer);
    for (; m.n_ids < FIND_IDS && first + m.n_ids < f->n_ids; m.n_ids++)
        memcpy(m.id[m.n_ids], f->id[first + m.n_ids], sizeof m.id[0]);
    struct find_message question = m;
    question.port = 0;
    question.n_ids = 0;
    for (size_t i = 0; i < f->n_cards; i++) {
        const struct find_message *say = f->card[i].announced ? &m : &question;
        size_t len;
        if (say->port == 0 && !asks)
            continue;
        char *text = find_text(say, &len);
        send_on(f, &f->card[i], text, len);
        free(text);
    }
}

static void set_timer(struct find *f, int64_t due)
{
    int64_t left = due - clock_us();
    struct timeval tv = {.tv_sec = left > 0 ? left / 1000000 : 0, .tv_usec = left > 0 ? left % 1000000 : 0};
    f->due = due;
    evtimer_add(f->timer, &tv);
}

/* An announcement within delay, if none is due before; but never too soon after another. */
static void announce_within(struct find *f, int64_t delay_us)
{
    int64_t due = clock_us() + delay_us;
    if (f->sent > 0 && due < f->sent + APART_US)
        due = f->sent + APART_US;
    if (due < f->due)
        set_timer(f, due);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct find *f = arg;
    bool asks = f->asks_left > 0;
    look_at_cards(f);
    for (size_t first = 0; first == 0 || first < f->n_ids; first += FIND_IDS)
        send_part(f, first, asks && first == 0);
    f->asks_left -= asks;
    f->sent = clock_us();
    set_timer(f, f->sent + (f->asks_left > 0 ? APART_US : REGULARLY_US));
}

/* --- listening --- */

static void take_message(struct find *f, const struct sockaddr_in *from, const char *data, size_t len)
{
    struct find_message m;
    if (find_parse(&m, data, len) != 0 || strcmp(m.peer, f->peer) == 0)
        return;
    if (m.asks && f->serving > 0) {
        f->rng = noise_mix(f->rng + 1);
        announce_within(f, (int64_t)(noise_share(f->rng) * ANSWER_US));
    }
    if (m.port == 0)
        return;
    char host[INET_ADDRSTRLEN] = "", address[INET_ADDRSTRLEN + 8];
    const char *ids[FIND_IDS];
    inet_ntop(AF_INET, &from->sin_addr, host, sizeof host);
    snprintf(address, sizeof address, "%s:%d", host, m.port);
    for (size_t i = 0; i < m.n_ids; i++)
        ids[i] = m.id[i];
    f->on_peer(f->arg, address, m.peer, ids, m.n_ids);
}

/* Whether a sender may be listened to. */
static bool may_hear(struct find *f, uint32_t sender)
{
    unsigned *of_one = &f->heard_of[noise_mix(f->key + sender) % PLACES];
    int64_t now = clock_us();
    if (now - f->window >= WINDOW_US) {
        f->window = now;
        f->heard = 0;
        memset(f->heard_of, 0, sizeof(f->heard_of));
    }
    if (*of_one >= HEARD_OF_ONE || f->heard >= HEARD_IN_ALL)
        return false;
    (*of_one)++;
    f->heard++;
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct find *f = arg;
    for (int i = 0; i < READ_AT_ONCE; i++) {
        char data[FIND_BYTES + 1]; /* one more shows that it is too long */
        struct sockaddr_in from = {.sin_family = AF_UNSPEC};
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(f->fd, data, sizeof data, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (n < 0)
            return;
        if (from.sin_family == AF_INET && may_hear(f, from.sin_addr.s_addr))
            take_message(f, &from, data, (size_t)n);
    }
}

/* --- making and ending --- */

/* Bound to the group, so that nothing else that is sent to the port gets here. */
static int open_socket(int port, char **cause)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, off = 0, ttl = 1;
    inet_pton(AF_INET, FIND_GROUP, &at.sin_addr);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off) == 0 &&
        bind(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    cause_set(cause, "discovery on UDP port %d: %s", port, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

struct find *find_create(struct event_base *base, const struct find_opts *o, find_peer_cb *on_peer, void *arg,
                         char **cause)
{
    int port = o->port != 0 ? o->port : FIND_PORT, fd = open_socket(port, cause);
    if (fd < 0)
        return NULL;
    struct find *f = xcalloc(1, sizeof *f);
    *f = (struct find){.on_peer = on_peer, .arg = arg, .fd = fd, .port = port, .due = INT64_MAX};
    snprintf(f->peer, sizeof f->peer, "%s", o->peer);
    f->interface = xstrdup(o->interface);
    f->host = o->host != NULL && !is_wildcard(o->host) ? xstrdup(o->host) : NULL;
    f->rng = strtoull(f->peer + FIND_PEER / 2, NULL, 16);
    f->key = noise_mix(f->rng ^ (uint64_t)clock_us());
    f->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, f);
    f->timer = evtimer_new(base, on_timer, f);
    look_at_cards(f);
    if (f->interface != NULL && f->n_cards == 0) {
        cause_set(cause, "no interface that is up has the address %s", f->interface);
        find_destroy(f);
        return NULL;
    }
    event_add(f->readable, NULL);
    set_timer(f, clock_us() + REGULARLY_US);
    return f;
}

void find_destroy(struct find *f)
{
    if (f == NULL)
        return;
    event_free(f->readable);
    event_free(f->timer);
    close(f->fd);
    free(f->interface);
    free(f->host);
    free(f->id);
    free(f);
}

void find_announce(struct find *f, int serving_port, const char *const *ids, size_t n_ids)
{
    f->serving = serving_port;
    f->n_ids = n_ids < FIND_IDS_MAX ? n_ids : FIND_IDS_MAX;
    f->id = xreallocarray(f->id, f->n_ids + 1, sizeof f->id[0]);
    for (size_t i = 0; i < f->n_ids; i++)
        snprintf(f->id[i], sizeof f->id[i], "%.*s", FIND_ID, ids[i]);
    announce_within(f, 0);
}

void find_ask(struct find *f)
{
    f->asks_left = ASK_TIMES;
    announce_within(f, 0);
}
