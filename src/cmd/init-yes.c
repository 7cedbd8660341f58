#include "cmd/init-yes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/doctor-measure.h"
#include "cmd/doctor-show.h"
#include "cmd/inspect-plan.h"
#include "cmd/survey.h"
#include "cmd/term.h"
#include "config/compose.h"
#include "config/install.h"

enum { COLUMNS = 100 };

struct init {
    struct cmd_env *env;
    const struct init_ask *ask;
    struct survey survey;
    struct advice *advice;
    char *path, *backup;
    struct advice_measured measured; /* of the first drafter */
    bool was_measured;
    bool colour;
};

/* ---- words ---- */

/* A paragraph, wrapped; the first line begins with `head`, the others are indented by `indent`. */
static void say(const char *head, int indent, const char *text)
{
    char *safe = utf8_printable(text, strlen(text));
    int column = printf("%s", head);
    bool begun = false;
    for (const char *at = safe; *at; at += strspn(at, " ")) {
        int word = (int)strcspn(at, " ");
        if (begun && column + 1 + word > COLUMNS) {
            printf("\n");
            column = printf("%*s", indent, "");
            begun = false;
        }
        column += printf("%s%.*s", begun ? " " : "", word, at);
        begun = true;
        at += word;
    }
    printf("\n");
    free(safe);
}

static void title(const struct init *k, const char *text)
{
    printf("%s%s%s\n", term_escape(k->colour, TERM_BOLD), text, term_escape(k->colour, TERM_PLAIN));
}

static const char *machine_name(const struct init *k, int i)
{
    return i >= 0 ? k->survey.list[i].name : "";
}

static void show_machines(const struct init *k)
{
    const struct advice *a = k->advice;
    title(k, "Found");
    for (size_t i = 0; i < a->n_machines; i++) {
        const struct advice_machine *m = &a->machine[i];
        char *name = utf8_printable(k->survey.list[i].name, strlen(k->survey.list[i].name));
        char *head = xasprintf("  %-20s %-17s", name, advice_role_name(m->role));
        char *text = xasprintf("%s; %s", m->hardware, m->why);
        say(head, 40, text);
        free(text);
        free(head);
        free(name);
    }
    for (size_t i = 0; i < k->survey.n_notes; i++)
        say("  note: ", 8, k->survey.note[i]);
}

static void show_advice(const struct init *k)
{
    const struct advice *a = k->advice;
    printf("\n");
    title(k, "How it was decided");
    for (size_t i = 0; i < a->n_path; i++) {
        char *text = xasprintf("%s  %s", a->path[i].question, a->path[i].answer);
        say("  ", 4, text);
        free(text);
    }
    printf("\n");
    title(k, a->title);
    for (size_t i = 0; i < a->n_reasons; i++)
        say("  ", 2, a->reason[i]);
    for (size_t i = 0; i < a->n_warnings; i++) {
        say("  warning: ", 11, a->warning[i].text);
        if (a->warning[i].fix != NULL)
            say("           what helps: ", 13, a->warning[i].fix);
    }
}

static void show_tasks(const struct init *k)
{
    const struct advice *a = k->advice;
    if (a->n_tasks == 0)
        return;
    printf("\n");
    title(k, "Still to be done");
    for (size_t i = 0; i < a->n_tasks; i++) {
        const struct advice_task *t = &a->task[i];
        char *on = xasprintf("%s%s", t->machine >= 0 ? "on " : "", machine_name(k, t->machine));
        char *text = xasprintf("%s%s%s", on, *on ? ": " : "", t->text);
        say("  ", 4, text);
        if (t->command != NULL)
            say("      ", 8, t->command);
        free(text);
        free(on);
    }
}

/* ---- writing ---- */

/* A signal that would end the program waits until the file is whole and the old one is kept. */
static int write_file(struct init *k, char **cause)
{
    char *text = compose_yaml(k->advice, k->survey.list, NULL);
    sigset_t hold, before;
    sigemptyset(&hold);
    sigaddset(&hold, SIGINT);
    sigaddset(&hold, SIGTERM);
    sigaddset(&hold, SIGHUP);
    sigprocmask(SIG_BLOCK, &hold, &before);
    int rc = install_config(k->path, text, &k->backup, cause);
    sigprocmask(SIG_SETMASK, &before, NULL);
    free(text);
    return rc;
}

