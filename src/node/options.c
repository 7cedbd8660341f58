#include "node/options.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "config/config.h"

enum kind {
    KIND_FLAG,
    KIND_FLAG_OFF,
    KIND_INT,
    KIND_LAYERS,
    KIND_TEXT,
    KIND_SECRET,
    KIND_NOISE, /* a number from 0 on, kept as text */
    KIND_LISTEN,
    KIND_FLASH,
    KIND_LEVEL,
    KIND_FORMAT
};

/* One row an option.  names: the first is the one that messages use. */
struct option_row {
    const char *names[5]; /* with their dashes */
    const char *arg;      /* how --help calls the argument; NULL: takes none */
    enum kind kind;
    size_t offset;
    int64_t min, max, preset; /* KIND_INT */
    const char *preset_text;  /* default as --help and KIND_TEXT have it; NULL: none */
    const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct option_row table[] = {
    {{"--model", "-m"},
     "MODEL",
     KIND_TEXT,
     AT(model),
     .help = "the model: a GGUF file, or ollama:NAME[:TAG] for one that Ollama has already pulled (its file is used "
             "where it "
             "lies)"},
    {{"--alias", "-a"},
     "NAME",
     KIND_TEXT,
     AT(alias),
     .help = "the name that /v1/models shows and clients ask for (default: the model's own)"},
    {{"--listen"},
     "HOST:PORT",
     KIND_LISTEN,
     0,
     .preset_text = "127.0.0.1:8081",
     .help = "where to serve; HOST alone or :PORT alone keep the other half. 0.0.0.0 serves private networks only "
             "while there "
             "is no --api-key. Port 0 takes a free one and says which"},
    {{"--host"},
     "HOST",
     KIND_TEXT,
     AT(host),
     .preset_text = "127.0.0.1",
     .help = "the address alone, as llama-server has it"},
    {{"--port"}, "PORT", KIND_INT, AT(port), 0, 65535, NODE_PORT, "8081", "the port alone, as llama-server has it"},
    {{"--api-key"},
     "KEY",
     KIND_SECRET,
     AT(api_key),
     .help = "every call but /health wants 'Authorization: Bearer KEY'. Also taken from $LLAMA_API_KEY"},
    {{"--ctx-size", "-c", "--ctx"},
     "N",
     KIND_INT,
     AT(ctx),
     0,
     16777216,
     -1,
     NULL,
     "tokens of context, for each slot (llama-server divides its number among the slots; this one does not). 0: as "
     "many "
     "as the model was trained with (default: the same, but at most 4096)"},
    {{"--parallel", "-np", "--slots"},
     "N",
     KIND_INT,
     AT(slots),
     1,
     64,
     4,
     "4",
     "slots: how many answers are worked on at once, in shared passes"},
    {{"--threads", "-t"},
     "N",
     KIND_INT,
     AT(threads),
     0,
     1024,
     0,
     NULL,
     "CPU threads (default: one for each physical core)"},
    {{"--threads-batch", "-tb"},
     "N",
     KIND_INT,
     AT(threads_batch),
     0,
     1024,
     0,
     NULL,
     "CPU threads for passes of many tokens (default: as --threads)"},
    {{"--batch-size", "-b"}, "N", KIND_INT, AT(batch), 1, 65536, 512, "512", "most tokens in one pass"},
    {{"--ubatch-size", "-ub"},
     "N",
     KIND_INT,
     AT(ubatch),
     0,
     65536,
     0,
     NULL,
     "most tokens computed at once (default: as --batch-size, or as few as give the bits of one at a time)"},
    {{"--draft-rate"},
     "N",
     KIND_INT,
     AT(draft_rate),
     0,
     1000000,
     0,
     "0",
     "draft at most N tokens a second, those of branches included; 0: no limit. For sharing a machine, and for "
     "measuring"},
    {{"--noise"},
     "X",
     KIND_NOISE,
     AT(noise),
     .help = "what the self-test of an earlier start found (GET /v1/node says it), with the same model, options and "
             "devices: it is not run again. For restarts"},
    {{"--device", "-dev"},
     "LIST",
     KIND_TEXT,
     AT(device),
     .help = "devices to use, by the names of --list-devices, with commas; none: the CPU alone (default: all that are "
             "found)"},
    {{"--rpc"},
     "LIST",
     KIND_TEXT,
     AT(rpc),
     .help = "HOST:PORT,…: llama.cpp RPC workers that take a share of the layers. An RPC worker serves one client, "
             "trusts it "
             "and encrypts nothing: use it in networks that you trust"},
    {{"--n-gpu-layers", "-ngl", "--gpu-layers"},
     "N",
     KIND_LAYERS,
     AT(n_gpu_layers),
     0,
     100000,
     -1,
     "all",
     "how many layers go to devices other than the CPU: a number, all or auto"},
    {{"--tensor-split", "-ts"},
     "LIST",
     KIND_TEXT,
     AT(tensor_split),
     .help = "how the layers are shared among the devices, as proportions: 3,1"},
    {{"--no-mmap"},
     NULL,
     KIND_FLAG_OFF,
     AT(mmap),
     .help = "read the model into memory of its own instead of mapping the file"},
    {{"--mmap"}, NULL, KIND_FLAG, AT(mmap), .help = "map the file (the default)"},
    {{"--mlock"}, NULL, KIND_FLAG, AT(mlock), .help = "keep the model from being swapped out"},
    {{"--flash-attn", "-fa"},
     "on|off|auto",
     KIND_FLASH,
     AT(flash),
     .preset_text = "off",
     .help =
         "flash attention. Off is what makes a pass of many tokens give the same bits as one token at a time on a CPU; "
         "whatever you choose, the self-test at load measures it and the ready line says it"},
    {{"--log-level"},
     "LEVEL",
     KIND_LEVEL,
     AT(log_level),
     .preset_text = "info",
     .help = "debug (with llama.cpp's own messages), info, warn or error"},
    {{"--log-format"},
     "text|json",
     KIND_FORMAT,
     AT(log_json),
     .preset_text = "text",
     .help = "lines to read, or a JSON object each"},
    {{"--list-devices"},
     NULL,
     KIND_FLAG,
     AT(list_devices),
     .help = "show the devices that can be used (those of --rpc as well), and end"},
    {{"--version"},
     NULL,
     KIND_FLAG,
     AT(version),
     .help = "show the versions of this program and of llama.cpp, and end"},
    {{"--help", "-h", "--usage"}, NULL, KIND_FLAG, AT(help), .help = "this text"},
};

static const struct option_row *row_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        for (size_t j = 0; j < ARRAY_LEN(table[i].names) && table[i].names[j] != NULL; j++) {
            if (strcmp(table[i].names[j], name) == 0)
                return &table[i];
        }
    }
    return NULL;
}

