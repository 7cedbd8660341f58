/* The model names that requests may ask for, what the plain one means, and what refusals tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engines/names.h"
#include "engines/proxy-internal.h"
#include "rig.h"

/* "NAME NAME@…": what is listed.  Owned by the caller. */
static char *listed(const struct rig *r)
{
    json_t *list = proxy_models(r->proxy), *name;
    size_t i;
    char *text = xstrdup("");
    json_array_foreach(list, i, name)
    {
        char *longer = xasprintf("%s%s%s", text, i > 0 ? " " : "", json_string_value(name));
        free(text);
        text = longer;
    }
    json_decref(list);
    return text;
}

static void check_listed(const struct rig *r, const char *want)
{
    char *text = listed(r);
    assert_string_equal(text, want);
    free(text);
}

/* The mode that a name gets, or NULL and in why the refusal (to be finished). */
static const char *mode_of(struct rig *r, const char *model, struct oai_error *why)
{
    enum proxy_mode mode;
    *why = (struct oai_error){0};
    return names_choose(r->proxy, model, &mode, why) == 0 ? proxy_mode_name(mode) : NULL;
}

static void check_mode(struct rig *r, const char *model, const char *want)
{
    struct oai_error why;
    const char *mode = mode_of(r, model, &why);
    if (mode == NULL)
        fail_msg("%s: %s", model, why.message);
    assert_string_equal(mode, want);
}

static void check_refused(struct rig *r, const char *model, const char *code, const char *words)
{
    struct oai_error why;
    uint64_t before = r->proxy->requests_refused;
    if (mode_of(r, model, &why) != NULL)
        fail_msg("%s is served", model);
    assert_int_equal(why.status, 404);
    assert_string_equal(why.param, "model");
    assert_string_equal(why.code, code);
    if (strstr(why.message, words) == NULL)
        fail_msg("no \"%s\" in: %s", words, why.message);
    assert_int_equal(r->proxy->requests_refused, before + 1);
    oai_error_finish(&why);
}

static void exact_by_default(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 9, 8);
    check_listed(&r, "fake fake@exact fake@target fake@draft");
    check_mode(&r, NULL, "exact");
    check_mode(&r, "fake", "exact");
    check_mode(&r, "target", "exact"); /* who heard it before the name was known */
    check_mode(&r, "fake@exact", "exact");
    check_mode(&r, "fake@target", "target");
    check_mode(&r, "fake@draft", "draft");
    check_refused(&r, "other", "model_not_found", "there is fake, also with @exact, @target and @draft behind it");
    check_refused(&r, "fake@", "model_not_found", "fake@ is not served here");
    check_refused(&r, "fake@Exact", "model_not_found", "not served here");
    check_refused(&r, "other@gate", "model_not_found", "not served here");
    check_refused(&r, "fake@consensus", "mode_not_configured", "proxy.consensus_mode");
    check_refused(&r, "fake@gate", "mode_not_configured", "quality_gate in cluster.yaml wants agents");
    rig_stop(&r);
}

static int set(struct rig *r, const char *mode)
{
    char *cause = NULL;
    int rc = proxy_set_default_mode(r->proxy, mode, &cause);
    assert_true((cause != NULL) == (rc != 0));
    free(cause);
    return rc;
}

static void reload(struct rig *r)
{
    char *cause = NULL;
    assert_int_equal(proxy_reload(r->proxy, &r->cfg, &cause), 0);
}

static void consensus_when_it_is_on(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 9, 8);
    assert_int_equal(set(&r, "consensus"), -1); /* it is off */
    r.cfg.proxy.consensus_mode = "strict";
    reload(&r);
    check_listed(&r, "fake fake@exact fake@target fake@draft fake@consensus");
    check_mode(&r, "fake", "consensus");
    check_mode(&r, "fake@consensus", "consensus");
    check_mode(&r, "fake@exact", "exact");
    check_refused(&r, "nonsense", "model_not_found", "@exact, @target, @draft and @consensus");
    assert_int_equal(set(&r, "exact"), 0);
    check_mode(&r, "fake", "exact");
    check_mode(&r, "fake@consensus", "consensus");
    rig_stop(&r);
}

static void the_gate_goes_first(void **state)
{
    (void)state;
    struct rig r;
    struct config_server agent = {.name = "a", .url = "http://127.0.0.1:1", .backend = "node"};
    char *cause = NULL;
    rig_start(&r, 9, 8);
    assert_int_equal(proxy_set_gate(r.proxy, true, &cause), -1); /* there is none */
    assert_non_null(strstr(cause, "quality_gate"));
    free(cause);
    cause = NULL;
    r.cfg.proxy.consensus_mode = "majority";
    r.cfg.gate.configured = r.cfg.gate.enabled = true;
    r.cfg.gate.agents = &agent;
    r.cfg.gate.n_agents = 1;
    reload(&r);
    check_listed(&r, "fake fake@exact fake@target fake@draft fake@consensus fake@gate");
    check_mode(&r, "fake", "gate");
    assert_int_equal(set(&r, "consensus"), 0);
    check_mode(&r, "fake", "consensus");
    assert_int_equal(set(&r, "gate"), 0);
    assert_int_equal(set(&r, "target"), -1);
    check_mode(&r, "fake", "gate");
    assert_int_equal(proxy_set_gate(r.proxy, false, &cause), 0);
    check_mode(&r, "fake", "exact"); /* not the next best approximate one */
    check_mode(&r, "fake@gate", "gate");
    check_listed(&r, "fake fake@exact fake@target fake@draft fake@consensus fake@gate");
    rig_stop(&r);
}

/* What a command has switched stays when the file is read again for something else. */
static void a_reload_takes_what_has_changed(void **state)
{
    (void)state;
    struct rig r;
    char *cause = NULL;
    rig_start(&r, 9, 8);
    r.cfg.proxy.consensus_mode = "strict";
    reload(&r);
    assert_int_equal(proxy_set_consensus(r.proxy, "off", &cause), 0);
    r.cfg.proxy.max_queue = 7;
    reload(&r);
    assert_string_equal(r.proxy->settings.consensus_mode, "off");
    r.cfg.proxy.consensus_mode = "majority";
    r.cfg.proxy.default_mode = "exact";
    reload(&r);
    assert_string_equal(r.proxy->settings.consensus_mode, "majority");
    check_mode(&r, "fake", "exact");
    rig_stop(&r);
}

const struct CMUnitTest names_tests[] = {
    cmocka_unit_test(exact_by_default),
    cmocka_unit_test(consensus_when_it_is_on),
    cmocka_unit_test(the_gate_goes_first),
    cmocka_unit_test(a_reload_takes_what_has_changed),
};
const size_t names_test_count = ARRAY_LEN(names_tests);
