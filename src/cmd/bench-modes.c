#include "cmd/bench-modes.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/measure.h"

static const char *const mode_names[MODES_ROWS] = {"target", "exact", "consensus", "gate", "draft"};

/* The name before @MODE; NULL where the list has no such model.  Owned by the caller. */
static char *find(const json_t *models, const char *mode)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(models, "data"), i, entry)
    {
        const char *id = json_string_value(json_object_get(entry, "id"));
        const char *at = id != NULL ? strrchr(id, '@') : NULL;
        if (at != NULL && strcmp(at + 1, mode) == 0)
            return xstrdup(id);
    }
    return NULL;
}

static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    }
    return false;
}

/* "target, exact": the modes that the endpoint has.  Owned by the caller. */
static char *all_of(const json_t *models)
{
    char *list = xstrdup("");
    for (size_t i = 0; i < MODES_ROWS; i++) {
        char *model = find(models, mode_names[i]);
        char *longer =
            xasprintf("%s%s%s", list, model != NULL && list[0] != '\0' ? ", " : "", model != NULL ? mode_names[i] : "");
        free(model);
        free(list);
        list = longer;
    }
    return list;
}

/* The first item of the list that is no mode of the endpoint. */
static int complain(const json_t *models, const char *list, char **cause)
{
    int rc = 0;
    for (const char *at = list; *at != '\0' && rc == 0; at += strcspn(at, ","), at += *at == ',') {
        char *word = xstrndup(at, strcspn(at, ",")), *model = find(models, word), *all = all_of(models);
        if (model == NULL)
            rc =
                cause_set(cause,
                          "--only: the endpoint has no mode \"%s\", but %s; consensus and gate are there when they are "
                          "configured",
                          word, all);
        free(word);
        free(model);
        free(all);
    }
    return rc;
}

int modes_choose(struct modes *m, const json_t *models, const char *only, char **cause)
{
    *m = (struct modes){0};
    if (only != NULL && complain(models, only, cause) != 0)
        return -1;
    for (size_t i = 0; i < MODES_ROWS; i++) {
        const char *mode = mode_names[i];
        bool wanted = i == 0 || (only != NULL ? listed(only, mode) : strcmp(mode, "draft") != 0);
        char *model = wanted ? find(models, mode) : NULL;
        if (model != NULL)
            m->row[m->n++] = (struct modes_row){.mode = mode, .model = model};
        else if (i == 0)
            return cause_set(cause, "the endpoint has no model NAME@target to compare with: it is no tightwad");
    }
    return 0;
}

void modes_finish(struct modes *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->row[i].model);
        free(m->row[i].failure);
        free(m->row[i].rates);
    }
    free(m->conditions);
    json_decref(m->settings);
    *m = (struct modes){0};
}

void modes_add_run(struct modes_row *r, int64_t tokens, double seconds)
{
    r->rates = xreallocarray(r->rates, r->n_runs + 1, sizeof(*r->rates));
    r->rates[r->n_runs++] = seconds > 0 ? (double)tokens / seconds : NAN;
    r->tokens += tokens;
    r->seconds += seconds;
}

static int64_t more(int64_t sum, int64_t before, int64_t after)
{
    return sum < 0 || before < 0 || after < before ? -1 : sum + after - before;
}

void modes_add_work(struct modes_row *r, const struct modes_work *before, const struct modes_work *after)
{
    r->work.passes = more(r->work.passes, before->passes, after->passes);
    r->work.read = more(r->work.read, before->read, after->read);
    r->work.written = more(r->work.written, before->written, after->written);
}

static double median(const double *values, const double *by, size_t n)
{
    double *v = xcalloc(n + 1, sizeof(*v));
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        double x = by != NULL ? values[i] / by[i] : values[i];
        if (isfinite(x))
            v[used++] = x;
    }
    double m = measure_median(v, used);
    free(v);
    return m;
}

double modes_rate(const struct modes_row *r)
{
    return median(r->rates, NULL, r->n_runs);
}

double modes_ratio(const struct modes *m, const struct modes_row *r)
{
    const struct modes_row *alone = &m->row[0];
    size_t n = r->n_runs < alone->n_runs ? r->n_runs : alone->n_runs;
    return median(r->rates, alone->rates, n);
}

static double share(size_t part, size_t all)
{
    return all > 0 ? (double)part / (double)all : NAN;
}

/* "97.3 %", and never 100 % for less than all. */
static const char *percent(char *buf, size_t size, double value)
{
    if (isnan(value))
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%.1f %%", value < 1 && value > 0.999 ? 99.9 : value * 100);
    return buf;
}