static int unknown_option(const char *name, char **cause)
{
    const char *names[ARRAY_LEN(table) * 5];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        for (size_t j = 0; j < ARRAY_LEN(table[i].names) && table[i].names[j] != NULL; j++)
            names[n++] = table[i].names[j];
    }
    const char *near = config_nearest(name, names, n);
    if (near != NULL)
        return cause_set(cause, "unknown option %s: did you mean %s? (--help shows all)", name, near);
    return cause_set(cause, "unknown option %s (--help shows all)", name);
}

static void set_text(char **to, const char *value)
{
    free(*to);
    *to = xstrdup(value);
}

int options_parse_number(const char *name, const char *value, int64_t min, int64_t max, int64_t *out, char **cause)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || n < min || n > max)
        return cause_set(cause, "%s %s: expected a whole number from %lld to %lld", name, value, (long long)min,
                         (long long)max);
    *out = n;
    return 0;
}

int options_parse_listen(const char *name, const char *value, char **to_host, int64_t *port, char **cause)
{
    const char *host = value, *colon;
    size_t host_len;
    if (value[0] == '[') {
        const char *close = strchr(value, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return cause_set(cause, "%s %s: expected HOST:PORT, for IPv6 [ADDRESS]:PORT", name, value);
        host = value + 1;
        host_len = (size_t)(close - host);
        colon = close[1] == ':' ? close + 1 : NULL;
    } else {
        colon = strrchr(value, ':');
        if (colon != NULL && strchr(value, ':') != colon)
            return cause_set(cause, "%s %s: expected HOST:PORT, for IPv6 [ADDRESS]:PORT", name, value);
        host_len = colon != NULL ? (size_t)(colon - value) : strlen(value);
    }
    if (colon != NULL && options_parse_number(name, colon + 1, 0, 65535, port, cause) != 0)
        return -1;
    if (host_len > 0) {
        free(*to_host);
        *to_host = xstrndup(host, host_len);
    }
    return 0;
}

static int parse_flash(const char *name, const char *value, enum options_flash *out, char **cause)
{
    static const char *const words[] = {"off", "on", "auto"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(words[i], value) == 0) {
            *out = (enum options_flash)i;
            return 0;
        }
    }
    return cause_set(cause, "%s %s: expected on, off or auto", name, value);
}

