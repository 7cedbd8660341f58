#include "probe/scan-answer.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"

enum { TEXT_MAX = 1024, MODELS_MAX = 256, AGENT_PROTOCOLS = 1000 };

/* ---- fields ---- */

static void copy_at(char *to, size_t size, const json_t *o, const char *key)
{
    machine_text(to, size, json_text(o, key));
}

static char *text_copy(const char *text)
{
    char copy[TEXT_MAX];
    machine_text(copy, sizeof(copy), text);
    return xstrdup(copy);
}

static int64_t size_at(const json_t *o, const char *key)
{
    const json_t *n = json_object_get(o, key);
    return json_is_integer(n) && json_integer_value(n) > 0 ? json_integer_value(n) : -1;
}

/* "8.2B", "494.03M", "84K" → a count; -1: none. */
static int64_t count_of(const char *text)
{
    char *end;
    double n = strtod(text, &end);
    double unit = *end == 'K' ? 1e3 : *end == 'M' ? 1e6 : *end == 'B' ? 1e9 : *end == 'T' ? 1e12 : 0;
    if (end == text || !isdigit((unsigned char)text[0]) || unit == 0 || end[1] != '\0' || !(n > 0 && n < 1e6))
        return -1;
    return (int64_t)(n * unit + 0.5);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *back = strrchr(path, '\\'); /* a llama-server on Windows */
    if (back != NULL && (slash == NULL || back > slash))
        slash = back;
    return slash != NULL ? slash + 1 : path;
}

static struct machine_model *add_model(struct machine *m, const char *name, const char *from)
{
    struct machine_model *model = machine_add_model(m);
    model->name = text_copy(name);
    model->from = xstrdup(from);
    return model;
}

/* ---- who is it ---- */

bool scan_answer_is_node(const json_t *o)
{
    return json_is_integer(json_object_get(o, "protocol")) && json_is_string(json_object_get(o, "fingerprint"));
}

bool scan_answer_is_llamacpp(const json_t *o)
{
    return json_is_object(json_object_get(o, "default_generation_settings"));
}

/* A llama-server answers to /api/tags as well, with its own list under "data". */
bool scan_answer_is_ollama(const json_t *o)
{
    return json_is_array(json_object_get(o, "models")) && json_object_get(o, "data") == NULL;
}

bool scan_answer_is_agent(const json_t *o)
{
    const char *service = json_string_value(json_object_get(o, "service"));
    return service != NULL && strcmp(service, "tightwad-agent") == 0;
}

enum scan_refusal scan_answer_refusal(int status, const json_t *o)
{
    const json_t *error = json_object_get(o, "error"), *code = json_object_get(error, "code");
    const char *word = json_string_value(code);
    if (word != NULL)
        return (status == 401 && strcmp(word, "invalid_api_key") == 0) ||
                       (status == 503 && strcmp(word, "loading") == 0)
                   ? SCAN_REFUSED_NODE
                   : SCAN_NO_REFUSAL;
    bool same = json_is_integer(code) && json_integer_value(code) == status;
    return same && (status == 401 || status == 503) && json_is_string(json_object_get(error, "type"))
               ? SCAN_REFUSED_LLAMACPP
               : SCAN_NO_REFUSAL;
}

/* ---- what they tell ---- */

/* "qwen3 8B Q8_0", as llama.cpp describes a model: architecture, size, quantisation. */
static void read_description(struct machine_model *model, const char *text)
{
    char size[16];
    int at = 0;
    if (sscanf(text, "%*47s %15s %n", size, &at) < 1 || at == 0)
        return;
    model->parameters = count_of(size);
    machine_text(model->quantisation, sizeof(model->quantisation), text + at);
}

void scan_answer_node(struct machine *m, const json_t *o)
{
    struct machine_service *s = &m->service[0];
    const char *name = json_text(o, "model"), *path = json_text(o, "path");
    copy_at(s->version, sizeof(s->version), o, "version");
    copy_at(s->model, sizeof(s->model), o, "model");
    if (*name == '\0')
        return;
    struct machine_model *model = add_model(m, name, "node");
    if (*path != '\0')
        model->path = text_copy(path);
    model->bytes = size_at(o, "size");
    copy_at(model->vocab, sizeof(model->vocab), o, "fingerprint");
    copy_at(model->architecture, sizeof(model->architecture), o, "architecture");
    read_description(model, json_text(o, "description"));
}

void scan_answer_props(struct machine *m, const json_t *o)
{
    struct machine_service *s = &m->service[0];
    const char *alias = json_text(o, "model_alias"), *path = json_text(o, "model_path");
    copy_at(s->version, sizeof(s->version), o, "build_info");
    machine_text(s->model, sizeof(s->model), *alias != '\0' ? alias : base_name(path));
    if (s->model[0] == '\0')
        return;
    struct machine_model *model = add_model(m, *path != '\0' ? base_name(path) : s->model, "llama-server");
    if (*path != '\0')
        model->path = text_copy(path);
}

