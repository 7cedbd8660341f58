#include "engines/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "config/config.h"
#include "engines/command-rows.h"

const struct command command_table[] = {
    {"consensus", "mode [save]",
     "off, strict, majority or any_disagree (approximate); lifts a suspension for errors; save: write it to the "
     "configuration file too",
     command_consensus, NULL},
    {"doctor", "", "ask every configured server, measure, and tell what is wrong and how to mend it", NULL,
     command_doctor},
    {"drafter-add", "[url] [type] [backend] [model_name] [name] [api_key] [save]",
     "add a drafter at once; save: write it to the configuration file too", command_drafter_add, NULL},
    {"drafter-pause", "[name]", "stop using a drafter, or all of them", command_drafter_pause, NULL},
    {"drafter-remove", "name [save]", "remove a drafter; save: from the configuration file too", command_drafter_remove,
     NULL},
    {"drafter-resume", "[name]", "use a paused drafter again, or all of them", command_drafter_resume, NULL},
    {"gate", "on [save]",
     "whether the quality gate answers (approximate), true or false; save: write it to the configuration file too",
     command_gate, NULL},
    {"load", "[model]", "load the pool's model anew, or another one; the answers under way are finished first",
     command_load, NULL},
    {"log-level", "level [save]", "debug, info, warn or error; save: write it to the configuration file too",
     command_log_level, NULL},
    {"max-draft-tokens", "n [save]",
     "cap on the tokens of a draft; 0: speculation off; auto; save: write it to the configuration file too",
     command_max_draft_tokens, NULL},
    {"mode", "mode [save]",
     "what the plain model name means: auto, exact, consensus or gate; save: write it to the configuration file too",
     command_mode, NULL},
    {"model-default", "model", "write to the configuration file which model is loaded first", command_model_default,
     NULL},
    {"models", "", "the models that can be loaded: size, whether each fits, expected tokens a second", NULL,
     command_models},
    {"pool-start", "[model]", "start the pool's programs, if they do not run", command_pool_start, NULL},
    {"pool-stop", "", "finish the answers under way, then end the pool's programs", command_pool_stop, NULL},
    {"reclaim", "", "give the page cache of the model's file back", command_reclaim, NULL},
    {"reload", "", "read the configuration file again", command_reload, NULL},
    {"stop", "", "finish the answers under way, then stop", command_stop, NULL},
    {"swap", "model", "put another model in the place of the present one, under load", command_swap, NULL},
    {"swarm-cancel", "what", "end a pull, by the model's id or name; what has come stays on the disk",
     command_swarm_cancel, NULL},
    {"swarm-pull", "what [peer]",
     "pull a model from the swarm: its id, its name or a URL; peer: HOST:PORT to ask as well", command_swarm_pull,
     NULL},
    {"swarm-share", "path", "give out a model file; answers with its id when its manifest is made", NULL,
     command_swarm_share},
    {"test-prompt", "[prompt] [model] [max_tokens]", "ask the endpoint something; answers with the request's number",
     command_test_prompt, NULL},
    {"tune", "", "whether this machine's memory and swap are ready for large models", NULL, command_tune},
};
const size_t command_count = ARRAY_LEN(command_table);

struct command_call {
    command_done_cb *done; /* NULL: nobody waits any more */
    void *arg;
    bool began; /* command_run has returned, or is about to */
    bool ended; /* before that */
};

/* ---- arguments ---- */

static bool is_text(const json_t *v)
{
    return json_is_string(v) && json_string_length(v) > 0;
}

static bool is_yes_or_no(const json_t *v)
{
    return json_is_boolean(v);
}

static bool is_count(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) > 0;
}

static bool is_count_or_text(const json_t *v)
{
    return json_is_integer(v) || is_text(v);
}

/* Those that are not a text. */
static const struct arg_kind {
    const char *name, *expected;
    bool (*is_right)(const json_t *v);
} arg_kinds[] = {
    {"save", "true or false", is_yes_or_no},
    {"on", "true or false", is_yes_or_no},
    {"n", "a number or auto", is_count_or_text},
    {"max_tokens", "a number above 0", is_count},
};
static const struct arg_kind text_kind = {NULL, "a non-empty string", is_text};

static const struct arg_kind *kind_of(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(arg_kinds); i++) {
        if (strcmp(arg_kinds[i].name, key) == 0)
            return &arg_kinds[i];
    }
    return &text_kind;
}

/* Whether key is one of the command's args. */
static bool knows_arg(const struct command *c, const char *key)
{
    size_t n = strlen(key);
    for (const char *at = c->args; n > 0 && (at = strstr(at, key)) != NULL; at += n) {
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
        if (!kind_of(key)->is_right(value))
            return cause_set(cause, "%s: %s is to be %s", c->name, key, kind_of(key)->expected);
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

static const struct command *find(const json_t *request, char **cause)
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
            return check_args(&command_table[i], request, cause) == 0 ? &command_table[i] : NULL;
    }
    const char *near = config_nearest(name, names, command_count);
    cause_set(cause, "there is no command %s%s%s%s", name, near != NULL ? "; did you mean " : "",
              near != NULL ? near : "", near != NULL ? "?" : "");
    return NULL;
}

/* ---- calls ---- */

void command_end(struct command_call *c, json_t *reply, const char *why)
{
    command_done_cb *tell = c->done;
    void *arg = c->arg;
    if (c->began)
        free(c);
    else
        c->ended = true; /* still in command_run, which frees it */
    if (tell != NULL)
        tell(arg, reply, reply == NULL && why == NULL ? "the command failed" : why);
    else
        json_decref(reply);
}

void command_cancel(struct command_call *c)
{
    if (c != NULL)
        c->done = NULL;
}

struct command_call *command_run(const struct engines *e, const json_t *request, command_done_cb *done, void *arg)
{
    char *cause = NULL;
    const struct command *row = find(request, &cause);
    struct command_call *c = xcalloc(1, sizeof(*c));
    *c = (struct command_call){.done = done, .arg = arg};
    if (row == NULL) {
        command_end(c, NULL, cause);
    } else if (row->run != NULL) {
        json_t *reply = row->run(e, request, &cause);
        command_end(c, reply, cause);
    } else if (row->begin(e, request, c, &cause) != 0) {
        command_end(c, NULL, cause);
    }
    free(cause);
    c->began = true;
    if (!c->ended)
        return c;
    free(c);
    return NULL;
}
