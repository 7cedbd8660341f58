#include "engines/command-rows.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/config.h"
#include "engines/pool.h"
#include "engines/proxy-internal.h"

enum { TEST_TOKENS = 128 };

static const char test_prompt[] = "Describe in a few sentences how several old computers can share one task.";

static json_t *done(void)
{
    return json_pack("{s:b}", "ok", 1);
}

static const char *text_arg(const json_t *args, const char *key)
{
    return json_string_value(json_object_get(args, key));
}

/* ---- saving ---- */

/* Whether the change is to be written to the file, found out before anything is changed: 1, 0, or -1 and a cause. */
static int wants_save(const struct engines *e, const json_t *args, char **cause)
{
    if (!json_is_true(json_object_get(args, "save")))
        return 0;
    if (e->proxy->config_path == NULL)
        return cause_set(cause, "save: this instance runs without a configuration file");
    return 1;
}

/* The answer to a command whose change is in force; failed: writing it to the file was not possible. */
static json_t *saved(int failed, char **cause)
{
    if (failed == 0)
        return done();
    cause_prefix(cause, "it is done, but not saved");
    return NULL;
}

/* ---- drafters ---- */

json_t *command_drafter_add(const struct engines *e, const json_t *args, char **cause)
{
    struct config_server given = {.name = (char *)text_arg(args, "name"),
                                  .url = (char *)text_arg(args, "url"),
                                  .model_name = (char *)text_arg(args, "model_name"),
                                  .backend = (char *)text_arg(args, "backend"),
                                  .type = (char *)text_arg(args, "type"),
                                  .api_key = (char *)text_arg(args, "api_key")},
                         s;
    int save = wants_save(e, args, cause);
    if (save < 0 || config_server_init(&s, &given, cause) != 0)
        return NULL;
    json_t *answer = NULL;
    if (proxy_add_drafter(e->proxy, &s, cause) == 0) {
        log_info("drafter %s is added", s.name);
        answer = saved(save ? config_file_add_drafter(e->proxy->config_path, &s, cause) : 0, cause);
    }
    config_server_finish(&s);
    return answer;
}

static bool is_pools_own(const struct proxy *p, const char *name)
{
    for (size_t i = 0; i < p->n_drafters; i++) {
        if (p->drafter[i]->pooled && strcmp(p->drafter[i]->name, name) == 0)
            return true;
    }
    return false;
}

json_t *command_drafter_remove(const struct engines *e, const json_t *args, char **cause)
{
    const char *name = text_arg(args, "name");
    if (is_pools_own(e->proxy, name)) {
        cause_set(cause, "%s is run by the pool: the model's `draft` in cluster.yaml names it (pausing it works)",
                  name);
        return NULL;
    }
    int save = wants_save(e, args, cause);
    if (save < 0 || proxy_remove_drafter(e->proxy, name, cause) != 0)
        return NULL;
    return saved(save ? config_file_remove_drafter(e->proxy->config_path, name, cause) : 0, cause);
}

json_t *command_drafter_pause(const struct engines *e, const json_t *args, char **cause)
{
    return proxy_pause_drafter(e->proxy, text_arg(args, "name"), true, cause) != 0 ? NULL : done();
}

json_t *command_drafter_resume(const struct engines *e, const json_t *args, char **cause)
{
    return proxy_pause_drafter(e->proxy, text_arg(args, "name"), false, cause) != 0 ? NULL : done();
}

json_t *command_max_draft_tokens(const struct engines *e, const json_t *args, char **cause)
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
    int save = wants_save(e, args, cause);
    if (save < 0 || proxy_set_max_draft_tokens(e->proxy, n, cause) != 0)
        return NULL;
    char *written = n == CONFIG_AUTO ? xstrdup("auto") : xasprintf("%" PRId64, n);
    int failed = save ? config_file_set(e->proxy->config_path, "proxy.max_draft_tokens", written, cause) : 0;
    free(written);
    return saved(failed, cause);
}

/* ---- modes ---- */

/* value is in force; written to the file as key where that is wanted. */
static json_t *save_as(const struct engines *e, int save, const char *key, const char *value, char **cause)
{
    return saved(save ? config_file_set(e->proxy->config_path, key, value, cause) : 0, cause);
}

