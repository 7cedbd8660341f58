#include "engines/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/proxy-internal.h"

const char *proxy_mode_name(enum proxy_mode mode)
{
    static const char *const names[] = {[PROXY_EXACT] = "exact",
                                        [PROXY_CONSENSUS] = "consensus",
                                        [PROXY_GATE] = "gate",
                                        [PROXY_TARGET] = "target",
                                        [PROXY_DRAFT] = "draft"};
    return names[mode];
}

/* In the order in which they are listed. */
static const enum proxy_mode modes[] = {PROXY_EXACT, PROXY_TARGET, PROXY_DRAFT, PROXY_CONSENSUS, PROXY_GATE};

bool proxy_mode_is_approximate(enum proxy_mode mode)
{
    return mode == PROXY_CONSENSUS || mode == PROXY_GATE;
}

enum proxy_mode proxy_answer_mode(const struct proxy_answer *a)
{
    return a->mode;
}

/* ---- which modes there are ---- */

static bool is_consensus_on(const struct proxy *p)
{
    return strcmp(p->settings.consensus_mode, "off") != 0;
}

/* What a mode lacks, in words; NULL: it can be asked for. */
static const char *lacks(const struct proxy *p, enum proxy_mode mode)
{
    if (mode == PROXY_CONSENSUS && !is_consensus_on(p))
        return "consensus is off: proxy.consensus_mode in cluster.yaml, or the command `consensus`, turns it on";
    if (mode == PROXY_GATE && !proxy_gate_configured(p))
        return "no quality gate is configured: quality_gate in cluster.yaml wants agents";
    if (mode == PROXY_DRAFT && proxy_draft_server(p) == NULL && p->next_model == NULL)
        return "there is no drafter with a server of its own";
    return NULL;
}

/* While another model comes, @draft may be asked for: its drafter comes with it. */
static bool is_listed(const struct proxy *p, enum proxy_mode mode)
{
    return lacks(p, mode) == NULL && (mode != PROXY_DRAFT || proxy_draft_server(p) != NULL);
}

enum proxy_mode names_default(const struct proxy *p)
{
    const char *mode = p->settings.default_mode;
    bool is_auto = strcmp(mode, "auto") == 0, gate = proxy_gate_on(p);
    if (gate && (is_auto || strcmp(mode, "gate") == 0))
        return PROXY_GATE;
    if (is_consensus_on(p) && (is_auto || strcmp(mode, "consensus") == 0))
        return PROXY_CONSENSUS;
    return PROXY_EXACT;
}

json_t *proxy_models(const struct proxy *p)
{
    const char *name = proxy_model(p);
    json_t *list = json_array();
    json_array_append_new(list, json_string(name));
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (is_listed(p, modes[i]))
            json_array_append_new(list, json_sprintf("%s@%s", name, proxy_mode_name(modes[i])));
    }
    return list;
}

/* ---- names ---- */

static bool same_name(const char *model, const char *name, size_t n)
{
    return model != NULL && strlen(model) == n && strncmp(model, name, n) == 0;
}

/* Whether the first n bytes of name are one of the target's own names. */
static bool names_present(const struct proxy *p, const char *name, size_t n)
{
    return same_name(p->model, name, n) || same_name(p->target->backend->info.model, name, n);
}

/* Whether that is the model that another one is about to take the place of.  The server of the next one may tell its
 * name sooner than it is taken for the target. */
static bool names_leaving(const struct proxy *p, const char *name, size_t n)
{
    return p->next_model != NULL && !same_name(p->next_model, name, n) && names_present(p, name, n);
}

/* The same for what a request may say: of the model that is coming where another one is, and "target", which
 * proxy_model says while the name is not known, and who has heard that may go on using it. */
static bool names_target(const struct proxy *p, const char *name, size_t n)
{
    if (names_leaving(p, name, n))
        return false;
    if (same_name("target", name, n) || same_name(p->next_model, name, n))
        return true;
    if (p->next_model != NULL)
        return false;
    if (p->model == NULL && p->target->backend->info.model == NULL)
        return true;
    return names_present(p, name, n);
}

/* Whether suffix, what follows an @, is a mode's. */
static bool find_mode(const char *suffix, enum proxy_mode *mode)
{
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (strcmp(proxy_mode_name(modes[i]), suffix) == 0) {
            *mode = modes[i];
            return true;
        }
    }
    return false;
}

/* The length of the model's own name in NAME and NAME@MODE. */
static size_t name_length(const char *model)
{
    const char *at = strrchr(model, '@');
    enum proxy_mode mode;
    return at != NULL && find_mode(at + 1, &mode) ? (size_t)(at - model) : strlen(model);
}

bool proxy_serves_name(const struct proxy *p, const char *model)
{
    return model == NULL || names_target(p, model, strlen(model)) || names_target(p, model, name_length(model));
}

