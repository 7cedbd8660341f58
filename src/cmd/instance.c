#include "cmd/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/control.h"
#include "base/cause.h"
#include "base/mem.h"

/* The port in ".../control-8088.sock", 0 for another name. */
static int port_of(const char *path)
{
    const char *name = strrchr(path, '/');
    int port = 0;
    if (name == NULL || sscanf(name, "/control-%d.sock", &port) != 1)
        return 0;
    return port;
}

/* The ports of the instances that answer, in words: "8088, 9000"; *n how many, *only the path of the last one. */
static char *running(size_t *n, char **only)
{
    size_t n_paths = 0;
    char **paths = control_list(&n_paths), *text = xstrdup("");
    *n = 0;
    *only = NULL;
    for (size_t i = 0; i < n_paths; i++) {
        if (port_of(paths[i]) != 0 && control_alive(paths[i])) {
            char *longer = xasprintf("%s%s%d", text, *n > 0 ? ", " : "", port_of(paths[i]));
            free(text);
            text = longer;
            free(*only);
            *only = xstrdup(paths[i]);
            (*n)++;
        }
        free(paths[i]);
    }
    free(paths);
    return text;
}

int instance_find(struct client *client, const struct cmd_env *env, int port, char **cause)
{
    bool named = port != 0 || env->config != NULL;
    if (port == 0) {
        struct config *cfg = cmd_load_config(env, false);
        if (cfg == NULL)
            return cause_set(cause, "so there is no telling which proxy is meant (--port PORT does)");
        port = (int)cfg->proxy.port;
        config_destroy(cfg);
    }
    char *path = control_path(port), *only = NULL;
    size_t n = 0;
    int rc = 0;
    if (control_alive(path)) {
        client_init_unix(client, path);
    } else {
        char *ports = running(&n, &only);
        if (!named && n == 1)
            client_init_unix(client, only);
        else if (n > 0)
            rc = cause_set(cause, "no proxy of yours runs on port %d; there %s on port %s: name one with --port", port,
                           n == 1 ? "is one" : "are ones", ports);
        else
            rc = cause_set(cause, "no proxy of yours runs here (start it with `tightwad proxy start`)");
        free(ports);
    }
    free(path);
    free(only);
    return rc;
}

char *instance_name(const struct client *c)
{
    int port = c->unix_socket != NULL ? port_of(c->unix_socket) : 0;
    if (port > 0)
        return xasprintf("the instance on port %d", port);
    return xstrdup(c->unix_socket != NULL ? c->unix_socket : c->url);
}
