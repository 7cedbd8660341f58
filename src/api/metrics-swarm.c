#include "api/metrics-swarm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/metrics-text.h"
#include "base/mem.h"

enum { ID_SHOWN = 16 }; /* hex digits of an id in a label */

#define OF_SWARM(f) offsetof(struct swarm_view, f)

static const struct metric swarm_metrics[] = {
    {"tightwad_swarm_fetched_bytes_total", "Bytes of models that came from peers.", COUNTER, FIELD_U64,
     OF_SWARM(fetched), 1},
    {"tightwad_swarm_sent_bytes_total", "Bytes of models given to peers.", COUNTER, FIELD_U64, OF_SWARM(sent), 1},
    {"tightwad_swarm_download_bytes_per_second", "What comes from peers now.", GAUGE, FIELD_DOUBLE, OF_SWARM(down), 1},
    {"tightwad_swarm_upload_bytes_per_second", "What goes to peers now.", GAUGE, FIELD_DOUBLE, OF_SWARM(up), 1},
    {"tightwad_swarm_uploads", "Uploads under way.", GAUGE, FIELD_U32, OF_SWARM(uploads), 1},
    {"tightwad_swarm_uploads_waiting", "Requests of peers that wait for their turn.", GAUGE, FIELD_U32,
     OF_SWARM(waiting), 1},
    {"tightwad_swarm_models", "Models that come or are given out.", GAUGE, FIELD_U64, OF_SWARM(models_in_all), 1},
    {"tightwad_swarm_peers", "Peers that are known.", GAUGE, FIELD_U64, OF_SWARM(peers_in_all), 1},
    {"tightwad_swarm_slowest_callback_seconds", "The longest that one callback held the loop.", GAUGE, FIELD_DOUBLE,
     OF_SWARM(slowest_ms), 1e-3},
};

/* A model, with what is not known yet as such. */
struct model_view {
    struct swarm_view_model is;
    double size, wanted, have, pieces, pieces_have;
    bool complete;
};

#define OF_VIEW(f) offsetof(struct model_view, f)

static const struct metric model_metrics[] = {
    {"tightwad_swarm_model_complete", "1 when all of it is here.", GAUGE, FIELD_BOOL, OF_VIEW(complete), 1},
    {"tightwad_swarm_model_size_bytes", "Size of its file.", GAUGE, FIELD_DOUBLE, OF_VIEW(size), 1},
    {"tightwad_swarm_model_wanted_bytes", "How much of it is to be here in the end.", GAUGE, FIELD_DOUBLE,
     OF_VIEW(wanted), 1},
    {"tightwad_swarm_model_have_bytes", "How much of that is here.", GAUGE, FIELD_DOUBLE, OF_VIEW(have), 1},
    {"tightwad_swarm_model_pieces", "Pieces of it.", GAUGE, FIELD_DOUBLE, OF_VIEW(pieces), 1},
    {"tightwad_swarm_model_pieces_have", "Pieces that are here.", GAUGE, FIELD_DOUBLE, OF_VIEW(pieces_have), 1},
    {"tightwad_swarm_model_fetched_bytes_total", "Bytes of it that came from peers.", COUNTER, FIELD_U64,
     OF_VIEW(is.fetched), 1},
    {"tightwad_swarm_model_copied_bytes_total", "Bytes of it that local files had.", COUNTER, FIELD_U64,
     OF_VIEW(is.copied), 1},
    {"tightwad_swarm_model_wasted_bytes_total", "Bytes that came and were of no use: wrong, or twice.", COUNTER,
     FIELD_U64, OF_VIEW(is.wasted), 1},
    {"tightwad_swarm_model_sent_bytes_total", "Bytes of it given to peers.", COUNTER, FIELD_U64, OF_VIEW(is.sent), 1},
    {"tightwad_swarm_model_download_bytes_per_second", "What comes of it now.", GAUGE, FIELD_DOUBLE, OF_VIEW(is.down),
     1},
    {"tightwad_swarm_model_upload_bytes_per_second", "What goes out of it now.", GAUGE, FIELD_DOUBLE, OF_VIEW(is.up),
     1},
    {"tightwad_swarm_model_left_seconds", "Until all of it is here, at this rate.", GAUGE, FIELD_DOUBLE,
     OF_VIEW(is.eta), 1},
    {"tightwad_swarm_model_availability", "Copies of its rarest piece, and the share of pieces with more.", GAUGE,
     FIELD_DOUBLE, OF_VIEW(is.availability), 1},
    {"tightwad_swarm_model_peers", "Peers connected for it.", GAUGE, FIELD_U32, OF_VIEW(is.peers), 1},
};

static const bool always = true;
static const struct metric state_metrics[] = {
    {"tightwad_swarm_model_info", "What goes on with it: always 1.", GAUGE, FIELD_BOOL, 0, 1}};

static double known(uint64_t n)
{
    return n > 0 ? (double)n : NAN;
}

static struct model_view view_of(const struct swarm_view_model *m)
{
    bool wanted = m->wanted > 0, pieces = m->pieces > 0;
    return (struct model_view){.is = *m,
                               .size = known(m->size),
                               .wanted = known(m->wanted),
                               .have = wanted ? (double)m->have : NAN,
                               .pieces = known(m->pieces),
                               .pieces_have = pieces ? m->pieces_have : NAN,
                               .complete = m->state == SWARM_SEEDING};
}

static bool add_labels(struct buf *to, const struct swarm_view_model *m)
{
    char id[ID_SHOWN + 1];
    snprintf(id, sizeof(id), "%.*s", ID_SHOWN, m->id);
    return metrics_label(to, "id", id, true) &&
           metrics_label(to, "model", m->name[0] != '\0' ? m->name : m->file, false);
}

/* No two series may have the same labels: of two orders for one name, whose ids are not known yet, the first counts. */
static bool is_new(const struct metric_series *series, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(series[i].labels.data, series[n].labels.data) == 0)
            return false;
    return true;
}

static bool write_models(struct buf *out, const struct swarm_view *v)
{
    struct metric_series models[SWARM_VIEW_MODELS] = {{0}}, states[SWARM_VIEW_MODELS] = {{0}};
    struct model_view *views = xcalloc(SWARM_VIEW_MODELS, sizeof(*views));
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < v->n_models && i < SWARM_VIEW_MODELS; i++) {
        const struct swarm_view_model *m = &v->model[i];
        views[n] = view_of(m);
        ok = add_labels(metrics_begin_series(&models[n], &views[n]), m) && ok;
        if (!is_new(models, n)) {
            metrics_finish_series(&models[n], 1);
            continue;
        }
        struct buf *state = metrics_begin_series(&states[n++], &always);
        ok = add_labels(state, m) && metrics_label(state, "state", swarm_state_name(m->state), false) && ok;
    }
    ok = ok && metrics_series(out, state_metrics, ARRAY_LEN(state_metrics), states, n) &&
         metrics_series(out, model_metrics, ARRAY_LEN(model_metrics), models, n);
    metrics_finish_series(models, n);
    metrics_finish_series(states, n);
    free(views);
    return ok;
}

bool metrics_swarm(struct buf *out, const struct snapshot *s)
{
    const struct swarm_view *v = &s->swarm;
    return !v->on || (metrics_table(out, swarm_metrics, ARRAY_LEN(swarm_metrics), v) && write_models(out, v));
}
