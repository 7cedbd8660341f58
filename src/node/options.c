#include "node/options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "node/option-table.h"

static int set_key(void *to, const char *name, char *value, char **cause)
{
    struct options *o = to;
    (void)name;
    (void)cause;
    option_set_text(&o->api_key, value);
    memset(value, '*', strlen(value));
    return 0;
}

static int set_layers(void *to, const char *name, char *value, char **cause)
{
    struct options *o = to;
    if (strcmp(value, "all") != 0 && strcmp(value, "auto") != 0 && strcmp(value, "-1") != 0)
        return option_parse_number(name, value, 0, 100000, &o->n_gpu_layers, cause);
    o->n_gpu_layers = -1;
    return 0;
}

static int set_listen(void *to, const char *name, char *value, char **cause)
{
    struct options *o = to;
    return option_parse_listen(name, value, &o->host, &o->port, cause);
}

static int set_flash(void *to, const char *name, char *value, char **cause)
{
    static const char *const words[] = {"off", "on", "auto"};
    struct options *o = to;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(words[i], value) == 0) {
            o->flash = (enum options_flash)i;
            return 0;
        }
    }
    return cause_set(cause, "%s %s: expected on, off or auto", name, value);
}

static int set_noise(void *to, const char *name, char *value, char **cause)
{
    struct options *o = to;
    char *end;
    double x = strtod(value, &end);
    if (end == value || *end != '\0' || !(x >= 0 && x < 1e6))
        return cause_set(cause, "%s %s: expected a number from 0 on, as GET /v1/node says it", name, value);
    option_set_text(&o->noise, value);
    return 0;
}

#define AT(field) offsetof(struct options, field)

