#include "config/options.h"

#include <string.h>

#include "base/mem.h"

#define AT(field) .place = OPTION_IN_CONFIG, .offset = offsetof(struct config, field)
#define IN(where, field) .place = where, .offset = offsetof(struct config_server, field)
#define GPU(where, field) .place = where, .offset = offsetof(struct config_gpu, field)
#define WORKER(field) .place = OPTION_IN_WORKERS, .offset = offsetof(struct config_worker, field)
#define MODEL(field) .place = OPTION_IN_MODELS, .offset = offsetof(struct config_model, field)

static const char *const backend_names[] = {"auto", "node", "llamacpp", "ollama", "openai", NULL};
static const char *const drafter_names[] = {"auto", "node", "llamacpp", "ollama", "openai", "ngram", NULL};
static const char *const type_names[] = {"server", "ngram", NULL};
static const char *const device_names[] = {"auto", "cuda", "hip", "vulkan", "metal", "cpu", NULL};
static const char *const level_names[] = {"debug", "info", "warn", "error", NULL};
static const char *const hangup_names[] = {"drain", "headless", NULL};
static const char *const mode_names[] = {"auto", "exact", "consensus", "gate", NULL};
static const char *const consensus_names[] = {"off", "strict", "majority", "any_disagree", NULL};
static const char *const routing_names[] = {"least_busy", "round_robin", "race", NULL};
static const char *const review_names[] = {"auto", "prompt", "likelihood", "both", NULL};
static const char *const preseed_names[] = {"auto", "off", NULL};
static const char *const format_names[] = {"text", "json", NULL};

#define HELP_URL                                                                                                       \
    "Where the server listens, with scheme and port: http://192.168.1.20:8081. A slash or /v1 at the end is dropped."
#define HELP_MODEL "The model to ask for, by the server's own name for it. Not set: whatever the server has."
#define HELP_BACKEND                                                                                                   \
    "What kind of server it is: a tightwad node, a llama-server, an Ollama or an OpenAI-compatible API. `auto` asks "  \
    "the server itself."
#define HELP_API_KEY "Sent as bearer token. Better not written here in full: `${NAME}` takes it from the environment."
#define HELP_TYPE                                                                                                      \
    "`ngram` is a drafter that needs no server and no url: it drafts from what the prompt and the answer so far "      \
    "repeat."
#define HELP_GPU "What messages and the plan call it."
#define HELP_VRAM "Its memory in GiB."
#define HELP_NAME "What logs, the status and the dashboard call it. Not set: host:port of the url."

