/* What must hold of consensus and the quality gate. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/check.h"
#include "config/config.h"
#include "config/origin.h"
#include "config/value.h"

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* The line of a value that was given, else 0. */
static size_t line_of(const struct loader *l, const char *key)
{
    const struct config_origin *at = origin_get(l->config, option_find(key), 0);
    return at ? at->line : 0;
}

/* How many have an opinion of their own: an n-gram drafter only repeats what was there, and one of the pool's models
 * that drafts for the default one has a process of its own. */
static size_t voters(const struct config *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->proxy.n_drafters; i++)
        n += !is(c->proxy.drafters[i].backend, "ngram") && !is(c->proxy.drafters[i].type, "ngram");
    for (size_t i = 0; i < c->pool.n_models; i++) {
        const struct config_model *m = &c->pool.models[i];
        n += (m->is_default || i == 0) && m->draft && config_model_find(c, m->draft);
    }
    return n;
}

static void check_consensus(struct loader *l)
{
    const struct config *c = l->config;
    const char *mode = c->proxy.consensus_mode;
    size_t n = voters(c), at = line_of(l, "proxy.consensus_mode");
    if (is(c->proxy.default_mode, "consensus") && is(mode, "off") && !walk_was_wrong(l, "proxy.consensus_mode", 0))
        findings_add(l->findings, true, l->name, line_of(l, "proxy.default_mode"),
                     "proxy.default_mode: consensus needs proxy.consensus_mode: strict, majority or any_disagree");
    if (is(mode, "off") || n >= 2)
        return;
    if (n == 0 && c->proxy.n_drafters > 0)
        findings_add(
            l->findings, false, l->name, at,
            "proxy.consensus_mode is %s, but a drafter of type ngram has no vote: as long as there are not two "
            "models among the drafters, the target checks every token and answers stay exact",
            mode);
    else
        findings_add(l->findings, false, l->name, at,
                     "proxy.consensus_mode is %s, but %s: as long as there are not two of them (add one to "
                     "proxy.drafters), the target checks every token and answers stay exact",
                     mode, n == 0 ? "there is no drafter" : "only one drafter is a model");
}

/* Whether b may be left out where a is given: the same server, asked for the same model. */
static bool same_server(const struct config_server *a, const char *url, const char *model)
{
    return a->url && url && is(a->url, url) && (!model || !a->model_name || is(a->model_name, model));
}

/* The verifier that is the target anyway needs no connection of its own. */
static bool is_target(const struct config *c)
{
    const struct config_server *v = &c->gate.verifier;
    char *pool = config_target_is_pool(c) ? config_pool_url(c) : NULL;
    bool same = same_server(v, pool ? pool : c->proxy.target.url, pool ? NULL : c->proxy.target.model_name);
    free(pool);
    return same;
}

static void clear_verifier(struct config *c)
{
    config_server_finish(&c->gate.verifier);
    c->gate.verifier.backend = xstrdup("auto");
}

/* A gate with a verifier alone: that is the target. */
static void make_target(struct loader *l)
{
    struct config *c = l->config;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (o->place != OPTION_IN_TARGET)
            continue;
        char *from = xasprintf("quality_gate.verifier.%s", option_leaf(o));
        const struct option *v = option_find(from);
        const struct config_origin *at = origin_get(c, v, 0);
        void *mine = option_value(o, c, 0), *its = option_value(v, c, 0);
        free(from);
        value_clear(o, mine);
        *(char **)mine = *(char **)its;
        *(char **)its = NULL;
        if (at)
            origin_set(c, o, 0, at->file, at->line);
    }
    clear_verifier(c);
    l->target_line = l->verifier_line;
}

static void check_verifier(struct loader *l)
{
    struct config *c = l->config;
    struct config_server *v = &c->gate.verifier;
    struct seen seen = {v, "quality_gate.verifier", 0, l->verifier_line, false};
    if (l->verifier_line)
        check_server(l, &seen);
    bool target = c->proxy.target.url || config_has_pool(c);
    if (!v->url && !target && !walk_was_wrong(l, "quality_gate.verifier.url", 0))
        findings_add(
            l->findings, true, l->name, l->gate_line,
            "quality_gate has nobody who reviews: give it a verifier with a url, or configure proxy.target or a "
            "pool");
    else if (v->url && !target)
        make_target(l);
    else if (v->url && is_target(c))
        clear_verifier(c);
}

/* A reviewer who reads his own answers finds them right. */
static void check_agent(struct loader *l, size_t i)
{
    const struct config *c = l->config;
    const struct config_server *a = &c->gate.agents[i];
    const struct config_server *v = c->gate.verifier.url ? &c->gate.verifier : &c->proxy.target;
    char *pool = config_target_is_pool(c) && !c->gate.verifier.url ? config_pool_url(c) : NULL;
    if (same_server(a, pool ? pool : v->url, pool ? NULL : v->model_name))
        findings_add(l->findings, false, l->name, l->agent_line[i],
                     "quality_gate.agents[]: %s is also what reviews: it approves whatever it has written, and saves "
                     "nothing",
                     a->name);
    free(pool);
}

static void check_gate(struct loader *l)
{
    struct config *c = l->config;
    struct config_gate *g = &c->gate;
    struct seen list[CONFIG_AGENTS_MAX];
    g->configured = g->n_agents > 0;
    if (is(c->proxy.default_mode, "gate") && !g->configured)
        findings_add(l->findings, true, l->name, line_of(l, "proxy.default_mode"),
                     "proxy.default_mode: gate needs a quality_gate with agents");
    if (!l->gate_line)
        return;
    if (!g->configured) {
        findings_add(
            l->findings, true, l->name, l->gate_line,
            "quality_gate has no agents: list the servers that write answers, agents: [{url: http://HOST:PORT}]");
        return;
    }
    check_verifier(l);
    for (size_t i = 0; i < g->n_agents; i++) {
        list[i] = (struct seen){&g->agents[i], "quality_gate.agents[]", i, l->agent_line[i], false};
        check_server(l, &list[i]);
    }
    check_twins(l, list, g->n_agents);
    for (size_t i = 0; i < g->n_agents; i++)
        check_agent(l, i);
}

void check_modes(struct loader *l)
{
    check_consensus(l);
    check_gate(l);
}
