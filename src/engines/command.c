#include "engines/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"
#include "engines/pool.h"
#include "engines/proxy-internal.h"

static json_t *done(void)
{
    return json_pack("{s:b}", "ok", 1);
}

static const char *text_arg(const json_t *args, const char *key)
{
    return json_string_value(json_object_get(args, key));
}

static json_t *drafter_add(const struct engines *e, const json_t *args, char **cause)
{
    struct config_server given = {.name = (char *)text_arg(args, "name"),
                                  .url = (char *)text_arg(args, "url"),
                                  .model_name = (char *)text_arg(args, "model_name"),
                                  .backend = (char *)text_arg(args, "backend"),
                                  .type = (char *)text_arg(args, "type"),
                                  .api_key = (char *)text_arg(args, "api_key")},
                         s;
    bool save = json_is_true(json_object_get(args, "save"));
    if (save && e->proxy->config_path == NULL) {
        cause_set(cause, "save: this instance runs without a configuration file");
        return NULL;
    }
    if (config_server_init(&s, &given, cause) != 0)
        return NULL;
    int failed = proxy_add_drafter(e->proxy, &s, cause);
    if (failed == 0) {
        log_info("drafter %s is added", s.name);
        failed = save ? config_file_add_drafter(e->proxy->config_path, &s, cause) : 0;
    }
    config_server_finish(&s);
    return failed != 0 ? NULL : done();
}

static json_t *drafter_remove(const struct engines *e, const json_t *args, char **cause)
{
    return proxy_remove_drafter(e->proxy, text_arg(args, "name"), cause) != 0 ? NULL : done();
}

static json_t *drafter_pause(const struct engines *e, const json_t *args, char **cause)
{
    return proxy_pause_drafter(e->proxy, text_arg(args, "name"), true, cause) != 0 ? NULL : done();
}

static json_t *drafter_resume(const struct engines *e, const json_t *args, char **cause)
{
    return proxy_pause_drafter(e->proxy, text_arg(args, "name"), false, cause) != 0 ? NULL : done();
}

static json_t *log_level(const struct engines *e, const json_t *args, char **cause)
{
    (void)e;
    enum log_level level;
    if (!log_level_from_name(text_arg(args, "level"), &level)) {
        cause_set(cause, "level: %s is none of debug, info, warn, error", text_arg(args, "level"));
        return NULL;
    }
    log_set_level(level);
    return done();
}

static json_t *max_draft_tokens(const struct engines *e, const json_t *args, char **cause)
{
    const json_t *value = json_object_get(args, "n");
    const char *text = json_is_integer(value) ? "auto" : json_string_value(value);
    char *end = NULL;
    int64_t n = json_is_integer(value)      ? json_integer_value(value)
                : strcmp(text, "auto") == 0 ? CONFIG_AUTO
                                            : strtoll(text, &end, 10);
    if (end != NULL && (end == text || *end != '\0')) {
        cause_set(cause, "n: %s is neither a number nor auto", text);
        return NULL;
    }
    return proxy_set_max_draft_tokens(e->proxy, n, cause) != 0 ? NULL : done();
}

static json_t *reload(const struct engines *e, const json_t *args, char **cause)
{
    (void)args;
    if (e->proxy->hooks.reload == NULL) {
        cause_set(cause, "this instance has nothing to reload");
        return NULL;
    }
    return e->proxy->hooks.reload(e->proxy->hooks.arg, cause) != 0 ? NULL : done();
}

static json_t *stop(const struct engines *e, const json_t *args, char **cause)
{
    (void)args;
    if (e->proxy->hooks.stop == NULL) {
        cause_set(cause, "this instance cannot be stopped by a command");
        return NULL;
    }
    e->proxy->hooks.stop(e->proxy->hooks.arg);
    return done();
}

static struct pool *the_pool(const struct engines *e, char **cause)
{
    if (e->pool == NULL)
        cause_set(cause, "no pool is configured: cluster.yaml wants an entry under models, and the target must be the "
                         "pool's coordinator");
    return e->pool;
}

static json_t *pool_start_command(const struct engines *e, const json_t *args, char **cause)
{
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_start(p, text_arg(args, "model"), cause) != 0 ? NULL : done();
}

static json_t *pool_stop_command(const struct engines *e, const json_t *args, char **cause)
{
    (void)args;
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_stop(p, cause) != 0 ? NULL : done();
}

