/* tightwad attach, tightwad --attach: the dashboard on an instance that runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/attach.h"
#include "cmd/cmd.h"
#include "cmd/cockpit.h"
#include "cmd/instance.h"

extern const struct cmd cmd_attach;

enum { TOKEN_MAX = 4096 };

static const struct cmd_option options[] = {
    {0, "token-file", "FILE",
     "what the instance has as proxy.auth_token, as the file's first line (else $TIGHTWAD_TOKEN)"},
    {'p', "port", "PORT", "your own instance that listens on this port"},
    {0},
};

/* The first line of the file, owned by the caller; NULL and a cause. */
static char *read_token(const char *path, char **cause)
{
    char line[TOKEN_MAX];
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        cause_set(cause, "%s: %s", path, strerror(errno));
        return NULL;
    }
    size_t len = fgets(line, sizeof(line), f) != NULL ? strcspn(line, "\r\n") : 0;
    fclose(f);
    if (len == 0)
        cause_set(cause, "%s: its first line is empty", path);
    return len > 0 ? xstrndup(line, len) : NULL;
}

static bool is_socket(const char *where)
{
    struct stat st;
    return where[0] == '/' || (stat(where, &st) == 0 && S_ISSOCK(st.st_mode));
}

/* Whom to show: 0 and c connected, *name what it is called (owned by the caller); or -1 and a cause. */
static int find(struct client *c, struct cmd_env *env, const struct cmd_args *args, char **name, char **cause)
{
    const char *where = args->n_words > 0 ? args->words[0] : NULL, *file = cmd_args_get(args, "token-file");
    int64_t port = 0;
    if (cmd_args_int(args, "port", 1, 65535, &port, cause) != 0)
        return -1;
    char *token = file != NULL ? read_token(file, cause) : xstrdup(getenv("TIGHTWAD_TOKEN"));
    if (file != NULL && token == NULL)
        return -1;
    int rc = 0;
    if (where == NULL)
        rc = instance_find(c, env, (int)port, cause);
    else if (is_socket(where))
        client_init_unix(c, where);
    else
        client_init(c, NULL, where);
    if (rc == 0 && c->unix_socket == NULL && token != NULL) {
        c->token = token;
        token = NULL;
    }
    free(token);
    if (rc == 0)
        *name = instance_name(c);
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c = {0};
    char *cause = NULL, *name = NULL;
    const char *trouble = cockpit_trouble(NULL);
    if (trouble != NULL)
        return cmd_fail("attach: %s; `tightwad status` needs none", trouble);
    if (find(&c, env, args, &name, &cause) != 0)
        return cmd_fail_cause(cause);
    int rc = attach_show(&c, name, NULL);
    client_finish(&c);
    free(name);
    return rc;
}

const struct cmd cmd_attach = {
    .name = "attach",
    .usage = "[--port PORT] [--token-file FILE] [URL|SOCKET]",
    .summary = "the dashboard on an instance that runs, here or elsewhere",
    .help = "Without a URL it is your own instance on this machine, by its control socket.  Detaching (q) leaves it\n"
            "running; when it is restarted, the dashboard finds it again.  `tightwad --attach` is the same.\n\n"
            "  tightwad --attach http://big:8088 --token-file ~/.config/tightwad/token",
    .options = options,
    .max_words = 1,
    .run = run,
};
