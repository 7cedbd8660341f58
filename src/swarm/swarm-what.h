/* What a user wants to pull, as it is written: an id, a name, a URL, a file.  Pure. */
#ifndef TIGHTWAD_SWARM_SWARM_WHAT_H
#define TIGHTWAD_SWARM_SWARM_WHAT_H

#include <stdbool.h>

#include "swarm/manifest.h"
#include "swarm/message.h"

enum swarm_what_kind {
    WHAT_ID,           /* id, of whoever has it */
    WHAT_NAME,         /* text: a name, of whoever has it */
    WHAT_MANIFEST,     /* text: path of a manifest's file */
    WHAT_URL,          /* text: URL of a model, with or without a manifest beside it */
    WHAT_MANIFEST_URL, /* text: URL of the model whose manifest was named */
};

struct swarm_what {
    enum swarm_what_kind kind;
    char id[MANIFEST_ID + 1];
    char *text;               /* owned; what was given, where nothing else is said above */
    char peer[SWARM_ADDRESS]; /* WHAT_ID, WHAT_NAME: the URL named this peer; "": none */
    char *url; /* WHAT_NAME with a peer that may be a plain web server instead: the URL as it was given; NULL: it is no
                  model's URL.  Owned */
};

/* 0 (finish it), or -1 and a cause. */
int swarm_what_read(struct swarm_what *w, const char *text, char **cause);
void swarm_what_finish(struct swarm_what *w);

/* "HOST", "HOST:PORT", "[IPV6]:PORT", "http://HOST:PORT", with anything after a slash → "HOST:PORT", with SWARM_PORT
 * where none is named.  The host may be a name.  0, or -1 and a cause. */
int swarm_peer_read(const char *text, char out[SWARM_ADDRESS], char **cause);

/* Whether a model of these names is meant by what: the file's name with or without .gguf, or the model's own name; in
 * any case of letters. */
bool swarm_what_is(const char *what, const char *filename, const char *model);

#endif
