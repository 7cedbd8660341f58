#include "node/worker-options.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "config/config.h"
#include "node/cores.h"
#include "node/options.h"

enum kind {
    KIND_FLAG,
    KIND_CACHE,
    KIND_NO_CACHE,
    KIND_INT,
    KIND_TEXT,
    KIND_LISTEN,
    KIND_SIZE,
    KIND_ALLOW,
    KIND_LEVEL,
    KIND_FORMAT
};

/* names: the first is the one that messages use. */
struct row {
    const char *names[3];
    const char *arg; /* how --help calls the argument; NULL: takes none */
    enum kind kind;
    size_t offset;
    int64_t max; /* KIND_INT, from 0 */
    const char *help;
};

#define AT(field) offsetof(struct worker_options, field)

/* clang-format off */
static const struct row table[] = {
    {{"--listen", "-l"}, "HOST:PORT", KIND_LISTEN, 0, .help =
        "where to listen; HOST alone or :PORT alone keep the other half, port 0 takes a free one and says which. On an "
        "address that is not loopback, loopback and private networks are served unless --allow says otherwise "
        "(default: 127.0.0.1:50052)"},
    {{"--host", "-H"}, "HOST", KIND_TEXT, AT(host), .help = "the address alone, as rpc-server has it"},
    {{"--port", "-p"}, "PORT", KIND_INT, AT(port), 65535, "the port alone, as rpc-server has it"},
    {{"--allow"}, "NETWORK,…", KIND_ALLOW, 0, .help =
        "who may connect, and nobody else: addresses and networks such as 192.168.1.0/24 or fd00::/8. Whoever connects "
        "is trusted, and nothing is encrypted"},
    {{"--device", "-d", "-dev"}, "NAME,…", KIND_TEXT, AT(devices), .help =
        "the devices to lend, by the names of `tightwad node --list-devices` (default: all GPUs, without one the CPU)"},
    {{"--threads", "-t"}, "N", KIND_INT, AT(threads), 1024, "threads of a CPU device (default: one for each physical core)"},
    {{"--cache", "-c"}, "FOLDER", KIND_CACHE, AT(cache), .help =
        "where tensors above 10 MiB are kept, so that loading a model again does not send them again (default: "
        "$XDG_CACHE_HOME/tightwad/rpc, without that variable ~/.cache/tightwad/rpc)"},
    {{"--no-cache"}, NULL, KIND_NO_CACHE, 0, .help = "keep no tensors on disk"},
    {{"--cache-size"}, "SIZE", KIND_SIZE, AT(cache_max), .help =
        "most that the cache may hold, as 20G or 500M; what was not used for longest goes first. 0: no limit (default: "
        "half of the room that the disk has for it)"},
    {{"--stock"}, "PROGRAM", KIND_TEXT, AT(stock), .help =
        "run this rpc-server of llama.cpp instead of the one that is built in, behind the same address and the same "
        "--allow; it costs a little speed"},
    {{"--json"}, NULL, KIND_FLAG, AT(json), .help = "say what is lent as one line of JSON"},
    {{"--log-level"}, "LEVEL", KIND_LEVEL, 0, .help = "debug (with llama.cpp's own messages), info, warn or error (default: info)"},
    {{"--log-format"}, "text|json", KIND_FORMAT, 0, .help = "lines to read, or a JSON object each (default: text)"},
    {{"--version"}, NULL, KIND_FLAG, AT(version), .help = "show the versions of this program and of llama.cpp, and end"},
    {{"--help", "-h"}, NULL, KIND_FLAG, AT(help), .help = "this text"},
};
/* clang-format on */

static const struct row *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        for (size_t j = 0; j < ARRAY_LEN(table[i].names) && table[i].names[j] != NULL; j++) {
            if (strcmp(table[i].names[j], name) == 0)
                return &table[i];
        }
    }
    return NULL;
}

static int unknown(const char *name, char **cause)
{
    const char *names[ARRAY_LEN(table)];
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        names[i] = table[i].names[0];
    const char *near = config_nearest(name, names, ARRAY_LEN(names));
    if (near != NULL)
        return cause_set(cause, "unknown option %s: did you mean %s? (--help shows all)", name, near);
    return cause_set(cause, "unknown option %s (--help shows all)", name);
}

/* 20G, 500M, 0 … in bytes. */
static int parse_size(const char *name, const char *value, int64_t *out, char **cause)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    double n = strtod(value, &end);
    const char *unit = *end != '\0' ? strchr(units, *end & ~0x20) : NULL;
    int power = unit != NULL ? (int)(unit - units) + 1 : 0;
    const char *rest = end + (unit != NULL);
    for (int i = 0; i < power; i++)
        n *= 1024;
    if (errno != 0 || end == value || value[0] == '-' || !(n < 9e18) ||
        (*rest != '\0' && strcmp(rest, "B") != 0 && strcmp(rest, "iB") != 0))
        return cause_set(cause, "%s %s: expected a size such as 20G or 500M, or 0 for no limit", name, value);
    *out = (int64_t)n;
    return 0;
}

static int set_allow(struct worker_options *o, const char *name, const char *value, char **cause)
{
    if (peer_list_add(&o->allow, value, cause) != 0)
        return cause_prefix(cause, "%s", name);
    char *text = o->allow_text != NULL ? xasprintf("%s,%s", o->allow_text, value) : xstrdup(value);
    free(o->allow_text);
    o->allow_text = text;
    return 0;
}