/* The rows that a server has.  p: key prefix, where: place, r: reloadable, e: what each variable begins with. */
#define SERVER_ROWS(p, where, r, names_, env_url, env_model, env_backend, env_api_key)                                 \
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
         .names = names_,                                                                                              \
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
    {.key = "proxy.draft_branches", AT(proxy.draft_branches), .type = OPTION_BOOL, .def = "true", .reloadable = true,
     .help = "While it writes ahead, the drafter also prepares for the likeliest corrections. Needs `draft_ahead` and the "
             "governor."},
    {.key = "proxy.verify_branches", AT(proxy.verify_branches), .type = OPTION_INT, .def = "auto", .min = 0, .max = 4,
     .or_auto = true, .reloadable = true,
     .help = "The most second guesses, and drafts of other drafters, that the target checks beside a draft, in the same "
             "pass. `auto` leaves it to what is measured."},
    {.key = "proxy.draft_timeout", AT(proxy.draft_timeout_ms), .type = OPTION_DURATION, .def = "5s", .min = 10,
     .max = 600000, .reloadable = true,
     .help = "How long a round waits for its draft before it goes on without one."},
    {.key = "proxy.default_mode", AT(proxy.default_mode), .type = OPTION_ENUM, .names = mode_names, .def = "auto",
     .reloadable = true,
     .help = "How a request is served whose model name says nothing of it (`NAME@exact`, `NAME@consensus`, `NAME@gate` "
             "do). `auto`: by the quality gate where one is on, else by consensus where `consensus_mode` is not off, else "
             "exactly."},
    {.key = "proxy.consensus_mode", AT(proxy.consensus_mode), .type = OPTION_ENUM, .names = consensus_names,
     .def = "off", .reloadable = true,
     .help = "**Approximate** when not `off`: tokens that the drafters agree on are taken without asking the target, "
             "so an answer may differ from the target's own. `strict`: all drafters agree on each token; `majority`: more "
             "than half do; `any_disagree`: one disagreement sends the whole window to the target. Needs two drafters or "
             "more. `NAME@exact` stays exact."},
    {.key = "proxy.consensus_window", AT(proxy.consensus_window), .type = OPTION_INT, .def = "8", .min = 1, .max = 64,
     .unit = "tokens", .reloadable = true, .help = "How many tokens the drafters vote on at once."},
    {.key = "proxy.consensus_audit", AT(proxy.consensus_audit), .type = OPTION_SHARE, .def = "0.05",
     .reloadable = true,
     .help = "The share of the windows taken without the target that it checks afterwards, which measures how often "
             "they were wrong."},
    {.key = "proxy.consensus_max_error", AT(proxy.consensus_max_error), .type = OPTION_SHARE, .def = "0.02",
     .reloadable = true,
     .help = "The share of wrong tokens among the checked ones above which answers are exact again, until consensus is "
             "turned on anew."},
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

    SERVER_ROWS("proxy.target", OPTION_IN_TARGET, false, backend_names, "$TIGHTWAD_TARGET_URL", "$TIGHTWAD_TARGET_MODEL",
                "$TIGHTWAD_TARGET_BACKEND", "$TIGHTWAD_TARGET_API_KEY"),
    SERVER_ROWS("proxy.draft", OPTION_IN_DRAFT, true, drafter_names, "$TIGHTWAD_DRAFT_URL", "$TIGHTWAD_DRAFT_MODEL",
                "$TIGHTWAD_DRAFT_BACKEND", "$TIGHTWAD_DRAFT_API_KEY"),
    {.key = "proxy.draft.type", IN(OPTION_IN_DRAFT, type), .type = OPTION_ENUM, .names = type_names, .def = "server",
     .reloadable = true, .help = HELP_TYPE},
    SERVER_ROWS("proxy.drafters[]", OPTION_IN_DRAFTERS, true, drafter_names, NULL, NULL, NULL, NULL),
    {.key = "proxy.drafters[].type", IN(OPTION_IN_DRAFTERS, type), .type = OPTION_ENUM, .names = type_names,
     .def = "server", .reloadable = true, .help = HELP_TYPE},

    {.key = "quality_gate.enabled", AT(gate.enabled), .type = OPTION_BOOL, .def = "true", .reloadable = true,
     .help = "Whether the gate answers from the start; `tightwad gate start` and `stop` turn it on and off."},
    {.key = "quality_gate.routing", AT(gate.routing), .type = OPTION_ENUM, .names = routing_names, .def = "least_busy",
     .reloadable = true,
     .help = "Which agent writes the answer. `least_busy`: the one with the fewest requests, and of equals the one whose "
             "answers passed most often. `round_robin`: each in turn. `race`: all that are free and that no other request "
             "waits for; the first whole answer counts."},
    {.key = "quality_gate.review", AT(gate.review), .type = OPTION_ENUM, .names = review_names, .def = "auto",
     .reloadable = true,
     .help = "How an answer is reviewed. `prompt`: the verifier is asked and says APPROVE, CORRECT or REJECT. "
             "`likelihood`: it reads the answer as if it had written it, and no token may be one that it would hardly have "
             "written. `both`: both must approve. `auto`: what the verifier can do, both with a node."},
    {.key = "quality_gate.verification_prompt", AT(gate.verification_prompt), .type = OPTION_TEXT,
     .def = "You review a draft answer. Reply APPROVE if it is right, CORRECT: and the right answer if it is nearly "
            "right, or REJECT if it is useless.",
     .reloadable = true,
     .help = "What the verifier is told in a review by prompt. Its answer must begin with APPROVE, CORRECT: or REJECT; "
             "anything else counts as a rejection."},
    {.key = "quality_gate.max_retries", AT(gate.max_retries), .type = OPTION_INT, .def = "2", .min = 0, .max = 16,
     .reloadable = true,
     .help = "How many other agents are asked when one fails or takes too long. After that the target answers."},
    {.key = "quality_gate.agent_timeout", AT(gate.agent_timeout_ms), .type = OPTION_DURATION, .def = "60s", .min = 100,
     .max = 3600000, .reloadable = true, .help = "The longest that an agent may take for an answer."},
    {.key = "quality_gate.fail_open", AT(gate.fail_open), .type = OPTION_BOOL, .def = "false", .reloadable = true,
     .help = "With `true`, answers pass unreviewed while the verifier can't be reached. With `false` they wait for it, and "
             "the request fails when it does not come back."},
    {.key = "quality_gate.cache_identical", AT(gate.cache_identical), .type = OPTION_BOOL, .def = "false",
     .reloadable = true,
     .help = "Whether an approved answer serves the same request again, without an agent and without a review."},
    {.key = "quality_gate.min_token_probability", AT(gate.min_token_probability), .type = OPTION_SHARE, .def = "0.01",
     .reloadable = true,
     .help = "By likelihood: an answer is approved when the verifier gives each of its tokens at least this probability. "
             "What stands before the first token below it is kept, and the target writes on from there."},
    {.key = "quality_gate.keep_share", AT(gate.keep_share), .type = OPTION_SHARE, .def = "0.25", .reloadable = true,
     .help = "By likelihood: when less than this share of the answer would be kept, it is rejected, and the target writes "
             "all of it."},
    {.key = "quality_gate.shadow_share", AT(gate.shadow_share), .type = OPTION_SHARE, .def = "0.02",
     .reloadable = true,
     .help = "The share of the approved requests that the target answers as well, afterwards, which measures how often a "
             "wrong answer is approved."},
    SERVER_ROWS("quality_gate.verifier", OPTION_IN_VERIFIER, false, backend_names, NULL, NULL, NULL, NULL),
    SERVER_ROWS("quality_gate.agents[]", OPTION_IN_AGENTS, true, backend_names, NULL, NULL, NULL, NULL),

    {.key = "coordinator.host", AT(pool.coordinator.host), .type = OPTION_HOST, .def = "127.0.0.1",
     .help = "The address that the coordinator listens on. Only the proxy needs to reach it."},
    {.key = "coordinator.port", AT(pool.coordinator.port), .type = OPTION_INT, .def = "8080", .min = 1, .max = 65535,
     .help = "The TCP port that the coordinator listens on."},
    {.key = "coordinator.backend", AT(pool.coordinator.backend), .type = OPTION_ENUM, .names = device_names,
     .def = "auto",
     .help = "What drives this machine's GPUs. `hip` with two or more of them sets `HSA_ENABLE_SDMA=0` and "
             "`GPU_MAX_HW_QUEUES=1`, without which most such machines hang; `env` overrides that. `cpu` uses no GPU here, "
             "`auto` what there is."},
    {.key = "coordinator.extra_args", AT(pool.coordinator.extra_args), .type = OPTION_WORDS,
     .help = "Further arguments for the coordinator's binary, passed on as they are: `[\"--no-mmap\"]`. They go last, so "
             "they win. One that the binary does not have is an error."},
    {.key = "coordinator.env", AT(pool.coordinator.env), .type = OPTION_VARS,
     .help = "Variables for the coordinator's environment: `{HSA_OVERRIDE_GFX_VERSION: \"11.0.0\"}`."},
    {.key = "coordinator.slots", AT(pool.coordinator.slots), .type = OPTION_INT, .def = "4", .min = 1, .max = 64,
     .help = "How many answers are worked on at once. Each has a context of its own in the devices' memory."},
    {.key = "coordinator.threads", AT(pool.coordinator.threads), .type = OPTION_INT, .def = "auto", .min = 1,
     .max = 1024, .or_auto = true, .help = "CPU threads. `auto`: what the binary takes by itself."},
    {.key = "coordinator.gpus[].name", GPU(OPTION_IN_GPUS, name), .type = OPTION_STRING, .help = HELP_GPU},
    {.key = "coordinator.gpus[].vram_gb", GPU(OPTION_IN_GPUS, vram), .type = OPTION_GIB, .min = 1 << 20,
     .max = INT64_C(1) << 50, .help = HELP_VRAM},

    {.key = "workers[].host", WORKER(host), .type = OPTION_HOST, .help = "Its address or host name."},
    {.key = "workers[].name", WORKER(name), .type = OPTION_STRING,
     .help = "What logs, the status and the dashboard call it. Not set: its host."},
    {.key = "workers[].gpus[].name", GPU(OPTION_IN_WORKER_GPUS, name), .type = OPTION_STRING, .help = HELP_GPU},
    {.key = "workers[].gpus[].vram_gb", GPU(OPTION_IN_WORKER_GPUS, vram), .type = OPTION_GIB, .min = 1 << 20,
     .max = INT64_C(1) << 50, .help = HELP_VRAM " Not set: the worker is asked."},
    {.key = "workers[].gpus[].rpc_port", GPU(OPTION_IN_WORKER_GPUS, rpc_port), .type = OPTION_INT, .def = "50052",
     .min = 1, .max = 65535, .help = "Where the RPC server that lends it listens. GPUs that one server lends together "
     "are one entry."},

    {.key = "models[].name", MODEL(name), .type = OPTION_STRING,
     .help = "What clients and `tightwad swap` call it. Not set: the file's name without .gguf."},
    {.key = "models[].path", MODEL(path), .type = OPTION_PATH,
     .help = "The GGUF file on this machine (of a split model the first), or `ollama:NAME[:TAG]` for one that Ollama has "
             "pulled. `~/` is the home folder; a path that begins with neither is looked for from the configuration's own "
             "folder."},
    {.key = "models[].ctx_size", MODEL(ctx_size), .type = OPTION_INT, .def = "auto", .min = 1, .max = 1 << 24,
     .unit = "tokens", .or_auto = true,
     .help = "How long a prompt and its answer can be together. `auto`: what the model was trained with, at most 8192."},
    {.key = "models[].predict", MODEL(predict), .type = OPTION_INT, .def = "auto", .min = 1, .max = 1 << 24,
     .unit = "tokens", .or_auto = true,
     .help = "The longest answer to a request that names no length. `auto`: as long as the context allows."},
    {.key = "models[].flash_attn", MODEL(flash_attn), .type = OPTION_SWITCH,
     .help = "Flash attention. Not set: what the binary does by itself; a node leaves it off, because that makes a pass "
             "of many tokens give the bits of one at a time on a CPU."},
    {.key = "models[].default", MODEL(is_default), .type = OPTION_BOOL, .def = "false",
     .help = "The model that is loaded first. No model has it: the first of the list."},
    {.key = "models[].draft", MODEL(draft), .type = OPTION_STRING,
     .help = "What drafts for this model: another of `models`, which is then run by a second process beside the "
             "coordinator, or one of `proxy.drafters` by its name. A swap changes it with the model. Not set: the proxy's "
             "drafters as they are."},

    {.key = "binaries.coordinator", AT(pool.binaries.coordinator), .type = OPTION_PROGRAM,
     .help = "A llama-server to hold the pool together instead of the node: a path, or a name that `$PATH` has."},
    {.key = "binaries.rpc_server", AT(pool.binaries.rpc_server), .type = OPTION_PROGRAM,
     .help = "llama.cpp's own rpc-server, for workers on this machine (`tightwad bench pool`, `tightwad demo`). Not set: "
             "the node's."},
    {.key = "ram_reclaim", AT(pool.ram_reclaim), .type = OPTION_SWITCH, .def = "auto",
     .help = "Whether the model file's pages in memory are given back once the model is on the devices. `auto`: when memory "
             "is short."},

    {.key = "agents.hosts", AT(agents.hosts), .type = OPTION_WORDS, .reloadable = true,
     .help = "The machines whose memory, load and GPUs the dashboard and the status show beside this one's, as HOST or "
             "HOST:PORT (9191): `[big, 192.168.1.20:9191]`. On each runs `tightwad agent`. At most 15."},
    {.key = "agents.token", AT(agents.token), .type = OPTION_SECRET, .reloadable = true,
     .help = "What those agents want as bearer token. Better not written here in full: `${NAME}` takes it from the "
             "environment."},

    {.key = "swarm.enabled", AT(swarm.enabled), .type = OPTION_BOOL, .def = "false",
     .help = "Whether a running instance gives out its models and can pull others. The other options of this section are also "
             "what `tightwad swarm` and `tightwad distribute` take where their command lines say nothing else."},
    {.key = "swarm.host", AT(swarm.host), .type = OPTION_HOST, .def = "127.0.0.1",
     .help = "The address that models are given out at. `0.0.0.0` or `::` means every address of this machine; as long as no "
             "`allow` is given, only loopback and private networks are served then."},
    {.key = "swarm.port", AT(swarm.port), .type = OPTION_INT, .def = "9192", .min = 0, .max = 65535,
     .help = "The TCP port to listen on. 0: any free one."},
    {.key = "swarm.token", AT(swarm.token), .type = OPTION_SECRET,
     .help = "When set, whoever asks for pieces must send it as bearer token, and it is sent to the peers that are asked for "
             "them. Better not written here in full: `${NAME}` takes it from the environment."},
    {.key = "swarm.allow", AT(swarm.allow), .type = OPTION_WORDS,
     .help = "The networks that are served and asked, `[192.168.1.0/24, \"fd00::/8\"]`. Not set: loopback and private ones. "
             "Loopback always is."},
    {.key = "swarm.folder", AT(swarm.folder), .type = OPTION_PATH,
     .help = "Where pulled models are put. Not set: `~/models` where that is there, else `~/.local/share/tightwad/models`."},
    {.key = "swarm.folders", AT(swarm.folders), .type = OPTION_PATHS,
     .help = "Further folders in which models lie: those in them are given out, and what a pulled model has in common with one "
             "of them is copied instead of fetched."},
    {.key = "swarm.peers", AT(swarm.peers), .type = OPTION_WORDS,
     .help = "Machines that are asked for every model that is pulled, as HOST or HOST:PORT (9192). One that knows the others is "
             "enough."},
    {.key = "swarm.discovery", AT(swarm.discovery), .type = OPTION_BOOL, .def = "true",
     .help = "Whether peers in the local network are found by multicast, and told of this one."},
    {.key = "swarm.upload_limit", AT(swarm.upload_limit), .type = OPTION_SIZE, .def = "0", .min = 0,
     .max = INT64_C(1) << 40, .reloadable = true,
     .help = "The most that is given to peers in a second, to all of them together. 0: no limit."},
    {.key = "swarm.download_limit", AT(swarm.download_limit), .type = OPTION_SIZE, .def = "0", .min = 0,
     .max = INT64_C(1) << 40, .reloadable = true, .help = "The most that is fetched in a second. 0: no limit."},
    {.key = "swarm.upload_slots", AT(swarm.upload_slots), .type = OPTION_INT, .def = "8", .min = 1, .max = 256,
     .unit = "pieces", .reloadable = true,
     .help = "How many pieces are given at once. Who has the fewest under way comes next."},
    {.key = "swarm.preseed", AT(swarm.preseed), .type = OPTION_ENUM, .names = preseed_names, .def = "auto",
     .help = "Whether the workers of a pool fetch the tensors of their layers from the swarm before it starts. `auto`: those "
             "that have an agent do; the others get them from the coordinator, as without a swarm."},

    {.key = "log.level", AT(log_level), .type = OPTION_ENUM, .names = level_names, .def = "info", .reloadable = true,
     .env = "$TIGHTWAD_LOG_LEVEL", .help = "The least important messages that are still logged."},
    {.key = "log.format", AT(log_format), .type = OPTION_ENUM, .names = format_names, .def = "text",
     .reloadable = true, .help = "`text` for people, `json` for programs: one object a line."},

    {.key = "ui.on_hangup", AT(ui_on_hangup), .type = OPTION_ENUM, .names = hangup_names, .def = "drain",
     .reloadable = true,
     .help = "What becomes of the engines when the dashboard's terminal goes away, as at the end of an SSH session: `drain` "
             "finishes the answers under way and stops, `headless` goes on without a terminal."},
};
/* clang-format on */
const size_t option_count = ARRAY_LEN(option_table);