json_t *command_consensus(const struct engines *e, const json_t *args, char **cause)
{
    const char *mode = text_arg(args, "mode");
    int save = wants_save(e, args, cause);
    if (save < 0 || proxy_set_consensus(e->proxy, mode, cause) != 0)
        return NULL;
    return save_as(e, save, "proxy.consensus_mode", mode, cause);
}

json_t *command_gate(const struct engines *e, const json_t *args, char **cause)
{
    bool on = json_is_true(json_object_get(args, "on"));
    int save = wants_save(e, args, cause);
    if (save < 0 || proxy_set_gate(e->proxy, on, cause) != 0)
        return NULL;
    return save_as(e, save, "quality_gate.enabled", on ? "true" : "false", cause);
}

json_t *command_mode(const struct engines *e, const json_t *args, char **cause)
{
    const char *mode = text_arg(args, "mode");
    int save = wants_save(e, args, cause);
    if (save < 0 || proxy_set_default_mode(e->proxy, mode, cause) != 0)
        return NULL;
    return save_as(e, save, "proxy.default_mode", mode, cause);
}

/* ---- the instance ---- */

json_t *command_log_level(const struct engines *e, const json_t *args, char **cause)
{
    enum log_level level;
    if (!log_level_from_name(text_arg(args, "level"), &level)) {
        cause_set(cause, "level: %s is none of debug, info, warn, error", text_arg(args, "level"));
        return NULL;
    }
    int save = wants_save(e, args, cause);
    if (save < 0)
        return NULL;
    log_set_level(level);
    return saved(save ? config_file_set(e->proxy->config_path, "log.level", log_level_name(level), cause) : 0, cause);
}

json_t *command_reload(const struct engines *e, const json_t *args, char **cause)
{
    (void)args;
    if (e->proxy->hooks.reload == NULL) {
        cause_set(cause, "this instance has nothing to reload");
        return NULL;
    }
    return e->proxy->hooks.reload(e->proxy->hooks.arg, cause) != 0 ? NULL : done();
}

json_t *command_stop(const struct engines *e, const json_t *args, char **cause)
{
    (void)args;
    if (e->proxy->hooks.stop == NULL) {
        cause_set(cause, "this instance cannot be stopped by a command");
        return NULL;
    }
    e->proxy->hooks.stop(e->proxy->hooks.arg);
    return done();
}

static int examine(const struct engines *e, const char *verb, struct command_call *call, char **cause)
{
    const struct proxy_hooks *h = &e->proxy->hooks;
    if (h->examine == NULL)
        return cause_set(cause, "this instance can't run `tightwad %s`", verb);
    return h->examine(h->arg, verb, call, cause);
}

int command_doctor(const struct engines *e, const json_t *args, struct command_call *call, char **cause)
{
    (void)args;
    return examine(e, "doctor", call, cause);
}

int command_tune(const struct engines *e, const json_t *args, struct command_call *call, char **cause)
{
    (void)args;
    return examine(e, "tune", call, cause);
}

/* ---- a request of our own ---- */

static void test_start(void *arg, int64_t prompt_tokens)
{
    (void)arg;
    (void)prompt_tokens;
}

static bool test_text(void *arg, const char *text, size_t len, const struct oai_token *tokens, const bool *drafted,
                      size_t n)
{
    (void)arg;
    (void)text;
    (void)len;
    (void)tokens;
    (void)drafted;
    (void)n;
    return true;
}

static void test_done(void *arg, enum answer_finish finish, const struct oai_usage *usage)
{
    (void)arg;
    (void)finish;
    if (usage->completion_tokens >= 0)
        log_info("the test prompt is answered: %" PRId64 " tokens", usage->completion_tokens);
    else
        log_info("the test prompt is answered");
}

static void test_error(void *arg, int status, const char *type, const char *code, const char *message)
{
    (void)arg;
    (void)status;
    (void)type;
    (void)code;
    log_warn("the test prompt failed: %s", message);
}

/* Its text is seen where everybody's is: in the dashboard. */
static const struct proxy_ops test_ops = {test_start, test_text, test_done, test_error, NULL};

