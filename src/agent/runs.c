#include "agent/runs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/service.h"
#include "base/utf8.h"
#include "http/listen.h"

enum { GRACE_MS = 10000, END_MS = 5000 };

enum state { STATE_RUNNING, STATE_STOPPING, STATE_ENDED };

struct run {
    TAILQ_ENTRY(run) entry;
    struct agent_runs *runs;
    char *name, *host, *model; /* model: its file, or NULL */
    enum agent_program program;
    int port;
    enum state state;
    int64_t started_ms; /* since 1970 */
    struct service *service;
    char *how;  /* it ended */
    char *said; /* what it said of its end */
    char *line[AGENT_LINES_KEPT];
    size_t n_lines; /* ever */
};

struct agent_runs {
    struct event_base *base;
    TAILQ_HEAD(, run) list;
    size_t n;
    struct event *tidy; /* services are not destroyed in their own callback */
};

static void run_free(struct run *run)
{
    TAILQ_REMOVE(&run->runs->list, run, entry);
    run->runs->n--;
    service_destroy(run->service);
    for (size_t i = 0; i < AGENT_LINES_KEPT; i++)
        free(run->line[i]);
    free(run->name);
    free(run->host);
    free(run->model);
    free(run->how);
    free(run->said);
    free(run);
}

static void on_tidy(evutil_socket_t fd, short what, void *arg)
{
    struct agent_runs *r = arg;
    struct run *run;
    (void)fd;
    (void)what;
    TAILQ_FOREACH(run, &r->list, entry)
    {
        if (run->state == STATE_ENDED) {
            service_destroy(run->service);
            run->service = NULL;
        }
    }
}

struct agent_runs *agent_runs_create(struct event_base *base)
{
    struct agent_runs *r = xcalloc(1, sizeof(*r));
    r->base = base;
    TAILQ_INIT(&r->list);
    r->tidy = event_new(base, -1, 0, on_tidy, r);
    return r;
}

void agent_runs_destroy(struct agent_runs *r)
{
    struct run *run;
    if (r == NULL)
        return;
    TAILQ_FOREACH(run, &r->list, entry)
    {
        if (run->service != NULL) /* all at once, then one after the other */
            service_stop(run->service, END_MS);
    }
    while ((run = TAILQ_FIRST(&r->list)) != NULL) {
        service_end(run->service, END_MS);
        run_free(run);
    }
    event_free(r->tidy);
    free(r);
}

static struct run *find(struct agent_runs *r, const char *name)
{
    struct run *run;
    TAILQ_FOREACH(run, &r->list, entry)
    {
        if (strcmp(run->name, name) == 0)
            return run;
    }
    return NULL;
}

static void on_exit_of(void *arg, const char *how)
{
    struct run *run = arg;
    run->said = xstrdup(service_last_words(run->service, true));
    run->how = xstrdup(how);
    if (run->state == STATE_STOPPING)
        log_info("%s has ended", run->name);
    else
        log_warn("%s%s%s", how, *run->said != '\0' ? ": " : "", run->said);
    run->state = STATE_ENDED;
    event_active(run->runs->tidy, EV_TIMEOUT, 0);
}

static void on_line(void *arg, const char *line)
{
    struct run *run = arg;
    char **slot = &run->line[run->n_lines++ % AGENT_LINES_KEPT];
    free(*slot);
    *slot = utf8_printable(line, strlen(line));
    log_debug("%s: %s", run->name, line);
}

/* It would end at once, and its own words for that would only be in its log. */
static int port_is_free(const struct agent_order *o, char **cause)
{
    int fd = listen_bind(o->host, o->port, cause);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

int agent_runs_start(struct agent_runs *r, const struct agent_order *o, char **cause)
{
    struct run *old = find(r, o->name);
    if (old != NULL && old->state != STATE_ENDED)
        return cause_set(cause, "%s runs already: stop it first, or give this one another name", o->name);
    if (old == NULL && r->n >= AGENT_RUNS_MAX)
        return cause_set(cause, "%d programs are the most that an agent looks after: stop one first", AGENT_RUNS_MAX);
    if (port_is_free(o, cause) != 0)
        return -1;
    struct run *run = xcalloc(1, sizeof(*run));
    *run = (struct run){.runs = r,
                        .name = xstrdup(o->name),
                        .host = xstrdup(o->host),
                        .model = xstrdup(o->model),
                        .program = o->program,
                        .port = o->port,
                        .started_ms = clock_wall_ms()};
    if (old != NULL)
        run_free(old);
    TAILQ_INSERT_TAIL(&r->list, run, entry);
    r->n++;
    /* An agent's own key is none of the node's business. */
    const char *const env[] = {o->secret != NULL ? o->secret : "LLAMA_API_KEY", NULL};
    const struct service_opts opts = {.name = run->name,
                                      .argv = (const char *const *)o->argv,
                                      .env = env,
                                      .on_exit = on_exit_of,
                                      .on_line = on_line,
                                      .arg = run};
    run->service = service_start(r->base, &opts, cause);
    if (run->service == NULL) {
        run_free(run);
        return -1;
    }
    log_info("%s is started: a %s on %s port %d%s%s", run->name, agent_program_name(run->program), run->host, run->port,
             run->model != NULL ? " with " : "", run->model != NULL ? run->model : "");
    return 0;
}

int agent_runs_stop(struct agent_runs *r, const char *name, char **cause)
{
    struct run *run = find(r, name);
    if (run == NULL)
        return cause_set(cause, "nothing of the name \"%.80s\" was started here", name);
    if (run->state == STATE_ENDED) {
        run_free(run);
        return 0;
    }
    run->state = STATE_STOPPING;
    service_stop(run->service, GRACE_MS);
    return 0;
}

static json_t *to_json(const struct run *run)
{
    static const char *const states[] = {"running", "stopping", "ended"};
    pid_t pid = run->service != NULL ? service_pid(run->service) : 0;
    const char *said = run->said != NULL ? run->said : run->service ? service_last_words(run->service, false) : "";
    char *clean = utf8_printable(said, strlen(said));
    char *model = run->model != NULL ? utf8_printable(run->model, strlen(run->model)) : NULL;
    json_t *o = json_pack("{s:s, s:s, s:s, s:o, s:s, s:i, s:s?, s:f, s:s?, s:o}", "name", run->name, "program",
                          agent_program_name(run->program), "state", states[run->state], "pid",
                          pid > 0 ? json_integer(pid) : json_null(), "host", run->host, "port", run->port, "model",
                          model, "started", (double)run->started_ms / 1000, "ended", run->how, "said",
                          *clean != '\0' ? json_string(clean) : json_null());
    free(clean);
    free(model);
    return o;
}

json_t *agent_runs_json(struct agent_runs *r)
{
    json_t *list = json_array();
    const struct run *run;
    TAILQ_FOREACH(run, &r->list, entry)
    json_array_append_new(list, to_json(run));
    return list;
}

json_t *agent_run_json(struct agent_runs *r, const char *name)
{
    const struct run *run = find(r, name);
    return run != NULL ? to_json(run) : NULL;
}

json_t *agent_runs_log(struct agent_runs *r, const char *name, size_t n)
{
    const struct run *run = find(r, name);
    if (run == NULL)
        return NULL;
    size_t have = run->n_lines < AGENT_LINES_KEPT ? run->n_lines : AGENT_LINES_KEPT;
    json_t *list = json_array();
    for (size_t i = n < have ? n : have; i > 0; i--)
        json_array_append_new(list, json_string(run->line[(run->n_lines - i) % AGENT_LINES_KEPT]));
    return list;
}
