#include "probe/ollama-store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"

enum {
    MANIFEST_MAX = 1 << 20, /* bytes */
    LISTED_MAX = 20,        /* names in a message */
};

/* The parts of a name, in the order in which the manifests are nested. */
enum { HOST, NAMESPACE, NAME, TAG, PARTS };

static const char *const part_default[PARTS] = {"registry.ollama.ai", "library", NULL, "latest"};

static bool part_ok(const char *s, size_t n)
{
    static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (n == 0 || n > 200 || s[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!strchr(ok, s[i]))
            return false;
    }
    return true;
}

/* "[HOST/][NAMESPACE/]NAME[:TAG]" as "HOST/NAMESPACE/NAME/TAG", owned by the caller; NULL: not such a name.  A host may
 * have a port, so the tag's colon is the one after the last slash. */
static char *manifest_name(const char *name)
{
    const char *part[PARTS];
    size_t len[PARTS];
    for (size_t i = 0; i < PARTS; i++) {
        part[i] = part_default[i];
        len[i] = part[i] ? strlen(part[i]) : 0;
    }
    const char *end = name + strlen(name);
    const char *slash = strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    const char *colon = strchr(last, ':');
    if (colon) {
        part[TAG] = colon + 1;
        len[TAG] = (size_t)(end - part[TAG]);
        end = colon;
    }
    for (int at = NAME; at >= HOST; at--) {
        const char *from = end;
        while (from > name && from[-1] != '/')
            from--;
        part[at] = from;
        len[at] = (size_t)(end - from);
        if (from == name)
            break;
        if (at == HOST)
            return NULL;
        end = from - 1;
    }
    for (size_t i = 0; i < PARTS; i++) {
        const char *port = i == HOST ? memchr(part[i], ':', len[i]) : NULL;
        if (!part_ok(part[i], port ? (size_t)(port - part[i]) : len[i]))
            return NULL;
        if (port && !part_ok(port + 1, len[i] - (size_t)(port + 1 - part[i])))
            return NULL;
    }
    return xasprintf("%.*s/%.*s/%.*s/%.*s", (int)len[HOST], part[HOST], (int)len[NAMESPACE], part[NAMESPACE],
                     (int)len[NAME], part[NAME], (int)len[TAG], part[TAG]);
}

static json_t *read_manifest(const char *path, char **cause)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        cause_set(cause, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *text = xmalloc(MANIFEST_MAX);
    size_t n = 0;
    ssize_t got = 1;
    while (n < MANIFEST_MAX && (got = read(fd, text + n, MANIFEST_MAX - n)) > 0)
        n += (size_t)got;
    close(fd);
    json_error_t e;
    json_t *j = got == 0 ? json_loadb(text, n, 0, &e) : NULL;
    if (!j)
        cause_set(cause, "%s is not a manifest of Ollama: %s", path, got == 0 ? e.text : "too large or unreadable");
    free(text);
    return j;
}

/* The digest of the model's layer as the name of a blob ("sha256-…"), NULL and a cause.  Owned by the caller. */
static char *model_blob(const json_t *manifest, char **cause)
{
    const json_t *layer;
    size_t i;
    const char *digest = NULL;
    json_array_foreach(json_object_get(manifest, "layers"), i, layer)
    {
        const char *type = json_string_value(json_object_get(layer, "mediaType"));
        if (type && strcmp(type, "application/vnd.ollama.image.adapter") == 0) {
            cause_set(cause, "the model has an adapter (LoRA) beside its weights, which a node can't load");
            return NULL;
        }
        if (type && strcmp(type, "application/vnd.ollama.image.model") == 0 && !digest)
            digest = json_string_value(json_object_get(layer, "digest"));
    }
    if (!digest) {
        cause_set(cause, "its manifest names no model layer (a cloud model has none)");
        return NULL;
    }
    const char *hex = strncmp(digest, "sha256:", 7) == 0 ? digest + 7 : "";
    if (strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64) {
        cause_set(cause, "its manifest has a digest that is none of SHA-256");
        return NULL;
    }
    return xasprintf("sha256-%s", hex);
}

static char *open_model(const char *store, const char *manifest_path, const char *name, char **cause)
{
    char *path = NULL;
    json_t *manifest = read_manifest(manifest_path, cause);
    char *blob = manifest ? model_blob(manifest, cause) : NULL;
    if (blob)
        path = xasprintf("%s/blobs/%s", store, blob);
    if (path && access(path, R_OK) != 0) {
        cause_set(cause, "its file %s: %s%s", path, strerror(errno),
                  errno == ENOENT ? " (pull it again: ollama pull NAME)" : "");
        free(path);
        path = NULL;
    }
    if (!path)
        cause_prefix(cause, "ollama:%s", name);
    free(blob);
    json_decref(manifest);
    return path;
}