static json_t *load(const struct engines *e, const json_t *args, char **cause)
{
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_load(p, text_arg(args, "model"), cause) != 0 ? NULL : done();
}

static json_t *swap(const struct engines *e, const json_t *args, char **cause)
{
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_swap(p, text_arg(args, "model"), cause) != 0 ? NULL : done();
}

static json_t *reclaim(const struct engines *e, const json_t *args, char **cause)
{
    (void)args;
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_reclaim(p, cause) != 0 ? NULL : done();
}

const struct command command_table[] = {
    {"drafter-add", "[url] [type] [backend] [model_name] [name] [api_key] [save]",
     "add a drafter at once; save: write it to the configuration file too", drafter_add},
    {"drafter-pause", "[name]", "stop using a drafter, or all of them", drafter_pause},
    {"drafter-remove", "name", "remove a drafter", drafter_remove},
    {"drafter-resume", "[name]", "use a paused drafter again, or all of them", drafter_resume},
    {"load", "[model]", "load the pool's model anew, or another one; the answers under way are finished first", load},
    {"log-level", "level", "debug, info, warn or error", log_level},
    {"max-draft-tokens", "n", "cap on the tokens of a draft; 0: speculation off; auto", max_draft_tokens},
    {"pool-start", "[model]", "start the pool's programs, if they do not run", pool_start_command},
    {"pool-stop", "", "finish the answers under way, then end the pool's programs", pool_stop_command},
    {"reclaim", "", "give the page cache of the model's file back", reclaim},
    {"reload", "", "read the configuration file again", reload},
    {"stop", "", "finish the answers under way, then stop", stop},
    {"swap", "model", "put another model in the place of the present one, under load", swap},
};
const size_t command_count = ARRAY_LEN(command_table);

/* Whether key is one of the command's args, and the first required one that is missing. */
static bool knows_arg(const struct command *c, const char *key)
{
    size_t n = strlen(key);
    for (const char *at = c->args; (at = strstr(at, key)) != NULL; at += n) {
        bool begins = at == c->args || at[-1] == ' ' || at[-1] == '[';
        if (begins && (at[n] == '\0' || at[n] == ' ' || at[n] == ']'))
            return true;
    }
    return false;
}

static int check_args(const struct command *c, const json_t *request, char **cause)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)request, key, value)
    {
        if (strcmp(key, "command") == 0)
            continue;
        if (!knows_arg(c, key))
            return cause_set(cause, "%s takes no %s; it takes: %s", c->name, key,
                             c->args[0] != '\0' ? c->args : "nothing");
        if (strcmp(key, "save") == 0 ? !json_is_boolean(value)
            : strcmp(key, "n") == 0 && json_is_integer(value)
                ? false
                : !json_is_string(value) || json_string_length(value) == 0)
            return cause_set(cause, "%s: %s is to be %s", c->name, key,
                             strcmp(key, "save") == 0 ? "true or false"
                             : strcmp(key, "n") == 0  ? "a number or auto"
                                                      : "a non-empty string");
    }
    char *words = xstrdup(c->args), *save = NULL;
    int failed = 0;
    for (char *w = strtok_r(words, " ", &save); w != NULL && failed == 0; w = strtok_r(NULL, " ", &save)) {
        if (w[0] != '[' && json_object_get(request, w) == NULL)
            failed = cause_set(cause, "%s wants %s", c->name, w);
    }
    free(words);
    return failed;
}

json_t *command_run(const struct engines *e, const json_t *request, char **cause)
{
    const char *name = json_string_value(json_object_get(request, "command"));
    if (name == NULL) {
        cause_set(cause, "command: the name of a command is expected");
        return NULL;
    }
    const char *names[ARRAY_LEN(command_table)];
    for (size_t i = 0; i < command_count; i++) {
        names[i] = command_table[i].name;
        if (strcmp(names[i], name) == 0)
            return check_args(&command_table[i], request, cause) != 0 ? NULL : command_table[i].run(e, request, cause);
    }
    const char *near = config_nearest(name, names, command_count);
    cause_set(cause, "there is no command %s%s%s%s", name, near != NULL ? "; did you mean " : "",
              near != NULL ? near : "", near != NULL ? "?" : "");
    return NULL;
}
