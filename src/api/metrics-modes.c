#include "api/metrics-modes.h"

#include "api/metrics-text.h"
#include "base/mem.h"

/* ---- consensus ---- */

struct consensus_view {
    struct snapshot_consensus is;
    uint64_t verified; /* windows that the target was asked about */
};

#define OF_CONSENSUS(f) offsetof(struct consensus_view, f)

static const struct metric consensus_metrics[] = {
    {"tightwad_consensus_tokens_total", "Tokens of answers by consensus, by whether they needed the target.", COUNTER,
     FIELD_U64, OF_CONSENSUS(is.accepted), 1, "outcome=\"accepted\""},
    {"tightwad_consensus_tokens_total", NULL, COUNTER, FIELD_U64, OF_CONSENSUS(is.fallback), 1, "outcome=\"fallback\""},
    {"tightwad_consensus_windows_total", "Windows that drafters voted on.", COUNTER, FIELD_U64,
     OF_CONSENSUS(is.skipped), 1, "outcome=\"skipped\""},
    {"tightwad_consensus_windows_total", NULL, COUNTER, FIELD_U64, OF_CONSENSUS(verified), 1, "outcome=\"verified\""},
    {"tightwad_consensus_audited_total", "Windows taken unseen that the target checked afterwards.", COUNTER, FIELD_U64,
     OF_CONSENSUS(is.audited), 1},
    {"tightwad_consensus_wrong_total", "Of them, those with a token that it would not have written.", COUNTER,
     FIELD_U64, OF_CONSENSUS(is.wrong), 1},
    {"tightwad_consensus_audited_tokens_total", "Tokens checked afterwards.", COUNTER, FIELD_U64,
     OF_CONSENSUS(is.audited_tokens), 1},
    {"tightwad_consensus_wrong_tokens_total", "Of them, those that the target would not have written.", COUNTER,
     FIELD_U64, OF_CONSENSUS(is.wrong_tokens), 1},
    {"tightwad_consensus_error_ratio", "Share of wrong tokens among those checked.", GAUGE, FIELD_DOUBLE,
     OF_CONSENSUS(is.error), 1},
    {"tightwad_consensus_max_error_ratio", "The share above which answers are exact again.", GAUGE, FIELD_DOUBLE,
     OF_CONSENSUS(is.max_error), 1},
    {"tightwad_consensus_suspended", "1 when too much was wrong and answers are exact again.", GAUGE, FIELD_BOOL,
     OF_CONSENSUS(is.suspended), 1},
    {"tightwad_consensus_target_passes_total", "Forward passes of the target for these answers.", COUNTER, FIELD_U64,
     OF_CONSENSUS(is.target_passes), 1},
};

static bool write_consensus(struct buf *out, const struct snapshot_consensus *c)
{
    struct consensus_view view = {*c, c->windows > c->skipped ? c->windows - c->skipped : 0};
    return metrics_table(out, consensus_metrics, ARRAY_LEN(consensus_metrics), &view);
}

/* ---- the quality gate ---- */

#define OF_GATE(f) offsetof(struct snapshot_gate, f)

static const struct metric gate_metrics[] = {
    {"tightwad_gate_on", "1 when the quality gate answers.", GAUGE, FIELD_BOOL, OF_GATE(on), 1},
    {"tightwad_gate_requests_total", "Requests to the gate by what became of them.", COUNTER, FIELD_U64,
     OF_GATE(approved), 1, "verdict=\"approved\""},
    {"tightwad_gate_requests_total", NULL, COUNTER, FIELD_U64, OF_GATE(corrected), 1, "verdict=\"corrected\""},
    {"tightwad_gate_requests_total", NULL, COUNTER, FIELD_U64, OF_GATE(rejected), 1, "verdict=\"rejected\""},
    {"tightwad_gate_requests_total", NULL, COUNTER, FIELD_U64, OF_GATE(direct), 1, "verdict=\"direct\""},
    {"tightwad_gate_requests_total", NULL, COUNTER, FIELD_U64, OF_GATE(unreviewed), 1, "verdict=\"unreviewed\""},
    {"tightwad_gate_requests_total", NULL, COUNTER, FIELD_U64, OF_GATE(cached), 1, "verdict=\"cached\""},
    {"tightwad_gate_requests_total", NULL, COUNTER, FIELD_U64, OF_GATE(errors), 1, "verdict=\"error\""},
    {"tightwad_gate_tokens_total", "Tokens by who wrote them: what clients got of agents, all that the target wrote.",
     COUNTER, FIELD_U64, OF_GATE(agent_tokens), 1, "by=\"agent\""},
    {"tightwad_gate_tokens_total", NULL, COUNTER, FIELD_U64, OF_GATE(target_tokens), 1, "by=\"target\""},
    {"tightwad_gate_writing", "Requests that an agent is writing the answer to.", GAUGE, FIELD_U32, OF_GATE(writing),
     1},
    {"tightwad_gate_reviewing", "Requests whose answer is being reviewed.", GAUGE, FIELD_U32, OF_GATE(reviewing), 1},
    {"tightwad_gate_retries_total", "Agents that were replaced by another.", COUNTER, FIELD_U64, OF_GATE(retries), 1},
    {"tightwad_gate_unreadable_total", "Verdicts that could not be read: rejections.", COUNTER, FIELD_U64,
     OF_GATE(unreadable), 1},
    {"tightwad_gate_shadowed_total", "Approved answers that the target answered as well.", COUNTER, FIELD_U64,
     OF_GATE(shadowed), 1},
    {"tightwad_gate_false_approved_total", "Of them, those that the target answered otherwise.", COUNTER, FIELD_U64,
     OF_GATE(false_approved), 1},
    {"tightwad_gate_saved_seconds", "Time of the target saved, below 0: spent.", GAUGE, FIELD_DOUBLE,
     OF_GATE(seconds_saved), 1},
    {"tightwad_gate_saved_joules", "Energy saved, below 0: spent.", GAUGE, FIELD_DOUBLE, OF_GATE(joules_saved), 1},
};

