/* What the tests of the node share: a core on a loop, jobs run to their end, and the reference that everything is
 * measured against: llama.cpp asked for one token at a time, with nothing of the node but the sampler. */
#ifndef TIGHTWAD_TESTS_NODE_RIG_H
#define TIGHTWAD_TESTS_NODE_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "node/core.h"

struct rig {
    struct event_base *base;
    struct node_core *core;
    const struct node_model *model;
};

/* llama.cpp made ready, once. */
void rig_init(void);

/* name: a demo model ("target"), or a random one ("recurrent", "hybrid", "transformer"), which is written first. */
void rig_open(struct rig *r, const char *name, int slots, int batch, int ctx, int threads);
void rig_close(struct rig *r);

/* The path of a model as in rig_open; give it back when it is loaded (a random one is then removed). */
char *rig_model_path(const char *name);
void rig_model_done(char *path);

/* Submits and waits until it is done; the test fails after a minute. */
void rig_run(struct rig *r, struct node_job *job);
/* Submits; *count is one more when it is done. */
void rig_submit(struct rig *r, struct node_job *job, size_t *count);
/* Waits until *count reaches n. */
void rig_wait(struct rig *r, const size_t *count, size_t n);

struct node_job *rig_job(enum node_job_kind kind, int64_t session, size_t keep, const int32_t *tokens, size_t n_tokens);
void rig_set_draft(struct node_job *job, const int32_t *draft, size_t n);

/* A prompt in the model's chat format; owned by the caller. */
int32_t *rig_prompt(const struct rig *r, const char *text, size_t *n);

/* Appends up to n tokens to path (room for n_path + n), stopping after an end-of-generation token.  Returns how many.
 * logits: NULL, or n rows that receive what each was drawn from. */
size_t rig_reference(const struct rig *r, const struct sampler_params *p, int32_t *path, size_t n_path, size_t n,
                     float *logits);

struct sampler_params rig_params(double temperature, uint64_t seed);
uint32_t rig_random(uint64_t *state, uint32_t below);

#endif