/* A name as a user would write it, and the path of its manifest; false ends the walk. */
typedef bool manifest_cb(const char *name, const char *manifest, void *arg);

/* Goes through the names below manifests/…; depth: parts already in name.  False: cb wanted no more. */
static bool walk_manifests(const char *dir, const char *name, int depth, manifest_cb *cb, void *arg)
{
    bool on = true;
    DIR *d = depth <= TAG ? opendir(dir) : NULL;
    for (struct dirent *e = d ? readdir(d) : NULL; e && on; e = readdir(d)) {
        if (!part_ok(e->d_name, strcspn(e->d_name, ":")))
            continue;
        bool usual = depth < NAME && strcmp(e->d_name, part_default[depth]) == 0;
        char *sub = xasprintf("%s/%s", dir, e->d_name);
        char *full = usual ? xstrdup(name)
                           : xasprintf("%s%s%s", name,
                                       !*name         ? ""
                                       : depth == TAG ? ":"
                                                      : "/",
                                       e->d_name);
        on = depth == TAG ? cb(full, sub, arg) : walk_manifests(sub, full, depth + 1, cb, arg);
        free(full);
        free(sub);
    }
    if (d)
        closedir(d);
    return on;
}

/* The names in a message. */
struct listing {
    struct buf text;
    size_t n;
};

static bool list_name(const char *name, const char *manifest, void *arg)
{
    struct listing *l = arg;
    (void)manifest;
    buf_printf(&l->text, "%s%s", l->n++ ? ", " : "", name);
    return l->n < LISTED_MAX;
}

size_t ollama_store_folders(char *list[OLLAMA_STORES])
{
    size_t n = 0;
    const char *env = getenv("OLLAMA_MODELS"), *home = getenv("HOME");
    if (env && *env)
        list[n++] = xstrdup(env);
    if (home && *home)
        list[n++] = xasprintf("%s/.ollama/models", home);
    list[n++] = xstrdup("/usr/share/ollama/.ollama/models");
    return n;
}

static void not_found(const char *name, char *const *list, size_t n, char **cause)
{
    struct buf looked;
    struct listing there = {0};
    buf_init(&looked, 16384);
    buf_init(&there.text, 16384);
    for (size_t i = 0; i < n; i++) {
        char *dir = xasprintf("%s/manifests", list[i]);
        const char *why = access(dir, R_OK | X_OK) == 0 ? "" : errno == ENOENT ? " (not there)" : " (not readable)";
        buf_printf(&looked, "%s%s%s", i ? ", " : "", list[i], why);
        if (there.n < LISTED_MAX)
            walk_manifests(dir, "", HOST, list_name, &there);
        free(dir);
    }
    cause_set(cause, "ollama:%s: no such model on this machine; looked in %s; %s%s", name, looked.data,
              there.n ? "models there: " : "no models there; get it with: ollama pull ",
              there.n ? there.text.data : name);
    buf_finish(&looked);
    buf_finish(&there.text);
}

char *ollama_store_find(const char *name, char **cause)
{
    char *manifest = manifest_name(name);
    if (!manifest) {
        cause_set(cause, "ollama:%.200s: NAME[:TAG] is expected, such as ollama:qwen3:0.6b", name);
        return NULL;
    }
    char *list[OLLAMA_STORES], *path = NULL;
    size_t n = ollama_store_folders(list);
    bool found = false;
    for (size_t i = 0; i < n && !found; i++) {
        char *at = xasprintf("%s/manifests/%s", list[i], manifest);
        found = access(at, F_OK) == 0;
        if (found)
            path = open_model(list[i], at, name, cause);
        free(at);
    }
    if (!found)
        not_found(name, list, n, cause);
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(manifest);
    return path;
}

struct each {
    const char *store;
    ollama_store_cb *cb;
    void *arg;
};

static bool tell_model(const char *name, const char *manifest, void *arg)
{
    const struct each *e = arg;
    char *path = open_model(e->store, manifest, name, NULL);
    bool on = e->cb(name, path, e->arg);
    free(path);
    return on;
}

void ollama_store_each(ollama_store_cb *cb, void *arg)
{
    char *list[OLLAMA_STORES];
    size_t n = ollama_store_folders(list);
    bool on = true;
    for (size_t i = 0; i < n; i++) {
        struct each e = {list[i], cb, arg};
        char *dir = xasprintf("%s/manifests", list[i]);
        on = on && walk_manifests(dir, "", HOST, tell_model, &e);
        free(dir);
        free(list[i]);
    }
}
