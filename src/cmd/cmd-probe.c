/* tightwad probe: what this machine has, and what answers on the network. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/token.h"
#include "cmd/cmd.h"
#include "cmd/self.h"
#include "cmd/show-machine.h"
#include "cmd/survey.h"
#include "cmd/term.h"

extern const struct cmd cmd_probe;

/* The list of machines; what the scan could not do is this machine's to tell. */
static void print_json(struct survey *p)
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

static void print_words(const struct survey *p, bool scanned)
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

static int look(struct survey *s, const struct cmd_args *args, char **cause)
{
    const char *subnets[SURVEY_NAMES], *hosts[SURVEY_NAMES];
    size_t n_subnets = 0, n_hosts = 0;
    bool scanned = !cmd_args_has(args, "no-scan");
    const char *file = cmd_args_get(args, "token-file");
    char *token = file != NULL ? agent_token_read(file, cause) : NULL;
    if (file != NULL && token == NULL)
        return -1;
    char *a = survey_split(cmd_args_get(args, "subnet"), subnets, &n_subnets);
    char *b = survey_split(cmd_args_get(args, "host"), hosts, &n_hosts);
    char *node = self_node(NULL);
    const struct here_opts here = {.node = node};
    const struct scan_opts scan = {.subnets = subnets,
                                   .n_subnets = n_subnets,
                                   .hosts = hosts,
                                   .n_hosts = n_hosts,
                                   .no_local = n_subnets + n_hosts > 0,
                                   .agent_token = token};
    int rc = survey_make(s, &here, scanned ? &scan : NULL, cause);
    free(a);
    free(b);
    free(token);
    free(node);
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct survey s;
    char *cause = NULL;
    (void)env;
    if (look(&s, args, &cause) != 0) {
        int rc = cmd_usage_error("probe: %s", cause);
        free(cause);
        return rc;
    }
    if (cmd_args_has(args, "json"))
        print_json(&s);
    else
        print_words(&s, !cmd_args_has(args, "no-scan"));
    survey_finish(&s);
    return CMD_OK;
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