static const struct option_row table[] = {
    {{"--model", "-m"},
     "MODEL",
     OPTION_TEXT,
     AT(model),
     .help = "the model: a GGUF file, or ollama:NAME[:TAG] for one that Ollama has already pulled (its file is used "
             "where it "
             "lies)"},
    {{"--alias", "-a"},
     "NAME",
     OPTION_TEXT,
     AT(alias),
     .help = "the name that /v1/models shows and clients ask for (default: the model's own)"},
    {{"--listen"},
     "HOST:PORT",
     OPTION_OWN,
     0,
     .own = set_listen,
     .preset_text = "127.0.0.1:8081",
     .help = "where to serve; HOST alone or :PORT alone keep the other half. 0.0.0.0 serves private networks only "
             "while there "
             "is no --api-key. Port 0 takes a free one and says which"},
    {{"--host"},
     "HOST",
     OPTION_TEXT,
     AT(host),
     .preset_text = "127.0.0.1",
     .help = "the address alone, as llama-server has it"},
    {{"--port"}, "PORT", OPTION_INT, AT(port), 0, 65535, "8081", "the port alone, as llama-server has it"},
    {{"--api-key"},
     "KEY",
     OPTION_OWN,
     0,
     .own = set_key,
     .help = "every call but /health wants 'Authorization: Bearer KEY'. Also taken from $LLAMA_API_KEY"},
    {{"--ctx-size", "-c", "--ctx"},
     "N",
     OPTION_INT,
     AT(ctx),
     0,
     16777216,
     NULL,
     "tokens of context, for each slot (llama-server divides its number among the slots; this one does not). 0: as "
     "many "
     "as the model was trained with (default: the same, but at most 4096)"},
    {{"--parallel", "-np", "--slots"},
     "N",
     OPTION_INT,
     AT(slots),
     1,
     64,
     "4",
     "slots: how many answers are worked on at once, in shared passes"},
    {{"--threads", "-t"},
     "N",
     OPTION_INT,
     AT(threads),
     0,
     1024,
     NULL,
     "CPU threads (default: one for each physical core)"},
    {{"--threads-batch", "-tb"},
     "N",
     OPTION_INT,
     AT(threads_batch),
     0,
     1024,
     NULL,
     "CPU threads for passes of many tokens (default: as --threads)"},
    {{"--batch-size", "-b"}, "N", OPTION_INT, AT(batch), 1, 65536, "512", "most tokens in one pass"},
    {{"--ubatch-size", "-ub"},
     "N",
     OPTION_INT,
     AT(ubatch),
     0,
     65536,
     NULL,
     "most tokens computed at once (default: as --batch-size, or as few as give the bits of one at a time)"},
    {{"--draft-rate"},
     "N",
     OPTION_INT,
     AT(draft_rate),
     0,
     1000000,
     "0",
     "draft at most N tokens a second, those of branches included; 0: no limit. For sharing a machine, and for "
     "measuring"},
    {{"--noise"},
     "X",
     OPTION_OWN,
     0,
     .own = set_noise,
     .help = "what the self-test of an earlier start found (GET /v1/node says it), with the same model, options and "
             "devices: it is not run again. For restarts"},
    {{"--device", "-dev"},
     "LIST",
     OPTION_TEXT,
     AT(device),
     .help = "devices to use, by the names of --list-devices, with commas; none: the CPU alone (default: all that are "
             "found)"},
    {{"--rpc"},
     "LIST",
     OPTION_TEXT,
     AT(rpc),
     .help = "HOST:PORT,…: llama.cpp RPC workers that take a share of the layers. An RPC worker serves one client, "
             "trusts it "
             "and encrypts nothing: use it in networks that you trust"},
    {{"--n-gpu-layers", "-ngl", "--gpu-layers"},
     "N",
     OPTION_OWN,
     0,
     .own = set_layers,
     .preset_text = "all",
     .help = "how many layers go to devices other than the CPU: a number, all or auto"},
    {{"--tensor-split", "-ts"},
     "LIST",
     OPTION_TEXT,
     AT(tensor_split),
     .help = "how the layers are shared among the devices, as proportions: 3,1"},
    {{"--no-mmap"},
     NULL,
     OPTION_FLAG_OFF,
     AT(mmap),
     .help = "read the model into memory of its own instead of mapping the file"},
    {{"--mmap"}, NULL, OPTION_FLAG, AT(mmap), .help = "map the file (the default)"},
    {{"--mlock"}, NULL, OPTION_FLAG, AT(mlock), .help = "keep the model from being swapped out"},
    {{"--flash-attn", "-fa"},
     "on|off|auto",
     OPTION_OWN,
     0,
     .own = set_flash,
     .preset_text = "off",
     .help =
         "flash attention. Off is what makes a pass of many tokens give the same bits as one token at a time on a CPU; "
         "whatever you choose, the self-test at load measures it and the ready line says it"},
    {{"--log-level"},
     "LEVEL",
     OPTION_LEVEL,
     AT(log_level),
     .preset_text = "info",
     .help = "debug (with llama.cpp's own messages), info, warn or error"},
    {{"--log-format"},
     "text|json",
     OPTION_FORMAT,
     AT(log_json),
     .preset_text = "text",
     .help = "lines to read, or a JSON object each"},
    {{"--list-devices"},
     NULL,
     OPTION_FLAG,
     AT(list_devices),
     .help = "show the devices that can be used (those of --rpc as well), and end"},
    {{"--version"},
     NULL,
     OPTION_FLAG,
     AT(version),
     .help = "show the versions of this program and of llama.cpp, and end"},
    {{"--help", "-h", "--usage"}, NULL, OPTION_FLAG, AT(help), .help = "this text"},
};

static const struct option_table node_table = {
    .rows = table, .n = ARRAY_LEN(table), .stray = "a model is named with -m MODEL", .indent = 34};

int options_parse(struct options *o, int argc, char **argv, char **cause)
{
    const char *key = getenv("LLAMA_API_KEY");
    *o = (struct options){.host = xstrdup("127.0.0.1"),
                          .port = NODE_PORT,
                          .ctx = -1,
                          .slots = 4,
                          .batch = 512,
                          .mmap = true,
                          .flash = OPTIONS_FLASH_OFF,
                          .log_level = LOG_INFO,
                          .n_gpu_layers = -1,
                          .api_key = key != NULL && *key != '\0' ? xstrdup(key) : NULL};
    return option_table_parse(&node_table, o, argc, argv, cause);
}

void options_finish(struct options *o)
{
    option_table_finish(&node_table, o);
    free(o->api_key);
    free(o->noise);
    *o = (struct options){0};
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
    option_table_print(&node_table, to);
    fputs("\n"
          "Try it: curl -s http://127.0.0.1:8081/v1/node\n"
          "        curl -s http://127.0.0.1:8081/v1/chat/completions -d '{\"messages\":[{\"role\":\"user\",\n"
          "          \"content\":\"What is 2 + 2?\"}]}'\n"
          "The protocol is written down in doc/node-protocol.md.\n",
          to);
}
