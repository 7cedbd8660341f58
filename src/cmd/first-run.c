#include "cmd/first-run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/control.h"
#include "cmd/attach.h"
#include "cmd/init-checks.h"
#include "cmd/instance.h"
#include "cmd/self.h"
#include "cmd/serve.h"
#include "config/install.h"
#include "ui/wizard.h"

static const struct wizard_hooks hooks = {.check = init_check_start, .check_cancel = init_check_cancel};

/* Ends as the signal would have ended it; without one (the terminal is gone) as SIGHUP would have. */
static int end_by(int number)
{
    number = number != 0 ? number : SIGHUP;
    signal(number, SIG_DFL);
    raise(number);
    return 128 + number;
}

/* The dashboard of the instance that listens on the configuration's port, if one does: the exit code, else -1. */
static int attach(const struct config *c)
{
    struct client client = {0};
    char *path = control_path((int)c->proxy.port);
    int rc = -1;
    if (control_alive(path)) {
        client_init_unix(&client, path);
        char *name = instance_name(&client);
        rc = attach_show(&client, name, NULL);
        free(name);
        client_finish(&client);
    }
    free(path);
    return rc;
}

/* The cluster with its dashboard; of one that runs already (it takes the file over by itself) the dashboard. */
static int show_cluster(struct cmd_env *env)
{
    struct config_findings findings = {0};
    struct config *c = config_load(env->config, &findings);
    int rc = c != NULL ? attach(c) : -1;
    config_findings_finish(&findings);
    config_destroy(c);
    return rc >= 0 ? rc : serve(env, &(struct serve_opts){.ui = true}); /* which tells what is wrong with it, too */
}

int first_run(struct cmd_env *env, const struct here_opts *here, const struct advice_wish *wish,
              const struct scan_opts *scan)
{
    char *cause = NULL, *path = install_path(env->config, &cause);
    struct wizard_opts opts = {.path = path, .scan = scan, .here = here, .wish = *wish, .hooks = &hooks};
    enum wizard_end end = WIZARD_LEFT;
    int number = 0, rc = CMD_OK;
    if (path == NULL || wizard_run(&opts, &end, &number, &cause) != 0) {
        rc = cmd_fail_cause(cause);
    } else if (end == WIZARD_ENDED) {
        rc = end_by(number);
    } else if (end == WIZARD_DASHBOARD) {
        env->config = path;
        rc = show_cluster(env);
    } else if (end == WIZARD_WRITTEN) {
        printf("%s is written; `tightwad -c %s` starts the cluster with its dashboard\n", path, path);
    } else {
        printf("nothing was written; `tightwad init` begins again\n");
    }
    free(path);
    return rc;
}

/* Whether there is a configuration: a file, or a variable that names the target without one.  A file that was named
 * with -c and is not there is one to be written. */
static bool is_configured(const char *path)
{
    if (path != NULL)
        return access(path, F_OK) == 0;
    struct config_findings findings = {0};
    struct config *c = config_load(NULL, &findings);
    bool configured = c == NULL || c->proxy.target.url != NULL;
    config_findings_finish(&findings);
    config_destroy(c);
    return configured;
}

int first_run_or_cluster(struct cmd_env *env)
{
    char *path = config_find(env->config);
    int rc;
    if (is_configured(path)) {
        env->config = path;
        rc = show_cluster(env);
    } else {
        struct advice_wish wish;
        char *node = self_node(NULL);
        advice_wish_init(&wish);
        wish.no_node = node == NULL;
        rc = first_run(env, &(struct here_opts){.node = node}, &wish, &(struct scan_opts){.ask_workers = true});
        free(node);
    }
    free(path);
    return rc;
}