void scan_answer_models(struct machine *m, const json_t *o)
{
    const json_t *first = json_array_get(json_object_get(o, "data"), 0), *meta = json_object_get(first, "meta");
    const char *id = json_text(first, "id");
    if (*id == '\0')
        return;
    struct machine_service *s = &m->service[0];
    if (s->model[0] == '\0')
        machine_text(s->model, sizeof(s->model), base_name(id));
    struct machine_model *model = m->n_models > 0 ? &m->model[0] : add_model(m, base_name(id), "llama-server");
    model->bytes = size_at(meta, "size");
    model->parameters = size_at(meta, "n_params");
}

void scan_answer_tags(struct machine *m, const json_t *o)
{
    const json_t *list = json_object_get(o, "models");
    for (size_t i = 0; i < json_array_size(list) && i < MODELS_MAX; i++) {
        const json_t *entry = json_array_get(list, i), *details = json_object_get(entry, "details");
        const char *name = json_text(entry, "name");
        if (*name == '\0')
            continue;
        struct machine_model *model = add_model(m, name, "ollama");
        model->bytes = size_at(entry, "size");
        model->parameters = count_of(json_text(details, "parameter_size"));
        copy_at(model->architecture, sizeof(model->architecture), details, "family");
        copy_at(model->quantisation, sizeof(model->quantisation), details, "quantization_level");
    }
}

void scan_answer_version(struct machine *m, const json_t *o)
{
    copy_at(m->service[0].version, sizeof(m->service[0].version), o, "version");
}

void scan_answer_ps(struct machine *m, const json_t *o)
{
    const json_t *first = json_array_get(json_object_get(o, "models"), 0);
    copy_at(m->service[0].model, sizeof(m->service[0].model), first, "name");
}

/* ---- agents ---- */

int scan_answer_agent(struct machine *m, const json_t *o, char **cause)
{
    int64_t protocol = 0;
    if (json_get_int(o, "protocol", 1, AGENT_PROTOCOLS, &protocol, NULL) != 1)
        return cause_set(cause, "it is no answer of a tightwad agent");
    if (machine_from_json(m, json_object_get(o, "machine"), cause) != 0)
        return cause_prefix(cause, "machine");
    m->origin = MACHINE_AGENT;
    m->n_services = 0;
    m->address[0] = '\0';
    m->rtt_us = -1;
    return 0;
}

/* ---- together ---- */

static bool same_text(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool same_model(const struct machine_model *a, const struct machine_model *b)
{
    return same_text(a->path, b->path) || (same_text(a->name, b->name) && same_text(a->from, b->from));
}

static void model_finish(struct machine_model *model)
{
    free(model->name);
    free(model->path);
    free(model->from);
}

static void merge_services(struct machine *to, const struct machine *from)
{
    for (size_t i = 0; i < from->n_services; i++) {
        const struct machine_service *s = &from->service[i];
        size_t j = 0;
        while (j < to->n_services && (to->service[j].kind != s->kind || to->service[j].port != s->port))
            j++;
        if (j == to->n_services)
            *machine_add_service(to) = *s;
        else if (!s->needs_secret)
            to->service[j].needs_secret = false; /* it has been told by now */
    }
}

/* Moves them. */
static void merge_models(struct machine *to, struct machine *from)
{
    for (size_t i = 0; i < from->n_models; i++) {
        size_t j = 0;
        while (j < to->n_models && !same_model(&to->model[j], &from->model[i]))
            j++;
        if (j == to->n_models)
            *machine_add_model(to) = from->model[i];
        else
            model_finish(&from->model[i]);
    }
    from->n_models = 0;
}

static void swap(struct machine *a, struct machine *b)
{
    struct machine was = *a;
    *a = *b;
    *b = was;
}

void scan_answer_merge(struct machine *to, struct machine *from)
{
    if (from->origin == MACHINE_AGENT && to->origin == MACHINE_SEEN) {
        swap(to, from);
        memcpy(to->address, from->address, sizeof(to->address));
        if (to->name[0] == '\0')
            memcpy(to->name, from->name, sizeof(to->name));
        to->rtt_us = from->rtt_us;
    }
    merge_services(to, from);
    merge_models(to, from);
    for (size_t i = 0; i < from->n_notes; i++)
        machine_add_note(to, "%s", from->note[i]);
    if (from->rtt_us >= 0 && (to->rtt_us < 0 || from->rtt_us < to->rtt_us))
        to->rtt_us = from->rtt_us;
    machine_finish(from);
    machine_init(from, MACHINE_SEEN);
}
