#include "cmd/bench-pool.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/measure.h"

#define FIXED(k_)                                                                                                      \
    {"k" #k_, "K = " #k_ ", not ahead", BENCH_PROXY, k_, .drafters = BENCH_MODEL, .usual = true},                      \
    {                                                                                                                  \
        "k" #k_ "-ahead", "K = " #k_ ", drafting ahead", BENCH_PROXY, k_, .ahead = true, .drafters = BENCH_MODEL,      \
                                                                          .usual = true                                \
    }
#define STOCK(n_, p_)                                                                                                  \
    {                                                                                                                  \
        "stock-" #n_ "-" #p_, "llama-server, n-max " #n_ ", p-min " #p_, BENCH_STOCK, n_, .p_min = p_, .usual = true   \
    }

const struct bench_row bench_rows[] = {
    {"pool", "pool alone", BENCH_NODE, .usual = true, .repeats = true},
    FIXED(4),
    FIXED(8),
    FIXED(16),
    FIXED(32),
    {"auto-late", "auto, not ahead", BENCH_PROXY, .drafters = BENCH_MODEL, .usual = true},
    {"auto-line", "auto, ahead, no branches", BENCH_PROXY, .ahead = true, .drafters = BENCH_MODEL, .usual = true},
    {"auto", "auto", BENCH_PROXY, .ahead = true, .branches = true, .drafters = BENCH_MODEL, .usual = true,
     .repeats = true},
    {"ngram", "n-grams of the text alone", BENCH_PROXY, .ahead = true, .drafters = BENCH_NGRAM, .repeats = true},
    {"auto-ngram", "auto, with n-grams", BENCH_PROXY, .ahead = true, .branches = true,
     .drafters = BENCH_MODEL | BENCH_NGRAM, .usual = true, .repeats = true},
    {"stock", "llama-server alone", BENCH_STOCK, .usual = true},
    STOCK(8, 0),
    STOCK(8, 0.6),
    STOCK(16, 0),
    STOCK(16, 0.6),
    STOCK(24, 0),
    STOCK(24, 0.6),
    STOCK(32, 0),
    STOCK(32, 0.6),
    {"stock-verifies", "llama-server as our target, auto", BENCH_STOCK, .ahead = true, .branches = true,
     .drafters = BENCH_MODEL, .verifies = true, .usual = true},
    {0},
};
const size_t bench_row_count = ARRAY_LEN(bench_rows) - 1;

static bool matches(const char *list, const char *name, bool *used)
{
    bool found = false;
    size_t i = 0;
    for (const char *at = list; *at != '\0'; i++) {
        size_t len = strcspn(at, ",");
        char *pattern = xstrndup(at, len);
        if (fnmatch(pattern, name, 0) == 0)
            found = used[i] = true;
        free(pattern);
        at += len + (at[len] == ',');
    }
    return found;
}

/* The first item of the list that no row matched. */
static int complain(const char *list, const bool *used, char **cause)
{
    size_t i = 0;
    for (const char *at = list; *at != '\0'; i++) {
        size_t len = strcspn(at, ",");
        if (!used[i])
            return cause_set(
                cause,
                "--only: no row is called \"%.*s\"; there are pool, k4, k4-ahead, … k32-ahead, auto-late, auto-line, "
                "auto, ngram, auto-ngram, stock, stock-8-0, stock-8-0.6, … stock-32-0.6, stock-verifies, and patterns "
                "such as 'k*'",
                (int)len, at);
        at += len + (at[len] == ',');
    }
    return 0;
}

int bench_pool_select(struct bench_pool *b, const char *list, bool repeats, bool stock, bool stock_drafts, char **cause)
{
    bool *used = xcalloc(list != NULL ? strlen(list) + 1 : 1, sizeof(*used));
    b->results = xcalloc(bench_row_count, sizeof(*b->results));
    b->n_tokens_min = -1;
    for (size_t i = 0; i < bench_row_count; i++) {
        const struct bench_row *row = &bench_rows[i];
        struct bench_result *r = &b->results[i];
        bool suits = (repeats ? row->repeats : row->usual) &&
                     (row->source != BENCH_STOCK || (stock && (row->k == 0 || stock_drafts)));
        *r = (struct bench_result){.row = row, .status_error = NAN};
        r->wanted = list != NULL ? matches(list, row->name, used) && suits : suits;
    }
    b->results[0].wanted = true;
    int rc = list != NULL ? complain(list, used, cause) : 0;
    free(used);
    return rc;
}

void bench_pool_finish(struct bench_pool *b)
{
    for (size_t i = 0; b->results != NULL && i < bench_row_count; i++) {
        free(b->results[i].runs);
        free(b->results[i].governor);
        free(b->results[i].failure);
        bench_counts_finish(&b->results[i].counts);
    }
    free(b->results);
    free(b->conditions);
    json_decref(b->settings);
    *b = (struct bench_pool){0};
}

double bench_rate(const struct bench_result *r)
{
    double *v = xcalloc(r->n_runs + 1, sizeof(*v));
    for (size_t i = 0; i < r->n_runs; i++)
        v[i] = (double)r->runs[i].tokens / r->runs[i].seconds;
    double m = measure_median(v, r->n_runs);
    free(v);
    return m;
}

double bench_limit(const struct bench_result *r)
{
    return r->counts.verify_ms > 0 ? (double)r->counts.timed_emitted * 1000 / r->counts.verify_ms : NAN;
}

double bench_tokens_per_round(const struct bench_result *r)
{
    if (r->counts.rounds > 0)
        return (double)r->counts.emitted / (double)r->counts.rounds;
    /* A llama-server does not count its rounds; each ends with one token of its own. */
    if (r->row->source == BENCH_STOCK && r->drafted > 0 && r->completion > r->accepted)
        return (double)r->completion / (double)(r->completion - r->accepted);
    return r->n_runs > 0 && r->row->source != BENCH_PROXY ? 1 : NAN;
}

double bench_acceptance(const struct bench_result *r)
{
    if (r->counts.drafted > 0)
        return (double)r->counts.accepted / (double)r->counts.drafted;
    return r->drafted > 0 ? (double)r->accepted / (double)r->drafted : NAN;
}

double bench_error(const struct bench_result *r)
{
    if (r->counts.n_errors == 0)
        return r->status_error;
    double *v = xmemdup(r->counts.errors, r->counts.n_errors * sizeof(*v));
    double m = measure_median(v, r->counts.n_errors);
    free(v);
    return m;
}

const struct bench_result *bench_best_stock(const struct bench_pool *b)
{
    const struct bench_result *best = NULL;
    for (size_t i = 0; i < bench_row_count; i++) {
        const struct bench_result *r = &b->results[i];
        if (r->row->source == BENCH_STOCK && !r->row->verifies && r->n_runs > 0 &&
            (best == NULL || bench_rate(r) > bench_rate(best)))
            best = r;
    }
    return best;
}

static double ratio(const struct bench_result *r, const struct bench_result *to)
{
    return to != NULL && to->n_runs > 0 ? bench_rate(r) / bench_rate(to) : NAN;
}

static const char *percent(char *buf, size_t size, double share)
{
    if (isnan(share))
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%.0f %%", share * 100);
    return buf;
}

static void print_row(const struct bench_pool *b, const struct bench_result *r, FILE *to)
{
    char rate[32], round[32], accepted[32], pool[32], stock[32], limit[32], error[32];
    measure_format(rate, sizeof(rate), bench_rate(r));
    measure_format(round, sizeof(round), bench_tokens_per_round(r));
    percent(accepted, sizeof(accepted), bench_acceptance(r));
    measure_format(pool, sizeof(pool), ratio(r, &b->results[0]));
    measure_format(stock, sizeof(stock), ratio(r, bench_best_stock(b)));
    percent(limit, sizeof(limit), bench_rate(r) / bench_limit(r));
    percent(error, sizeof(error), bench_error(r));
    fprintf(to, "%-34s %9s %10s %9s %7s %7s %9s %11s  %s", r->row->label, rate, round, accepted, pool, stock, limit,
            error, r->identical == r->answers ? "yes" : "NO");
    if (r->identical < r->answers)
        fprintf(to, " (%zu of %zu)", r->identical, r->answers);
    fprintf(to, "\n");
}

void bench_pool_print(const struct bench_pool *b, FILE *to)
{
    fprintf(to, "%s\n\n%-34s %9s %10s %9s %7s %7s %9s %11s  %s\n", b->conditions, "", "tokens/s", "tok./round",
            "accepted", "x pool", "x stock", "of limit", "prediction", "identical");
    for (size_t i = 0; i < bench_row_count; i++) {
        const struct bench_result *r = &b->results[i];
        if (r->n_runs > 0)
            print_row(b, r, to);
        if (r->failure != NULL)
            fprintf(to, "%-34s could not be measured: %s\n", r->row->label, r->failure);
    }
    const struct bench_result *best = bench_best_stock(b);
    fprintf(to,
            "\ntokens/s: after the first text, median of the runs.  x pool, x stock: times the pool alone and the "
            "best of llama-server%s%s.\nof limit: share of (tokens emitted / time in verify passes).  prediction: "
            "median error of the round time that the\ngovernor expected.  identical: to the pool alone, byte for "
            "byte.  Shortest answer: %lld tokens.\n",
            best != NULL ? ": " : "", best != NULL ? best->row->label : "", (long long)b->n_tokens_min);
}

static json_t *real(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *row_json(const struct bench_pool *b, const struct bench_result *r)
{
    const struct bench_counts *c = &r->counts;
    double timed = c->timed > 0 ? (double)c->timed : NAN;
    json_t *o = json_object(), *runs = json_array();
    json_object_set_new(o, "name", json_string(r->row->name));
    json_object_set_new(o, "label", json_string(r->row->label));
    json_object_set_new(o, "tokens_per_second", real(bench_rate(r)));
    for (size_t i = 0; i < r->n_runs; i++)
        json_array_append_new(runs, real((double)r->runs[i].tokens / r->runs[i].seconds));
    json_object_set_new(o, "runs", runs);
    json_object_set_new(o, "tokens_per_round", real(bench_tokens_per_round(r)));
    json_object_set_new(o, "acceptance", real(bench_acceptance(r)));
    json_object_set_new(o, "ratio_to_pool", real(ratio(r, &b->results[0])));
    json_object_set_new(o, "ratio_to_stock_best", real(ratio(r, bench_best_stock(b))));
    json_object_set_new(o, "limit_tokens_per_second", real(bench_limit(r)));
    json_object_set_new(o, "share_of_limit", real(bench_rate(r) / bench_limit(r)));
    json_object_set_new(o, "rounds", json_integer(c->rounds));
    json_object_set_new(o, "draft_ms", real(c->draft_ms / timed));
    json_object_set_new(o, "verify_ms", real(c->verify_ms / timed));
    json_object_set_new(o, "wait_ms", real(c->wait_ms / timed));
    json_object_set_new(o, "prediction_error", real(bench_error(r)));
    json_object_set_new(o, "governor", r->governor != NULL ? json_string(r->governor) : json_null());
    json_object_set_new(o, "answers", json_integer((json_int_t)r->answers));
    json_object_set_new(o, "identical", json_integer((json_int_t)r->identical));
    json_object_set_new(o, "failure", r->failure != NULL ? json_string(r->failure) : json_null());
    return o;
}

json_t *bench_pool_json(const struct bench_pool *b)
{
    json_t *o = json_object(), *rows = json_array();
    const struct bench_result *best = bench_best_stock(b);
    json_object_set_new(o, "conditions", json_string(b->conditions));
    json_object_set(o, "settings", b->settings);
    json_object_set_new(o, "prompts", json_integer((json_int_t)b->n_prompts));
    json_object_set_new(o, "shortest_answer_tokens", json_integer(b->n_tokens_min));
    json_object_set_new(o, "stock_best", best != NULL ? json_string(best->row->name) : json_null());
    for (size_t i = 0; i < bench_row_count; i++) {
        if (b->results[i].n_runs > 0 || b->results[i].failure != NULL)
            json_array_append_new(rows, row_json(b, &b->results[i]));
    }
    json_object_set_new(o, "rows", rows);
    return o;
}
