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

static const struct bench_row usual_rows[] = {
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
};

enum { VERIFIED = 32 }; /* drafted tokens that a round of the rows with several drafters has verified, where fixed */

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
static int complain(const struct bench_pool *b, const char *list, const bool *used, char **cause)
{
    size_t i = 0;
    for (const char *at = list; *at != '\0'; i++) {
        size_t len = strcspn(at, ",");
        if (!used[i])
            return cause_set(
                cause, "--only: no row is called \"%.*s\"; there are %s, and patterns such as '%s'", (int)len, at,
                b->several ? "pool, k32-NAME and auto-NAME of each drafter, k16-all, k32-all, auto-all"
                           : "pool, k4, k4-ahead, … k32-ahead, auto-late, auto-line, auto, ngram, auto-ngram, stock, "
                             "stock-8-0, stock-8-0.6, … stock-32-0.6, stock-verifies",
                b->several ? "*-all" : "k*");
        at += len + (at[len] == ',');
    }
    return 0;
}

static const char *keep_text(struct bench_pool *b, char *text)
{
    b->texts = xreallocarray(b->texts, b->n_texts + 1, sizeof(*b->texts));
    b->texts[b->n_texts++] = text;
    return text;
}

/* who: a drafter's name, NULL for all together. */
static void add_row(struct bench_pool *b, const char *who, size_t alone, int k)
{
    char *name =
        k > 0 ? xasprintf("k%d-%s", k, who != NULL ? who : "all") : xasprintf("auto-%s", who != NULL ? who : "all");
    char *label = k > 0 ? xasprintf("%s, K = %d", who != NULL ? who : "together", k)
                        : xasprintf("%s, auto", who != NULL ? who : "together");
    b->rows[b->n_rows++] = (struct bench_row){.name = keep_text(b, name),
                                              .label = keep_text(b, label),
                                              .source = BENCH_PROXY,
                                              .k = k,
                                              .ahead = k == 0,
                                              .branches = k == 0 || who == NULL,
                                              .drafters = BENCH_MODEL,
                                              .alone = alone,
                                              .usual = true};
}

static void make_rows(struct bench_pool *b, const struct bench_wish *w)
{
    b->several = w->n_drafters > 1;
    b->rows = xcalloc(ARRAY_LEN(usual_rows) + 2 * w->n_drafters + 4, sizeof(*b->rows));
    b->n_rows = b->several ? 1 : ARRAY_LEN(usual_rows);
    memcpy(b->rows, usual_rows, b->n_rows * sizeof(*b->rows));
    if (!b->several)
        return;
    for (size_t i = 0; i < w->n_drafters; i++)
        add_row(b, w->drafters[i], i + 1, VERIFIED);
    add_row(b, NULL, 0, VERIFIED / 2);
    add_row(b, NULL, 0, VERIFIED);
    for (size_t i = 0; i < w->n_drafters; i++)
        add_row(b, w->drafters[i], i + 1, 0);
    add_row(b, NULL, 0, 0);
}

int bench_pool_select(struct bench_pool *b, const struct bench_wish *w, char **cause)
{
    bool *used = xcalloc(w->only != NULL ? strlen(w->only) + 1 : 1, sizeof(*used));
    make_rows(b, w);
    b->results = xcalloc(b->n_rows, sizeof(*b->results));
    b->n_tokens_min = -1;
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct bench_row *row = &b->rows[i];
        struct bench_result *r = &b->results[i];
        bool suits = (w->repeats ? row->repeats : row->usual) &&
                     (row->source != BENCH_STOCK || (w->stock && (row->k == 0 || w->stock_drafts)));
        *r = (struct bench_result){.row = row, .status_error = NAN};
        r->wanted = w->only != NULL ? matches(w->only, row->name, used) && suits : suits;
    }
    b->results[0].wanted = true;
    int rc = w->only != NULL ? complain(b, w->only, used, cause) : 0;
    free(used);
    return rc;
}