static int parse_noise(const char *name, const char *value, char **cause)
{
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end != '\0' || !(x >= 0 && x < 1e6))
        return cause_set(cause, "%s %s: expected a number from 0 on, as GET /v1/node says it", name, value);
    return 0;
}

static int row_set(const struct option_row *row, struct options *o, const char *name, char *value, char **cause)
{
    char *field = (char *)o + row->offset;
    switch (row->kind) {
    case KIND_FLAG:
    case KIND_FLAG_OFF:
        *(bool *)(void *)field = row->kind == KIND_FLAG;
        return 0;
    case KIND_INT:
        return options_parse_number(name, value, row->min, row->max, (int64_t *)(void *)field, cause);
    case KIND_LAYERS:
        if (strcmp(value, "all") == 0 || strcmp(value, "auto") == 0 || strcmp(value, "-1") == 0) {
            o->n_gpu_layers = -1;
            return 0;
        }
        return options_parse_number(name, value, row->min, row->max, &o->n_gpu_layers, cause);
    case KIND_NOISE:
        if (parse_noise(name, value, cause) != 0)
            return -1;
        /* fall through */
    case KIND_TEXT:
    case KIND_SECRET:
        if (*value == '\0')
            return cause_set(cause, "%s: expected %s, got an empty one", name, row->arg);
        set_text((char **)(void *)field, value);
        if (row->kind == KIND_SECRET)
            memset(value, '*', strlen(value));
        return 0;
    case KIND_LISTEN:
        return options_parse_listen(name, value, &o->host, &o->port, cause);
    case KIND_FLASH:
        return parse_flash(name, value, &o->flash, cause);
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

static void set_presets(struct options *o)
{
    *o = (struct options){.mmap = true, .flash = OPTIONS_FLASH_OFF, .log_level = LOG_INFO, .n_gpu_layers = -1};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char *field = (char *)o + table[i].offset;
        if (table[i].kind == KIND_INT)
            *(int64_t *)(void *)field = table[i].preset;
        else if (table[i].kind == KIND_TEXT)
            *(char **)(void *)field = xstrdup(table[i].preset_text);
    }
    const char *key = getenv("LLAMA_API_KEY");
    if (key != NULL && *key != '\0')
        o->api_key = xstrdup(key);
}

int options_parse(struct options *o, int argc, char **argv, char **cause)
{
    set_presets(o);
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i], *value = NULL, *name = arg, *equals = strchr(arg, '=');
        if (arg[0] != '-' || arg[1] == '\0')
            return cause_set(cause, "%s: expected an option (a model is named with -m MODEL)", arg);
        if (strncmp(arg, "--", 2) == 0 && equals != NULL) {
            value = equals + 1;
            name = xstrndup(arg, (size_t)(equals - arg));
        } else {
            name = xstrdup(arg);
        }
        const struct option_row *row = row_find(name);
        int rc = 0;
        if (row == NULL)
            rc = unknown_option(name, cause);
        else if (row->arg == NULL && value != NULL)
            rc = cause_set(cause, "%s takes no argument", name);
        else if (row->arg != NULL && value == NULL && i + 1 >= argc)
            rc = cause_set(cause, "%s wants an argument: %s %s", name, name, row->arg);
        else
            rc = row_set(row, o, name, row->arg != NULL && value == NULL ? argv[++i] : value, cause);
        free(name);
        if (rc != 0)
            return -1;
    }
    return 0;
}

