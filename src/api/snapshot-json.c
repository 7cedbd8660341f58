#include "api/snapshot-json.h"

#include "base/log.h"
#include "base/mem.h"

/* ---- words ---- */

static const char *role_word(int value)
{
    return value == ROLE_DRAFTER ? "drafter" : "target";
}

static const char *health_word(int value)
{
    return snapshot_health_name((enum snapshot_health)value);
}

static const char *state_word(int value)
{
    return snapshot_state_name((enum snapshot_state)value);
}

static const char *level_word(int value)
{
    return log_level_name((enum log_level)value);
}

static bool drafts(const void *from)
{
    return ((const struct snapshot_backend *)from)->role == ROLE_DRAFTER;
}

/* ---- the tables ---- */

#define HEALTH(s) FIELD_WORD(s, health, health_word, HEALTH_DOWN + 1)

#define B(kind, member) FIELD_ROW(snapshot_backend, kind, member)
static const struct field backend_rows[] = {
    FIELD_WORD(snapshot_backend, role, role_word, ROLE_DRAFTER + 1),
    B(AS_NAME, name),
    B(AS_NAME, url),
    B(AS_NAME, kind),
    B(AS_NAME, model),
    B(AS_NAME, version),
    HEALTH(snapshot_backend),
    B(AS_BOOL, active),
    B(AS_BOOL, paused),
    B(AS_TEXT, reason),
    B(AS_COUNT, rtt_us),
    B(AS_U64, calls),
    B(AS_U64, failures),
    {.key = "drafted", .kind = AS_U64, FIELD_AT(snapshot_backend, drafted), .has = drafts},
    {.key = "accepted", .kind = AS_U64, FIELD_AT(snapshot_backend, accepted), .has = drafts},
    {.key = "offered", .kind = AS_U64, FIELD_AT(snapshot_backend, offered), .has = drafts},
    {.key = "wins", .kind = AS_U64, FIELD_AT(snapshot_backend, wins), .has = drafts},
    {.key = "resting", .kind = AS_BOOL, FIELD_AT(snapshot_backend, resting), .has = drafts},
    B(AS_NUMBER, tokens_per_second),
    B(AS_NUMBER, call_ms),
};
static const struct field_table backend_fields = FIELD_TABLE(backend_rows, snapshot_backend);

#define R(kind, member) FIELD_ROW(snapshot_request, kind, member)
static const struct field request_rows[] = {
    R(AS_U64, id),
    FIELD_WORD(snapshot_request, state, state_word, REQUEST_CANCELLED + 1),
    R(AS_BOOL, speculative),
    R(AS_NAME, mode),
    R(AS_NAME, outcome),
    R(AS_NAME, agent),
    R(AS_NAME, model),
    R(AS_I64, started_wall_ms),
    R(AS_COUNT, prompt_tokens),
    R(AS_COUNT, tokens),
    R(AS_COUNT, drafted),
    R(AS_COUNT, accepted),
    R(AS_COUNT, rounds),
    R(AS_NUMBER, seconds),
    R(AS_NUMBER, first_token_seconds),
    R(AS_NUMBER, tokens_per_second),
};
static const struct field_table request_fields = FIELD_TABLE(request_rows, snapshot_request);

#define D(kind, member) FIELD_ROW(snapshot_device, kind, member)
static const struct field device_rows[] = {
    D(AS_NAME, machine),
    D(AS_NAME, name),
    D(AS_NAME, address),
    D(AS_COUNT32, first_layer),
    FIELD_NAMED(snapshot_device, AS_COUNT32, "layers", n_layers),
    D(AS_COUNT, bytes),
    D(AS_COUNT, memory),
    HEALTH(snapshot_device),
    D(AS_TEXT, reason),
};
static const struct field_table device_fields = FIELD_TABLE(device_rows, snapshot_device);

#define P(kind, member) FIELD_ROW(snapshot_pool, kind, member)
static const struct field pool_rows[] = {
    P(AS_BOOL, up),
    P(AS_NAME, state),
    P(AS_TEXT, why),
    P(AS_I64, state_ms),
    P(AS_NAME, model),
    P(AS_NAME, next),
    P(AS_NAME, draft),
    P(AS_NAME, server),
    P(AS_PID, pid),
    P(AS_PID, draft_pid),
    P(AS_NUMBER, progress),
    P(AS_NUMBER, load_ms),
    P(AS_NUMBER, pause_ms),
    P(AS_COUNT, retry_ms),
    P(AS_U64, restarts),
    P(AS_U64, swaps),
    P(AS_TEXT, swap_error),
    P(AS_NAME, log),
    P(AS_NAME, draft_log),
    P(AS_U64, reclaims),
    P(AS_COUNT, reclaimed),
    P(AS_TEXT, reclaim_note),
    FIELD_LIST(snapshot_pool, "devices", device, n_devices, device_fields),
};
static const struct field_table pool_fields = FIELD_TABLE(pool_rows, snapshot_pool);

