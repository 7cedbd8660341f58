/* A model that is loaded: its vocabulary, its chat template, what it is.  Everything here may be called from any thread
 * once the model is loaded. */
#ifndef TIGHTWAD_NODE_MODEL_H
#define TIGHTWAD_NODE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct llama_model;
struct llama_vocab;

enum { NODE_FINGERPRINT_SIZE = 65 }; /* SHA-256 in hex and the NUL */

/* Strings are borrowed and may be NULL. */
struct node_model_options {
    const char *path;         /* a GGUF file */
    const char *device;       /* names with commas, "none" for the CPU alone; NULL: all there are */
    const char *rpc;          /* HOST:PORT,…: llama.cpp RPC workers, known to listen (ggml aborts the process else) */
    const char *tensor_split; /* proportions with commas, one a device */
    int32_t n_gpu_layers;     /* -1: all */
    bool mmap, mlock;
};

/* fraction: 0..1.  false ends the load.  Called from the thread that loads. */
typedef bool node_progress_fn(double fraction, void *arg);

struct node_message {
    const char *role, *content;
};

struct node_model {
    struct llama_model *llama;
    const struct llama_vocab *vocab;
    char *path;
    char *name;         /* general.name, else the file's name without .gguf */
    char *architecture; /* general.architecture */
    char *description;  /* "llama 2B Q8_0" */
    char fingerprint[NODE_FINGERPRINT_SIZE];
    int32_t n_vocab, n_ctx_train;
    uint64_t size;      /* bytes of all tensors */
    int32_t bos;        /* -1: none */
    bool add_bos;       /* a prompt begins with it */
    bool chat_template; /* the file has one */
    bool recurrent, hybrid;
    int32_t *eog; /* every end-of-generation token, ascending */
    size_t n_eog;
    char **devices; /* names of those in use, "CPU" where there are none; NULL at the end */
    /* private: the pieces */
    char *pieces;
    uint32_t *piece_start; /* n_vocab + 1 */
    bool *piece_hidden;    /* control tokens: no text in an answer */
};

/* Loads llama.cpp's back ends.  Once, before the other functions and before there are other threads (it sets an
 * environment variable of ggml's). */
void node_model_init(void);

/* One line a device: name, description, memory. rpc as in the options. */
int node_model_list_devices(FILE *to, const char *rpc, char **cause);

/* NULL and a cause. */
struct node_model *node_model_load(const struct node_model_options *o, node_progress_fn *progress, void *arg,
                                   char **cause);
void node_model_destroy(struct node_model *m); /* NULL is fine */

/* SHA-256 over the first n tokens: for each id in order its length in bytes (32 bits, little-endian) and its raw text.
 */
void node_model_fingerprint(const struct node_model *m, int32_t n, char out[NODE_FINGERPRINT_SIZE]);

/* The bytes of a token, borrowed for the life of the model.  special: control tokens as their text; else they have
 * none. An id that is none has no bytes either. */
const char *node_model_piece(const struct node_model *m, int32_t token, bool special, size_t *len);
bool node_model_is_eog(const struct node_model *m, int32_t token);

/* special: texts of special tokens become those tokens.  bos: with the beginning token where the model wants one.
 * *tokens is owned by the caller.  0, or -1 and a cause. */
int node_model_tokenize(const struct node_model *m, const char *text, size_t len, bool special, bool bos,
                        int32_t **tokens, size_t *n, char **cause);

/* Bytes of all tokens, owned by the caller, NUL-terminated. */
char *node_model_detokenize(const struct node_model *m, const int32_t *tokens, size_t n, bool special, size_t *len);

/* The prompt up to where the assistant's answer begins; owned by the caller.  NULL and a cause where the file has no
 * template or one that llama.cpp does not know. */
char *node_model_template(const struct node_model *m, const struct node_message *messages, size_t n, char **cause);

#endif
