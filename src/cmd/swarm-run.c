#include "cmd/swarm-run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/options.h"
#include "config/value.h"
#include "probe/scan-place.h"

enum { TOKEN_MAX = 4096 };

int swarm_run_set(struct swarm_run *r, const char *option, const char *key, const char *text, char **cause)
{
    const struct option *o = option_find(key);
    if (text == NULL)
        return 0;
    if (value_parse(o, text, option_value(o, r->cfg, 0), cause) != 0)
        return cause_prefix(cause, "--%s", option);
    return 0;
}

static int set_listen(struct swarm_run *r, const char *listen, int *port, char **cause)
{
    char *host = NULL;
    size_t len = listen != NULL ? strlen(listen) : 0;
    if (listen == NULL)
        return 0;
    bool any = len > 2 && strcmp(listen + len - 2, ":0") == 0;
    char *place = xstrndup(listen, any ? len - 2 : len);
    int rc = scan_host_parse(place, &host, port, cause);
    free(place);
    *port = any ? -1 : *port;
    if (rc != 0)
        return cause_prefix(cause, "--listen");
    rc = swarm_run_set(r, "listen", "swarm.host", host, cause);
    free(host);
    return rc;
}

static int set_token(struct swarm_run *r, const char *file, char **cause)
{
    struct buf b;
    if (file == NULL)
        return 0;
    int rc = file_read(file, TOKEN_MAX, &b, cause);
    if (rc == 0) {
        b.data[strcspn(b.data, "\r\n")] = '\0';
        if (b.data[0] == '\0')
            rc = cause_set(cause, "its first line is empty");
        else
            rc = swarm_run_set(r, "token-file", "swarm.token", b.data, cause);
    }
    buf_finish(&b);
    return rc == 0 ? 0 : cause_prefix(cause, "%s", file);
}

static int set_allow(struct swarm_run *r, const char *list, char **cause)
{
    struct config_words *w = &r->cfg->swarm.allow;
    if (list == NULL)
        return 0;
    for (size_t i = 0; i < w->n; i++)
        free(w->list[i]);
    w->n = 0;
    w->list = xreallocarray(w->list, 1, sizeof(*w->list));
    w->list[w->n++] = xstrdup(list);
    return 0;
}

static int options(struct swarm_run *r, const struct cmd_args *args, int *port, char **cause)
{
    int64_t slots = r->cfg->swarm.upload_slots;
    if (set_listen(r, cmd_args_get(args, "listen"), port, cause) != 0 ||
        set_token(r, cmd_args_get(args, "token-file"), cause) != 0 ||
        set_allow(r, cmd_args_get(args, "allow"), cause) != 0 ||
        swarm_run_set(r, "upload-limit", "swarm.upload_limit", cmd_args_get(args, "upload-limit"), cause) != 0 ||
        cmd_args_int(args, "slots", 1, 256, &slots, cause) != 0)
        return -1;
    r->cfg->swarm.upload_slots = slots;
    if (cmd_args_has(args, "no-discovery"))
        r->cfg->swarm.discovery = false;
    return 0;
}

int swarm_run_init(struct swarm_run *r, const struct cmd_env *env, const struct cmd_args *args)
{
    char *cause = NULL;
    int port = 0;
    *r = (struct swarm_run){.cfg = cmd_load_config(env, false), .json = cmd_args_has(args, "json")};
    if (r->cfg == NULL)
        return CMD_FAILED;
    if (options(r, args, &port, &cause) != 0) {
        cmd_fail_cause(cause);
        return CMD_USAGE;
    }
    swarm_settings_init(&r->settings, r->cfg);
    if (port != 0)
        r->settings.opts.port = port;
    r->base = event_base_new();
    r->http = httpc_create(r->base);
    return 0;
}

int swarm_run_start(struct swarm_run *r, event_callback_fn on_signal, void *arg, char **cause)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        r->signals[i] = evsignal_new(r->base, numbers[i], on_signal, arg);
        event_add(r->signals[i], NULL);
    }
    r->swarm = swarm_create(r->base, r->http, &r->settings.opts, cause);
    return r->swarm != NULL ? 0 : -1;
}

void swarm_run_finish(struct swarm_run *r)
{
    swarm_destroy(r->swarm);
    httpc_destroy(r->http);
    for (size_t i = 0; i < ARRAY_LEN(r->signals); i++) {
        if (r->signals[i] != NULL)
            event_free(r->signals[i]);
    }
    if (r->base != NULL)
        event_base_free(r->base);
    swarm_settings_finish(&r->settings);
    config_destroy(r->cfg);
}

char *swarm_run_listen(const struct swarm_run *r)
{
    const char *host = r->settings.opts.host;
    return xasprintf(strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d", host, swarm_port(r->swarm));
}

bool swarm_run_is_open(const struct swarm_run *r)
{
    const char *host = r->settings.opts.host;
    return strncmp(host, "127.", 4) != 0 && strcmp(host, "::1") != 0 && strcmp(host, "localhost") != 0;
}
