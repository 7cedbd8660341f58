#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/metrics-modes.h"

static char *write_modes(const struct snapshot *s)
{
    struct buf out;
    buf_init(&out, 1 << 18);
    assert_true(metrics_modes(&out, s));
    return buf_steal(&out);
}

static void nothing_of_what_is_not_configured(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    char *text = write_modes(s);
    assert_string_equal(text, "");
    free(text);
    free(s);
}

static void consensus_is_counted(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    s->consensus = (struct snapshot_consensus){.configured = true,
                                               .suspended = true,
                                               .max_error = 0.02,
                                               .windows = 30,
                                               .skipped = 10,
                                               .accepted = 80,
                                               .fallback = 160,
                                               .audited = 4,
                                               .wrong = 1,
                                               .audited_tokens = 32,
                                               .wrong_tokens = 2,
                                               .error = 0.0625,
                                               .target_passes = 21};
    char *text = write_modes(s);
    has_line(text, "tightwad_consensus_tokens_total{outcome=\"accepted\"} 80\n"
                   "tightwad_consensus_tokens_total{outcome=\"fallback\"} 160");
    has_line(text, "tightwad_consensus_windows_total{outcome=\"skipped\"} 10\n"
                   "tightwad_consensus_windows_total{outcome=\"verified\"} 20");
    has_line(text, "tightwad_consensus_audited_total 4");
    has_line(text, "tightwad_consensus_wrong_total 1");
    has_line(text, "tightwad_consensus_audited_tokens_total 32");
    has_line(text, "tightwad_consensus_wrong_tokens_total 2");
    has_line(text, "tightwad_consensus_error_ratio 0.0625");
    has_line(text, "tightwad_consensus_max_error_ratio 0.02");
    has_line(text, "tightwad_consensus_suspended 1");
    has_line(text, "tightwad_consensus_target_passes_total 21");
    free(text);
    s->consensus.error = NAN; /* nothing was audited: no sample */
    text = write_modes(s);
    assert_null(strstr(text, "tightwad_consensus_error_ratio"));
    free(text);
    free(s);
}

static void the_gate_is_counted_by_verdict_and_agent(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    struct snapshot_gate *g = &s->gate;
    *g = (struct snapshot_gate){.configured = true,
                                .on = true,
                                .writing = 1,
                                .reviewing = 2,
                                .approved = 3,
                                .corrected = 4,
                                .rejected = 5,
                                .direct = 6,
                                .unreviewed = 7,
                                .cached = 8,
                                .errors = 9,
                                .agent_tokens = 10,
                                .target_tokens = 11,
                                .retries = 12,
                                .unreadable = 13,
                                .shadowed = 14,
                                .false_approved = 15,
                                .seconds_saved = -1.5,
                                .joules_saved = NAN,
                                .n_agents = 2};
    g->agent[0] = (struct snapshot_agent){.name = "lap\"top",
                                          .kind = "node",
                                          .health = HEALTH_UP,
                                          .rtt_us = 2000,
                                          .busy = 1,
                                          .slots = 4,
                                          .answers = 21,
                                          .failures = 22,
                                          .approved = 23,
                                          .corrected = 24,
                                          .rejected = 25,
                                          .shadowed = 26,
                                          .false_approved = 27,
                                          .answer_ms = 1500,
                                          .tokens_per_second = NAN};
    g->agent[1] = (struct snapshot_agent){.name = "b",
                                          .kind = "ollama",
                                          .health = HEALTH_UNKNOWN,
                                          .rtt_us = -1,
                                          .answer_ms = NAN,
                                          .tokens_per_second = NAN};
    char *text = write_modes(s);
    has_line(text, "tightwad_gate_on 1");
    has_line(text, "tightwad_gate_requests_total{verdict=\"approved\"} 3\n"
                   "tightwad_gate_requests_total{verdict=\"corrected\"} 4\n"
                   "tightwad_gate_requests_total{verdict=\"rejected\"} 5\n"
                   "tightwad_gate_requests_total{verdict=\"direct\"} 6\n"
                   "tightwad_gate_requests_total{verdict=\"unreviewed\"} 7\n"
                   "tightwad_gate_requests_total{verdict=\"cached\"} 8\n"
                   "tightwad_gate_requests_total{verdict=\"error\"} 9");
    has_line(text, "tightwad_gate_tokens_total{by=\"agent\"} 10\ntightwad_gate_tokens_total{by=\"target\"} 11");
    has_line(text, "tightwad_gate_retries_total 12");
    has_line(text, "tightwad_gate_unreadable_total 13");
    has_line(text, "tightwad_gate_saved_seconds -1.5");
    assert_null(strstr(text, "saved_joules"));
    has_line(text, "# TYPE tightwad_gate_agent_verdicts_total counter\n"
                   "tightwad_gate_agent_verdicts_total{name=\"lap\\\"top\",kind=\"node\",verdict=\"approved\"} 23\n"
                   "tightwad_gate_agent_verdicts_total{name=\"b\",kind=\"ollama\",verdict=\"approved\"} 0\n"
                   "tightwad_gate_agent_verdicts_total{name=\"lap\\\"top\",kind=\"node\",verdict=\"corrected\"} 24\n"
                   "tightwad_gate_agent_verdicts_total{name=\"b\",kind=\"ollama\",verdict=\"corrected\"} 0\n"
                   "tightwad_gate_agent_verdicts_total{name=\"lap\\\"top\",kind=\"node\",verdict=\"rejected\"} 25");
    has_line(text, "tightwad_gate_agent_round_trip_seconds{name=\"lap\\\"top\",kind=\"node\"} 0.002");
    has_line(text, "tightwad_gate_agent_answer_seconds{name=\"lap\\\"top\",kind=\"node\"} 1.5");
    has_line(text, "tightwad_gate_agent_false_approved_total{name=\"lap\\\"top\",kind=\"node\"} 27");
    assert_null(strstr(text, "tightwad_gate_agent_up{name=\"b\""));
    assert_null(strstr(text, "tightwad_gate_agent_tokens_per_second"));
    free(text);
    free(s);
}

const struct CMUnitTest metrics_modes_tests[] = {
    cmocka_unit_test(nothing_of_what_is_not_configured),
    cmocka_unit_test(consensus_is_counted),
    cmocka_unit_test(the_gate_is_counted_by_verdict_and_agent),
};
const size_t metrics_modes_count = sizeof(metrics_modes_tests) / sizeof(*metrics_modes_tests);
