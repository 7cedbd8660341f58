/* Prometheus' text format, from tables of what stands at which offset. */
#ifndef TIGHTWAD_API_METRICS_TEXT_H
#define TIGHTWAD_API_METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum metric_type { COUNTER, GAUGE };

/* What the bytes at an offset are. */
enum metrics_kind {
    FIELD_U64,
    FIELD_U32,
    FIELD_BOOL,
    FIELD_DOUBLE, /* NAN: unknown */
    FIELD_I64,    /* below 0: unknown */
    FIELD_HEALTH, /* up 1, down 0, unknown: no sample */
    FIELD_SIZE,
};

/* A row is one family.  Of several rows with one name, which stand together, only the first has help: the others are
 * further samples. */
struct metric {
    const char *name;
    const char *help;
    enum metric_type type;
    enum metrics_kind field;
    size_t offset;
    double scale;      /* to the base unit */
    const char *label; /* further label of this sample, `result="ok"`, or NULL */
};

/* One of several things that have the same metrics. */
struct metric_series {
    const void *from;
    struct buf labels; /* role="target",… */
};

/* Each is false when out is full.  from: what the offsets begin at. */
bool metrics_table(struct buf *out, const struct metric *table, size_t n, const void *from);
bool metrics_series(struct buf *out, const struct metric *table, size_t n, const struct metric_series *series,
                    size_t n_series);
/* One label, escaped; first: no comma before it. */
bool metrics_label(struct buf *out, const char *name, const char *value, bool first);

/* Returns where its labels go. */
struct buf *metrics_begin_series(struct metric_series *s, const void *from);
void metrics_finish_series(struct metric_series *s, size_t n);

#endif
