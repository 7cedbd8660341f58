#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"
#include "config/origin.h"
#include "config/value.h"

/* "default", "cluster.yaml:12" or "$TIGHTWAD_PORT".  A drafter's value may have come by way of `draft`, `drafters` or a
 * variable: they share the offset.  Owned by the caller. */
static char *origin_text(const struct config *c, const struct option *o, size_t index)
{
    const struct config_origin *at = origin_get(c, o, index);
    for (size_t i = 0; i < option_count && o->place == OPTION_IN_DRAFTERS; i++) {
        const struct option *other = &option_table[i];
        const struct config_origin *found = NULL;
        if (other->place == OPTION_IN_DRAFT && other->offset == o->offset)
            found = origin_get(c, other, index);
        if (found)
            at = found;
    }
    if (!at && strcmp(option_leaf(o), "name") == 0)
        return xstrdup(o->place == OPTION_IN_MODELS    ? "from the path"
                       : o->place == OPTION_IN_WORKERS ? "from the host"
                       : o->place == OPTION_IN_GPUS    ? "its number"
                                                       : "from the url");
    if (!at)
        return xstrdup("default");
    return at->line ? xasprintf("%s:%zu", at->file, at->line) : xstrdup(at->file);
}

/* A value as YAML that means the same when it is read; NULL when it is not set.  Owned by the caller. */
static char *yaml_value(const struct option *o, const void *at)
{
    char *text = value_text(o, at);
    if (!text || o->type > OPTION_PROGRAM || o->type == OPTION_SECRET)
        return text;
    char *yaml = value_yaml(text);
    free(text);
    return yaml;
}

static void show_options(const struct config *c, const char *section, size_t index, const char *indent,
                         const char *first, FILE *to)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (!option_in_section(o, section))
            continue;
        char *value = yaml_value(o, option_value(o, (struct config *)c, index));
        char *origin = origin_text(c, o, index);
        char *line =
            value ? xasprintf("%s%s: %s", first, option_leaf(o), value) : xasprintf("%s# %s:", first, option_leaf(o));
        fprintf(to, "%-46s  # %s\n", line, value ? origin : "not set");
        free(line);
        free(origin);
        free(value);
        first = indent;
    }
}

/* Whether anything about a pool is in force that is not a default. */
static bool pool_given(const struct config *c)
{
    for (size_t i = 0; i < c->n_origins; i++) {
        const char *key = c->origins[i].option->key;
        if (strncmp(key, "proxy.", 6) != 0 && strncmp(key, "log.", 4) != 0 && strncmp(key, "quality_gate.", 13) != 0 &&
            strncmp(key, "swarm.", 6) != 0)
            return true;
    }
    return c->pool.n_workers > 0 || c->pool.n_models > 0 || c->pool.coordinator.n_gpus > 0;
}

/* Whether the section stands in the file. */
static bool swarm_given(const struct config *c)
{
    for (size_t i = 0; i < c->n_origins; i++) {
        if (strncmp(c->origins[i].option->key, "swarm.", 6) == 0)
            return true;
    }
    return false;
}

static void show_pool(const struct config *c, FILE *to)
{
    const struct config_pool *p = &c->pool;
    fprintf(to, "coordinator:\n");
    show_options(c, "coordinator", 0, "  ", "  ", to);
    fprintf(to, "  gpus:%s\n", p->coordinator.n_gpus ? "" : " []");
    for (size_t i = 0; i < p->coordinator.n_gpus; i++)
        show_options(c, "coordinator.gpus[]", i, "      ", "    - ", to);
    fprintf(to, "workers:%s\n", p->n_workers ? "" : " []");
    for (size_t i = 0; i < p->n_workers; i++) {
        show_options(c, "workers[]", i, "    ", "  - ", to);
        fprintf(to, "    gpus:\n");
        for (size_t k = 0; k < p->workers[i].n_gpus; k++)
            show_options(c, "workers[].gpus[]", i * CONFIG_GPUS_MAX + k, "        ", "      - ", to);
    }
    fprintf(to, "models:%s\n", p->n_models ? "" : " []");
    for (size_t i = 0; i < p->n_models; i++)
        show_options(c, "models[]", i, "    ", "  - ", to);
    fprintf(to, "binaries:\n");
    show_options(c, "binaries", 0, "  ", "  ", to);
    show_options(c, "", 0, "", "", to);
}

static void show_gate(const struct config *c, FILE *to)
{
    const struct config_gate *g = &c->gate;
    fprintf(to, "quality_gate:  # approximate\n");
    show_options(c, "quality_gate", 0, "  ", "  ", to);
    fprintf(to, g->verifier.url ? "  verifier:\n" : "  # verifier: the target\n");
    if (g->verifier.url)
        show_options(c, "quality_gate.verifier", 0, "    ", "    ", to);
    fprintf(to, "  agents:\n");
    for (size_t i = 0; i < g->n_agents; i++)
        show_options(c, "quality_gate.agents[]", i, "      ", "    - ", to);
}

