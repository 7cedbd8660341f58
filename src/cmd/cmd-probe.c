/* tightwad probe: what this machine has, and what answers on the network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "advise/fold.h"
#include "agent/token.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/self.h"
#include "cmd/show-machine.h"
#include "cmd/term.h"
#include "http/httpc.h"
#include "probe/here.h"
#include "probe/scan.h"

extern const struct cmd cmd_probe;

enum { NAMES_MAX = 64, BAR_COLUMNS = 30 };

/* Both probes run side by side; the loop ends when both have. */
struct probe {
    struct event_base *base;
    struct httpc *http;
    struct scan *scan;
    struct here *here;
    struct machine *list; /* [0] this machine, the rest as the scan found them */
    size_t n;
    size_t done, total;
    bool bar, bar_shown;
    int left;
    char **note;
    size_t n_notes;
};

static bool can_draw(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
}

/* A line that is drawn over itself: how far the scan is. */
static void draw_bar(struct probe *p)
{
    if (!p->bar || p->total == 0)
        return;
    size_t full = p->done * BAR_COLUMNS / p->total;
    fprintf(stderr, "\r  scanning  [");
    for (size_t i = 0; i < BAR_COLUMNS; i++)
        fputc(i < full ? '#' : '.', stderr);
    fprintf(stderr, "] %zu of %zu ", p->done, p->total);
    fflush(stderr);
    p->bar_shown = true;
}

static void clear_bar(struct probe *p)
{
    if (p->bar_shown)
        fprintf(stderr, "\r%*s\r", BAR_COLUMNS + 34, "");
    p->bar_shown = false;
}

static void part_ended(struct probe *p)
{
    if (--p->left == 0)
        event_base_loopbreak(p->base);
}

static void on_here(struct machine *m, void *arg)
{
    struct probe *p = arg;
    p->here = NULL;
    p->list[0] = *m;
    part_ended(p);
}

static void on_progress(size_t done, size_t total, const struct machine *found, void *arg)
{
    struct probe *p = arg;
    (void)found;
    p->done = done;
    p->total = total;
    draw_bar(p);
}

static void on_scanned(struct machine *list, size_t n, const struct scan_summary *s, void *arg)
{
    struct probe *p = arg;
    p->scan = NULL;
    p->list = xreallocarray(p->list, n + 1, sizeof(*p->list));
    for (size_t i = 0; i < n; i++)
        p->list[p->n++] = list[i];
    free(list);
    p->note = xcalloc(s->n_notes + 2, sizeof(*p->note));
    for (size_t i = 0; i < s->n_notes; i++)
        p->note[p->n_notes++] = xstrdup(s->note[i]);
    if (s->left_out > 0)
        p->note[p->n_notes++] =
            xasprintf("scan: %zu addresses were left out; name what matters with --subnet or --host", s->left_out);
    if (s->timed_out)
        p->note[p->n_notes++] = xasprintf("scan: ended after %.0f s before all was tried", s->seconds);
    part_ended(p);
}

/* The list of machines; what the scan could not do is this machine's to tell. */
static void print_json(struct probe *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_notes; i++)
        machine_add_note(&p->list[0], "%s", p->note[i]);
    for (size_t i = 0; i < p->n; i++)
        json_array_append_new(list, machine_to_json(&p->list[i]));
    json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
}

static void print_words(const struct probe *p, bool scanned)
{
    for (size_t i = 0; i < p->n; i++) {
        if (i > 0)
            putchar('\n');
        show_machine(&p->list[i], stdout, term_colour(stdout));
    }
    if (scanned && p->n == 1)
        printf("\nno other machine answered\n");
    for (size_t i = 0; i < p->n_notes; i++)
        printf("%snote: %s\n", i == 0 ? "\n" : "", p->note[i]);
}

/* All values of a list with commas, owned by the caller; names hold pointers into it. */
static char *split(const char *text, const char **names, size_t *n)
{
    char *copy = text != NULL ? xstrdup(text) : NULL, *save = NULL;
    for (char *s = copy != NULL ? strtok_r(copy, ", ", &save) : NULL; s != NULL && *n < NAMES_MAX;
         s = strtok_r(NULL, ", ", &save))
        names[(*n)++] = s;
    return copy;
}

