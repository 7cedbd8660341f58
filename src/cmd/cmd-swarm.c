/* tightwad swarm: models move between machines in pieces, from everybody who has some of them. */
#include "cmd/cmd.h"

extern const struct cmd cmd_swarm;
extern const struct cmd cmd_swarm_peers;
extern const struct cmd cmd_swarm_pull;
extern const struct cmd cmd_swarm_seed;
extern const struct cmd cmd_swarm_status;

static const struct cmd *const subs[] = {&cmd_swarm_peers, &cmd_swarm_pull, &cmd_swarm_seed, &cmd_swarm_status, NULL};

const struct cmd cmd_swarm = {
    .name = "swarm",
    .usage = "seed|pull|status|peers …",
    .summary = "give models to other machines, and get them from there",
    .help = "A model is cut into pieces, each with its hash.  Whoever pulls one gives out what he has from the first\n"
            "piece on, so that a model reaches ten machines in little more time than one, and nothing has to be\n"
            "fetched twice: what a broken-off pull has, and pieces that other models here have too, are kept.\n\n"
            "    tightwad swarm seed qwen3-8b-q4_k_m.gguf --listen 0.0.0.0     here\n"
            "    tightwad swarm pull qwen3-8b-q4_k_m.gguf                      there, in the same network\n"
            "    tightwad swarm pull qwen3-8b-q4_k_m.gguf --peer 192.168.7.2   there, in another one",
    .subs = subs,
};
