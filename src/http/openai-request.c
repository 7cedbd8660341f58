/* Requests in the OpenAI shapes: what openai.h declares as oai_request_*. */
#include "http/openai.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

enum {
    STOPS_MAX = 16,
    TOP_LOGPROBS_MAX = 20,
    REPEAT_LAST_N = 64, /* when only the penalty is given, as llama.cpp has it */
};

enum { CHAT = 1, COMPLETIONS = 2, BOTH = CHAT | COMPLETIONS };

enum kind {
    TAKEN,   /* parsed below */
    NEUTRAL, /* changes nothing of the answer: any value will do */
    REFUSED, /* would change the answer and can't: only the values listed, which ask for nothing, will do */
};

/* Every parameter that is known, sorted by name. */
static const struct param {
    const char *name;
    int where;
    enum kind kind;
    const char *harmless[2]; /* compact JSON */
} params[] = {
    {"audio", CHAT, REFUSED},
    {"best_of", COMPLETIONS, REFUSED, {"1"}},
    {"cache_prompt", BOTH, NEUTRAL},
    {"echo", COMPLETIONS, TAKEN},
    {"frequency_penalty", BOTH, TAKEN},
    {"function_call", CHAT, REFUSED, {"\"none\"", "\"auto\""}},
    {"functions", CHAT, REFUSED, {"[]"}},
    {"logit_bias", BOTH, TAKEN},
    {"logprobs", BOTH, TAKEN},
    {"max_completion_tokens", CHAT, TAKEN},
    {"max_tokens", BOTH, TAKEN},
    {"messages", CHAT, TAKEN},
    {"metadata", BOTH, NEUTRAL},
    {"min_p", BOTH, TAKEN},
    {"modalities", CHAT, REFUSED, {"[\"text\"]"}},
    {"model", BOTH, TAKEN},
    {"n", BOTH, REFUSED, {"1"}},
    {"parallel_tool_calls", CHAT, NEUTRAL}, /* without tools, which are refused */
    {"prediction", CHAT, NEUTRAL},          /* a hint for speed */
    {"presence_penalty", BOTH, TAKEN},
    {"prompt", COMPLETIONS, TAKEN},
    {"prompt_cache_key", BOTH, NEUTRAL},
    {"prompt_cache_retention", BOTH, NEUTRAL},
    {"reasoning_effort", CHAT, REFUSED, {"\"none\""}},
    {"repeat_last_n", BOTH, TAKEN},
    {"repeat_penalty", BOTH, TAKEN},
    {"response_format", BOTH, REFUSED, {"{\"type\":\"text\"}"}},
    {"return_tokens_as_token_ids", BOTH, TAKEN},
    {"safety_identifier", BOTH, NEUTRAL},
    {"seed", BOTH, TAKEN},
    {"service_tier", BOTH, NEUTRAL},
    {"stop", BOTH, TAKEN},
    {"store", BOTH, NEUTRAL},
    {"stream", BOTH, TAKEN},
    {"stream_options", BOTH, TAKEN},
    {"suffix", COMPLETIONS, REFUSED, {"\"\""}},
    {"temperature", BOTH, TAKEN},
    {"tool_choice", CHAT, REFUSED, {"\"none\"", "\"auto\""}},
    {"tools", CHAT, REFUSED, {"[]"}},
    {"top_k", BOTH, TAKEN},
    {"top_logprobs", CHAT, TAKEN},
    {"top_p", BOTH, TAKEN},
    {"user", BOTH, NEUTRAL},
    {"verbosity", CHAT, REFUSED, {"\"medium\""}},
    {"web_search_options", CHAT, REFUSED},
};

struct parse {
    struct oai_request *r;
    const json_t *o;
    const struct oai_limits *limits;
    struct oai_error *err;
};