const struct option_section option_sections[] = {
    {"proxy", "The OpenAI-compatible endpoint, and what speculates behind it."},
    {"proxy.target", "The big model: every answer is what it alone would have written. Needed by `proxy start`."},
    {"proxy.draft",
     "The small model that drafts, where there is one drafter. Without a drafter the target answers alone."},
    {"proxy.drafters[]",
     "A list, where there are several drafters (at most 16): all that are healthy draft at once, and one that adds "
     "too little to the others rests. Either `draft` or `drafters` is given, not both."},
    {"quality_gate", "Small models (agents) write whole answers, and the big one (the verifier) reviews each: it "
                     "passes, is corrected, or "
                     "is written anew. **Approximate**: an approved answer is an agent's, not the target's own. With "
                     "an agent or more there "
                     "is a gate; `NAME@exact` stays exact beside it."},
    {"quality_gate.verifier", "Who reviews. Left out: the proxy's target, or the pool. Where there is neither, the "
                              "verifier is the target as well."},
    {"quality_gate.agents[]",
     "A list of the servers that write the answers (at most 16). A drafter may be one of them."},
    {"coordinator",
     "The process on this machine that holds a pool together: it has the model's file, computes on this "
     "machine's GPUs and sends the rest of the layers to the workers. Tightwad starts it, watches it and "
     "starts it again."},
    {"coordinator.gpus[]", "This machine's GPUs, in the order in which the back end lists them. Left out with backend "
                           "`auto`, the binary takes "
                           "what it finds, and the plan knows of this machine's memory alone."},
    {"workers[]",
     "A list of the machines that lend GPUs or CPUs to the pool (at most 16 RPC servers in all). On each runs "
     "`tightwad worker` or llama.cpp's rpc-server."},
    {"workers[].gpus[]",
     "What the machine lends, an entry for each RPC server on it. Left out: one at port 50052, which "
     "is asked how much memory it has."},
    {"models[]",
     "A list of the models that the pool can load, or a section with an entry for each under its name. With "
     "one or more there is a pool, and `proxy.target` may be left out: the coordinator is the target."},
    {"binaries", "Programs to use in place of Tightwad's own."},
    {"", "Outside any section"},
    {"agents", "Other machines, as their agents tell of them. They are asked only while somebody looks."},
    {"swarm", "How models move between machines: in pieces, from everybody who has some of them."},
    {"log", "Messages, on stderr."},
    {"ui", "The dashboard."},
};
const size_t option_section_count = ARRAY_LEN(option_sections);

