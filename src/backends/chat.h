/* A chat or a completion that a server answers by itself: the request is passed on to its OpenAI endpoint, its text
 * comes back as it streams. */
#ifndef TIGHTWAD_BACKENDS_CHAT_H
#define TIGHTWAD_BACKENDS_CHAT_H

#include "backends/calls.h"

/* The chat op of every kind with /v1/chat/completions and /v1/completions under cfg.url. */
struct backend_call *chat_pass_on(struct backend *b, const json_t *request, bool is_chat, int idle_timeout_ms,
                                  backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg);

/* The same with other addresses, and a body that is ready (stolen; "stream" and "stream_options" are added). */
struct backend_call *chat_start(struct backend *b, const char *path, json_t *body, bool is_chat, int idle_timeout_ms,
                                backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg);

/* Ollama's /api/generate and /api/chat: lines of JSON with "response" or "message", the last one with "done". */
struct backend_call *chat_start_ollama(struct backend *b, const char *path, json_t *body, int idle_timeout_ms,
                                       backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg);

/* A copy of the request as the server should get it: its own model name, no parameters that only Tightwad knows. */
json_t *chat_body(const struct backend *b, const json_t *request);

#endif
