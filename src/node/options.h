/* The command line of tightwad-node: one table drives parsing, checking and --help.  Options that llama-server has too
 * are spelled as it spells them, beside the short forms. */
#ifndef TIGHTWAD_NODE_OPTIONS_H
#define TIGHTWAD_NODE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"

enum { NODE_PORT = 8081 };

enum options_flash { OPTIONS_FLASH_OFF, OPTIONS_FLASH_ON, OPTIONS_FLASH_AUTO };

struct options {
    char *model;           /* path of a GGUF file, or ollama:NAME[:TAG]; NULL: none named */
    char *host;            /* address to listen on */
    int64_t port;          /* 0: any free one */
    int64_t ctx;           /* tokens of context per slot; 0: what the model was trained with; -1: that, at most 4096 */
    int64_t slots;         /* sequences at once */
    int64_t threads;       /* 0: one for each physical core */
    int64_t threads_batch; /* 0: as threads */
    int64_t batch;         /* most tokens in one pass */
    int64_t ubatch;        /* computed at once; 0: as batch, or as few as the bits ask for */
    char *rpc;             /* HOST:PORT,… or NULL */
    char *device;          /* names,… or "none"; NULL: all there are */
    int64_t n_gpu_layers;  /* -1: all */
    char *tensor_split;    /* N0,N1,… or NULL */
    bool mmap, mlock;
    enum options_flash flash;
    char *noise;        /* of an earlier self-test, a number from 0 on; NULL: it is run */
    int64_t draft_rate; /* tokens drafted a second at most; 0: no limit */
    char *alias;        /* the name that clients use; NULL: the model's own */
    char *api_key;      /* NULL: none wanted */
    enum log_level log_level;
    bool log_json;
    bool list_devices, version, help;
};

/* Fills o (owned by the caller: options_finish) from the arguments after the program's name.  An API key among the
 * arguments is wiped from argv, so that a process list does not show it.  0, or -1 and a cause that names the argument
 * and what would be right; o can be finished either way. */
int options_parse(struct options *o, int argc, char **argv, char **cause);
void options_finish(struct options *o);

/* All options, with examples, at most 100 columns. */
void options_print_help(FILE *to);

#endif
