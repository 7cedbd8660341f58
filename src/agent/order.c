#include "agent/order.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/peer.h"

enum { NODE = 1 << AGENT_NODE, WORKER = 1 << AGENT_WORKER, TEXT_MAX = 1024 };
enum { NODE_PORT = 8081, WORKER_PORT = 50052, ARGS_MAX = 64 };

enum kind {
    KIND_ADDRESS,  /* numeric */
    KIND_PORT,     /* and the order's port */
    KIND_INT,      /* min to max */
    KIND_FLAG,     /* true: the flag is given */
    KIND_FLAG_OFF, /* false: it is */
    KIND_WORD,     /* one of the words in chars, with blanks between */
    KIND_TEXT,     /* of the characters in chars, beside letters and digits */
    KIND_NETWORKS,
    KIND_SECRET,
};

/* What starts another program, reads or writes a file that is named, or says where logs go is not here. */
static const struct option {
    const char *key;
    unsigned programs;
    enum kind kind;
    const char *flag;
    int64_t min, max;
    const char *chars;
} table[] = {
    {"host", NODE | WORKER, KIND_ADDRESS, "--host", 0, 0, NULL},
    {"port", NODE | WORKER, KIND_PORT, "--port", 1024, 65535, NULL},
    {"ctx", NODE, KIND_INT, "--ctx-size", 0, 16777216, NULL},
    {"slots", NODE, KIND_INT, "--parallel", 1, 64, NULL},
    {"threads", NODE | WORKER, KIND_INT, "--threads", 0, 1024, NULL},
    {"threads_batch", NODE, KIND_INT, "--threads-batch", 0, 1024, NULL},
    {"batch", NODE, KIND_INT, "--batch-size", 1, 65536, NULL},
    {"ubatch", NODE, KIND_INT, "--ubatch-size", 0, 65536, NULL},
    {"draft_rate", NODE, KIND_INT, "--draft-rate", 0, 1000000, NULL},
    {"n_gpu_layers", NODE, KIND_INT, "--n-gpu-layers", 0, 100000, NULL},
    {"flash_attn", NODE, KIND_WORD, "--flash-attn", 0, 0, "on off auto"},
    {"mlock", NODE, KIND_FLAG, "--mlock", 0, 0, NULL},
    {"mmap", NODE, KIND_FLAG_OFF, "--no-mmap", 0, 0, NULL},
    {"device", NODE | WORKER, KIND_TEXT, "--device", 0, 0, "._-:,"},
    {"tensor_split", NODE, KIND_TEXT, "--tensor-split", 0, 0, ".,"},
    {"rpc", NODE, KIND_TEXT, "--rpc", 0, 0, ".-:[],"},
    {"alias", NODE, KIND_TEXT, "--alias", 0, 0, "._-:/"},
    {"api_key", NODE, KIND_SECRET, NULL, 0, 0, NULL},
    {"allow", WORKER, KIND_NETWORKS, "--allow", 0, 0, NULL},
    {"cache_size", WORKER, KIND_TEXT, "--cache-size", 0, 0, "."},
    {"cache", WORKER, KIND_FLAG_OFF, "--no-cache", 0, 0, NULL},
};

static const char *const programs[] = {[AGENT_NODE] = "node", [AGENT_WORKER] = "worker"};

const char *agent_program_name(enum agent_program p)
{
    return programs[p];
}

/* ---- the command line in the making ---- */

static void add_arg(struct agent_order *o, char *arg)
{
    size_t n = 0;
    while (o->argv[n] != NULL)
        n++;
    if (n < ARGS_MAX)
        o->argv[n] = arg;
    else
        free(arg);
}

/* One word, so that a value can never be taken for an option. */
static void add_option(struct agent_order *o, const char *flag, const char *value)
{
    add_arg(o, xasprintf("%s=%s", flag, value));
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool made_of(const char *text, const char *chars)
{
    for (; *text != '\0'; text++) {
        if (!is_alnum(*text) && strchr(chars, *text) == NULL)
            return false;
    }
    return true;
}

static bool is_address(const char *text)
{
    unsigned char bytes[16];
    return strlen(text) < 64 && (inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1);
}

static bool is_word(const char *text, const char *words)
{
    size_t len = strlen(text);
    for (const char *w = words; *w != '\0'; w += strspn(w, " ")) {
        size_t n = strcspn(w, " ");
        if (n == len && strncmp(w, text, n) == 0)
            return true;
        w += n;
    }
    return false;
}

static int take_networks(struct agent_order *o, const struct option *row, const char *text, char **cause)
{
    struct peer_list list = {0};
    int rc = peer_list_add(&list, text, cause);
    peer_list_finish(&list);
    if (rc != 0)
        return cause_prefix(cause, "options.%s", row->key);
    add_option(o, row->flag, text);
    return 0;
}

static int take_secret(struct agent_order *o, const char *text, char **cause)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f)
            return cause_set(cause, "options.api_key: expected printable ASCII without blanks");
    }
    free(o->secret);
    o->secret = xasprintf("LLAMA_API_KEY=%s", text);
    return 0;
}