static int refuse(struct oai_error *err, const char *param, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(struct oai_error *err, const char *param, const char *code, const char *fmt, ...)
{
    va_list ap;

    oai_error_finish(err);
    va_start(ap, fmt);
    *err = (struct oai_error){
        .status = 400,
        .message = xvasprintf(fmt, ap),
        .param = xstrdup(param),
        .code = xstrdup(code),
    };
    va_end(ap);
    return -1;
}

/* Turns a getter's cause into an error that names the parameter. */
static int wrong(struct parse *p, const char *key, char *cause)
{
    refuse(p->err, key, "invalid_value", "%s", cause ? cause : key);
    free(cause);
    return -1;
}

static int get_int(struct parse *p, const char *key, int64_t min, int64_t max, int64_t *out)
{
    char *cause = NULL;
    int n = json_get_int(p->o, key, min, max, out, &cause);

    return n < 0 ? wrong(p, key, cause) : n;
}

static int get_double(struct parse *p, const char *key, double min, double max, double *out)
{
    char *cause = NULL;
    int n = json_get_double(p->o, key, min, max, out, &cause);

    return n < 0 ? wrong(p, key, cause) : n;
}

static int get_bool(struct parse *p, const char *key, bool *out)
{
    char *cause = NULL;
    int n = json_get_bool(p->o, key, out, &cause);

    return n < 0 ? wrong(p, key, cause) : n;
}

static bool is_absent(const json_t *v)
{
    return !v || json_is_null(v);
}

static int compare_param(const void *name, const void *row)
{
    return strcmp(name, ((const struct param *)row)->name);
}

static bool is_harmless(const struct param *row, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    bool found = false;

    for (size_t i = 0; text && i < ARRAY_LEN(row->harmless) && row->harmless[i]; i++)
        found = found || strcmp(text, row->harmless[i]) == 0;
    free(text);
    return found;
}

static int check_params(struct parse *p)
{
    int where = p->r->chat ? CHAT : COMPLETIONS;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)p->o, key, value)
    {
        const struct param *row = bsearch(key, params, ARRAY_LEN(params), sizeof(params[0]), compare_param);

        if (json_is_null(value))
            continue;
        if (!row || !(row->where & where))
            return refuse(p->err, key, "unknown_parameter", "unknown parameter: %s", key);
        if (row->kind == REFUSED && !is_harmless(row, value)) {
            if (row->harmless[0])
                return refuse(p->err, key, "unsupported_parameter", "%s: only %s is supported", key, row->harmless[0]);
            return refuse(p->err, key, "unsupported_parameter", "%s: not supported", key);
        }
    }
    return 0;
}

static int parse_sampling(struct parse *p)
{
    struct sampler_params *s = &p->r->sampling;
    int64_t seed = 0, top_k = s->top_k, last_n = s->repeat_last_n;
    int given, penalty, last;

    given = get_int(p, "seed", INT64_MIN, INT64_MAX, &seed);
    if (given < 0 || get_double(p, "temperature", 0, 2, &s->temperature) < 0 ||
        get_double(p, "top_p", 0, 1, &s->top_p) < 0 || get_double(p, "min_p", 0, 1, &s->min_p) < 0 ||
        get_int(p, "top_k", -1, INT32_MAX, &top_k) < 0 ||
        get_double(p, "frequency_penalty", -2, 2, &s->frequency_penalty) < 0 ||
        get_double(p, "presence_penalty", -2, 2, &s->presence_penalty) < 0)
        return -1;
    penalty = get_double(p, "repeat_penalty", 0.01, 100, &s->repeat_penalty);
    last = get_int(p, "repeat_last_n", -1, INT32_MAX, &last_n);
    if (penalty < 0 || last < 0)
        return -1;
    s->top_k = top_k < 0 ? 0 : (int32_t)top_k;
    s->repeat_last_n = penalty > 0 && last == 0 ? REPEAT_LAST_N : (int32_t)last_n;
    p->r->seed_given = given > 0;
    s->seed = given > 0 ? (uint64_t)seed : sampler_random_seed();
    return 0;
}

