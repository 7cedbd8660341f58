/* The snapshot as JSON: what /v1/tightwad/status, the event stream and `tightwad --attach` speak. */
#ifndef TIGHTWAD_API_SNAPSHOT_JSON_H
#define TIGHTWAD_API_SNAPSHOT_JSON_H

#include <jansson.h>

#include "base/fields.h"
#include "engines/snapshot.h"

extern const struct field_table snapshot_fields;

/* Every field of the snapshot under its own name; backend[], request[], machine[] and log[] as the arrays "backends",
 * "requests", "machines" and "log"; enums as words.  What is unknown (NAN, -1 in a measurement, an empty name) is null,
 * never 0.  A cap of CONFIG_AUTO is "auto".  One more is worked out: "ahead_hit_rate", 0..1.  New reference. */
json_t *snapshot_to_json(const struct snapshot *s);

/* The way back, by the same table.  What an older or newer instance does not tell is unknown.  False when o is not a
 * snapshot. */
bool snapshot_from_json(struct snapshot *s, const json_t *o);

#endif
