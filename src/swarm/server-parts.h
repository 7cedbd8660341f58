/* Inside the server (server.h): what its files share.  server.c: doors, routes, the list of shares; server-upload.c:
 * pieces on their way out; server-events.c: the streams of who has what. */
#ifndef TIGHTWAD_SWARM_SERVER_PARTS_H
#define TIGHTWAD_SWARM_SERVER_PARTS_H

#include <sys/queue.h>

#include "base/held.h"
#include "http/httpd.h"
#include "http/peer.h"
#include "swarm/message.h"
#include "swarm/server.h"

/* An open file, as long as anybody sends from it or reads it: the share may go meanwhile. */
struct source {
    int fd;
    int users;
    struct share_stamp stamp;
    int64_t same_us;       /* when the crew saw last that it has not changed; 0: not yet, or it has */
    bool checking;         /* the crew looks at that alone */
    struct served *served; /* whose `source` this is; NULL once that has gone */
};

struct manifest_job;

/* A share of this server. */
struct served {
    TAILQ_ENTRY(served) entry;
    struct swarm_server *server;
    struct share *share;
    struct share_watch watch;
    struct source *source;       /* NULL: nobody sends from it now */
    struct manifest_text *text;  /* what its manifest is as JSON, kept for a while; NULL: not now */
    struct manifest_job *making; /* of the text; NULL: none */
    int64_t text_used_us;
};

struct upload;
struct stream;
struct waiter;
TAILQ_HEAD(served_list, served);
TAILQ_HEAD(upload_list, upload);
TAILQ_HEAD(stream_list, stream);
TAILQ_HEAD(waiter_list, waiter);

struct swarm_server {
    struct event_base *base;
    struct crew *crew;
    struct httpd *http;
    struct peer_list allow;
    bool allows_private; /* no networks were named */
    char *token;         /* NULL: none */
    char *peer, *name;
    int port;
    swarm_server_peer_cb *on_peer;
    void *on_peer_arg;
    swarm_server_changed_cb *on_changed; /* NULL: nobody wants to know */
    void *on_changed_arg;
    json_t *(*view)(void *arg);
    void *view_arg;
    struct served_list shares;
    bool leaving;

    /* server-upload.c */
    struct upload_list active, waiting; /* with a slot, in the order of their turns; without, first come first */
    size_t n_active, n_waiting;
    uint64_t turn; /* the one that is on */
    int slots;
    int64_t limit;           /* bytes a second, 0: none */
    double tokens;           /* bytes that may be given out now; below 0: ahead of the limit */
    int64_t filled_us;       /* when the tokens were counted */
    struct event *paced;     /* there will be tokens */
    struct event *watch;     /* turns, stalls */
    struct waiter_list asks; /* who waits for a manifest */
    size_t n_asks;

    /* server-events.c */
    struct stream_list streams;
    size_t n_streams;
    struct event *flush; /* what is new is sent, once a turn of the loop */
    struct event *tick;  /* once a second, while there are streams or texts of manifests */

    uint64_t sent, refused, slowest_us;
};

/* server.c */
struct source *source_get(struct served *v); /* one more user; NULL: no descriptor is to be had */
void source_put(struct source *s);
void server_took(struct swarm_server *s, const struct held *held); /* a callback that began then has ended */
/* 429: whoever it is asks for too much. */
void server_refuse(struct swarm_server *s, struct httpd_request *r, const char *why);

/* server-upload.c */
void uploads_init(struct swarm_server *s);
void uploads_finish(struct swarm_server *s); /* those that wait are told, those under way are cut */
/* The bytes [offset, offset + size) of the share's file, or the Range of them that is asked for.  etag: with quotes. */
void upload_reply(struct served *v, struct httpd_request *r, uint64_t offset, uint64_t size, const char *etag);
void uploads_forget(struct swarm_server *s, struct served *v); /* goes; what is under way ends as it would */
void uploads_set_limits(struct swarm_server *s, int64_t limit, int slots);

/* server-manifest.c */
void manifest_reply(struct served *v, struct httpd_request *r);
void manifests_forget(struct swarm_server *s, struct served *v); /* v NULL: all of them */
bool manifests_tick(struct swarm_server *s);                     /* whether any text is kept */

/* server-events.c */
void streams_init(struct swarm_server *s);
void streams_finish(struct swarm_server *s); /* all are told goodbye */
void stream_reply(struct served *v, struct httpd_request *r);
void streams_need_tick(struct swarm_server *s);
void streams_change(struct served *v, enum share_change what, size_t piece);
void streams_forget(struct swarm_server *s, struct served *v);

#endif
