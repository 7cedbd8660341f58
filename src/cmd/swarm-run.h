/* A swarm on the command line: its options, its process, its end. */
#ifndef TIGHTWAD_CMD_SWARM_RUN_H
#define TIGHTWAD_CMD_SWARM_RUN_H

#include <event2/event.h>

#include "cmd/cmd.h"
#include "engines/swarm-settings.h"
#include "http/httpc.h"
#include "swarm/swarm.h"

/* Rows that both `swarm seed` and `swarm pull` have. */
/* clang-format off */
#define SWARM_RUN_OPTIONS \
    {0, "allow", "CIDR,…", "networks that are served (loopback and private ones)"}, \
    {0, "json", NULL, "one JSON object a line"}, \
    {'l', "listen", "HOST[:PORT]", "where pieces are given out (127.0.0.1:9192; 0.0.0.0: to the private networks)"}, \
    {0, "no-discovery", NULL, "no multicast on the local network"}, \
    {0, "slots", "N", "pieces given out at once (8)"}, \
    {'t', "token-file", "FILE", "the token that peers want, and send, as the file's first line"}, \
    {0, "upload-limit", "SIZE", "bytes a second that are given out: 50MB"}
/* clang-format on */

struct swarm_run {
    struct event_base *base;
    struct httpc *http;
    struct config *cfg;
    struct swarm_settings settings;
    struct swarm *swarm;
    struct event *signals[2];
    bool json;
};

/* The configuration, and what the command line says otherwise.  0, or the exit code: messages have been printed.
 * Finish it in both cases. */
int swarm_run_init(struct swarm_run *r, const struct cmd_env *env, const struct cmd_args *args);
/* An option's text over what the configuration says; NULL: nothing is said.  0, or -1 and a cause. */
int swarm_run_set(struct swarm_run *r, const char *option, const char *key, const char *text, char **cause);
/* The swarm, and on_signal for SIGINT and SIGTERM.  0, or -1 and a cause. */
int swarm_run_start(struct swarm_run *r, event_callback_fn on_signal, void *arg, char **cause);
void swarm_run_finish(struct swarm_run *r);

/* Where others reach it: "192.168.1.20:9192"; owned by the caller. */
char *swarm_run_listen(const struct swarm_run *r);
/* Whether other machines can. */
bool swarm_run_is_open(const struct swarm_run *r);

#endif