bool names_asks_present(const struct proxy *p, const char *model)
{
    return model != NULL && names_leaving(p, model, name_length(model));
}

/* "@exact, @target and @draft": those that can be asked for.  Owned by the caller. */
static char *suffixes(const struct proxy *p)
{
    size_t last = 0, n = 0;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        last = is_listed(p, modes[i]) ? i : last;
    struct buf b;
    buf_init(&b, 256);
    for (size_t i = 0; i <= last; i++) {
        if (is_listed(p, modes[i]))
            buf_printf(&b, "%s@%s", n++ == 0 ? "" : i == last ? " and " : ", ", proxy_mode_name(modes[i]));
    }
    return buf_steal(&b);
}

static int refuse_name(struct proxy *p, const char *model, struct oai_error *err)
{
    size_t n = name_length(model);
    if (p->next_model != NULL && names_present(p, model, n))
        return proxy_refuse(p, err, 404, "model", "model_not_found", "model %.*s is being replaced by %s", (int)n,
                            model, p->next_model);
    if (p->pool != NULL && p->pool->knows_model(p->pool_arg, model, n))
        return proxy_refuse(p, err, 404, "model", "model_not_loaded",
                            "model %.*s is configured but not loaded: `tightwad swap %.*s` loads it in the place of %s",
                            (int)n, model, (int)n, model, p->next_model != NULL ? p->next_model : proxy_model(p));
    char *list = suffixes(p);
    int rc =
        proxy_refuse(p, err, 404, "model", "model_not_found",
                     "model %s is not served here; there is %s, also with %s behind it", model, proxy_model(p), list);
    free(list);
    return rc;
}

int names_choose(struct proxy *p, const char *model, enum proxy_mode *mode, struct oai_error *err)
{
    *mode = names_default(p);
    if (model == NULL || names_target(p, model, strlen(model)))
        return 0;
    const char *at = strrchr(model, '@');
    if (at == NULL || !names_target(p, model, (size_t)(at - model)) || !find_mode(at + 1, mode))
        return refuse_name(p, model, err);
    const char *why = lacks(p, *mode);
    if (why != NULL)
        return proxy_refuse(p, err, 404, "model", "mode_not_configured", "%s: %s", model, why);
    return 0;
}

/* ---- switching ---- */

static void put(char **at, const char *text)
{
    char *copy = xstrdup(text);
    free(*at);
    *at = copy;
}

int proxy_set_default_mode(struct proxy *p, const char *mode, char **cause)
{
    static const char *const known[] = {"auto", "exact", "consensus", "gate"};
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        found = found || strcmp(known[i], mode) == 0;
    if (!found)
        return cause_set(cause, "the default mode is auto, exact, consensus or gate; not %s", mode);
    const char *why = strcmp(mode, "consensus") == 0 ? lacks(p, PROXY_CONSENSUS)
                      : strcmp(mode, "gate") == 0    ? lacks(p, PROXY_GATE)
                                                     : NULL;
    if (why != NULL)
        return cause_set(cause, "%s", why);
    put(&p->settings.default_mode, mode);
    names_tell(p);
    return 0;
}

void names_tell(struct proxy *p)
{
    enum proxy_mode mode = names_default(p);
    if (mode == p->told_mode)
        return;
    p->told_mode = mode;
    log_info("the model's plain name is served %s",
             mode == PROXY_GATE        ? "by the quality gate: approximate (@exact behind it asks for exact answers)"
             : mode == PROXY_CONSENSUS ? "by consensus: approximate (@exact behind it asks for exact answers)"
                                       : "exactly");
}

static bool differs(const char *a, const char *b)
{
    return a == NULL || strcmp(a, b) != 0;
}

int names_take(struct proxy *p, const struct config *cfg, char **cause)
{
    const struct config_proxy *from = &cfg->proxy;
    struct proxy_file_modes *was = &p->file_modes;
    bool consensus = differs(was->consensus_mode, from->consensus_mode);
    bool gate = was->consensus_mode == NULL || was->gate_on != cfg->gate.enabled || !p->gate_configured;
    bool mode = differs(was->default_mode, from->default_mode);
    p->gate_configured = cfg->gate.configured;
    was->gate_on = cfg->gate.enabled;
    put(&was->consensus_mode, from->consensus_mode);
    put(&was->default_mode, from->default_mode);
    if (mode)
        put(&p->settings.default_mode, from->default_mode);
    if (consensus && proxy_set_consensus(p, from->consensus_mode, cause) != 0)
        return -1;
    return gate && cfg->gate.configured ? proxy_set_gate(p, cfg->gate.enabled, cause) : 0;
}

void names_finish(struct proxy *p)
{
    free(p->file_modes.default_mode);
    free(p->file_modes.consensus_mode);
    free(p->settings.default_mode);
    free(p->settings.consensus_mode);
}
