/* A stock llama-server: what its files share. */
#ifndef TIGHTWAD_BACKENDS_LLAMACPP_H
#define TIGHTWAD_BACKENDS_LLAMACPP_H

#include "backends/calls.h"

struct llamacpp {
    uint8_t *taken; /* by slot: a session drafts there */
    int32_t slots;
};

/* llamacpp-probe.c: the probe op */
struct backend_call *llamacpp_probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg);

#endif
