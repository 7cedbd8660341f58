#include "swarm/swarm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/fields.h"
#include "base/folders.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/peer.h"
#include "swarm/swarm-internal.h"

struct swarm_item *swarm_item_of(const struct swarm *s, const char *id)
{
    struct swarm_item *i = s->items;
    while (i != NULL && strcmp(i->share->manifest->id, id) != 0)
        i = i->next;
    return i;
}

/* What moves is told first: those who fetch it too are who should hear of it. */
void swarm_announce(struct swarm *s)
{
    const char *ids[FIND_IDS_MAX];
    size_t n = 0;
    for (int moving = 1; moving >= 0; moving--) {
        for (struct swarm_item *i = s->items; i != NULL && n < ARRAY_LEN(ids); i = i->next) {
            if ((i->pull != NULL) == (moving == 1))
                ids[n++] = i->share->manifest->id;
        }
    }
    if (s->find != NULL)
        find_announce(s->find, n > 0 ? swarm_server_port(s->server) : 0, ids, n);
}

struct swarm_item *swarm_item_add(struct swarm *s, struct share *share, struct store *store)
{
    struct swarm_item *item = xcalloc(1, sizeof(*item));
    *item = (struct swarm_item){.swarm = s, .share = share, .store = store, .serial = ++s->serial, .next = s->items};
    s->items = item;
    s->n_items++;
    swarm_server_add(s->server, share);
    swarm_announce(s);
    return item;
}

void swarm_item_remove(struct swarm_item *item)
{
    struct swarm *s = item->swarm;
    struct swarm_item **at = &s->items;
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    s->n_items--;
    if (s->server != NULL)
        swarm_server_remove(s->server, item->share);
    if (item->store != NULL)
        store_destroy(item->store);
    else
        share_destroy(item->share);
    free(item->given);
    free(item);
}

static void on_peer(void *arg, struct share *share, const char *peer, const char *address)
{
    struct swarm *s = arg;
    struct swarm_item *i = s->items;
    while (i != NULL && i->share != share)
        i = i->next;
    if (i == NULL || strcmp(peer, s->id) == 0)
        return;
    share_add_peer(share, address);
    if (i->pull != NULL)
        swarm_pull_met(i->pull, address);
}

/* Remembered, in the place of whoever was heard of longest ago. */
static void remember(struct swarm *s, const char *address, const char *const *ids, size_t n_ids)
{
    struct swarm_known *at = &s->known[0];
    for (size_t i = 0; i < SWARM_KNOWN_MAX; i++) {
        if (strcmp(s->known[i].address, address) == 0) {
            at = &s->known[i];
            break;
        }
        if (s->known[i].seen_ms < at->seen_ms)
            at = &s->known[i];
    }
    snprintf(at->address, sizeof(at->address), "%s", address);
    at->seen_ms = clock_us() / 1000;
    at->n_ids = n_ids < ARRAY_LEN(at->id) ? n_ids : ARRAY_LEN(at->id);
    for (size_t i = 0; i < at->n_ids; i++)
        snprintf(at->id[i], sizeof(at->id[i]), "%s", ids[i]);
}

/* Who announces itself may have made its address up, and is sent the token: only networks that are served are believed.
 */