void options_finish(struct options *o)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].kind == KIND_TEXT || table[i].kind == KIND_SECRET || table[i].kind == KIND_NOISE)
            free(*(char **)(void *)((char *)o + table[i].offset));
    }
    *o = (struct options){0};
}

void options_print_wrapped(FILE *to, const char *text, int indent)
{
    int column = indent;
    for (const char *word = text; *word != '\0';) {
        int len = (int)strcspn(word, " ");
        if (column > indent && column + 1 + len > 100) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
        }
        column += fprintf(to, "%s%.*s", column > indent ? " " : "", len, word);
        word += len + (word[len] == ' ');
    }
    fputc('\n', to);
}

static void print_row(FILE *to, const struct option_row *row)
{
    enum { INDENT = 34 };
    int column = fprintf(to, "  ");
    /* Short forms first, as the eye expects them. */
    for (int length = 0; length < 2; length++) {
        for (size_t j = 0; j < ARRAY_LEN(row->names) && row->names[j] != NULL; j++) {
            if ((row->names[j][1] == '-') == (length == 1))
                column += fprintf(to, "%s%s", column > 2 ? ", " : "", row->names[j]);
        }
    }
    if (row->arg != NULL)
        column += fprintf(to, " %s", row->arg);
    if (column >= INDENT)
        column = fprintf(to, "\n") - 1;
    fprintf(to, "%*s", INDENT - column, "");
    char *help =
        row->preset_text != NULL ? xasprintf("%s (default: %s)", row->help, row->preset_text) : xstrdup(row->help);
    options_print_wrapped(to, help, INDENT);
    free(help);
}

void options_print_help(FILE *to)
{
    fputs("tightwad-node: one model on this machine, for Tightwad and for any OpenAI client\n"
          "\n"
          "usage: tightwad node -m MODEL [option…]        (or tightwad-node, which is the same)\n"
          "\n"
          "A node loads one model and serves it at one address. Tightwad uses it as a drafter (it proposes\n"
          "tokens) or as a target (it checks a whole draft in one pass); at /v1/chat/completions it answers any\n"
          "OpenAI client by itself. At load it tests whether a pass of many tokens gives the same bits as one\n"
          "token at a time, and says so.\n"
          "\n"
          "Examples\n"
          "  tightwad node -m qwen3-8b-q8_0.gguf\n"
          "      serve a file at http://127.0.0.1:8081\n"
          "  tightwad node -m ollama:qwen3:0.6b --listen 0.0.0.0:8081\n"
          "      serve a model that Ollama has, to the machines of the private network\n"
          "  tightwad node -m big.gguf --rpc 10.0.0.2:50052,10.0.0.3:50052 -ts 1,2\n"
          "      put a large model's layers on two other machines, twice as many on the second\n"
          "  tightwad node -m small.gguf --port 0 -t 2 -c 8192 --parallel 8\n"
          "      any free port, 2 threads, 8 slots of 8192 tokens\n"
          "\n"
          "Options\n",
          to);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        print_row(to, &table[i]);
    fputs("\n"
          "Try it: curl -s http://127.0.0.1:8081/v1/node\n"
          "        curl -s http://127.0.0.1:8081/v1/chat/completions -d '{\"messages\":[{\"role\":\"user\",\n"
          "          \"content\":\"What is 2 + 2?\"}]}'\n"
          "The protocol is written down in doc/node-protocol.md.\n",
          to);
}
