/* Which agent writes an answer, and how long it is waited for.  Pure functions. */
#ifndef TIGHTWAD_ENGINES_GATE_ROUTE_H
#define TIGHTWAD_ENGINES_GATE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stats.h"

enum gate_routing {
    GATE_ROUND_ROBIN, /* each in turn */
    /* The one with the smallest share of its slots taken; where that is equal, the one whose answers passed most often;
     * where that is equal too, in turn. */
    GATE_LEAST_BUSY,
    GATE_RACE, /* as many as are free, in turn; the first whole answer is reviewed */
};

/* NULL or an unknown word: GATE_LEAST_BUSY. */
enum gate_routing gate_routing_by_name(const char *name);
const char *gate_routing_name(enum gate_routing r);

/* An agent as a request sees it. */
struct gate_seat {
    bool usable;          /* up, without a penalty, not paused */
    bool tried;           /* it has failed this request already */
    uint32_t busy, slots; /* answers that it writes; that it can write at once */
    double record;        /* as gate_record_share tells */
};

/* How the newest answers of an agent were judged. */
enum { GATE_RECORD = 64 };
struct gate_record {
    bool approved[GATE_RECORD];
    size_t written; /* verdicts ever */
};
void gate_record_add(struct gate_record *r, bool approved);
/* The share of them that passed, with some good ones beforehand, so that a new agent is tried: 0..1. */
double gate_record_share(const struct gate_record *r);

/* The agent that is to write; n: all that could are busy.  last: who was chosen before (n: nobody yet). */
size_t gate_route(enum gate_routing how, const struct gate_seat *seats, size_t n, size_t last);
/* Whether an agent could write for this request, were it free. */
bool gate_route_possible(const struct gate_seat *seats, size_t n);
/* In a race: how many of the free agents write for one request while `waiting` others wait for one too.  At least 1. */
size_t gate_race_share(size_t n_free, size_t waiting);

/* How long an agent may be at work that has written so many bytes, in microseconds: far longer than the slow ones of
 * its record would take.  record: microseconds a byte of its whole answers; read: bytes of the request, which it has to
 * read first.  INT64_MAX while it has too short a record. */
int64_t gate_patience_us(const struct stats_ring *record, size_t read, size_t written);

#endif