#define C(kind, member) FIELD_ROW(snapshot_consensus, kind, member)
static const struct field consensus_rows[] = {
    C(AS_NAME, mode),          C(AS_BOOL, suspended),    C(AS_TEXT, why),     C(AS_I64, window),
    C(AS_NUMBER, audit_share), C(AS_NUMBER, max_error),  C(AS_U64, windows),  C(AS_U64, skipped),
    C(AS_U64, accepted),       C(AS_U64, fallback),      C(AS_U64, audited),  C(AS_U64, wrong),
    C(AS_U64, audited_tokens), C(AS_U64, wrong_tokens),  C(AS_NUMBER, error), C(AS_NUMBER, error_low),
    C(AS_NUMBER, error_high),  C(AS_U64, target_passes),
};
static const struct field_table consensus_fields = FIELD_TABLE(consensus_rows, snapshot_consensus);

#define A(kind, member) FIELD_ROW(snapshot_agent, kind, member)
static const struct field agent_rows[] = {
    A(AS_NAME, name),          A(AS_NAME, url),         A(AS_NAME, kind),
    A(AS_NAME, model),         HEALTH(snapshot_agent),  A(AS_TEXT, reason),
    A(AS_COUNT, rtt_us),       A(AS_U32, busy),         A(AS_U32, slots),
    A(AS_U64, answers),        A(AS_U64, failures),     A(AS_U64, approved),
    A(AS_U64, corrected),      A(AS_U64, rejected),     A(AS_U64, shadowed),
    A(AS_U64, false_approved), A(AS_NUMBER, answer_ms), A(AS_NUMBER, tokens_per_second),
};
static const struct field_table agent_fields = FIELD_TABLE(agent_rows, snapshot_agent);

#define Q(kind, member) FIELD_ROW(snapshot_gate, kind, member)
static const struct field gate_rows[] = {
    Q(AS_BOOL, on),
    Q(AS_NAME, routing),
    Q(AS_NAME, review),
    Q(AS_NAME, verifier),
    Q(AS_TEXT, why),
    Q(AS_U32, writing),
    Q(AS_U32, reviewing),
    Q(AS_U64, requests),
    Q(AS_U64, approved),
    Q(AS_U64, corrected),
    Q(AS_U64, rejected),
    Q(AS_U64, errors),
    Q(AS_U64, direct),
    Q(AS_U64, unreviewed),
    Q(AS_U64, cached),
    Q(AS_U64, retries),
    Q(AS_U64, unreadable),
    Q(AS_U64, agent_tokens),
    Q(AS_U64, tokens),
    Q(AS_U64, target_tokens),
    Q(AS_U64, shadowed),
    Q(AS_U64, false_approved),
    Q(AS_NUMBER, shadow_low),
    Q(AS_NUMBER, shadow_high),
    Q(AS_NUMBER, seconds_saved),
    Q(AS_NUMBER, joules_saved),
    FIELD_LIST(snapshot_gate, "agents", agent, n_agents, agent_fields),
};
static const struct field_table gate_fields = FIELD_TABLE(gate_rows, snapshot_gate);

#define G(kind, member) FIELD_ROW(snapshot_gpu, kind, member)
static const struct field gpu_rows[] = {
    G(AS_NAME, name),          G(AS_COUNT, memory),       G(AS_COUNT, memory_used),
    G(AS_NUMBER, utilisation), G(AS_NUMBER, temperature), G(AS_NUMBER, power),
};
static const struct field_table gpu_fields = FIELD_TABLE(gpu_rows, snapshot_gpu);

#define M(kind, member) FIELD_ROW(snapshot_machine, kind, member)
static const struct field machine_rows[] = {
    M(AS_NAME, name),         M(AS_NAME, address),
    HEALTH(snapshot_machine), M(AS_TEXT, reason),
    M(AS_COUNT, rtt_us),      M(AS_COUNT, memory),
    M(AS_COUNT, memory_used), M(AS_NUMBER, cpu),
    M(AS_COUNT, cores),       FIELD_LIST(snapshot_machine, "gpus", gpu, n_gpus, gpu_fields),
};
static const struct field_table machine_fields = FIELD_TABLE(machine_rows, snapshot_machine);

