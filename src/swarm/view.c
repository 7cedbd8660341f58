#include "swarm/view.h"

#include "base/fields.h"
#include "base/mem.h"

const char *swarm_state_name(enum swarm_state s)
{
    static const char *const names[] = {"hashing", "finding", "fetching", "landing", "seeding", "waiting", "failed"};
    return (size_t)s < ARRAY_LEN(names) ? names[s] : "unknown";
}

const char *swarm_peer_state_name(enum swarm_peer_state s)
{
    static const char *const names[] = {"connecting", "up", "down", "banned"};
    return (size_t)s < ARRAY_LEN(names) ? names[s] : "unknown";
}

static const char *state_word(int value)
{
    return swarm_state_name((enum swarm_state)value);
}

static const char *peer_word(int value)
{
    return swarm_peer_state_name((enum swarm_peer_state)value);
}

#define C(kind, member) FIELD_ROW(swarm_view_column, kind, member)
static const struct field column_rows[] = {C(AS_U8, had)};
static const struct field_table column_fields = FIELD_TABLE(column_rows, swarm_view_column);

#define M(kind, member) FIELD_ROW(swarm_view_model, kind, member)
static const struct field model_rows[] = {
    M(AS_NAME, id),     M(AS_TEXT, name),
    M(AS_NAME, file),   FIELD_WORD(swarm_view_model, state, state_word, SWARM_FAILED + 1),
    M(AS_NAME, why),    M(AS_U64, size),
    M(AS_U64, wanted),  M(AS_U64, have),
    M(AS_U64, fetched), M(AS_U64, copied),
    M(AS_U64, wasted),  M(AS_U64, sent),
    M(AS_NUMBER, down), M(AS_NUMBER, up),
    M(AS_NUMBER, eta),  M(AS_NUMBER, availability),
    M(AS_U32, pieces),  M(AS_U32, pieces_have),
    M(AS_U32, peers),   FIELD_LIST(swarm_view_model, "map", map, n_map, column_fields),
};
const struct field_table swarm_view_model_fields = FIELD_TABLE(model_rows, swarm_view_model);

#define P(kind, member) FIELD_ROW(swarm_view_peer, kind, member)
static const struct field peer_rows[] = {
    P(AS_TEXT, address), P(AS_NAME, name),
    P(AS_NAME, model),   FIELD_WORD(swarm_view_peer, state, peer_word, SWARM_PEER_BANNED + 1),
    P(AS_NAME, why),     P(AS_NUMBER, share),
    P(AS_NUMBER, down),  P(AS_NUMBER, up),
    P(AS_U64, fetched),  P(AS_U32, asked),
    P(AS_U32, corrupt),  P(AS_COUNT, rtt_us),
};
static const struct field_table peer_fields = FIELD_TABLE(peer_rows, swarm_view_peer);

#define V(kind, member) FIELD_ROW(swarm_view, kind, member)
static const struct field view_rows[] = {
    V(AS_BOOL, on),           V(AS_NAME, listen),
    V(AS_NAME, why),          V(AS_BOOL, discovery),
    V(AS_NUMBER, down),       V(AS_NUMBER, up),
    V(AS_U64, fetched),       V(AS_U64, sent),
    V(AS_U32, uploads),       V(AS_U32, waiting),
    V(AS_NUMBER, slowest_ms), FIELD_LIST(swarm_view, "models", model, n_models, swarm_view_model_fields),
    V(AS_U64, models_in_all), FIELD_LIST(swarm_view, "peers", peer, n_peers, peer_fields),
    V(AS_U64, peers_in_all),
};
const struct field_table swarm_view_fields = FIELD_TABLE(view_rows, swarm_view);
