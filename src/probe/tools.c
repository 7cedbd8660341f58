#include "probe/tools.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/mem.h"

enum { VERSION_MS = 3000, VERSION_MAX = 16384 };

#if defined(__aarch64__)
#define TRIPLET "aarch64-linux-gnu"
#else
#define TRIPLET "x86_64-linux-gnu"
#endif

/* Where people and distributions put llama.cpp. */
static const char *const llama_folders[] = {
    "~/.local/bin",
    "~/llama.cpp/build/bin",
    "/opt/llama.cpp/bin",
    "/opt/llama.cpp",
    "/usr/libexec/" TRIPLET "/llama/bin",
    "/usr/libexec",
    NULL,
};
static const char *const ollama_folders[] = {"~/.local/bin", "/usr/local/bin", "/snap/bin", NULL};
static const char *const node_folders[] = {"/usr/libexec/tightwad", "/usr/local/libexec/tightwad", NULL};

static const struct {
    const char *name;
    const char *names[2]; /* of the program */
    const char *const *folders;
    bool tells; /* --version */
} tools[] = {
    {"llama-server", {"llama-server"}, llama_folders, true},
    {"ollama", {"ollama"}, ollama_folders, true},
    {"rpc-server", {"ggml-rpc-server", "rpc-server"}, llama_folders, false},
    {"tightwad-node", {"tightwad-node"}, node_folders, true},
};

static bool runs(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static char *look_in(const char *folder, size_t len, const char *name)
{
    const char *home = getenv("HOME");
    char *path;
    if (len >= 2 && strncmp(folder, "~/", 2) == 0) {
        if (home == NULL || home[0] != '/')
            return NULL;
        path = xasprintf("%s/%.*s/%s", home, (int)len - 2, folder + 2, name);
    } else if (folder[0] == '/') {
        path = xasprintf("%.*s/%s", (int)len, folder, name);
    } else {
        return NULL;
    }
    if (runs(path))
        return path;
    free(path);
    return NULL;
}

char *tools_find(const char *name, const char *const *folders)
{
    const char *path = getenv("PATH");
    char *found = NULL;
    if (path == NULL || path[0] == '\0')
        path = "/usr/local/bin:/usr/bin:/bin";
    while (found == NULL && *path != '\0') {
        size_t n = strcspn(path, ":");
        found = look_in(path, n, name);
        path += n + (path[n] == ':');
    }
    for (; found == NULL && folders != NULL && *folders != NULL; folders++)
        found = look_in(*folders, strlen(*folders), name);
    return found;
}

/* llama-server: "version: 4567 (0abcdef)"; ollama: "ollama version is 0.9.1", or, where its service does not run, a
 * warning and "client version is 0.9.1"; tightwad-node: "tightwad-node 0.1.0, llama.cpp 0.7.0". */
void tools_version(const char *text, char *version, size_t size)
{
    const char *at = strstr(text, "version is ");
    size_t skip = strlen("version is ");
    if (at == NULL) {
        at = strstr(text, "version: ");
        skip = strlen("version: ");
    }
    if (at == NULL) {
        at = strchr(text, ' ');
        skip = 1;
        const char *end = strchr(text, '\n');
        if (at != NULL && end != NULL && end < at)
            at = NULL;
    }
    char *line = at != NULL ? xstrndup(at + skip, strcspn(at + skip, "\n")) : NULL;
    machine_text(version, size, line);
    free(line);
}

static void ask_version(struct machine *m, struct machine_tool *t, const atomic_bool *stop)
{
    const char *argv[] = {t->path, "--version", NULL};
    struct child_result r;
    child_run(argv, &(struct child_limits){VERSION_MS, VERSION_MAX, stop}, &r);
    if (r.fate == CHILD_ENDED && r.status == 0) {
        char *both = xasprintf("%s\n%s", r.out, r.err);
        tools_version(both[0] == '\n' ? both + 1 : both, t->version, sizeof(t->version));
        free(both);
    } else if (r.fate == CHILD_TOO_LATE) {
        machine_add_note(m, "%s: %s --version did not end within %d s", t->name, t->path, VERSION_MS / 1000);
    } else {
        machine_add_note(m, "%s: %s does not run here", t->name, t->path);
    }
    child_result_finish(&r);
}

void tools_probe(struct machine *m, const char *node, const atomic_bool *stop)
{
    for (size_t i = 0; i < ARRAY_LEN(tools) && !atomic_load(stop); i++) {
        bool given = node != NULL && strcmp(tools[i].name, "tightwad-node") == 0;
        char *path = given ? xstrdup(node) : NULL;
        for (size_t k = 0; k < ARRAY_LEN(tools[i].names) && path == NULL && tools[i].names[k] != NULL; k++)
            path = tools_find(tools[i].names[k], tools[i].folders);
        if (path == NULL)
            continue;
        struct machine_tool *t = machine_add_tool(m, tools[i].name);
        t->path = path;
        if (tools[i].tells)
            ask_version(m, t, stop);
    }
}
