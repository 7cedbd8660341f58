/* Consensus and the quality gate as `status` and `gate status` tell of them. */
#ifndef TIGHTWAD_CMD_SHOW_MODES_H
#define TIGHTWAD_CMD_SHOW_MODES_H

#include <stdbool.h>

#include <jansson.h>

/* consensus: of the status; its mode, what it spared, and its errors. */
void show_consensus(const json_t *consensus, bool colour);

/* gate: of the status; its switch, counters, and a line for each agent. */
void show_gate(const json_t *gate, bool colour);

/* status: the whole one.  What the plain name means where there is a choice, then what is configured of both. */
void show_modes(const json_t *status, bool colour);

#endif