const struct option_list option_lists[] = {
    {"proxy.drafters", "drafters", "url", NULL}, {"quality_gate.agents", "agents", "url", NULL},
    {"coordinator.gpus", "GPUs", "name", NULL},  {"workers", "workers", "host", NULL},
    {"workers[].gpus", "GPUs", "name", NULL},    {"models", "models", "path", "name"},
};
const size_t option_list_count = ARRAY_LEN(option_lists);

const char *const option_old_keys[] = {"peer",
                                       "ssh_user",
                                       "ssh_key",
                                       "ssh_host",
                                       "ssh_port",
                                       "remote_dir",
                                       "venv",
                                       "python",
                                       "model_dir",
                                       "peer_port",
                                       "allow_private_upstream",
                                       "chat_template",
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
    if (n == 0)
        return !strchr(o->key, '.');
    return strncmp(o->key, section, n) == 0 && o->key[n] == '.' && !strchr(o->key + n + 1, '.');
}

const char *option_leaf(const struct option *o)
{
    const char *dot = strrchr(o->key, '.');
    return dot ? dot + 1 : o->key;
}

void *option_value(const struct option *o, struct config *c, size_t index)
{
    struct config_pool *p = &c->pool;
    size_t worker = index / CONFIG_GPUS_MAX, gpu = index % CONFIG_GPUS_MAX;
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
    case OPTION_IN_GPUS:
        if (index < p->coordinator.n_gpus)
            base = (char *)&p->coordinator.gpus[index];
        break;
    case OPTION_IN_WORKERS:
        if (index < p->n_workers)
            base = (char *)&p->workers[index];
        break;
    case OPTION_IN_WORKER_GPUS:
        if (worker < p->n_workers && gpu < p->workers[worker].n_gpus)
            base = (char *)&p->workers[worker].gpus[gpu];
        break;
    case OPTION_IN_MODELS:
        if (index < p->n_models)
            base = (char *)&p->models[index];
        break;
    case OPTION_IN_VERIFIER:
        base = (char *)&c->gate.verifier;
        break;
    case OPTION_IN_AGENTS:
        if (index < c->gate.n_agents)
            base = (char *)&c->gate.agents[index];
        break;
    }
    return base ? base + o->offset : NULL;
}

size_t option_entries(const struct option *o, const struct config *c)
{
    switch (o->place) {
    case OPTION_IN_CONFIG:
    case OPTION_IN_TARGET:
    case OPTION_IN_VERIFIER:
        return 1;
    case OPTION_IN_DRAFT:
    case OPTION_IN_DRAFTERS:
        return c->proxy.n_drafters;
    case OPTION_IN_GPUS:
        return c->pool.coordinator.n_gpus;
    case OPTION_IN_WORKERS:
        return c->pool.n_workers;
    case OPTION_IN_WORKER_GPUS:
        return c->pool.n_workers * CONFIG_GPUS_MAX;
    case OPTION_IN_MODELS:
        return c->pool.n_models;
    case OPTION_IN_AGENTS:
        return c->gate.n_agents;
    }
    return 0;
}