static void on_found(void *arg, const char *address, const char *peer, const char *const *ids, size_t n_ids)
{
    struct swarm *s = arg;
    if (strcmp(peer, s->id) == 0 || !swarm_server_allows(s->server, address))
        return;
    remember(s, address, ids, n_ids);
    for (struct swarm_pull *p = s->pulls, *next; p != NULL; p = next) {
        next = swarm_pull_next(p);
        swarm_pull_found(p, address, ids, n_ids);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct swarm *s = arg;
    struct swarm_server_counters c;
    int64_t now = clock_us();
    double seconds = (double)(now - s->ticked_us) / 1e6;
    swarm_server_counters(s->server, &c);
    s->up = (double)(c.sent - s->sent_before) / seconds;
    s->sent_before = c.sent;
    s->ticked_us = now;
    swarm_failed_tick(s);
    swarm_check_tick(s);
    for (struct swarm_item *i = s->items; i != NULL; i = i->next) {
        i->up = (double)(i->share->sent - i->sent_before) / seconds;
        i->sent_before = i->share->sent;
    }
}

static json_t *view_json(void *arg)
{
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    swarm_fill(arg, v);
    json_t *o = fields_to_json(&swarm_view_fields, v);
    json_object_set_new(o, "pid", json_integer(getpid()));
    free(v);
    return o;
}

static int serve(struct swarm *s, const struct swarm_opts *o, char **cause)
{
    const struct swarm_server_opts server = {.host = s->host,
                                             .port = o->port > 0    ? o->port
                                                     : o->port == 0 ? SWARM_PORT
                                                                    : 0,
                                             .any_port = o->port <= 0,
                                             .token = s->token,
                                             .allow = o->allow,
                                             .upload_limit = o->upload_limit,
                                             .upload_slots = o->upload_slots,
                                             .peer = s->id,
                                             .name = s->name};
    s->server = swarm_server_create(s->base, s->crew, &server, on_peer, s, cause);
    if (s->server == NULL)
        return -1;
    swarm_server_set_view(s->server, view_json, s);
    swarm_server_on_changed(s->server, swarm_check_changed, s);
    if (o->socket != NULL)
        return swarm_server_listen_unix(s->server, o->socket, cause);
    char *dir = folder_runtime(), *path = xasprintf("%s/swarm-%ld.sock", dir, (long)getpid()), *why = NULL;
    if (folder_runtime_make(&why) != 0 || swarm_server_listen_unix(s->server, path, &why) != 0)
        log_info("swarm: `tightwad swarm status` will not show this process: %s", why);
    free(dir);
    free(path);
    free(why);
    return 0;
}

/* Without multicast (a container, a machine without a network) everything else works: told in the view, no error. */
static void listen_around(struct swarm *s)
{
    const struct find_opts o = {.peer = s->id, .host = s->host};
    if (s->discovery)
        s->find = find_create(s->base, &o, on_found, s, NULL);
}

static char **copy_list(const char *const *list, size_t n)
{
    char **copy = xcalloc(n + 1, sizeof(*copy));
    for (size_t i = 0; i < n; i++)
        copy[i] = xstrdup(list[i]);
    return copy;
}

static void free_list(char **list, size_t n)
{
    for (size_t i = 0; list != NULL && i < n; i++)
        free(list[i]);
    free(list);
}

static void make_id(char id[SWARM_PEER_ID + 1])
{
    unsigned char bytes[SWARM_PEER_ID / 2];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        abort();
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static int read_peers(struct swarm *s, const struct swarm_opts *o, char **cause)
{
    s->peers = xcalloc(o->n_peers + 1, sizeof(*s->peers));
    for (; s->n_peers < o->n_peers; s->n_peers++) {
        char address[SWARM_ADDRESS];
        if (swarm_peer_read(o->peers[s->n_peers], address, cause) != 0)
            return -1;
        s->peers[s->n_peers] = xstrdup(address);
    }
    return 0;
}

struct swarm *swarm_create(struct event_base *base, struct httpc *http, const struct swarm_opts *o, char **cause)
{
    struct swarm *s = xcalloc(1, sizeof(*s));
    char name[64] = "";
    gethostname(name, sizeof(name) - 1);
    *s = (struct swarm){.base = base,
                        .http = http,
                        .host = xstrdup(o->host != NULL ? o->host : "127.0.0.1"),
                        .token = xstrdup(o->token),
                        .dir = o->dir != NULL ? xstrdup(o->dir) : swarm_default_dir(),
                        .name = xstrdup(name),
                        .folders = copy_list(o->folders, o->n_folders),
                        .n_folders = o->n_folders,
                        .download_limit = o->download_limit,
                        .discovery = o->discovery,
                        .ticked_us = clock_us()};
    make_id(s->id);
    s->local_only =
        strncmp(s->host, "127.", 4) == 0 || strcmp(s->host, "::1") == 0 || strcmp(s->host, "localhost") == 0;
    s->tick = event_new(base, -1, EV_PERSIST, on_tick, s);
    evtimer_add(s->tick, &(struct timeval){.tv_sec = SWARM_TICK_MS / 1000});
    s->crew = crew_create(base, 0);
    if (s->crew == NULL)
        cause_set(cause, "no thread is to be had for hashing and the disk");
    if (s->crew == NULL || read_peers(s, o, cause) != 0 || serve(s, o, cause) != 0) {
        swarm_destroy(s);
        return NULL;
    }
    listen_around(s);
    return s;
}

void swarm_destroy(struct swarm *s)
{
    if (s == NULL)
        return;
    while (s->pulls != NULL)
        swarm_pull_cancel(s->pulls);
    swarm_failed_finish(s);
    swarm_give_stop(s);
    find_destroy(s->find);
    s->find = NULL;
    swarm_server_destroy(s->server);
    s->server = NULL;
    while (s->items != NULL)
        swarm_item_remove(s->items);
    crew_destroy(s->crew);
    event_free(s->tick);
    free_list(s->folders, s->n_folders);
    free_list(s->peers, s->n_peers);
    free(s->host);
    free(s->token);
    free(s->dir);
    free(s->name);
    free(s);
}

int swarm_port(const struct swarm *s)
{
    return swarm_server_port(s->server);
}

int64_t swarm_pull_limit(const struct swarm *s)
{
    return s->download_limit > 0 ? s->download_limit / (int64_t)(s->n_pulls > 0 ? s->n_pulls : 1) + 1 : 0;
}

void swarm_balance(struct swarm *s)
{
    for (struct swarm_pull *p = s->pulls; p != NULL; p = swarm_pull_next(p))
        swarm_pull_set_limit(p, swarm_pull_limit(s));
}

void swarm_set_limits(struct swarm *s, int64_t upload_limit, int64_t download_limit, int upload_slots)
{
    s->download_limit = download_limit;
    swarm_server_set_limits(s->server, upload_limit, upload_slots);
    swarm_balance(s);
}

char *swarm_default_dir(void)
{
    const char *home = getenv("HOME"), *data = getenv("XDG_DATA_HOME");
    bool has_home = home != NULL && home[0] == '/';
    char *models = has_home ? xasprintf("%s/models", home) : NULL;
    if (models != NULL && access(models, W_OK | X_OK) == 0)
        return models;
    free(models);
    if (data != NULL && data[0] == '/')
        return xasprintf("%s/tightwad/models", data);
    return has_home ? xasprintf("%s/.local/share/tightwad/models", home) : NULL;
}

bool swarm_needed(const struct swarm *s)
{
    bool alone = false;
    for (const struct swarm_item *i = s->items; i != NULL; i = i->next)
        alone = alone || i->alone;
    struct swarm_server_counters c;
    swarm_server_counters(s->server, &c);
    return alone && (c.uploads > 0 || c.waiting > 0 || c.sent > s->sent_before || s->up > 0);
}
