/* tightwad doctor: what is wrong with this set-up, why, and what to do about it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/doctor-judge.h"
#include "cmd/doctor-measure.h"
#include "cmd/doctor-show.h"
#include "cmd/term.h"

extern const struct cmd cmd_doctor;

static const struct cmd_option options[] = {
    {0, "json", NULL, "findings and measurements as one JSON object"},
    {0, "json-lines", NULL, "the same, in one line, after each step: what is known so far, and at last all of it"},
    {0},
};

static void progress(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
}

static void print_words(const char *path, const struct doctor_facts *facts, const struct doctor_findings *f)
{
    bool colour = term_colour(stdout);
    printf("configuration: %s\n", path != NULL ? path : "none (defaults and environment)");
    if (facts->target.url != NULL)
        doctor_show_server(&facts->target, colour);
    for (size_t i = 0; i < facts->n_drafters; i++)
        doctor_show_server(&facts->drafters[i], colour);
    for (size_t i = 0; i < facts->n_reviewed; i++)
        doctor_show_server(&facts->reviewed[i], colour);
    doctor_show_findings(f, colour);
    size_t serious = 0;
    for (size_t i = 0; i < f->n; i++)
        serious += f->list[i].level != DOCTOR_NOTE;
    if (serious == 0)
        printf("\nNothing is wrong.\n");
}

static void set_number(json_t *o, const char *key, double v)
{
    json_object_set_new(o, key, isnan(v) ? json_null() : json_real(v));
}

static void set_text(json_t *o, const char *key, const char *v)
{
    json_object_set_new(o, key, v != NULL ? json_string(v) : json_null());
}

static json_t *server_json(const struct doctor_server *s)
{
    static const char *const vocab[] = {"unknown", "same", "likely the same", "different"};
    json_t *o = json_object();
    set_text(o, "role", doctor_role_name(s->role));
    set_text(o, "name", s->name);
    set_text(o, "url", s->url);
    set_text(o, "backend", s->kind);
    set_text(o, "model", s->model);
    set_text(o, "version", s->version);
    json_object_set_new(o, "answers", json_boolean(s->reach == DOCTOR_ANSWERS));
    set_number(o, "rtt_ms", s->rtt_ms);
    if (s->role == DOCTOR_TARGET) {
        json_object_set_new(o, "verifies", json_boolean(s->verifies));
        json_object_set_new(o, "batch_invariant",
                            s->batch_invariant_known ? json_boolean(s->batch_invariant) : json_null());
        set_number(o, "noise", s->noise);
        set_text(o, "advice", s->advice);
        set_number(o, "alone_ms", s->alone_ms);
        set_number(o, "pass_ms", s->pass_ms);
        set_number(o, "pass_more_ms", s->pass_more_ms);
    } else if (s->role == DOCTOR_DRAFTER) {
        set_text(o, "vocabulary", vocab[s->vocab]);
        set_text(o, "vocabulary_reason", s->vocab_reason);
        json_object_set_new(o, "drafted", json_integer((json_int_t)s->drafted));
        json_object_set_new(o, "accepted", json_integer((json_int_t)s->accepted));
        set_number(o, "acceptance", doctor_acceptance(s));
        set_text(o, "acceptance_source", s->drafted == 0 ? NULL : s->compared ? "compared" : "verified");
        set_number(o, "draft_ms", s->draft_ms);
        set_number(o, "draft_fixed_ms", s->draft_fixed_ms);
    }
    return o;
}

static json_t *finding_json(const struct doctor_finding *d)
{
    json_t *one = json_object();
    set_text(one, "id", d->id);
    set_text(one, "level", doctor_level_name(d->level));
    set_text(one, "server", d->server);
    set_text(one, "what", d->what);
    set_text(one, "cause", d->cause);
    set_text(one, "fix", d->fix);
    return one;
}

static bool no_errors(const struct doctor_findings *f)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->list[i].level == DOCTOR_ERROR)
            return false;
    }
    return true;
}

/* done false: only what concerns single servers can be judged yet. */
static void print_json(const struct doctor_facts *facts, const struct doctor_findings *f, bool done, size_t flags)
{
    json_t *servers = json_array(), *list = json_array(), *o = json_object();
    if (facts->target.url != NULL)
        json_array_append_new(servers, server_json(&facts->target));
    for (size_t i = 0; i < facts->n_drafters; i++)
        json_array_append_new(servers, server_json(&facts->drafters[i]));
    for (size_t i = 0; i < facts->n_reviewed; i++)
        json_array_append_new(servers, server_json(&facts->reviewed[i]));
    for (size_t i = 0; i < f->n; i++) {
        if (done || f->list[i].server != NULL)
            json_array_append_new(list, finding_json(&f->list[i]));
    }
    json_object_set_new(o, "ok", done ? json_boolean(no_errors(f)) : json_null());
    set_text(o, "version", TIGHTWAD_VERSION);
    set_text(o, "config", facts->config);
    json_object_set_new(o, "servers", servers);
    json_object_set_new(o, "findings", list);
    char *text = json_dumps(o, flags);
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(o);
}

static void print_news(void *arg, const struct doctor_facts *so_far)
{
    struct doctor_findings f;
    (void)arg;
    doctor_judge(so_far, &f);
    print_json(so_far, &f, false, JSON_COMPACT);
    doctor_findings_finish(&f);
}

/* Without a proxy.target the pool's coordinator is the target, where it runs. */
static void name_pool(struct config *cfg)
{
    if (cfg == NULL || cfg->proxy.target.url != NULL || !config_has_pool(cfg))
        return;
    cfg->proxy.target.url = config_pool_url(cfg);
    free(cfg->proxy.target.name);
    cfg->proxy.target.name = xstrdup("pool");
    if (cfg->proxy.target.backend == NULL)
        cfg->proxy.target.backend = xstrdup("auto");
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct config_findings findings = {0};
    char *path = config_find(env->config);
    struct config *cfg = config_load(path, &findings);
    name_pool(cfg);
    bool show = isatty(STDERR_FILENO), lines = cmd_args_has(args, "json-lines");
    struct doctor_hooks hooks = {.progress = show ? progress : NULL, .news = lines ? print_news : NULL};
    struct doctor_survey *s = doctor_measure(cfg, &findings, &hooks);
    if (show)
        progress(NULL, "");
    struct doctor_facts facts = *doctor_survey_facts(s);
    struct doctor_findings f;
    facts.config = path;
    doctor_judge(&facts, &f);
    bool ok = no_errors(&f);
    if (lines || cmd_args_has(args, "json"))
        print_json(&facts, &f, true, lines ? JSON_COMPACT : JSON_INDENT(2));
    else
        print_words(path, &facts, &f);
    doctor_findings_finish(&f);
    doctor_survey_destroy(s);
    config_destroy(cfg);
    config_findings_finish(&findings);
    free(path);
    return ok ? CMD_OK : CMD_FAILED;
}

const struct cmd cmd_doctor = {
    .name = "doctor",
    .usage = "[--json | --json-lines]",
    .summary = "ask every configured server, measure, and say what is wrong and how to mend it",
    .help = "Needs no running proxy: it asks the servers of the configuration themselves, compares the vocabularies "
            "and makes\n"
            "a few short rounds.  Every finding comes with its cause and its fix.  Ends with 1 when one is an error.",
    .options = options,
    .run = run,
};