static void show_written(const struct init *k)
{
    printf("\n");
    title(k, "Written");
    printf("  %s\n", k->path);
    if (k->backup != NULL)
        printf("  %s has what it said before\n", k->backup);
}

/* ---- checking ---- */

static void progress(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
}

/* Whether the target answers. */
static bool check_servers(struct init *k, const struct config *c, const struct config_findings *findings)
{
    bool terminal = isatty(STDERR_FILENO);
    const struct doctor_hooks hooks = {.progress = terminal ? progress : NULL};
    struct doctor_survey *s = doctor_measure(c, findings, &hooks);
    if (terminal)
        fprintf(stderr, "\r\033[K");
    const struct doctor_facts *f = doctor_survey_facts(s);
    struct doctor_findings found = {0};
    doctor_judge(f, &found);
    if (f->target.url != NULL)
        doctor_show_server(&f->target, k->colour);
    for (size_t i = 0; i < f->n_drafters; i++)
        doctor_show_server(&f->drafters[i], k->colour);
    for (size_t i = 0; i < f->n_reviewed; i++)
        doctor_show_server(&f->reviewed[i], k->colour);
    if (!config_target_is_pool(c)) /* which is not started yet */
        doctor_show_findings(&found, k->colour);
    k->was_measured = f->n_drafters > 0 && f->drafters[0].drafted > 0;
    if (k->was_measured)
        k->measured.accepted = doctor_acceptance(&f->drafters[0]);
    for (size_t i = 0; i < found.n; i++)
        k->measured.loses = k->measured.loses || strcmp(found.list[i].id, "does-not-pay") == 0;
    bool good = f->target.url == NULL || f->target.reach == DOCTOR_ANSWERS;
    doctor_findings_finish(&found);
    doctor_survey_destroy(s);
    return good;
}

static bool check(struct init *k)
{
    struct config_findings findings = {0};
    struct config *c = config_load(k->path, &findings);
    printf("\n");
    title(k, "Checked");
    config_findings_print(&findings, stdout);
    bool good = c != NULL && check_servers(k, c, &findings);
    if (c != NULL && config_has_pool(c)) {
        struct cmd_env env = {.config = k->path};
        fflush(stdout);
        good = inspect_plan(&env, NULL, false) == CMD_OK && good;
    }
    config_destroy(c);
    config_findings_finish(&findings);
    return good;
}

static void show_next(const struct init *k, bool good)
{
    char *found = config_find(NULL), *arg = NULL;
    if (found == NULL || strcmp(found, k->path) != 0)
        arg = xasprintf(" -c %s", k->path);
    printf("\n");
    title(k, good ? "Next" : "Next, when what is marked above is done");
    printf("  tightwad start%s      in the background; tightwad status%s, tightwad chat%s \"Why is the sky blue?\"\n",
           arg != NULL ? arg : "", arg != NULL ? arg : "", arg != NULL ? arg : "");
    char *text = advice_tell(k->advice, k->survey.list, "127.0.0.1:8088", k->was_measured ? &k->measured : NULL);
    say("  ", 2, text);
    free(text);
    free(arg);
    free(found);
}

/* ---- the whole ---- */

static int decide_and_write(struct init *k)
{
    char *cause = NULL;
    k->advice = advice_make(k->survey.list, k->survey.n, &k->ask->wish);
    show_machines(k);
    show_advice(k);
    if (k->advice->target < 0) {
        show_tasks(k);
        fflush(stdout);
        return cmd_fail("nothing was written: there is no model that could answer");
    }
    if (write_file(k, &cause) != 0) {
        fflush(stdout);
        return cmd_fail_cause(cause);
    }
    show_written(k);
    show_tasks(k);
    bool good = check(k);
    show_next(k, good);
    return good ? CMD_OK : CMD_FAILED;
}

int init_yes(struct cmd_env *env, const struct init_ask *ask)
{
    struct init k = {.env = env, .ask = ask, .colour = term_colour(stdout)};
    char *cause = NULL;
    int rc;
    k.path = install_path(env->config, &cause);
    if (k.path == NULL) {
        rc = cmd_fail_cause(cause);
    } else if (survey_make(&k.survey, ask->here, ask->scan, &cause) != 0) {
        rc = cmd_usage_error("init: %s", cause);
        free(cause);
    } else {
        rc = decide_and_write(&k);
    }
    advice_destroy(k.advice);
    survey_finish(&k.survey);
    free(k.path);
    free(k.backup);
    return rc;
}