static int parse_bias(struct parse *p)
{
    struct sampler_params *s = &p->r->sampling;
    json_t *o = json_object_get(p->o, "logit_bias"), *value;
    const char *key;

    if (is_absent(o))
        return 0;
    if (!json_is_object(o))
        return refuse(p->err, "logit_bias", "invalid_value", "logit_bias must be an object of token ids and numbers");
    s->bias = xcalloc(json_object_size(o) + 1, sizeof(*s->bias));
    json_object_foreach(o, key, value)
    {
        size_t digits = strspn(key, "0123456789");
        int64_t id = digits > 0 && digits <= 10 ? strtoll(key, NULL, 10) : -1;
        double bias = json_number_value(value);

        if (id < 0 || id > INT32_MAX || key[digits] != '\0' || (key[0] == '0' && digits > 1))
            return refuse(p->err, "logit_bias", "invalid_value", "logit_bias: %s is not a token id", key);
        if (!json_is_number(value) || !(bias >= -100 && bias <= 100))
            return refuse(p->err, "logit_bias", "invalid_value",
                          "logit_bias: the bias of token %s must be a number from -100 to 100", key);
        s->bias[s->n_bias++] = (struct sampler_bias){(int32_t)id, (float)bias};
    }
    return 0;
}

static int add_stop(struct parse *p, const json_t *v)
{
    if (!json_is_string(v) || json_string_length(v) == 0)
        return refuse(p->err, "stop", "invalid_value", "stop must be a string that is not empty, or an array of such");
    p->r->stops[p->r->n_stops++] = xstrdup(json_string_value(v));
    return 0;
}

static int parse_stop(struct parse *p)
{
    const json_t *v = json_object_get(p->o, "stop");

    if (is_absent(v))
        return 0;
    p->r->stops = xcalloc(STOPS_MAX, sizeof(*p->r->stops));
    if (!json_is_array(v))
        return add_stop(p, v);
    if (json_array_size(v) > STOPS_MAX)
        return refuse(p->err, "stop", "invalid_value", "stop has %zu strings; at most %d are taken", json_array_size(v),
                      STOPS_MAX);
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (add_stop(p, json_array_get(v, i)) != 0)
            return -1;
    }
    return 0;
}

static int parse_max_tokens(struct parse *p)
{
    int64_t a = -1, b = -1, max = p->limits->max_tokens;

    if (get_int(p, "max_tokens", p->r->chat ? 1 : 0, max, &a) < 0 ||
        get_int(p, "max_completion_tokens", 1, max, &b) < 0)
        return -1;
    if (a >= 0 && b >= 0 && a != b)
        return refuse(p->err, "max_tokens", "invalid_value",
                      "max_tokens and max_completion_tokens contradict each other");
    p->r->max_tokens = b >= 0 ? b : a;
    return 0;
}

static int parse_logprobs(struct parse *p)
{
    struct oai_request *r = p->r;
    int64_t n = -1;
    bool on = false;

    r->logprobs = -1;
    if (get_bool(p, "return_tokens_as_token_ids", &r->tokens_as_ids) < 0)
        return -1;
    if (!r->chat) {
        if (get_int(p, "logprobs", 0, TOP_LOGPROBS_MAX, &n) < 0)
            return -1;
        r->logprobs = (int)n;
        return 0;
    }
    if (get_bool(p, "logprobs", &on) < 0 || get_int(p, "top_logprobs", 0, TOP_LOGPROBS_MAX, &n) < 0)
        return -1;
    if (n > 0 && !on)
        return refuse(p->err, "top_logprobs", "invalid_value", "top_logprobs needs logprobs: true");
    if (on)
        r->logprobs = n > 0 ? (int)n : 0;
    return 0;
}

static int parse_stream(struct parse *p)
{
    json_t *options = json_object_get(p->o, "stream_options"), *value;
    const char *key;

    if (get_bool(p, "stream", &p->r->stream) < 0)
        return -1;
    if (!p->r->chat && get_bool(p, "echo", &p->r->echo) < 0)
        return -1;
    if (is_absent(options))
        return 0;
    if (!json_is_object(options))
        return refuse(p->err, "stream_options", "invalid_value", "stream_options must be an object");
    if (!p->r->stream)
        return refuse(p->err, "stream_options", "invalid_value", "stream_options needs stream: true");
    json_object_foreach(options, key, value)
    {
        if (strcmp(key, "include_usage") == 0 && json_is_boolean(value))
            p->r->include_usage = json_is_true(value);
        else if (!json_is_null(value) && strcmp(key, "include_obfuscation") != 0)
            return refuse(p->err, "stream_options", "invalid_value",
                          "stream_options takes include_usage (true or false); %s is not understood", key);
    }
    return 0;
}

