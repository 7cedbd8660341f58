/* Models that Ollama keeps on this machine: its manifests name blobs, and the blob of a model is a GGUF file. */
#ifndef TIGHTWAD_PROBE_OLLAMA_STORE_H
#define TIGHTWAD_PROBE_OLLAMA_STORE_H

/* name: [HOST/][NAMESPACE/]NAME[:TAG], without "ollama:".  Looks in $OLLAMA_MODELS, ~/.ollama/models and
 * /usr/share/ollama/.ollama/models, in that order.  Returns the path of the GGUF file, owned by the caller; NULL and a
 * cause that tells where it looked and which models are there. */
char *ollama_store_find(const char *name, char **cause);

#endif