static int take_text(struct agent_order *o, const struct option *row, const json_t *options, char **cause)
{
    const char *text = NULL;
    if (json_get_string(options, row->key, &text, cause) < 0)
        return cause_prefix(cause, "options");
    if (text == NULL)
        return 0;
    if (*text == '\0' || strlen(text) > TEXT_MAX)
        return cause_set(cause, "options.%s: expected 1 to %d characters", row->key, TEXT_MAX);
    switch (row->kind) {
    case KIND_ADDRESS:
        if (!is_address(text))
            return cause_set(cause, "options.%s is \"%.80s\": expected an address in numbers, such as 0.0.0.0",
                             row->key, text);
        snprintf(o->host, sizeof(o->host), "%s", text);
        return 0;
    case KIND_WORD:
        if (!is_word(text, row->chars))
            return cause_set(cause, "options.%s is \"%.80s\": expected one of: %s", row->key, text, row->chars);
        break;
    case KIND_NETWORKS:
        return take_networks(o, row, text, cause);
    case KIND_SECRET:
        return take_secret(o, text, cause);
    default:
        if (!made_of(text, row->chars))
            return cause_set(cause, "options.%s is \"%.80s\": only letters, digits and %s may be in it", row->key, text,
                             row->chars);
        break;
    }
    add_option(o, row->flag, text);
    return 0;
}

static int take_option(struct agent_order *o, const struct option *row, const json_t *options, char **cause)
{
    char number[24];
    int64_t n = -1;
    bool on = row->kind == KIND_FLAG_OFF;
    switch (row->kind) {
    case KIND_PORT:
    case KIND_INT:
        if (json_get_int(options, row->key, row->min, row->max, &n, cause) < 0)
            return cause_prefix(cause, "options");
        if (row->kind == KIND_PORT && n >= 0)
            o->port = (int)n;
        snprintf(number, sizeof(number), "%lld", (long long)n);
        if (row->kind == KIND_INT && n >= 0)
            add_option(o, row->flag, number);
        return 0;
    case KIND_FLAG:
    case KIND_FLAG_OFF:
        if (json_get_bool(options, row->key, &on, cause) < 0)
            return cause_prefix(cause, "options");
        if (on == (row->kind == KIND_FLAG))
            add_arg(o, xstrdup(row->flag));
        return 0;
    default:
        return take_text(o, row, options, cause);
    }
}

static const struct option *find_option(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].key, key) == 0)
            return &table[i];
    }
    return NULL;
}

static int unknown_option(const struct agent_order *o, const char *key, char **cause)
{
    char *list = xstrdup("");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].programs & (1u << o->program)) {
            char *longer = xasprintf("%s%s%s", list, *list != '\0' ? ", " : "", table[i].key);
            free(list);
            list = longer;
        }
    }
    cause_set(cause, "options.%.80s: an agent starts no %s with that; it takes: %s", key, programs[o->program], list);
    free(list);
    return -1;
}

static int take_options(struct agent_order *o, const json_t *options, char **cause)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)options, key, value)
    {
        const struct option *row = find_option(key);
        if (row == NULL || !(row->programs & (1u << o->program)))
            return unknown_option(o, key, cause);
        if (take_option(o, row, options, cause) != 0)
            return -1;
    }
    return 0;
}

/* ---- the model ---- */

static bool is_text(const char *a, const char *b)
{
    return a != NULL && strcmp(a, b) == 0;
}

/* "draft" is short for "draft.gguf". */
static bool is_name(const char *name, const char *wanted)
{
    size_t n = strlen(wanted);
    return name != NULL && strncmp(name, wanted, n) == 0 && (name[n] == '\0' || strcmp(name + n, ".gguf") == 0);
}

