/* What can be seen of a swarm: filled by swarm_fill, shown by `tightwad swarm`, the snapshot and the dashboard. */
#ifndef TIGHTWAD_SWARM_VIEW_H
#define TIGHTWAD_SWARM_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct field_table;

enum {
    SWARM_VIEW_MODELS = 16, /* those that move first, then those that are given out */
    SWARM_VIEW_PEERS = 32,
    SWARM_VIEW_MAP = 64, /* columns of the map of pieces */
};

enum swarm_state {
    SWARM_HASHING, /* its manifest is being made, or what is on disk is checked */
    SWARM_FINDING, /* the manifest, or peers, are being looked for */
    SWARM_FETCHING,
    SWARM_LANDING, /* all is here, it is being put under its name */
    SWARM_SEEDING, /* complete, given out */
    SWARM_WAITING, /* for something in `why`: peers, room on the disk */
    SWARM_FAILED,
};
const char *swarm_state_name(enum swarm_state s); /* "hashing", … */

/* Some neighbouring pieces. */
struct swarm_view_column {
    uint8_t had; /* 0: none … 100: all of them are here; 255: not wanted */
};

struct swarm_view_model {
    char id[65], name[128], file[256];
    enum swarm_state state;
    char why[256];            /* "" if nothing is wrong */
    uint64_t size;            /* bytes; 0: not known yet */
    uint64_t wanted, have;    /* bytes that are to be here in the end (layers may be a part); those that are */
    uint64_t fetched, copied; /* bytes that came from peers; that local files had */
    uint64_t wasted;          /* bytes that came and were of no use (corrupt, double) */
    uint64_t sent;            /* bytes given to peers */
    double down, up;          /* bytes a second now */
    double eta;               /* seconds, NAN unknown */
    double availability;      /* see pick_availability, NAN while seeding */
    uint32_t pieces, pieces_have;
    uint32_t peers;                               /* connected */
    struct swarm_view_column map[SWARM_VIEW_MAP]; /* its pieces in columns, from the file's start */
    size_t n_map;
};

/* What goes on with a peer. */
enum swarm_peer_state { SWARM_PEER_CONNECTING, SWARM_PEER_UP, SWARM_PEER_DOWN, SWARM_PEER_BANNED };
/* "connecting", "up", … */
const char *swarm_peer_state_name(enum swarm_peer_state s);

struct swarm_view_peer {
    char address[64], name[64], model[128];
    enum swarm_peer_state state;
    char why[128];
    double share;     /* of the pieces that it has, 0..1, NAN unknown */
    double down, up;  /* bytes a second from it, to it; NAN unknown */
    uint64_t fetched; /* bytes */
    uint32_t asked;   /* requests under way */
    uint32_t corrupt; /* wrong pieces */
    int64_t rtt_us;   /* -1 unknown */
};

struct swarm_view {
    bool on;
    char listen[96]; /* "192.168.1.20:9192", "" not serving */
    char why[256];   /* what is wrong with it as a whole */
    bool discovery;
    double down, up;        /* bytes a second */
    uint64_t fetched, sent; /* bytes since the start */
    uint32_t uploads, waiting;
    double slowest_ms; /* longest that one callback held the loop */
    struct swarm_view_model model[SWARM_VIEW_MODELS];
    size_t n_models;
    uint64_t models_in_all;
    struct swarm_view_peer peer[SWARM_VIEW_PEERS];
    size_t n_peers;
    uint64_t peers_in_all;
};

/* As JSON, there and back (base/fields.h); unknown is null. */
extern const struct field_table swarm_view_fields, swarm_view_model_fields;

#endif
