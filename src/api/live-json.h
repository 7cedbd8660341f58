/* The newest answer and the newest rounds as `event: live` of the event stream: only what is new since the last one.
 *
 *     {"request":7,"from":120,"text":"…","pieces":[[5,"drafter",1],[3,"target",0]],
 *      "rounds_seen":9,"rounds":[{"request":7,"round":9,"drafter":1,…}]}
 *
 * from: bytes of the answer before text.  pieces: bytes, who wrote them, and the index of the drafter in "backends" of
 * the snapshot of the same tick. */
#ifndef TIGHTWAD_API_LIVE_JSON_H
#define TIGHTWAD_API_LIVE_JSON_H

#include <stdint.h>

#include <jansson.h>

#include "engines/live.h"

/* How far a reader is.  Zeroed: it has nothing. */
struct live_place {
    uint64_t request, text, rounds;
};

/* What l has beyond *place, which moves on; NULL: nothing.  New reference. */
json_t *live_news_json(const struct live *l, struct live_place *place);

/* Takes over what live_news_json told.  l is zeroed before the first one of a stream. */
void live_take_json(struct live *l, const json_t *news);

#endif