static int set(const struct row *row, struct worker_options *o, const char *name, const char *value, char **cause)
{
    char *field = (char *)o + row->offset;
    if (row->arg != NULL && *value == '\0')
        return cause_set(cause, "%s: expected %s, got an empty one", name, row->arg);
    switch (row->kind) {
    case KIND_FLAG:
        *(bool *)(void *)field = true;
        return 0;
    case KIND_NO_CACHE:
        free(o->cache);
        o->cache = NULL;
        return 0;
    case KIND_INT:
        return options_parse_number(name, value, 0, row->max, (int64_t *)(void *)field, cause);
    case KIND_CACHE:
        o->cache_named = true;
        /* fallthrough */
    case KIND_TEXT:
        free(*(char **)(void *)field);
        *(char **)(void *)field = xstrdup(value);
        return 0;
    case KIND_LISTEN:
        return options_parse_listen(name, value, &o->host, &o->port, cause);
    case KIND_SIZE:
        return parse_size(name, value, (int64_t *)(void *)field, cause);
    case KIND_ALLOW:
        return set_allow(o, name, value, cause);
    case KIND_LEVEL:
        if (!log_level_from_name(value, &o->log_level))
            return cause_set(cause, "%s %s: expected debug, info, warn or error", name, value);
        return 0;
    case KIND_FORMAT:
        if (strcmp(value, "text") != 0 && strcmp(value, "json") != 0)
            return cause_set(cause, "%s %s: expected text or json", name, value);
        o->log_json = strcmp(value, "json") == 0;
        return 0;
    }
    return 0;
}

/* NULL where there is no home. */
static char *default_cache(void)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg != NULL && *xdg == '/')
        return xasprintf("%s/tightwad/rpc", xdg);
    return home != NULL && *home == '/' ? xasprintf("%s/.cache/tightwad/rpc", home) : NULL;
}

int worker_options_parse(struct worker_options *o, int argc, char **argv, char **cause)
{
    *o = (struct worker_options){.host = xstrdup("127.0.0.1"),
                                 .port = WORKER_PORT,
                                 .cache = default_cache(),
                                 .cache_max = -1,
                                 .log_level = LOG_INFO};
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i], *value = NULL, *equals = strchr(arg, '=');
        if (arg[0] != '-' || arg[1] == '\0')
            return cause_set(cause, "%s: expected an option (--help shows all)", arg);
        bool joined = strncmp(arg, "--", 2) == 0 && equals != NULL;
        char *name = joined ? xstrndup(arg, (size_t)(equals - arg)) : xstrdup(arg);
        const struct row *row = find(name);
        int rc = 0;
        if (joined)
            value = equals + 1;
        if (row == NULL)
            rc = unknown(name, cause);
        else if (row->arg == NULL && value != NULL)
            rc = cause_set(cause, "%s takes no argument", name);
        else if (row->arg != NULL && value == NULL && i + 1 >= argc)
            rc = cause_set(cause, "%s wants an argument: %s %s", name, name, row->arg);
        else
            rc = set(row, o, name, row->arg != NULL && value == NULL ? argv[++i] : value, cause);
        free(name);
        if (rc != 0)
            return -1;
    }
    return 0;
}

void worker_options_finish(struct worker_options *o)
{
    free(o->host);
    free(o->devices);
    free(o->cache);
    free(o->allow_text);
    free(o->stock);
    peer_list_finish(&o->allow);
    *o = (struct worker_options){0};
}

int worker_options_threads(const struct worker_options *o)
{
    return o->threads > 0 ? (int)o->threads : node_physical_cores();
}

static void print_row(FILE *to, const struct row *row)
{
    enum { INDENT = 26 };
    int column = fprintf(to, "  ");
    for (size_t j = 0; j < ARRAY_LEN(row->names) && row->names[j] != NULL; j++)
        column += fprintf(to, "%s%s", j > 0 ? ", " : "", row->names[j]);
    if (row->arg != NULL)
        column += fprintf(to, " %s", row->arg);
    for (const char *c = row->arg; c != NULL && *c != '\0'; c++)
        column -= (*c & 0xc0) == 0x80; /* one column a character */
    if (column >= INDENT)
        column = fprintf(to, "\n") - 1;
    fprintf(to, "%*s", INDENT - column, "");
    options_print_wrapped(to, row->help, INDENT);
}

void worker_options_print_help(FILE *to)
{
    fputs("tightwad worker: lends this machine's GPUs or CPU to a model on another one\n"
          "\n"
          "usage: tightwad worker [option…]               (or tightwad-node worker, which is the same)\n"
          "\n"
          "A worker holds a share of a model's layers and computes them for one client at a time: a tightwad\n"
          "node, or any program of llama.cpp, that names it with --rpc. It speaks ggml's RPC protocol. Client\n"
          "and worker must be of one version of it, which is shown at the start.\n"
          "\n"
          "Examples\n"
          "  tightwad worker --listen 0.0.0.0\n"
          "      lend the GPUs, or without one the CPU, to the machines of the private network\n"
          "  tightwad worker --listen 0.0.0.0 --allow 192.168.1.20\n"
          "      the same, to one machine alone\n"
          "  tightwad worker --listen 10.0.0.2:50060 --device CUDA1 --cache /data/rpc --cache-size 200G\n"
          "      one of several GPUs, at an address and with a cache of its own\n"
          "\n"
          "Options\n",
          to);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        print_row(to, &table[i]);
    fputs("\n"
          "Use it, on the machine with the model: tightwad node -m MODEL.gguf --rpc HOST:50052\n",
          to);
}