static const struct field log_rows[] = {
    FIELD_ROW(snapshot_log, AS_I64, wall_ms),
    FIELD_WORD(snapshot_log, level, level_word, LOG_ERROR + 1),
    FIELD_ROW(snapshot_log, AS_TEXT, text),
};
static const struct field_table log_fields = FIELD_TABLE(log_rows, snapshot_log);

#define S(kind, member) FIELD_ROW(snapshot, kind, member)
static const struct field snapshot_rows[] = {
    S(AS_U64, tick),
    S(AS_I64, wall_ms),
    S(AS_I64, uptime_ms),
    S(AS_NAME, version),
    S(AS_NAME, model),
    S(AS_NAME, listen),
    S(AS_NAME, config),
    S(AS_BOOL, speculating),
    S(AS_TEXT, why_not),
    S(AS_TEXT, governor),
    S(AS_BOOL, drafting_pays),
    S(AS_NUMBER, predicted_ms),
    S(AS_NUMBER, measured_ms),
    S(AS_NUMBER, prediction_error),
    S(AS_U64, ahead_verdicts),
    S(AS_U64, ahead_line),
    S(AS_U64, ahead_branch),
    S(AS_U64, drafts_written),
    S(AS_NUMBER, drafts_wasted_ms),
    S(AS_U64, branches_checked),
    S(AS_U64, branches_right),
    S(AS_NAME, mode),
    S(AS_TEXT, exactness),
    S(AS_TEXT, exactness_note),
    S(AS_CAP, max_draft_tokens),
    S(AS_NAME, acceptance_source),
    S(AS_U64, rounds),
    S(AS_U64, drafted),
    S(AS_U64, accepted),
    S(AS_U64, emitted),
    S(AS_U64, draft_failures),
    S(AS_U64, fallback_rounds),
    S(AS_U64, resumed),
    S(AS_U64, near_ties),
    S(AS_NUMBER, acceptance),
    S(AS_NUMBER, tokens_per_second),
    S(AS_NUMBER, tokens_per_round),
    S(AS_NUMBER, draft_ms),
    S(AS_NUMBER, verify_ms),
    S(AS_NUMBER, wait_ms),
    S(AS_U64, wire_out),
    S(AS_U64, wire_in),
    S(AS_U64, requests_ok),
    S(AS_U64, requests_failed),
    S(AS_U64, requests_cancelled),
    S(AS_U64, requests_refused),
    S(AS_U32, running),
    S(AS_U32, queued),
    S(AS_U32, slots),
    S(AS_U32, max_queue),
    {.key = "pool",
     .kind = AS_OBJECT,
     FIELD_AT(snapshot, pool),
     .of = &pool_fields,
     .count = offsetof(struct snapshot_pool, configured)},
    {.key = "consensus",
     .kind = AS_OBJECT,
     FIELD_AT(snapshot, consensus),
     .of = &consensus_fields,
     .count = offsetof(struct snapshot_consensus, configured)},
    {.key = "swarm",
     .kind = AS_OBJECT,
     FIELD_AT(snapshot, swarm),
     .of = &swarm_view_fields,
     .count = offsetof(struct swarm_view, on)},
    {.key = "gate",
     .kind = AS_OBJECT,
     FIELD_AT(snapshot, gate),
     .of = &gate_fields,
     .count = offsetof(struct snapshot_gate, configured)},
    FIELD_LIST(snapshot, "backends", backend, n_backends, backend_fields),
    FIELD_LIST(snapshot, "requests", request, n_requests, request_fields),
    FIELD_LIST(snapshot, "machines", machine, n_machines, machine_fields),
    FIELD_LIST(snapshot, "log", log, n_log, log_fields),
};
const struct field_table snapshot_fields = FIELD_TABLE(snapshot_rows, snapshot);

json_t *snapshot_to_json(const struct snapshot *s)
{
    json_t *o = fields_to_json(&snapshot_fields, s);
    double hits = (double)(s->ahead_line + s->ahead_branch);
    json_object_set_new(o, "ahead_hit_rate",
                        s->ahead_verdicts > 0 ? json_real(hits / (double)s->ahead_verdicts) : json_null());
    return o;
}

bool snapshot_from_json(struct snapshot *s, const json_t *o)
{
    if (!json_is_integer(json_object_get(o, "tick")) || !json_is_array(json_object_get(o, "backends")))
        return false;
    fields_from_json(&snapshot_fields, s, o);
    return true;
}