static const char *count(char *buf, size_t size, int64_t n)
{
    if (n < 0)
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%" PRId64, n);
    return buf;
}

static void print_row(const struct modes *m, const struct modes_row *r, FILE *to)
{
    char rate[32], times[32], each[32], passes[32], read[32], written[32], same[32], right[32];
    fprintf(to, "%-13s %9s %8s %9s %9s %9s %9s %10s %8s\n", r == &m->row[0] ? "target alone" : r->mode,
            measure_format(rate, sizeof(rate), modes_rate(r)), measure_format(times, sizeof(times), modes_ratio(m, r)),
            measure_format(each, sizeof(each), r->seconds * 1000 / (double)r->answers),
            count(passes, sizeof(passes), r->work.passes), count(read, sizeof(read), r->work.read),
            count(written, sizeof(written), r->work.written),
            percent(same, sizeof(same), share(r->identical, r->answers)),
            percent(right, sizeof(right), share(r->right, r->known)));
}

void modes_print(const struct modes *m, FILE *to)
{
    bool approximate = false;
    fprintf(to, "%s\n\n%-13s %9s %8s %9s %9s %9s %9s %10s %8s\n", m->conditions, "", "tokens/s", "x target", "ms each",
            "passes", "read", "written", "identical", "right");
    for (size_t i = 0; i < m->n; i++) {
        const struct modes_row *r = &m->row[i];
        if (r->failure != NULL)
            fprintf(to, "%-13s could not be measured: %s\n", r->mode, r->failure);
        else
            print_row(m, r, to);
        approximate =
            approximate || (r->failure == NULL && strcmp(r->mode, "target") != 0 && strcmp(r->mode, "exact") != 0);
    }
    fprintf(to,
            "\npasses, read, written: forward passes of the target, tokens in them, and tokens that it wrote itself.\n"
            "identical: to the target alone, byte for byte.%s\n",
            approximate ? "  consensus, gate and draft are approximate: they promise nothing of the kind." : "");
    for (size_t i = 0; i < m->n; i++) {
        const struct modes_row *r = &m->row[i];
        if (r->otherwise > 0)
            fprintf(to, "%s: %zu of %zu answers were served in another mode (`tightwad status` says why).\n", r->mode,
                    r->otherwise, r->answers);
    }
    if (m->n > 1 && !m->row[0].counted)
        fprintf(to, "The target's own counters could not be read: passes are as the proxy knows them.\n");
}

static json_t *real(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *whole(int64_t n)
{
    return n >= 0 ? json_integer((json_int_t)n) : json_null();
}

static json_t *row_json(const struct modes *m, const struct modes_row *r)
{
    json_t *o = json_pack("{s:s,s:s}", "mode", r->mode, "model", r->model);
    json_object_set_new(o, "tokens_per_second", real(modes_rate(r)));
    json_object_set_new(o, "ratio", real(modes_ratio(m, r)));
    json_object_set_new(o, "seconds", real(r->seconds));
    json_object_set_new(o, "tokens", whole(r->tokens));
    json_object_set_new(o, "target_passes", whole(r->work.passes));
    json_object_set_new(o, "target_tokens_read", whole(r->work.read));
    json_object_set_new(o, "target_tokens_written", whole(r->work.written));
    json_object_set_new(o, "counted_by", json_string(r->counted ? "node" : "proxy"));
    json_object_set_new(o, "answers", whole((int64_t)r->answers));
    json_object_set_new(o, "identical", whole((int64_t)r->identical));
    json_object_set_new(o, "identical_share", real(share(r->identical, r->answers)));
    json_object_set_new(o, "served_otherwise", whole((int64_t)r->otherwise));
    json_object_set_new(o, "known", whole((int64_t)r->known));
    json_object_set_new(o, "right", r->known > 0 ? whole((int64_t)r->right) : json_null());
    json_object_set_new(o, "right_share", real(share(r->right, r->known)));
    json_object_set_new(o, "failure", r->failure != NULL ? json_string(r->failure) : json_null());
    return o;
}

json_t *modes_json(const struct modes *m)
{
    json_t *o = json_object(), *rows = json_array();
    json_object_set_new(o, "conditions", json_string(m->conditions));
    json_object_set(o, "settings", m->settings);
    for (size_t i = 0; i < m->n; i++)
        json_array_append_new(rows, row_json(m, &m->row[i]));
    json_object_set_new(o, "modes", rows);
    return o;
}
