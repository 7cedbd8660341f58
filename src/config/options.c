#include "config/options.h"

#include <string.h>

#include "base/mem.h"

#define AT(field) .place = OPTION_IN_CONFIG, .offset = offsetof(struct config, field)
#define IN(where, field) .place = where, .offset = offsetof(struct config_server, field)

static const char *const backend_names[] = {"auto", "node", "llamacpp", "ollama", "openai", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_names[] = {"text", "json", NULL};

#define HELP_URL                                                                                                       \
    "Where the server listens, with scheme and port: http://192.168.1.20:8081. A slash or /v1 at the end is dropped."
#define HELP_MODEL "The model to ask for, by the server's own name for it. Not set: whatever the server has."
#define HELP_BACKEND                                                                                                   \
    "What kind of server it is: a tightwad node, a llama-server, an Ollama or an OpenAI-compatible API. `auto` asks "  \
    "the server itself."
#define HELP_API_KEY "Sent as bearer token. Better not written here in full: `${NAME}` takes it from the environment."
#define HELP_NAME "What logs, the status and the dashboard call it. Not set: host:port of the url."

/* The rows that a server has.  p: key prefix, where: place, r: reloadable, e: what each variable begins with. */
#define SERVER_ROWS(p, where, r, env_url, env_model, env_backend, env_api_key)                                         \
    {.key = p ".url", IN(where, url), .type = OPTION_URL, .reloadable = r, .env = env_url, .help = HELP_URL},          \
        {.key = p ".model_name",                                                                                       \
         IN(where, model_name),                                                                                        \
         .type = OPTION_STRING,                                                                                        \
         .reloadable = r,                                                                                              \
         .env = env_model,                                                                                             \
         .help = HELP_MODEL},                                                                                          \
        {.key = p ".backend",                                                                                          \
         IN(where, backend),                                                                                           \
         .type = OPTION_ENUM,                                                                                          \
         .names = backend_names,                                                                                       \
         .def = "auto",                                                                                                \
         .reloadable = r,                                                                                              \
         .env = env_backend,                                                                                           \
         .help = HELP_BACKEND},                                                                                        \
        {.key = p ".api_key",                                                                                          \
         IN(where, api_key),                                                                                           \
         .type = OPTION_SECRET,                                                                                        \
         .reloadable = r,                                                                                              \
         .env = env_api_key,                                                                                           \
         .help = HELP_API_KEY},                                                                                        \
    {                                                                                                                  \
        .key = p ".name", IN(where, name), .type = OPTION_STRING, .reloadable = r, .help = HELP_NAME                   \
    }

/* clang-format off */
const struct option option_table[] = {
    {.key = "proxy.host", AT(proxy.host), .type = OPTION_HOST, .def = "127.0.0.1", .env = "$TIGHTWAD_HOST",
     .help = "The address to listen on. `0.0.0.0` or `::` means every address of this machine; as long as no `auth_token` "
             "is set, only loopback and private networks are served then."},
    {.key = "proxy.port", AT(proxy.port), .type = OPTION_INT, .def = "8088", .min = 0, .max = 65535,
     .env = "$TIGHTWAD_PORT", .help = "The TCP port to listen on. 0: any free one."},
    {.key = "proxy.max_draft_tokens", AT(proxy.max_draft_tokens), .type = OPTION_INT, .def = "32", .min = 0, .max = 1024,
     .unit = "tokens", .or_auto = true, .reloadable = true, .env = "$TIGHTWAD_MAX_DRAFT_TOKENS",
     .help = "The most tokens drafted in one round. 0 turns speculation off; `auto` leaves the length to what is measured."},
    {.key = "proxy.fallback_on_draft_failure", AT(proxy.fallback_on_draft_failure), .type = OPTION_BOOL, .def = "true",
     .reloadable = true,
     .help = "When no drafter can be used, the target goes on alone. With `false` the request fails instead."},
    {.key = "proxy.governor", AT(proxy.governor), .type = OPTION_BOOL, .def = "true", .reloadable = true,
     .help = "What is measured decides how long a draft is, up to `max_draft_tokens`, and whether drafting pays at all. "
             "With `false` every draft is as long as `max_draft_tokens` says."},
    {.key = "proxy.draft_ahead", AT(proxy.draft_ahead), .type = OPTION_BOOL, .def = "true", .reloadable = true,
     .help = "The drafter goes on while the target checks what it has drafted. With `false` they take turns, which sends "
             "less over the network."},
    {.key = "proxy.draft_timeout", AT(proxy.draft_timeout_ms), .type = OPTION_DURATION, .def = "5s", .min = 10,
     .max = 600000, .reloadable = true,
     .help = "How long a round waits for its draft before it goes on without one."},
    {.key = "proxy.target_wait", AT(proxy.target_wait_ms), .type = OPTION_DURATION, .def = "30s", .min = 0,
     .max = 3600000, .reloadable = true,
     .help = "How long a target that went away is waited for. When it comes back in time, the answer goes on where it "
             "stopped; otherwise the request fails with 503."},
    {.key = "proxy.max_queue", AT(proxy.max_queue), .type = OPTION_INT, .def = "256", .min = 0, .max = 100000,
     .unit = "requests", .reloadable = true,
     .help = "How many requests may wait for a free slot of the target. One more is answered with 429."},
    {.key = "proxy.max_tokens_limit", AT(proxy.max_tokens_limit), .type = OPTION_INT, .def = "16384", .min = 1,
     .max = 1 << 24, .unit = "tokens", .reloadable = true,
     .help = "The longest answer a request may ask for."},
    {.key = "proxy.max_body_size", AT(proxy.max_body_size), .type = OPTION_SIZE, .def = "10MiB", .min = 1024,
     .max = 1 << 30, .help = "The largest request body. A larger one is answered with 413."},
    {.key = "proxy.auth_token", AT(proxy.auth_token), .type = OPTION_SECRET, .reloadable = true,
     .env = "$TIGHTWAD_PROXY_TOKEN",
     .help = "When set, clients must send it as bearer token (what OpenAI clients call the API key). Better not written "
             "here in full: `${NAME}` takes it from the environment."},

    SERVER_ROWS("proxy.target", OPTION_IN_TARGET, false, "$TIGHTWAD_TARGET_URL", "$TIGHTWAD_TARGET_MODEL",
                "$TIGHTWAD_TARGET_BACKEND", "$TIGHTWAD_TARGET_API_KEY"),
    SERVER_ROWS("proxy.draft", OPTION_IN_DRAFT, true, "$TIGHTWAD_DRAFT_URL", "$TIGHTWAD_DRAFT_MODEL",
                "$TIGHTWAD_DRAFT_BACKEND", "$TIGHTWAD_DRAFT_API_KEY"),
    SERVER_ROWS("proxy.drafters[]", OPTION_IN_DRAFTERS, true, NULL, NULL, NULL, NULL),

    {.key = "log.level", AT(log_level), .type = OPTION_ENUM, .names = level_names, .def = "info", .reloadable = true,
     .env = "$TIGHTWAD_LOG_LEVEL", .help = "The least important messages that are still logged."},
    {.key = "log.format", AT(log_format), .type = OPTION_ENUM, .names = format_names, .def = "text",
     .reloadable = true, .help = "`text` for people, `json` for programs: one object a line."},
};
/* clang-format on */
const size_t option_count = ARRAY_LEN(option_table);

const struct option_section option_sections[] = {
    {"proxy", "The OpenAI-compatible endpoint, and what speculates behind it."},
    {"proxy.target", "The big model: every answer is what it alone would have written. Needed by `proxy start`."},
    {"proxy.draft",
     "The small model that drafts, where there is one drafter. Without a drafter the target answers alone."},
    {"proxy.drafters[]",
     "A list, where there are several drafters (at most 16): the first healthy one drafts, the others stand by. Either "
     "`draft` or `drafters` is given, not both."},
    {"log", "Messages, on stderr."},
};
const size_t option_section_count = ARRAY_LEN(option_sections);

const char *const option_old_keys[] = {"peer",       "ssh_user", "ssh_key", "ssh_host", "ssh_port",
                                       "remote_dir", "venv",     "python",  NULL};

const char *const option_later_keys[] = {"coordinator",
                                         "workers",
                                         "models",
                                         "binaries",
                                         "ram_reclaim",
                                         "quality_gate",
                                         "swarm",
                                         "proxy.consensus_mode",
                                         "proxy.consensus_max_error",
                                         NULL};

const struct option *option_find(const char *key)
{
    for (size_t i = 0; i < option_count; i++) {
        if (strcmp(option_table[i].key, key) == 0)
            return &option_table[i];
    }
    return NULL;
}

bool option_in_section(const struct option *o, const char *section)
{
    size_t n = strlen(section);
    return strncmp(o->key, section, n) == 0 && o->key[n] == '.' && !strchr(o->key + n + 1, '.');
}

const char *option_leaf(const struct option *o)
{
    const char *dot = strrchr(o->key, '.');
    return dot ? dot + 1 : o->key;
}

void *option_value(const struct option *o, struct config *c, size_t index)
{
    char *base = NULL;
    switch (o->place) {
    case OPTION_IN_CONFIG:
        base = (char *)c;
        break;
    case OPTION_IN_TARGET:
        base = (char *)&c->proxy.target;
        break;
    case OPTION_IN_DRAFT:
    case OPTION_IN_DRAFTERS:
        if (index < c->proxy.n_drafters)
            base = (char *)&c->proxy.drafters[index];
        break;
    }
    return base ? base + o->offset : NULL;
}
