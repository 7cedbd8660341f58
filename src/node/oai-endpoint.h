/* The node as a plain OpenAI server: the model alone. */
#ifndef TIGHTWAD_NODE_OAI_ENDPOINT_H
#define TIGHTWAD_NODE_OAI_ENDPOINT_H

struct server;

/* Adds /v1/chat/completions, /v1/completions and /v1/models. */
void oai_endpoint_register(struct server *s);

#endif