void config_show(const struct config *c, FILE *to)
{
    fprintf(to, "# %s%s\n", c->path ? "read from " : "no configuration file: defaults and the environment",
            c->path ? c->path : "");
    fprintf(to, "proxy:\n");
    show_options(c, "proxy", 0, "  ", "  ", to);
    if (c->proxy.target.url)
        fprintf(to, "  target:\n");
    else
        fprintf(to, config_has_pool(c) ? "  # target: the pool's coordinator\n" : "  # target: not configured\n");
    if (c->proxy.target.url)
        show_options(c, "proxy.target", 0, "    ", "    ", to);
    fprintf(to, "  drafters:%s\n", c->proxy.n_drafters ? "" : " []");
    for (size_t i = 0; i < c->proxy.n_drafters; i++)
        show_options(c, "proxy.drafters[]", i, "      ", "    - ", to);
    if (c->gate.configured)
        show_gate(c, to);
    if (pool_given(c))
        show_pool(c, to);
    if (swarm_given(c)) {
        fprintf(to, "swarm:\n");
        show_options(c, "swarm", 0, "  ", "  ", to);
    }
    fprintf(to, "log:\n");
    show_options(c, "log", 0, "  ", "  ", to);
}

static json_t *options_json(const struct config *c, const char *section, size_t index)
{
    json_t *list = json_object();
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (!option_in_section(o, section))
            continue;
        char *origin = origin_text(c, o, index);
        json_t *value = value_json(o, option_value(o, (struct config *)c, index));
        json_object_set_new(list, option_leaf(o), json_pack("{s:o,s:s}", "value", value, "from", origin));
        free(origin);
    }
    return list;
}

static void add_pool_json(const struct config *c, json_t *all)
{
    const struct config_pool *p = &c->pool;
    json_t *coordinator = options_json(c, "coordinator", 0), *gpus = json_array(), *workers = json_array(),
           *models = json_array();
    for (size_t i = 0; i < p->coordinator.n_gpus; i++)
        json_array_append_new(gpus, options_json(c, "coordinator.gpus[]", i));
    json_object_set_new(coordinator, "gpus", gpus);
    for (size_t i = 0; i < p->n_workers; i++) {
        json_t *worker = options_json(c, "workers[]", i), *lent = json_array();
        for (size_t k = 0; k < p->workers[i].n_gpus; k++)
            json_array_append_new(lent, options_json(c, "workers[].gpus[]", i * CONFIG_GPUS_MAX + k));
        json_object_set_new(worker, "gpus", lent);
        json_array_append_new(workers, worker);
    }
    for (size_t i = 0; i < p->n_models; i++)
        json_array_append_new(models, options_json(c, "models[]", i));
    json_object_set_new(all, "coordinator", coordinator);
    json_object_set_new(all, "workers", workers);
    json_object_set_new(all, "models", models);
    json_object_set_new(all, "binaries", options_json(c, "binaries", 0));
    json_t *rest = options_json(c, "", 0);
    json_object_update(all, rest);
    json_decref(rest);
}

static json_t *gate_json(const struct config *c)
{
    json_t *gate = options_json(c, "quality_gate", 0), *agents = json_array();
    for (size_t i = 0; i < c->gate.n_agents; i++)
        json_array_append_new(agents, options_json(c, "quality_gate.agents[]", i));
    json_object_set_new(gate, "verifier",
                        c->gate.verifier.url ? options_json(c, "quality_gate.verifier", 0) : json_null());
    json_object_set_new(gate, "agents", agents);
    return gate;
}

json_t *config_show_json(const struct config *c)
{
    json_t *proxy = options_json(c, "proxy", 0);
    json_object_set_new(proxy, "target", options_json(c, "proxy.target", 0));
    json_t *drafters = json_array();
    for (size_t i = 0; i < c->proxy.n_drafters; i++)
        json_array_append_new(drafters, options_json(c, "proxy.drafters[]", i));
    json_object_set_new(proxy, "drafters", drafters);
    json_t *all = json_pack("{s:s?,s:o,s:o}", "path", c->path, "proxy", proxy, "log", options_json(c, "log", 0));
    if (c->gate.configured)
        json_object_set_new(all, "quality_gate", gate_json(c));
    if (pool_given(c))
        add_pool_json(c, all);
    if (swarm_given(c))
        json_object_set_new(all, "swarm", options_json(c, "swarm", 0));
    return all;
}