#define OF_AGENT(f) offsetof(struct snapshot_agent, f)

static const struct metric agent_metrics[] = {
    {"tightwad_gate_agent_up", "1 when the agent answered its last probe.", GAUGE, FIELD_HEALTH, OF_AGENT(health), 1},
    {"tightwad_gate_agent_busy", "Answers that it writes now.", GAUGE, FIELD_U32, OF_AGENT(busy), 1},
    {"tightwad_gate_agent_slots", "Answers that it writes at once at most.", GAUGE, FIELD_U32, OF_AGENT(slots), 1},
    {"tightwad_gate_agent_round_trip_seconds", "Median round trip of the probes.", GAUGE, FIELD_I64, OF_AGENT(rtt_us),
     1e-6},
    {"tightwad_gate_agent_answers_total", "Whole answers.", COUNTER, FIELD_U64, OF_AGENT(answers), 1},
    {"tightwad_gate_agent_failures_total", "Calls that failed or took too long.", COUNTER, FIELD_U64,
     OF_AGENT(failures), 1},
    {"tightwad_gate_agent_verdicts_total", "What the verifier said of its answers.", COUNTER, FIELD_U64,
     OF_AGENT(approved), 1, "verdict=\"approved\""},
    {"tightwad_gate_agent_verdicts_total", NULL, COUNTER, FIELD_U64, OF_AGENT(corrected), 1, "verdict=\"corrected\""},
    {"tightwad_gate_agent_verdicts_total", NULL, COUNTER, FIELD_U64, OF_AGENT(rejected), 1, "verdict=\"rejected\""},
    {"tightwad_gate_agent_shadowed_total", "Its approved answers that the target answered as well.", COUNTER, FIELD_U64,
     OF_AGENT(shadowed), 1},
    {"tightwad_gate_agent_false_approved_total", "Of them, those that the target answered otherwise.", COUNTER,
     FIELD_U64, OF_AGENT(false_approved), 1},
    {"tightwad_gate_agent_answer_seconds", "Median time of an answer.", GAUGE, FIELD_DOUBLE, OF_AGENT(answer_ms), 1e-3},
    {"tightwad_gate_agent_tokens_per_second", "How fast it writes.", GAUGE, FIELD_DOUBLE, OF_AGENT(tokens_per_second),
     1},
};

static bool write_gate(struct buf *out, const struct snapshot_gate *g)
{
    struct metric_series agents[SNAPSHOT_AGENTS] = {{0}};
    bool ok = metrics_table(out, gate_metrics, ARRAY_LEN(gate_metrics), g);
    for (size_t i = 0; i < g->n_agents; i++) {
        const struct snapshot_agent *a = &g->agent[i];
        struct buf *labels = metrics_begin_series(&agents[i], a);
        ok = metrics_label(labels, "name", a->name, true) && metrics_label(labels, "kind", a->kind, false) && ok;
    }
    ok = ok && metrics_series(out, agent_metrics, ARRAY_LEN(agent_metrics), agents, g->n_agents);
    metrics_finish_series(agents, g->n_agents);
    return ok;
}

bool metrics_modes(struct buf *out, const struct snapshot *s)
{
    return (!s->consensus.configured || write_consensus(out, &s->consensus)) &&
           (!s->gate.configured || write_gate(out, &s->gate));
}
