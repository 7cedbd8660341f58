/* What model.c needs of vocab.c; the rest of it is declared in model.h. */
#ifndef TIGHTWAD_NODE_VOCAB_H
#define TIGHTWAD_NODE_VOCAB_H

#include "node/model.h"

/* Fills everything of m that comes from its vocabulary; m->llama, m->vocab and m->n_vocab stand. */
void node_vocab_read(struct node_model *m);

#endif
