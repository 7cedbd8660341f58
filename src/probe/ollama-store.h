/* Models that Ollama keeps on this machine: its manifests name blobs, and the blob of a model is a GGUF file. */
#ifndef TIGHTWAD_PROBE_OLLAMA_STORE_H
#define TIGHTWAD_PROBE_OLLAMA_STORE_H

#include <stdbool.h>
#include <stddef.h>

enum { OLLAMA_STORES = 3 };

/* name: [HOST/][NAMESPACE/]NAME[:TAG], without "ollama:".  Looks in $OLLAMA_MODELS, ~/.ollama/models and
 * /usr/share/ollama/.ollama/models, in that order.  Returns the path of the GGUF file, owned by the caller; NULL and a
 * cause that tells where it looked and which models are there. */
char *ollama_store_find(const char *name, char **cause);

/* The folders of stores, whether they are there or not, in the order in which they are looked at; returns how many.
 * Owned by the caller, each. */
size_t ollama_store_folders(char *list[OLLAMA_STORES]);

/* A model of a store: its name as ollama_store_find takes it, and its GGUF file, NULL where there is none that could be
 * read (a cloud model, one with an adapter, a file of another user).  False: no more, please. */
typedef bool ollama_store_cb(const char *name, const char *path, void *arg);
/* Every model of every store, in no order. */
void ollama_store_each(ollama_store_cb *cb, void *arg);

#endif