/* The text of a message: a string, or an array of parts of type text. */
static int join_content(struct parse *p, const json_t *content, size_t index, struct buf *out)
{
    char param[64];

    snprintf(param, sizeof(param), "messages[%zu].content", index);
    if (json_is_string(content)) {
        buf_add(out, json_string_value(content), json_string_length(content));
        return 0;
    }
    if (!json_is_array(content))
        return refuse(p->err, param, "invalid_value", "%s must be a string or an array of text parts", param);
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i), *text = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));

        if (!type || strcmp(type, "text") != 0)
            return refuse(p->err, param, "invalid_value", "%s[%zu]: only parts of type text are supported", param, i);
        if (!json_is_string(text))
            return refuse(p->err, param, "invalid_value", "%s[%zu].text must be a string", param, i);
        buf_add(out, json_string_value(text), json_string_length(text));
    }
    return 0;
}

/* The role as chat templates know it, or NULL. */
static const char *known_role(const char *role)
{
    static const char *const roles[] = {"system", "user", "assistant"};

    for (size_t i = 0; role && i < ARRAY_LEN(roles); i++) {
        if (strcmp(role, roles[i]) == 0)
            return roles[i];
    }
    return role && strcmp(role, "developer") == 0 ? "system" : NULL; /* its newer name */
}

static int parse_message(struct parse *p, const json_t *m, size_t index)
{
    /* Clients send replies back as they got them, with these present and empty. */
    static const char *const unsupported[] = {"tool_calls", "function_call", "audio", "refusal"};
    const char *role = known_role(json_string_value(json_object_get(m, "role")));
    char param[64];
    struct buf text;
    int result;

    snprintf(param, sizeof(param), "messages[%zu]", index);
    if (!json_is_object(m))
        return refuse(p->err, param, "invalid_value", "%s must be an object with role and content", param);
    for (size_t i = 0; i < ARRAY_LEN(unsupported); i++) {
        const json_t *v = json_object_get(m, unsupported[i]);

        if (!is_absent(v) && !(json_is_array(v) && json_array_size(v) == 0)) {
            snprintf(param, sizeof(param), "messages[%zu].%s", index, unsupported[i]);
            return refuse(p->err, param, "unsupported_parameter", "%s is not supported", param);
        }
    }
    if (!role) {
        snprintf(param, sizeof(param), "messages[%zu].role", index);
        return refuse(p->err, param, "invalid_value", "%s must be system, developer, user or assistant", param);
    }
    buf_init(&text, SIZE_MAX);
    result = join_content(p, json_object_get(m, "content"), index, &text);
    if (result == 0)
        json_array_append_new(p->r->messages,
                              json_pack("{s:s,s:o}", "role", role, "content", json_stringn(text.data, text.len)));
    buf_finish(&text);
    return result;
}

static int parse_messages(struct parse *p)
{
    const json_t *list = json_object_get(p->o, "messages");

    if (!json_is_array(list) || json_array_size(list) == 0)
        return refuse(p->err, "messages", list ? "invalid_value" : "missing_required_parameter",
                      "messages must be an array with at least one message");
    p->r->messages = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (parse_message(p, json_array_get(list, i), i) != 0)
            return -1;
    }
    return 0;
}

