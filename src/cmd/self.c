#include "cmd/self.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"

char *self_program(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    return n > 0 ? xstrndup(path, (size_t)n) : NULL;
}

char *self_node(char **cause)
{
    char *self = self_program();
    char *slash = self != NULL ? strrchr(self, '/') : NULL;
    char *path = slash != NULL ? xasprintf("%.*s/tightwad-node", (int)(slash - self), self) : NULL;
    free(self);
    if (path != NULL && access(path, X_OK) == 0)
        return path;
    free(path);
    if (access(TIGHTWAD_LIBEXECDIR "/tightwad-node", X_OK) == 0)
        return xstrdup(TIGHTWAD_LIBEXECDIR "/tightwad-node");
    cause_set(cause, "tightwad-node is not there (neither beside this program nor in " TIGHTWAD_LIBEXECDIR
                     "): this tightwad was built without libllama, so only servers that run already (llama-server, "
                     "Ollama, an OpenAI API) can be used. `./bootstrap build` in the source tree makes it");
    return NULL;
}

char *self_demo_model(const char *name, char **cause)
{
    const char *given = getenv("TIGHTWAD_MODELS");
    if (given != NULL && given[0] != '\0') {
        char *path = xasprintf("%s/%s", given, name);
        if (access(path, R_OK) == 0)
            return path;
        cause_set(cause, "the demo model %s is not there ($TIGHTWAD_MODELS is %s)", path, given);
        free(path);
        return NULL;
    }
    static const char *const dirs[] = {TIGHTWAD_DEMO_MODELS, TIGHTWAD_DATADIR "/models"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        char *path = xasprintf("%s/%s", dirs[i], name);
        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    cause_set(cause, "the demo model %s is neither in " TIGHTWAD_DEMO_MODELS " nor in " TIGHTWAD_DATADIR "/models",
              name);
    return NULL;
}
