/* The way in for commands: POST /v1/tightwad/command and GET /v1/tightwad/commands, over TCP and over a unix socket
 * that only the user of the instance can reach: $XDG_RUNTIME_DIR/tightwad/control-PORT.sock, else
 * /tmp/tightwad-UID/control-PORT.sock. */
#ifndef TIGHTWAD_API_CONTROL_H
#define TIGHTWAD_API_CONTROL_H

#include <stdbool.h>

#include <jansson.h>

#include "engines/command.h"
#include "http/httpd.h"

char *control_dir(void);          /* owned by the caller */
char *control_path(int port);     /* port: where the instance listens; owned by the caller */
char *control_log_path(int port); /* where it logs while it has no terminal; owned by the caller */
/* The sockets in the directory, those of dead instances too, sorted; *n may be 0.  The list and its paths are owned by
 * the caller. */
char **control_list(size_t *n);

/* Makes the directory (mode 0700).  -1 and a cause when it is not the user's own or others may enter it. */
int control_dir_make(char **cause);

/* True when something accepts connections there. */
bool control_alive(const char *path);

/* Listens on control_path(port); the server removes the socket when it ends.  Returns the path (owned by the caller),
 * or NULL and a cause. */
char *control_listen(struct httpd *h, int port, char **cause);

struct waiting;

/* token_set: read at each request; without a token, commands over TCP are taken from loopback only, and never from a
 * web page (Origin).  c must outlive h. */
struct control {
    struct engines engines;
    const bool *token_set;
    struct waiting *waiting; /* requests whose command is under way; NULL at the start */
};
void control_route(struct control *c, struct httpd *h);
/* Ends the requests that wait, before their servers go. */
void control_finish(struct control *c);
/* Whether whoever asks may not command: replied with 403 then, and r is gone. */
bool control_refuses(const struct control *c, struct httpd_request *r);

/* The command table: {"commands":[{"name","args","help"},…]}.  New reference. */
json_t *control_commands_json(void);

#endif