static json_t *submit(struct proxy *p, const char *body, char **cause)
{
    const struct oai_limits limits = {.max_tokens = p->settings.max_tokens_limit};
    struct oai_request q;
    struct oai_error err = {0};
    const struct proxy_answer *a = NULL;
    if (oai_request_parse(&q, true, body, strlen(body), &limits, &err) == 0) {
        a = proxy_submit(p, &q, &test_ops, NULL, &err);
        oai_request_finish(&q);
    }
    if (a == NULL)
        cause_set(cause, "%s", err.message);
    oai_error_finish(&err);
    return a != NULL ? json_pack("{s:b, s:I}", "ok", 1, "request", (json_int_t)a->id) : NULL;
}

json_t *command_test_prompt(const struct engines *e, const json_t *args, char **cause)
{
    const char *prompt = text_arg(args, "prompt"), *model = text_arg(args, "model");
    const json_t *tokens = json_object_get(args, "max_tokens");
    json_t *request = json_pack("{s:s*, s:I, s:[{s:s, s:s}]}", "model", model, "max_tokens",
                                tokens != NULL ? json_integer_value(tokens) : (json_int_t)TEST_TOKENS, "messages",
                                "role", "user", "content", prompt != NULL ? prompt : test_prompt);
    char *body = json_dumps(request, JSON_COMPACT);
    json_t *answer = submit(e->proxy, body, cause);
    free(body);
    json_decref(request);
    return answer;
}

/* ---- the pool ---- */

static struct pool *the_pool(const struct engines *e, char **cause)
{
    if (e->pool == NULL)
        cause_set(cause, "no pool is configured: cluster.yaml wants an entry under models, and the target must be the "
                         "pool's coordinator");
    return e->pool;
}

json_t *command_pool_start(const struct engines *e, const json_t *args, char **cause)
{
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_start(p, text_arg(args, "model"), cause) != 0 ? NULL : done();
}

json_t *command_pool_stop(const struct engines *e, const json_t *args, char **cause)
{
    (void)args;
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_stop(p, cause) != 0 ? NULL : done();
}

json_t *command_load(const struct engines *e, const json_t *args, char **cause)
{
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_load(p, text_arg(args, "model"), cause) != 0 ? NULL : done();
}

json_t *command_swap(const struct engines *e, const json_t *args, char **cause)
{
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_swap(p, text_arg(args, "model"), cause) != 0 ? NULL : done();
}

json_t *command_reclaim(const struct engines *e, const json_t *args, char **cause)
{
    (void)args;
    struct pool *p = the_pool(e, cause);
    return p == NULL || pool_reclaim(p, cause) != 0 ? NULL : done();
}

json_t *command_model_default(const struct engines *e, const json_t *args, char **cause)
{
    if (the_pool(e, cause) == NULL)
        return NULL;
    if (e->proxy->config_path == NULL) {
        cause_set(cause, "this instance runs without a configuration file");
        return NULL;
    }
    return config_file_set_default_model(e->proxy->config_path, text_arg(args, "model"), cause) != 0 ? NULL : done();
}

/* The one model of a target that somebody else runs. */
static json_t *only_model(const struct proxy *p)
{
    double rate = snapshot_model_rate(proxy_snapshot(p), proxy_model(p));
    bool known = !isnan(rate);
    return json_pack("{s:b, s:[{s:s, s:n, s:n, s:n, s:n, s:s, s:b, s:b, s:o, s:o}]}", "pool", 0, "models", "name",
                     proxy_model(p), "path", "bytes", "fits", "missing", "reason",
                     "the target is run by somebody else; a pool of tightwad's own can swap models", "resident", 1,
                     "default", 1, "tokens_per_second", known ? json_real(rate) : json_null(), "rate",
                     known ? json_string("measured") : json_null());
}

static void on_models(void *arg, json_t *list, const char *why)
{
    command_end(arg, list != NULL ? json_pack("{s:b, s:o}", "pool", 1, "models", list) : NULL, why);
}

int command_models(const struct engines *e, const json_t *args, struct command_call *call, char **cause)
{
    (void)args;
    if (e->pool != NULL)
        return pool_models(e->pool, on_models, call, cause);
    command_end(call, only_model(e->proxy), NULL);
    return 0;
}
