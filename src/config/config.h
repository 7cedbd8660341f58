/* The configuration: cluster.yaml, TIGHTWAD_* variables and defaults, checked by the one option table (options.c). */
#ifndef TIGHTWAD_CONFIG_CONFIG_H
#define TIGHTWAD_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

enum { CONFIG_AUTO = -1 }; /* an integer option whose value is `auto` */

struct config_server {
    char *name;       /* `name`, else made from the url: host:port */
    char *url;        /* http(s)://host:port[/prefix], no trailing slash */
    char *model_name; /* NULL: whatever the server has */
    char *backend;    /* node | llamacpp | ollama | openai | auto (ask the server) */
    char *api_key;    /* NULL: none; ${ENV} already replaced */
};

struct config_proxy {
    char *host;
    int64_t port;
    int64_t max_draft_tokens; /* cap on K; 0: speculation off; CONFIG_AUTO */
    bool fallback_on_draft_failure;
    char *auth_token; /* NULL: none */
    int64_t max_tokens_limit;
    int64_t max_body_size;          /* bytes */
    int64_t target_wait_ms;         /* how long a target that is gone is waited for */
    int64_t max_queue;              /* requests that wait for a slot */
    bool governor;                  /* what is measured decides how long drafts are, and whether to draft at all */
    bool draft_ahead;               /* the drafter goes on while the target verifies */
    int64_t draft_timeout_ms;       /* longest wait for a draft, before the round goes on without */
    struct config_server *drafters; /* `draft:` is a list of one */
    size_t n_drafters;
    struct config_server target; /* url NULL: not configured */
};

struct config {
    char *path; /* the file it came from; NULL: none */
    struct config_proxy proxy;
    char *log_level;               /* debug | info | warn | error */
    char *log_format;              /* text | json */
    struct config_origin *origins; /* for `config show` */
    size_t n_origins;
};

/* One finding: an error, or a warning (old keys that mean nothing here). */
struct config_finding {
    bool error;
    char *where; /* "cluster.yaml:12", "$TIGHTWAD_PORT" */
    char *text;  /* what is wrong, what was expected, the nearest valid name */
};

struct config_findings {
    struct config_finding *list;
    size_t n;
};

void config_findings_finish(struct config_findings *f);
void config_findings_print(const struct config_findings *f, FILE *to); /* a line each: WHERE: error: TEXT */

/* The file in use by the search order (-c path given, $TIGHTWAD_CONFIG, ./tightwad.yaml, ./configs/cluster.yaml,
 * $XDG_CONFIG_HOME or ~/.config /tightwad/cluster.yaml, /etc/tightwad/cluster.yaml).  NULL: none there.  A path that
 * was named is returned even if it is missing.  Owned by the caller. */
char *config_find(const char *given);

/* Reads path (NULL: no file) and the environment.  All findings are collected; returns NULL when one of them is an
 * error. Owned by the caller. */
struct config *config_load(const char *path, struct config_findings *findings);
struct config *config_load_text(const char *name, const char *yaml, size_t len, struct config_findings *findings);
void config_destroy(struct config *c);

/* Which options differ and are not reloadable: text for the log, NULL if none.  Owned by the caller. */
char *config_restart_needed(const struct config *from, const struct config *to);

/* Effective values with where each came from, as YAML with comments; secrets are shown as "(set)". */
void config_show(const struct config *c, FILE *to);
json_t *config_show_json(const struct config *c);

/* A server that was not read from a file (a command, a wizard): given's texts checked and normalised as those of a file
 * are, with the same defaults; NULL and "" are not given.  0 and *out filled (to be finished), or -1 and a cause. */
int config_server_init(struct config_server *out, const struct config_server *given, char **cause);
void config_server_finish(struct config_server *s);

/* Adds a drafter to / removes it from the file's text, keeping the user's comments; atomically (written beside it,
 * renamed).  A file that is not there is made.  name: its name, url or host:port.  0, or -1 and a cause. */
int config_file_add_drafter(const char *path, const struct config_server *s, char **cause);
int config_file_remove_drafter(const char *path, const char *name, char **cause);

/* The reference page made from the option table (Markdown), compared with doc/configuration.md by a test. */
void config_reference(FILE *to);

/* The nearest of names to word by edit distance, or NULL when none is near. */
const char *config_nearest(const char *word, const char *const *names, size_t n);

#endif