/* One of this machine's models by its path, else by a name that only one of them has. */
static int take_model(struct agent_order *o, const char *wanted, const struct machine *here, char **cause)
{
    const struct machine_model *found = NULL;
    size_t n = 0;
    for (size_t i = 0; i < here->n_models && found == NULL; i++) {
        if (is_text(here->model[i].path, wanted))
            found = &here->model[i];
    }
    for (size_t i = 0; i < here->n_models && (found == NULL || n > 0); i++) {
        if (here->model[i].path != NULL && is_name(here->model[i].name, wanted)) {
            found = &here->model[i];
            n++;
        }
    }
    if (n > 1)
        return cause_set(cause, "model: %zu models of this machine are called \"%.200s\": name one by its path", n,
                         wanted);
    if (found == NULL)
        return cause_set(
            cause, "model: \"%.200s\" is none of the models that lie on this machine (`tightwad probe` lists those)",
            wanted);
    struct stat st;
    if (stat(found->path, &st) != 0 || !S_ISREG(st.st_mode))
        return cause_set(cause, "model: %s is not there any more", found->path);
    o->model = xstrdup(found->path);
    add_option(o, "--model", o->model);
    return 0;
}

/* ---- the whole order ---- */

static int take_program(struct agent_order *o, const char *program, const char *path, char **cause)
{
    size_t i = 0;
    while (i < ARRAY_LEN(programs) && (program == NULL || strcmp(programs[i], program) != 0))
        i++;
    if (i == ARRAY_LEN(programs))
        return cause_set(cause, "program is \"%.80s\": an agent starts \"node\" and \"worker\", and nothing else",
                         program != NULL ? program : "");
    o->program = (enum agent_program)i;
    o->port = o->program == AGENT_NODE ? NODE_PORT : WORKER_PORT;
    add_arg(o, xstrdup(path));
    if (o->program == AGENT_WORKER)
        add_arg(o, xstrdup("worker"));
    return 0;
}

static int take_name(struct agent_order *o, const char *name, char **cause)
{
    if (name == NULL) {
        snprintf(o->name, sizeof(o->name), "%s-%d", programs[o->program], o->port);
        return 0;
    }
    if (strlen(name) > AGENT_NAME_MAX || !is_alnum(name[0]) || !made_of(name, ".-_"))
        return cause_set(cause,
                         "name is \"%.80s\": expected at most %d letters, digits, dots and dashes, a letter or digit "
                         "first",
                         name, AGENT_NAME_MAX);
    snprintf(o->name, sizeof(o->name), "%s", name);
    return 0;
}

static int read_keys(const json_t *request, char **cause)
{
    static const char *const known[] = {"program", "name", "model", "options"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)request, key, value)
    {
        size_t i = 0;
        while (i < ARRAY_LEN(known) && strcmp(known[i], key) != 0)
            i++;
        if (i == ARRAY_LEN(known))
            return cause_set(cause, "%.80s: expected program, name, model and options", key);
    }
    return 0;
}

int agent_order_read(struct agent_order *o, const json_t *request, const char *path, const char *host,
                     const struct machine *here, char **cause)
{
    const char *program = NULL, *name = NULL, *model = NULL;
    json_t *options = json_object_get(request, "options");
    char port[16];
    *o = (struct agent_order){.argv = xcalloc(ARGS_MAX + 1, sizeof(char *))};
    snprintf(o->host, sizeof(o->host), "%s", host);
    if (read_keys(request, cause) != 0 || json_get_string(request, "program", &program, cause) < 0 ||
        json_get_string(request, "name", &name, cause) < 0 || json_get_string(request, "model", &model, cause) < 0)
        goto wrong;
    if (options != NULL && !json_is_object(options)) {
        cause_set(cause, "options: expected an object");
        goto wrong;
    }
    if (take_program(o, program, path, cause) != 0)
        goto wrong;
    if ((o->program == AGENT_NODE) != (model != NULL)) {
        cause_set(cause, o->program == AGENT_NODE ? "model: a node wants one" : "model: a worker takes none");
        goto wrong;
    }
    if (take_options(o, options, cause) != 0 || (model != NULL && take_model(o, model, here, cause) != 0) ||
        take_name(o, name, cause) != 0)
        goto wrong;
    snprintf(port, sizeof(port), "%d", o->port);
    add_option(o, "--host", o->host);
    add_option(o, "--port", port);
    return 0;
wrong:
    agent_order_finish(o);
    return -1;
}

void agent_order_finish(struct agent_order *o)
{
    for (size_t i = 0; o->argv != NULL && o->argv[i] != NULL; i++)
        free(o->argv[i]);
    free(o->argv);
    free(o->model);
    free(o->secret);
    *o = (struct agent_order){0};
}

json_t *agent_order_options(void)
{
    json_t *all = json_object();
    for (size_t p = 0; p < ARRAY_LEN(programs); p++) {
        json_t *list = json_array();
        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
            if (table[i].programs & (1u << p))
                json_array_append_new(list, json_string(table[i].key));
        }
        json_object_set_new(all, programs[p], list);
    }
    return all;
}
