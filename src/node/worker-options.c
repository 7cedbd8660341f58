#include "node/worker-options.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/folders.h"
#include "base/mem.h"
#include "node/cores.h"
#include "node/option-table.h"

/* 20G, 500M, 0 … in bytes. */
static int set_size(void *to, const char *name, char *value, char **cause)
{
    struct worker_options *o = to;
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
    o->cache_max = (int64_t)n;
    return 0;
}

static int set_allow(void *to, const char *name, char *value, char **cause)
{
    struct worker_options *o = to;
    if (peer_list_add(&o->allow, value, cause) != 0)
        return cause_prefix(cause, "%s", name);
    char *text = o->allow_text != NULL ? xasprintf("%s,%s", o->allow_text, value) : xstrdup(value);
    free(o->allow_text);
    o->allow_text = text;
    return 0;
}

static int set_cache(void *to, const char *name, char *value, char **cause)
{
    struct worker_options *o = to;
    (void)name;
    (void)cause;
    option_set_text(&o->cache, value);
    o->cache_named = true;
    return 0;
}

static int set_no_cache(void *to, const char *name, char *value, char **cause)
{
    struct worker_options *o = to;
    (void)name;
    (void)value;
    (void)cause;
    free(o->cache);
    o->cache = NULL;
    return 0;
}

static int set_listen(void *to, const char *name, char *value, char **cause)
{
    struct worker_options *o = to;
    return option_parse_listen(name, value, &o->host, &o->port, cause);
}

#define AT(field) offsetof(struct worker_options, field)

/* clang-format off */
static const struct option_row table[] = {
    {{"--listen", "-l"}, "HOST:PORT", OPTION_OWN, 0, .own = set_listen, .help =
        "where to listen; HOST alone or :PORT alone keep the other half, port 0 takes a free one and says which. On an "
        "address that is not loopback, loopback and private networks are served unless --allow says otherwise "
        "(default: 127.0.0.1:50052)"},
    {{"--host", "-H"}, "HOST", OPTION_TEXT, AT(host), .help = "the address alone, as rpc-server has it"},
    {{"--port", "-p"}, "PORT", OPTION_INT, AT(port), 0, 65535, NULL, "the port alone, as rpc-server has it"},
    {{"--allow"}, "NETWORK,…", OPTION_OWN, 0, .own = set_allow, .help =
        "who may connect, and nobody else: addresses and networks such as 192.168.1.0/24 or fd00::/8. Whoever connects "
        "is trusted, and nothing is encrypted"},
    {{"--device", "-d", "-dev"}, "NAME,…", OPTION_TEXT, AT(devices), .help =
        "the devices to lend, by the names of `tightwad node --list-devices` (default: all GPUs, without one the CPU)"},
    {{"--threads", "-t"}, "N", OPTION_INT, AT(threads), 0, 1024, NULL, "threads of a CPU device (default: one for each physical core)"},
    {{"--cache", "-c"}, "FOLDER", OPTION_OWN, 0, .own = set_cache, .help =
        "where tensors above 10 MiB are kept, so that loading a model again does not send them again (default: "
        "$XDG_CACHE_HOME/tightwad/rpc, without that variable ~/.cache/tightwad/rpc)"},
    {{"--no-cache"}, NULL, OPTION_OWN, 0, .own = set_no_cache, .help = "keep no tensors on disk"},
    {{"--cache-size"}, "SIZE", OPTION_OWN, 0, .own = set_size, .help =
        "most that the cache may hold, as 20G or 500M; what was not used for longest goes first. 0: no limit (default: "
        "half of the room that the disk has for it)"},
    {{"--stock"}, "PROGRAM", OPTION_TEXT, AT(stock), .help =
        "run this rpc-server of llama.cpp instead of the one that is built in, behind the same address and the same "
        "--allow; it costs a little speed"},
    {{"--json"}, NULL, OPTION_FLAG, AT(json), .help = "say what is lent as one line of JSON"},
    {{"--log-level"}, "LEVEL", OPTION_LEVEL, AT(log_level), .help = "debug (with llama.cpp's own messages), info, warn or error (default: info)"},
    {{"--log-format"}, "text|json", OPTION_FORMAT, AT(log_json), .help = "lines to read, or a JSON object each (default: text)"},
    {{"--version"}, NULL, OPTION_FLAG, AT(version), .help = "show the versions of this program and of llama.cpp, and end"},
    {{"--help", "-h"}, NULL, OPTION_FLAG, AT(help), .help = "this text"},
};
/* clang-format on */

static const struct option_table worker_table = {
    .rows = table, .n = ARRAY_LEN(table), .stray = "--help shows all", .indent = 26};

int worker_options_parse(struct worker_options *o, int argc, char **argv, char **cause)
{
    *o = (struct worker_options){.host = xstrdup("127.0.0.1"),
                                 .port = WORKER_PORT,
                                 .cache = folder_cache("rpc"),
                                 .cache_max = -1,
                                 .log_level = LOG_INFO};
    return option_table_parse(&worker_table, o, argc, argv, cause);
}

void worker_options_finish(struct worker_options *o)
{
    option_table_finish(&worker_table, o);
    free(o->cache);
    free(o->allow_text);
    peer_list_finish(&o->allow);
    *o = (struct worker_options){0};
}

int worker_options_threads(const struct worker_options *o)
{
    return o->threads > 0 ? (int)o->threads : node_physical_cores();
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
    option_table_print(&worker_table, to);
    fputs("\n"
          "Use it, on the machine with the model: tightwad node -m MODEL.gguf --rpc HOST:50052\n",
          to);
}
