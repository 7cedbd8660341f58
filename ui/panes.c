#include "ui/pane.h"

const struct pane_ops *const pane_table[PANES] = {
    [PANE_MACHINES] = &pane_machines, [PANE_SPECULATION] = &pane_speculation,
    [PANE_STREAM] = &pane_stream,     [PANE_ROUNDS] = &pane_rounds,
    [PANE_GATE] = &pane_gate,         [PANE_CONSENSUS] = &pane_consensus,
    [PANE_REQUESTS] = &pane_requests, [PANE_POOL] = &pane_pool,
    [PANE_SWARM] = &pane_swarm,       [PANE_LOG] = &pane_log,
};
