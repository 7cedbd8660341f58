#include "cmd/bench-swarm.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cmd/measure.h"
#include "cmd/show-machine.h"

static const struct {
    const char *name, *what;
} rows[BENCH_SWARM_ROWS] = {
    [BENCH_SWARM] = {"swarm", "tightwad swarm pull, every piece's SHA-256 checked"},
    [BENCH_ARIA2C] = {"aria2c", "from the same peers' HTTP, SHA-256 of each MiB checked"},
    [BENCH_RSYNC] = {"rsync", "from one daemon, its own checksum"},
};

const char *swarm_bench_name(enum swarm_bench_row row)
{
    return rows[row].name;
}

static double median_of(const struct swarm_bench_result *r, double (*value)(const struct swarm_bench_run *))
{
    double values[SWARM_BENCH_RUNS];
    for (size_t i = 0; i < r->n_runs; i++)
        values[i] = value(&r->run[i]);
    return measure_median(values, r->n_runs);
}

static double seconds_of(const struct swarm_bench_run *run)
{
    return run->seconds;
}

static double getter_of(const struct swarm_bench_run *run)
{
    return run->getter.cpu;
}

static double givers_of(const struct swarm_bench_run *run)
{
    return run->givers_cpu;
}

double swarm_bench_seconds(const struct swarm_bench_result *r)
{
    return median_of(r, seconds_of);
}

/* The most of all runs. */
static int64_t memory_of(const struct swarm_bench_result *r)
{
    int64_t most = -1;
    for (size_t i = 0; i < r->n_runs; i++)
        most = r->run[i].getter.memory > most ? r->run[i].getter.memory : most;
    return most;
}

static double slowest_of(const struct swarm_bench_result *r)
{
    double most = NAN;
    for (size_t i = 0; i < r->n_runs; i++)
        most = fmax(most, r->run[i].getter.slowest);
    return most;
}

static double rate_of(const struct swarm_bench *b, const struct swarm_bench_result *r)
{
    return (double)b->m->total_size / swarm_bench_seconds(r);
}

static void print_row(const struct swarm_bench *b, enum swarm_bench_row row, FILE *to)
{
    const struct swarm_bench_result *r = &b->result[row];
    if (r->failure != NULL) {
        fprintf(to, "  %-7s %s\n", rows[row].name, r->failure);
        return;
    }
    char *memory = show_bytes(memory_of(r));
    double ratio = rate_of(b, r) / rate_of(b, &b->result[BENCH_ARIA2C]);
    char givers[32] = "–     ";
    if (isfinite(median_of(r, givers_of)))
        snprintf(givers, sizeof(givers), "%.2f s", median_of(r, givers_of));
    fprintf(to, "  %-7s %7.2f s %8.0f MB/s   CPU %5.2f s, peers' %s   %8s", rows[row].name, swarm_bench_seconds(r),
            rate_of(b, r) / 1e6, median_of(r, getter_of), givers, memory);
    if (isfinite(ratio))
        fprintf(to, "   x %.2f", ratio);
    fprintf(to, "   %s\n", rows[row].what);
    free(memory);
}

void swarm_bench_print(const struct swarm_bench *b, FILE *to)
{
    char *size = show_bytes((int64_t)b->m->total_size), *link = drawer_link_text(&b->link);
    double slowest = slowest_of(&b->result[BENCH_SWARM]);
    fprintf(to, "%s in %zu pieces, %zu peer%s, %s before each; %zu run%s, medians, to the program's end\n\n", size,
            b->m->n_pieces, b->n_peers, b->n_peers == 1 ? "" : "s", link, b->runs, b->runs == 1 ? "" : "s");
    for (int i = 0; i < BENCH_SWARM_ROWS; i++) {
        if (b->wanted[i] && b->result[i].there)
            print_row(b, (enum swarm_bench_row)i, to);
        else if (b->wanted[i])
            fprintf(to, "  %-7s is not installed\n", rows[i].name);
    }
    if (b->result[BENCH_SWARM].n_runs > 0) {
        char *giver = show_bytes(b->giver.memory);
        fprintf(to, "\nThe swarm's peers held at most %s each.", giver);
        if (isfinite(slowest) && isfinite(b->giver.slowest))
            fprintf(to, "  The slowest callback took %.1f ms in the puller, %.1f ms in a peer.", slowest,
                    b->giver.slowest);
        fputc('\n', to);
        free(giver);
    }
    free(size);
    free(link);
}

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *bytes(int64_t v)
{
    return v >= 0 ? json_integer(v) : json_null();
}

static json_t *row_json(const struct swarm_bench *b, const struct swarm_bench_result *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "failure", r->failure != NULL ? json_string(r->failure) : json_null());
    json_object_set_new(o, "runs", json_integer((json_int_t)r->n_runs));
    json_object_set_new(o, "seconds", number(swarm_bench_seconds(r)));
    json_object_set_new(o, "bytes_a_second", number(rate_of(b, r)));
    json_object_set_new(o, "cpu_seconds", number(median_of(r, getter_of)));
    json_object_set_new(o, "peers_cpu_seconds", number(median_of(r, givers_of)));
    json_object_set_new(o, "memory", bytes(memory_of(r)));
    json_object_set_new(o, "slowest_ms", number(slowest_of(r)));
    json_t *all = json_array();
    for (size_t i = 0; i < r->n_runs; i++)
        json_array_append_new(all, json_real(r->run[i].seconds));
    json_object_set_new(o, "all_seconds", all);
    return o;
}

json_t *swarm_bench_json(const struct swarm_bench *b)
{
    json_t *o = json_pack("{s:I,s:I,s:I,s:b,s:f,s:f}", "bytes", (json_int_t)b->m->total_size, "pieces",
                          (json_int_t)b->m->n_pieces, "peers", (json_int_t)b->n_peers, "emulated_link", b->link.given,
                          "link_ms", b->link.delay_ms, "link_mbit", b->link.rate_mbit);
    for (int i = 0; i < BENCH_SWARM_ROWS; i++) {
        if (b->wanted[i])
            json_object_set_new(o, rows[i].name, b->result[i].there ? row_json(b, &b->result[i]) : json_null());
    }
    double ratio = rate_of(b, &b->result[BENCH_SWARM]) / rate_of(b, &b->result[BENCH_ARIA2C]);
    json_object_set_new(o, "swarm_to_aria2c", number(ratio));
    json_object_set_new(o, "peer_memory", bytes(b->giver.memory));
    json_object_set_new(o, "peer_slowest_ms", number(b->giver.slowest));
    return o;
}