void bench_pool_finish(struct bench_pool *b)
{
    for (size_t i = 0; b->results != NULL && i < b->n_rows; i++) {
        free(b->results[i].runs);
        free(b->results[i].governor);
        free(b->results[i].failure);
        bench_counts_finish(&b->results[i].counts);
    }
    for (size_t i = 0; i < b->n_texts; i++)
        free(b->texts[i]);
    free(b->texts);
    free(b->rows);
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

double bench_verified_per_round(const struct bench_result *r)
{
    return r->counts.rounds > 0 ? (double)r->counts.drafted / (double)r->counts.rounds : NAN;
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
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct bench_result *r = &b->results[i];
        if (r->row->source == BENCH_STOCK && !r->row->verifies && r->n_runs > 0 &&
            (best == NULL || bench_rate(r) > bench_rate(best)))
            best = r;
    }
    return best;
}

const struct bench_result *bench_best_alone(const struct bench_pool *b, bool governed)
{
    const struct bench_result *best = NULL;
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct bench_result *r = &b->results[i];
        if (r->row->alone > 0 && (r->row->k == 0) == governed && r->n_runs > 0 &&
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

static void print_several_row(const struct bench_pool *b, const struct bench_result *r, FILE *to)
{
    char rate[32], verified[32], round[32], more[32], accepted[32], pool[32], alone[32], limit[32];
    const struct bench_result *best = r->row->source == BENCH_PROXY ? bench_best_alone(b, r->row->k == 0) : NULL;
    measure_format(rate, sizeof(rate), bench_rate(r));
    measure_format(verified, sizeof(verified), bench_verified_per_round(r));
    measure_format(round, sizeof(round), bench_tokens_per_round(r));
    measure_format(more, sizeof(more), best != NULL ? bench_tokens_per_round(r) / bench_tokens_per_round(best) : NAN);
    percent(accepted, sizeof(accepted), bench_acceptance(r));
    measure_format(pool, sizeof(pool), ratio(r, &b->results[0]));
    measure_format(alone, sizeof(alone), ratio(r, best));
    percent(limit, sizeof(limit), bench_rate(r) / bench_limit(r));
    fprintf(to, "%-24s %9s %9s %10s %9s %7s %8s %8s %9s  %s", r->row->label, rate, verified, round, accepted, pool,
            alone, more, limit, r->identical == r->answers ? "yes" : "NO");
    if (r->identical < r->answers)
        fprintf(to, " (%zu of %zu)", r->identical, r->answers);
    fprintf(to, "\n");
}

static void print_several(const struct bench_pool *b, FILE *to)
{
    fprintf(to, "%s\n\n%-24s %9s %9s %10s %9s %7s %8s %8s %9s  %s\n", b->conditions, "", "tokens/s", "verified",
            "tok./round", "accepted", "x pool", "x alone", "a round", "of limit", "identical");
    for (size_t i = 0; i < b->n_rows; i++) {
        const struct bench_result *r = &b->results[i];
        if (r->n_runs > 0)
            print_several_row(b, r, to);
        if (r->failure != NULL)
            fprintf(to, "%-24s could not be measured: %s\n", r->row->label, r->failure);
    }
    fprintf(to,
            "\ntokens/s: after the first text, median of the runs.  verified, tok./round: drafted tokens that a round "
            "had verified,\nand tokens that it brought.  x pool: times the pool alone.  x alone, a round: times the "
            "fastest single drafter, fixed or\ngoverned likewise, in tokens/s and in tokens a round.  of limit: share "
            "of (tokens emitted / time in verify passes).\nidentical: to the pool alone, byte for byte.  Shortest "
            "answer: %lld tokens.\n",
            (long long)b->n_tokens_min);
}

void bench_pool_print(const struct bench_pool *b, FILE *to)
{
    if (b->several) {
        print_several(b, to);
        return;
    }
    fprintf(to, "%s\n\n%-34s %9s %10s %9s %7s %7s %9s %11s  %s\n", b->conditions, "", "tokens/s", "tok./round",
            "accepted", "x pool", "x stock", "of limit", "prediction", "identical");
    for (size_t i = 0; i < b->n_rows; i++) {
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
    json_object_set_new(o, "verified_per_round", real(bench_verified_per_round(r)));
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
    for (size_t i = 0; i < b->n_rows; i++) {
        if (b->results[i].n_runs > 0 || b->results[i].failure != NULL)
            json_array_append_new(rows, row_json(b, &b->results[i]));
    }
    json_object_set_new(o, "rows", rows);
    return o;
}
