#include "api/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/metrics-modes.h"
#include "api/metrics-swarm.h"
#include "api/metrics-text.h"
#include "base/mem.h"

enum { METRICS_MAX = 256 * 1024 };

#define OF_SNAPSHOT(f) offsetof(struct snapshot, f)
#define OF_BACKEND(f) offsetof(struct snapshot_backend, f)

static const struct metric snapshot_metrics[] = {
    {"tightwad_uptime_seconds", "Time since the start.", GAUGE, FIELD_I64, OF_SNAPSHOT(uptime_ms), 1e-3},
    {"tightwad_speculating", "1 when drafts are verified, 0 when the target works alone.", GAUGE, FIELD_BOOL,
     OF_SNAPSHOT(speculating), 1},
    {"tightwad_rounds_total", "Rounds of draft and verify.", COUNTER, FIELD_U64, OF_SNAPSHOT(rounds), 1},
    {"tightwad_drafted_tokens_total", "Tokens drafted and checked.", COUNTER, FIELD_U64, OF_SNAPSHOT(drafted), 1},
    {"tightwad_accepted_tokens_total", "Drafted tokens that the target agreed with.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(accepted), 1},
    {"tightwad_emitted_tokens_total", "Completion tokens of all requests.", COUNTER, FIELD_U64, OF_SNAPSHOT(emitted),
     1},
    {"tightwad_draft_failures_total", "Drafts that failed or came too late.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(draft_failures), 1},
    {"tightwad_fallback_rounds_total", "Rounds without a usable draft.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(fallback_rounds), 1},
    {"tightwad_resumed_answers_total", "Answers that went on after the target was lost.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(resumed), 1},
    {"tightwad_near_ties_total", "Emitted tokens whose margin was within the noise of the target.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(near_ties), 1},
    {"tightwad_acceptance_ratio", "Share of drafted tokens accepted over the last rounds.", GAUGE, FIELD_DOUBLE,
     OF_SNAPSHOT(acceptance), 1},
    {"tightwad_tokens_per_second", "Completion tokens per second over the last seconds.", GAUGE, FIELD_DOUBLE,
     OF_SNAPSHOT(tokens_per_second), 1},
    {"tightwad_tokens_per_round", "Tokens emitted by a round, recently.", GAUGE, FIELD_DOUBLE,
     OF_SNAPSHOT(tokens_per_round), 1},
    {"tightwad_round_draft_seconds", "Median time of drafting in the last rounds.", GAUGE, FIELD_DOUBLE,
     OF_SNAPSHOT(draft_ms), 1e-3},
    {"tightwad_round_verify_seconds", "Median time of verifying in the last rounds.", GAUGE, FIELD_DOUBLE,
     OF_SNAPSHOT(verify_ms), 1e-3},
    {"tightwad_round_wait_seconds", "Median time that the target waited for a draft in the last rounds.", GAUGE,
     FIELD_DOUBLE, OF_SNAPSHOT(wait_ms), 1e-3},
    {"tightwad_ahead_verdicts_total", "Verdicts that came while a drafter wrote ahead.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(ahead_verdicts), 1},
    {"tightwad_ahead_hits_total", "Verdicts that it had tokens ready for.", COUNTER, FIELD_U64, OF_SNAPSHOT(ahead_line),
     1, "by=\"line\""},
    {"tightwad_ahead_hits_total", NULL, COUNTER, FIELD_U64, OF_SNAPSHOT(ahead_branch), 1, "by=\"branch\""},
    {"tightwad_drafts_written_tokens_total", "Tokens that drafters have written, checked or not.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(drafts_written), 1},
    {"tightwad_branches_checked_total", "Second guesses checked beside a draft.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(branches_checked), 1},
    {"tightwad_branches_right_total", "Second guesses that an answer went into.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(branches_right), 1},
    {"tightwad_wire_sent_bytes_total", "Bytes sent to the servers, with headers.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(wire_out), 1},
    {"tightwad_wire_received_bytes_total", "Bytes received from the servers, with headers.", COUNTER, FIELD_U64,
     OF_SNAPSHOT(wire_in), 1},
    {"tightwad_requests_total", "Requests by how they ended.", COUNTER, FIELD_U64, OF_SNAPSHOT(requests_ok), 1,
     "result=\"ok\""},
    {"tightwad_requests_total", NULL, COUNTER, FIELD_U64, OF_SNAPSHOT(requests_failed), 1, "result=\"failed\""},
    {"tightwad_requests_total", NULL, COUNTER, FIELD_U64, OF_SNAPSHOT(requests_cancelled), 1, "result=\"cancelled\""},
    {"tightwad_requests_total", NULL, COUNTER, FIELD_U64, OF_SNAPSHOT(requests_refused), 1, "result=\"refused\""},
    {"tightwad_requests_running", "Requests being answered.", GAUGE, FIELD_U32, OF_SNAPSHOT(running), 1},
    {"tightwad_requests_queued", "Requests that wait for a slot.", GAUGE, FIELD_U32, OF_SNAPSHOT(queued), 1},
    {"tightwad_slots", "Requests that the target answers at once.", GAUGE, FIELD_U32, OF_SNAPSHOT(slots), 1},
    {"tightwad_queue_limit", "Requests that may wait before more are refused.", GAUGE, FIELD_U32,
     OF_SNAPSHOT(max_queue), 1},
};

static const struct metric backend_metrics[] = {
    {"tightwad_backend_up", "1 when the server answered its last probe.", GAUGE, FIELD_HEALTH, OF_BACKEND(health), 1},
    {"tightwad_backend_active", "1 for the target and for the drafter in use.", GAUGE, FIELD_BOOL, OF_BACKEND(active),
     1},
    {"tightwad_backend_paused", "1 when paused by a command.", GAUGE, FIELD_BOOL, OF_BACKEND(paused), 1},
    {"tightwad_backend_round_trip_seconds", "Median round trip of the probes.", GAUGE, FIELD_I64, OF_BACKEND(rtt_us),
     1e-6},
    {"tightwad_backend_calls_total", "Calls made to the server.", COUNTER, FIELD_U64, OF_BACKEND(calls), 1},
    {"tightwad_backend_failures_total", "Calls that failed.", COUNTER, FIELD_U64, OF_BACKEND(failures), 1},
    {"tightwad_backend_tokens_per_second", "Drafters: speed of drafting; target: tokens emitted per second.", GAUGE,
     FIELD_DOUBLE, OF_BACKEND(tokens_per_second), 1},
    {"tightwad_backend_call_seconds", "Median time of a draft or a verify.", GAUGE, FIELD_DOUBLE, OF_BACKEND(call_ms),
     1e-3},
};

static const struct metric drafter_metrics[] = {
    {"tightwad_backend_drafted_tokens_total", "Tokens drafted by the server and checked.", COUNTER, FIELD_U64,
     OF_BACKEND(drafted), 1},
    {"tightwad_backend_accepted_tokens_total", "Its drafted tokens that the target agreed with.", COUNTER, FIELD_U64,
     OF_BACKEND(accepted), 1},
    {"tightwad_backend_offered_total", "Rounds in which it had a draft to offer.", COUNTER, FIELD_U64,
     OF_BACKEND(offered), 1},
    {"tightwad_backend_wins_total", "Rounds in which no other one had drafted further along the answer.", COUNTER,
     FIELD_U64, OF_BACKEND(wins), 1},
    {"tightwad_backend_resting", "1 when it is not asked for now, because it adds too little to the others.", GAUGE,
     FIELD_BOOL, OF_BACKEND(resting), 1},
};

#define OF_MACHINE(f) offsetof(struct snapshot_machine, f)

static const struct metric machine_metrics[] = {
    {"tightwad_machine_up", "1 when the machine tells of itself.", GAUGE, FIELD_HEALTH, OF_MACHINE(health), 1},
    {"tightwad_machine_memory_bytes", "Memory of the machine.", GAUGE, FIELD_I64, OF_MACHINE(memory), 1},
    {"tightwad_machine_memory_used_bytes", "What no program could still have of it.", GAUGE, FIELD_I64,
     OF_MACHINE(memory_used), 1},
    {"tightwad_machine_busy_ratio", "Share of its cores that work.", GAUGE, FIELD_DOUBLE, OF_MACHINE(cpu), 1},
};

#define OF_GPU(f) offsetof(struct snapshot_gpu, f)

static const struct metric gpu_metrics[] = {
    {"tightwad_gpu_memory_bytes", "Memory of the card.", GAUGE, FIELD_I64, OF_GPU(memory), 1},
    {"tightwad_gpu_memory_used_bytes", "What is taken of it.", GAUGE, FIELD_I64, OF_GPU(memory_used), 1},
    {"tightwad_gpu_busy_ratio", "Share of the time that it works.", GAUGE, FIELD_DOUBLE, OF_GPU(utilisation), 1},
    {"tightwad_gpu_temperature_celsius", "How warm it is.", GAUGE, FIELD_DOUBLE, OF_GPU(temperature), 1},
    {"tightwad_gpu_power_watts", "What it draws.", GAUGE, FIELD_DOUBLE, OF_GPU(power), 1},
};

#define OF_POOL(f) offsetof(struct snapshot_pool, f)

static const struct metric pool_metrics[] = {
    {"tightwad_pool_up", "1 while the pool's program serves.", GAUGE, FIELD_BOOL, OF_POOL(up), 1},
    {"tightwad_pool_restarts_total", "Starts that nobody ordered.", COUNTER, FIELD_U64, OF_POOL(restarts), 1},
    {"tightwad_pool_swaps_total", "Models loaded in the place of a running one.", COUNTER, FIELD_U64, OF_POOL(swaps),
     1},
    {"tightwad_pool_load_ratio", "How far the load under way is.", GAUGE, FIELD_DOUBLE, OF_POOL(progress), 1},
    {"tightwad_pool_load_seconds", "What the last load took.", GAUGE, FIELD_DOUBLE, OF_POOL(load_ms), 1e-3},
    {"tightwad_pool_pause_seconds", "How long the target was away the last time.", GAUGE, FIELD_DOUBLE,
     OF_POOL(pause_ms), 1e-3},
};

static const struct metric http_metrics[] = {
    {"tightwad_http_requests_total", "HTTP requests received.", COUNTER, FIELD_U64,
     offsetof(struct httpd_counters, requests), 1},
    {"tightwad_http_received_bytes_total", "Bytes received from clients.", COUNTER, FIELD_U64,
     offsetof(struct httpd_counters, bytes_in), 1},
    {"tightwad_http_sent_bytes_total", "Bytes sent to clients.", COUNTER, FIELD_U64,
     offsetof(struct httpd_counters, bytes_out), 1},
    {"tightwad_http_connections", "Client connections that are open.", GAUGE, FIELD_SIZE,
     offsetof(struct httpd_counters, connections), 1},
};

static const struct metric events_metrics[] = {
    {"tightwad_event_readers", "Readers of the event stream.", GAUGE, FIELD_SIZE,
     offsetof(struct events_counters, readers), 1},
    {"tightwad_events_skipped_total", "Events withheld from readers that do not keep up.", COUNTER, FIELD_U64,
     offsetof(struct events_counters, skipped), 1},
};

static bool write_backends(struct buf *out, const struct snapshot *s)
{
    struct metric_series all[SNAPSHOT_BACKENDS] = {{0}}, drafters[SNAPSHOT_BACKENDS] = {{0}};
    size_t n = 0, n_drafters = 0;
    bool ok = true;
    for (size_t i = 0; i < s->n_backends; i++) {
        const struct snapshot_backend *b = &s->backend[i];
        struct buf *labels = metrics_begin_series(&all[n], b);
        ok = ok && metrics_label(labels, "role", b->role == ROLE_TARGET ? "target" : "drafter", true) &&
             metrics_label(labels, "name", b->name, false) && metrics_label(labels, "kind", b->kind, false);
        if (b->role == ROLE_DRAFTER)
            drafters[n_drafters++] = all[n]; /* shares the labels */
        n++;
    }
    ok = ok && metrics_series(out, backend_metrics, ARRAY_LEN(backend_metrics), all, n) &&
         metrics_series(out, drafter_metrics, ARRAY_LEN(drafter_metrics), drafters, n_drafters);
    metrics_finish_series(all, n);
    return ok;
}

static bool label_machine(struct buf *labels, const struct snapshot_machine *m)
{
    return metrics_label(labels, "machine", m->name, true) && metrics_label(labels, "address", m->address, false);
}

static bool write_machines(struct buf *out, const struct snapshot *s)
{
    struct metric_series machines[SNAPSHOT_MACHINES] = {{0}}, gpus[SNAPSHOT_MACHINES * SNAPSHOT_GPUS] = {{0}};
    size_t n = 0, n_gpus = 0;
    bool ok = true;
    for (size_t i = 0; i < s->n_machines; i++) {
        const struct snapshot_machine *m = &s->machine[i];
        ok = label_machine(metrics_begin_series(&machines[n++], m), m) && ok;
        for (size_t k = 0; k < m->n_gpus; k++) {
            struct buf *labels = metrics_begin_series(&gpus[n_gpus++], &m->gpu[k]);
            char number[24];
            snprintf(number, sizeof(number), "%zu", k);
            ok = label_machine(labels, m) && metrics_label(labels, "gpu", number, false) &&
                 metrics_label(labels, "name", m->gpu[k].name, false) && ok;
        }
    }
    ok = ok && metrics_series(out, machine_metrics, ARRAY_LEN(machine_metrics), machines, n) &&
         metrics_series(out, gpu_metrics, ARRAY_LEN(gpu_metrics), gpus, n_gpus);
    metrics_finish_series(machines, n);
    metrics_finish_series(gpus, n_gpus);
    return ok;
}

static bool write_info(struct buf *out, const struct snapshot *s)
{
    return buf_adds(out, "# HELP tightwad_info What runs: always 1.\n# TYPE tightwad_info gauge\ntightwad_info{") &&
           metrics_label(out, "version", s->version, true) && metrics_label(out, "model", s->model, false) &&
           metrics_label(out, "exactness", s->exactness, false) && metrics_label(out, "mode", s->mode, false) &&
           buf_adds(out, "} 1\n");
}

bool metrics_write(struct buf *out, const struct snapshot *s, const struct httpd_counters *http,
                   const struct events_counters *events)
{
    return write_info(out, s) && metrics_table(out, snapshot_metrics, ARRAY_LEN(snapshot_metrics), s) &&
           (!s->pool.configured || metrics_table(out, pool_metrics, ARRAY_LEN(pool_metrics), &s->pool)) &&
           write_backends(out, s) && metrics_modes(out, s) && metrics_swarm(out, s) && write_machines(out, s) &&
           metrics_table(out, http_metrics, ARRAY_LEN(http_metrics), http) &&
           metrics_table(out, events_metrics, ARRAY_LEN(events_metrics), events);
}

static void handle_metrics(struct httpd_request *r, void *arg)
{
    const struct metrics *m = arg;
    struct httpd_counters http;
    struct events_counters events;
    httpd_get_counters(m->counted, &http);
    events_get_counters(m->events, &events);
    struct buf out;
    buf_init(&out, METRICS_MAX);
    if (metrics_write(&out, proxy_snapshot(m->proxy), &http, &events))
        httpd_reply_text(r, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
    else
        httpd_reply_error(r, 500, NULL, NULL, "the metrics are over %d bytes", METRICS_MAX);
    buf_finish(&out);
}

void metrics_route(const struct metrics *m, struct httpd *server)
{
    httpd_route(server, HTTPD_GET, "/metrics", false, handle_metrics, (void *)m);
}
