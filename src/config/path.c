#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/config.h"

static char *take_if_there(char *path)
{
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

char *config_find(const char *given)
{
    if (given)
        return xstrdup(given);
    const char *env = getenv("TIGHTWAD_CONFIG");
    if (env && *env)
        return xstrdup(env);
    char *path = take_if_there(xstrdup("./tightwad.yaml"));
    if (!path)
        path = take_if_there(xstrdup("./configs/cluster.yaml"));
    if (!path) {
        const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
        if (xdg && *xdg)
            path = take_if_there(xasprintf("%s/tightwad/cluster.yaml", xdg));
        else if (home && *home)
            path = take_if_there(xasprintf("%s/.config/tightwad/cluster.yaml", home));
    }
    return path ? path : take_if_there(xstrdup("/etc/tightwad/cluster.yaml"));
}
