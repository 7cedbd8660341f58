/* llama.cpp's own messages: all of them to our log at debug level, and the last error kept, so that a failed load can
 * say why in one line. */
#ifndef TIGHTWAD_NODE_LLAMA_LOG_H
#define TIGHTWAD_NODE_LLAMA_LOG_H

/* Once, before anything else of llama.cpp or ggml is called. */
void llama_log_install(void);

/* The last error that was reported since the last call, owned by the caller; NULL if there was none.  Thread-safe. */
char *llama_log_take_error(void);

#endif