static int parse_prompt(struct parse *p)
{
    json_t *v = json_object_get(p->o, "prompt"), *first = json_array_get(v, 0), *o;
    char *cause = NULL;
    int result;

    if (json_is_array(v) && json_array_size(v) == 1 && !json_is_integer(first))
        v = first; /* one prompt in a list of prompts */
    if (json_is_string(v)) {
        p->r->prompt = xstrdup(json_string_value(v));
        return 0;
    }
    if (!json_is_array(v) || json_array_size(v) == 0)
        return refuse(p->err, "prompt", is_absent(v) ? "missing_required_parameter" : "invalid_value",
                      "prompt must be a string or an array of token ids");
    if (!json_is_integer(json_array_get(v, 0)))
        return refuse(p->err, "prompt", "invalid_value", "prompt: one prompt a request is supported");
    o = json_pack("{s:O}", "prompt", v);
    result = json_get_tokens(o, "prompt", &p->r->prompt_tokens, &p->r->n_prompt_tokens, &cause);
    json_decref(o);
    return result < 0 ? wrong(p, "prompt", cause) : 0;
}

/* A number too large for any type stops the JSON parser: the key before it, so that the error can name it.  Owned by
 * the caller; NULL when the trouble is another one. */
static char *overflown_key(const char *body, size_t len)
{
    json_error_t error;
    json_t *o = json_loadb(body, len, JSON_REJECT_DUPLICATES, &error);
    size_t i = error.position > 0 && (size_t)error.position <= len ? (size_t)error.position : 0, end;

    if (o) {
        json_decref(o);
        return NULL;
    }
    if (json_error_code(&error) != json_error_numeric_overflow)
        return NULL;
    while (i > 0 && body[i - 1] != ':')
        i--;
    while (i > 0 && (body[i - 1] == ':' || isspace((unsigned char)body[i - 1])))
        i--;
    if (i == 0 || body[--i] != '"')
        return NULL;
    end = i;
    while (i > 0 && body[i - 1] != '"')
        i--;
    return end - i <= 64 ? xstrndup(body + i, end - i) : NULL;
}

static int parse_body(struct oai_request *r, const char *body, size_t len, struct oai_error *err)
{
    char *cause = NULL, *key;

    r->original = json_parse_object(body, len, &cause);
    if (r->original)
        return 0;
    key = overflown_key(body, len);
    if (key)
        refuse(err, key, "invalid_value", "%s: the number is out of range", key);
    else
        refuse(err, NULL, "invalid_json", "the request body: %s", cause ? cause : "");
    free(key);
    free(cause);
    return -1;
}

static int parse_request(struct oai_request *r, bool chat, const char *body, size_t len,
                         const struct oai_limits *limits, struct oai_error *err)
{
    struct parse p = {.r = r, .limits = limits, .err = err};
    const json_t *model;

    memset(r, 0, sizeof(*r));
    memset(err, 0, sizeof(*err));
    r->chat = chat;
    r->max_tokens = r->logprobs = -1;
    sampler_params_init(&r->sampling);
    if (parse_body(r, body, len, err) != 0)
        return -1;
    p.o = r->original;
    model = json_object_get(p.o, "model");
    if (!is_absent(model) && !json_is_string(model))
        return refuse(err, "model", "invalid_value", "model must be a string");
    if (json_string_length(model) > 0)
        r->model = xstrdup(json_string_value(model));
    if (check_params(&p) != 0 || (chat ? parse_messages(&p) : parse_prompt(&p)) != 0 || parse_sampling(&p) != 0 ||
        parse_bias(&p) != 0 || parse_stop(&p) != 0 || parse_max_tokens(&p) != 0 || parse_logprobs(&p) != 0 ||
        parse_stream(&p) != 0)
        return -1;
    return 0;
}

int oai_request_parse(struct oai_request *r, bool chat, const char *body, size_t len, const struct oai_limits *limits,
                      struct oai_error *err)
{
    int result = parse_request(r, chat, body, len, limits, err);

    if (result != 0)
        oai_request_finish(r);
    return result;
}

void oai_request_finish(struct oai_request *r)
{
    free(r->model);
    json_decref(r->messages);
    free(r->prompt);
    free(r->prompt_tokens);
    sampler_params_finish(&r->sampling);
    for (size_t i = 0; i < r->n_stops; i++)
        free(r->stops[i]);
    free(r->stops);
    json_decref(r->original);
    memset(r, 0, sizeof(*r));
}

void oai_error_finish(struct oai_error *e)
{
    free(e->message);
    free(e->param);
    free(e->code);
    memset(e, 0, sizeof(*e));
}
