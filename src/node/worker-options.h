/* The command line of `tightwad worker`. */
#ifndef TIGHTWAD_NODE_WORKER_OPTIONS_H
#define TIGHTWAD_NODE_WORKER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "http/peer.h"

enum { WORKER_PORT = 50052 };

struct worker_options {
    char *host;        /* address to listen on */
    int64_t port;      /* 0: any free one */
    char *devices;     /* names with commas; NULL: the GPUs there are, else the CPU */
    char *cache;       /* folder; NULL: none wanted */
    bool cache_named;  /* by the user */
    int64_t cache_max; /* bytes; 0: no bound, -1: half of what the disk has for it */
    char *allow_text;  /* as given, with commas; NULL: loopback and, when bound elsewhere, private networks */
    struct peer_list allow;
    int64_t threads; /* of CPU devices; 0: one for each physical core */
    char *stock;     /* program to run instead of the built-in server; NULL: none */
    bool json;       /* what is lent as JSON on stdout */
    enum log_level log_level;
    bool log_json;
    bool version, help;
};

/* Fills o (owned by the caller: worker_options_finish) from the arguments after the verb.  0, or -1 and a cause that
 * names the argument and what would be right; o can be finished either way. */
int worker_options_parse(struct worker_options *o, int argc, char **argv, char **cause);
void worker_options_finish(struct worker_options *o);
int worker_options_threads(const struct worker_options *o); /* that a CPU device gets */

/* All options, with examples, at most 100 columns. */
void worker_options_print_help(FILE *to);

#endif
