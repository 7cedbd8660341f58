#include "api/metrics-text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "engines/snapshot.h"

/* NAN when unknown. */
static double field_value(const struct metric *m, const void *from)
{
    const char *at = (const char *)from + m->offset;
    switch (m->field) {
    case FIELD_U64:
        return (double)*(const uint64_t *)(const void *)at;
    case FIELD_U32:
        return *(const uint32_t *)(const void *)at;
    case FIELD_SIZE:
        return (double)*(const size_t *)(const void *)at;
    case FIELD_BOOL:
        return *(const bool *)(const void *)at;
    case FIELD_DOUBLE:
        return *(const double *)(const void *)at;
    case FIELD_I64: {
        int64_t n = *(const int64_t *)(const void *)at;
        return n < 0 ? NAN : (double)n;
    }
    case FIELD_HEALTH: {
        enum snapshot_health h = *(const enum snapshot_health *)(const void *)at;
        return h == HEALTH_UNKNOWN ? NAN : h == HEALTH_UP;
    }
    }
    return NAN;
}

/* A label's value: backslash, quote and newline are escaped. */
static bool add_escaped(struct buf *out, const char *s)
{
    for (; *s; s++) {
        bool ok = *s == '\n' ? buf_adds(out, "\\n")
                             : (*s != '\\' && *s != '"' ? true : buf_addc(out, '\\')) && buf_addc(out, *s);
        if (!ok)
            return false;
    }
    return true;
}

bool metrics_label(struct buf *out, const char *name, const char *value, bool first)
{
    struct buf valid; /* the format is UTF-8, names of models may have been cut anywhere */
    buf_init(&valid, 4096);
    bool ok = utf8_add_repaired(&valid, value, strlen(value)) && buf_printf(out, "%s%s=\"", first ? "" : ",", name) &&
              add_escaped(out, valid.data) && buf_addc(out, '"');
    buf_finish(&valid);
    return ok;
}

static bool add_head(struct buf *out, const struct metric *m)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                      m->type == COUNTER ? "counter" : "gauge");
}

static bool add_value(struct buf *out, double value)
{
    return buf_printf(out, " %.15g\n", value);
}

bool metrics_table(struct buf *out, const struct metric *table, size_t n, const void *from)
{
    for (size_t i = 0; i < n; i++) {
        const struct metric *m = &table[i];
        double value = field_value(m, from) * m->scale;
        if (isnan(value))
            continue;
        if (m->help && !add_head(out, m))
            return false;
        if (!buf_adds(out, m->name) || (m->label && !buf_printf(out, "{%s}", m->label)) || !add_value(out, value))
            return false;
    }
    return true;
}

bool metrics_series(struct buf *out, const struct metric *table, size_t n, const struct metric_series *series,
                    size_t n_series)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        const struct metric *m = &table[i];
        bool headed = false;
        for (size_t j = 0; j < n_series && ok; j++) {
            double value = field_value(m, series[j].from) * m->scale;
            if (isnan(value))
                continue;
            ok = (headed || !m->help || add_head(out, m)) &&
                 buf_printf(out, "%s{%s%s%s}", m->name, series[j].labels.data, m->label ? "," : "",
                            m->label ? m->label : "") &&
                 add_value(out, value);
            headed = true;
        }
    }
    return ok;
}

struct buf *metrics_begin_series(struct metric_series *s, const void *from)
{
    s->from = from;
    buf_init(&s->labels, 4096);
    return &s->labels;
}

void metrics_finish_series(struct metric_series *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_finish(&s[i].labels);
}