static int start_scan(struct probe *p, const struct cmd_args *args, char **cause)
{
    const char *subnets[NAMES_MAX], *hosts[NAMES_MAX];
    size_t n_subnets = 0, n_hosts = 0;
    const char *file = cmd_args_get(args, "token-file");
    char *token = file != NULL ? agent_token_read(file, cause) : NULL;
    if (file != NULL && token == NULL)
        return -1;
    char *a = split(cmd_args_get(args, "subnet"), subnets, &n_subnets);
    char *b = split(cmd_args_get(args, "host"), hosts, &n_hosts);
    struct scan_opts opts = {.subnets = subnets,
                             .n_subnets = n_subnets,
                             .hosts = hosts,
                             .n_hosts = n_hosts,
                             .no_local = n_subnets + n_hosts > 0,
                             .agent_token = token};
    p->http = httpc_create(p->base);
    p->scan = scan_start(p->base, p->http, &opts, on_progress, on_scanned, p, cause);
    free(a);
    free(b);
    free(token);
    if (p->scan == NULL)
        return -1;
    p->left++;
    return 0;
}

static void finish(struct probe *p)
{
    here_cancel(p->here);
    scan_cancel(p->scan);
    httpc_destroy(p->http);
    for (size_t i = 0; i < p->n; i++)
        machine_finish(&p->list[i]);
    for (size_t i = 0; i < p->n_notes; i++)
        free(p->note[i]);
    free(p->note);
    free(p->list);
    event_base_free(p->base);
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    bool scanned = !cmd_args_has(args, "no-scan"), json = cmd_args_has(args, "json");
    struct probe p = {.base = event_base_new(), .list = xcalloc(1, sizeof(*p.list)), .n = 1};
    char *cause = NULL, *node = self_node(NULL);
    int rc = CMD_OK;
    (void)env;
    machine_init(&p.list[0], MACHINE_HERE);
    p.bar = can_draw();
    if (scanned && start_scan(&p, args, &cause) != 0) {
        rc = cmd_usage_error("probe: %s", cause);
    } else {
        p.left++;
        p.here = here_probe(p.base, &(struct here_opts){.node = node}, on_here, &p);
        event_base_dispatch(p.base);
        clear_bar(&p);
        p.n = fold_machines(p.list, p.n, NULL);
        if (json)
            print_json(&p);
        else
            print_words(&p, scanned);
    }
    finish(&p);
    free(node);
    free(cause);
    return rc;
}

static const struct cmd_option options[] = {
    {0, "host", "NAME[:PORT],…", "ask these machines, and no network unless --subnet names it"},
    {0, "json", NULL, "the list of machines as JSON, this one first; what is unknown is null"},
    {0, "no-scan", NULL, "this machine alone"},
    {0, "token-file", "FILE", "the token of the agents on the machines that --host names"},
    {0, "subnet", "CIDR,…", "scan these networks instead of the local ones: 192.168.7.0/24"},
    {0},
};

const struct cmd cmd_probe = {
    .name = "probe",
    .usage = "[--json] [--subnet CIDR] [--host NAME[:PORT]] [--token-file FILE] [--no-scan]",
    .summary = "tell what this machine has, and which others can work with it",
    .help = "This machine: cards (by nvidia-smi, amd-smi or rocm-smi), processor, memory, disks, programs that serve\n"
            "models, and models that lie here.  Others: the private networks that this machine is in are scanned for\n"
            "Ollama, llama-server, nodes, workers and `tightwad agent`; on loopback too.  A tool that is missing or\n"
            "broken is a note, and nothing waits longer than its deadline.\n\n"
            "    tightwad probe\n"
            "    tightwad probe --host gpu-box,192.168.7.12:11434\n"
            "    tightwad probe --no-scan --json",
    .options = options,
    .run = run,
};
