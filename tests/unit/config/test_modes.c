/* Consensus and the quality gate: their values, what must go together, and who reviews. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/config.h"
#include "rig.h"

static const char two_drafters[] = "proxy:\n  target: {url: 'http://t:1'}\n"
                                   "  drafters:\n    - url: http://a:1\n    - url: http://b:1\n";

static void defaults(void **state)
{
    struct config *c = rig_good("t.yaml", "");
    assert_string_equal(c->proxy.default_mode, "auto");
    assert_string_equal(c->proxy.consensus_mode, "off");
    assert_int_equal(c->proxy.consensus_window, 8);
    assert_true(c->proxy.consensus_audit == 0.05);
    assert_true(c->proxy.consensus_max_error == 0.02);
    assert_false(c->gate.configured);
    assert_true(c->gate.enabled);
    assert_null(c->gate.verifier.url);
    assert_string_equal(c->gate.routing, "least_busy");
    assert_string_equal(c->gate.review, "auto");
    assert_non_null(strstr(c->gate.verification_prompt, "APPROVE"));
    assert_int_equal(c->gate.max_retries, 2);
    assert_int_equal(c->gate.agent_timeout_ms, 60000);
    assert_false(c->gate.fail_open);
    assert_false(c->gate.cache_identical);
    assert_true(c->gate.min_token_probability == 0.01);
    assert_true(c->gate.keep_share == 0.25);
    assert_true(c->gate.shadow_share == 0.02);
    config_destroy(c);
}

static void consensus_is_read(void **state)
{
    char *yaml = xasprintf("%s  default_mode: consensus\n  consensus_mode: any_disagree\n  consensus_window: 64\n"
                           "  consensus_audit: 1\n  consensus_max_error: 0\n",
                           two_drafters);
    struct config *c = rig_good("t.yaml", yaml);
    assert_string_equal(c->proxy.consensus_mode, "any_disagree");
    assert_int_equal(c->proxy.consensus_window, 64);
    assert_true(c->proxy.consensus_audit == 1);
    assert_true(c->proxy.consensus_max_error == 0);
    config_destroy(c);
    free(yaml);
}

static void consensus_needs_voters(void **state)
{
    rig_finds(
        "proxy:\n  consensus_mode: strict\n", true,
        "t.yaml:2: warning: proxy.consensus_mode is strict, but there is no drafter: as long as there are not two of "
        "them (add one to proxy.drafters), the target checks every token and answers stay exact\n");
    rig_finds(
        "proxy:\n  consensus_mode: majority\n  drafters:\n    - url: http://a:1\n    - type: ngram\n", true,
        "t.yaml:2: warning: proxy.consensus_mode is majority, but only one drafter is a model: as long as there are "
        "not two of them (add one to proxy.drafters), the target checks every token and answers stay exact\n");
    rig_finds("proxy:\n  consensus_mode: strict\n  drafters:\n    - type: ngram\n", true,
              "t.yaml:2: warning: proxy.consensus_mode is strict, but a drafter of type ngram has no vote: as long as "
              "there are not two models among the drafters, the target checks every token and answers stay exact\n");
    rig_finds("models:\n  big: {path: /b.gguf, draft: little}\n  little: {path: /l.gguf}\n"
              "proxy:\n  consensus_mode: strict\n  drafters:\n    - url: http://a:1\n",
              true, "");
}

static void what_is_wrong_is_said(void **state)
{
    rig_finds("proxy:\n  default_mode: consensus\n", false,
              "t.yaml:2: error: proxy.default_mode: consensus needs proxy.consensus_mode: strict, majority or "
              "any_disagree\n");
    rig_finds("proxy:\n  default_mode: gate\n", false,
              "t.yaml:2: error: proxy.default_mode: gate needs a quality_gate with agents\n");
    rig_finds(
        "proxy:\n  consensus_mode: strickt\n  consensus_audit: 5%\n  consensus_window: 0\n", false,
        "t.yaml:2: error: proxy.consensus_mode: \"strickt\" is not one of off, strict, majority, any_disagree; did "
        "you mean strict?\n"
        "t.yaml:3: error: proxy.consensus_audit: \"5%\" is not a share from 0 to 1 such as 0.05; 5% is written as "
        "0.05\n"
        "t.yaml:4: error: proxy.consensus_window: \"0\" is out of range: 1 to 64 tokens\n");
    rig_finds("quality_gate:\n  enabled: true\n", false,
              "t.yaml:1: error: quality_gate has no agents: list the servers that write answers, agents: [{url: "
              "http://HOST:PORT}]\n");
    rig_finds("quality_gate:\n  agents:\n    - url: http://a:1\n", false,
              "t.yaml:1: error: quality_gate has nobody who reviews: give it a verifier with a url, or configure "
              "proxy.target or a pool\n");
    rig_finds(
        "quality_gate:\n  agent:\n    - url: http://a:1\n  routing: rnd_robin\n", false,
        "t.yaml:2: error: unknown key \"agent\" in quality_gate; did you mean agents?\n"
        "t.yaml:4: error: quality_gate.routing: \"rnd_robin\" is not one of least_busy, round_robin, race; did you "
        "mean round_robin?\n"
        "t.yaml:1: error: quality_gate has no agents: list the servers that write answers, agents: [{url: "
        "http://HOST:PORT}]\n");
}

static void agents_are_servers(void **state)
{
    struct config *c = rig_good("t.yaml", "proxy:\n  target: {url: 'http://t:1'}\n"
                                          "quality_gate:\n  agents:\n    - {url: 'http://a:1/v1/', model_name: m}\n"
                                          "    - {url: 'http://a:1', model_name: n, backend: ollama, api_key: k}\n");
    assert_true(c->gate.configured);
    assert_int_equal(c->gate.n_agents, 2);
    assert_string_equal(c->gate.agents[0].url, "http://a:1");
    assert_string_equal(c->gate.agents[0].backend, "auto");
    assert_string_equal(c->gate.agents[0].name, "a:1");
    assert_string_equal(c->gate.agents[1].name, "a:1#2");
    assert_string_equal(c->gate.agents[1].api_key, "k");
    assert_null(c->gate.verifier.url);
    config_destroy(c);
    rig_finds(
        "proxy:\n  target: {url: 'http://t:1'}\n"
        "quality_gate:\n  agents:\n    - url: http://a:1\n    - url: http://a:1/\n    - backend: node\n"
        "    - url: http://t:1\n    - url: http://b\n",
        false,
        "t.yaml:7: error: quality_gate.agents[] has no url\n"
        "t.yaml:9: warning: quality_gate.agents[].url: http without a port means port 80; a node listens on 8081, "
        "llama-server on 8080 or 9931, Ollama on 11434\n"
        "t.yaml:6: error: quality_gate.agents[] is the same server and model as quality_gate.agents[] in line 5\n"
        "t.yaml:8: warning: quality_gate.agents[]: t:1 is also what reviews: it approves whatever it has written, "
        "and saves nothing\n");
    char many[4096] = "proxy:\n  target: {url: 'http://t:1'}\nquality_gate:\n  agents:\n";
    for (int i = 0; i < 17; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "    - url: http://a:%d\n", i + 1);
    rig_finds(many, false, "t.yaml:21: error: quality_gate.agents: more than 16 agents\n");
}

static void a_verifier_alone_is_the_target(void **state)
{
    struct config *c = rig_good("t.yaml", "quality_gate:\n  verifier:\n    url: http://v:1/v1\n    model_name: m\n"
                                          "    backend: openai\n    api_key: k\n  agents:\n    - url: http://a:1\n");
    assert_string_equal(c->proxy.target.url, "http://v:1");
    assert_string_equal(c->proxy.target.model_name, "m");
    assert_string_equal(c->proxy.target.backend, "openai");
    assert_string_equal(c->proxy.target.api_key, "k");
    assert_string_equal(c->proxy.target.name, "v:1");
    assert_null(c->gate.verifier.url);
    char *from = config_where(c, "proxy.target.url");
    assert_string_equal(from, "t.yaml:3");
    free(from);
    config_destroy(c);

    c = rig_good("t.yaml",
                 "proxy:\n  target: {url: 'http://t:1'}\n"
                 "quality_gate:\n  verifier: {url: 'http://v:1', name: judge}\n  agents: [{url: 'http://a:1'}]\n");
    assert_string_equal(c->proxy.target.url, "http://t:1");
    assert_string_equal(c->gate.verifier.url, "http://v:1");
    assert_string_equal(c->gate.verifier.name, "judge");
    config_destroy(c);

    c = rig_good("t.yaml", "proxy:\n  target: {url: 'http://t:1'}\n"
                           "quality_gate:\n  verifier: {url: 'http://t:1/v1'}\n  agents: [{url: 'http://a:1'}]\n");
    assert_null(c->gate.verifier.url); /* it is the target */
    config_destroy(c);
    c = rig_good("t.yaml",
                 "models: [{path: /m.gguf}]\n"
                 "quality_gate:\n  verifier: {url: 'http://127.0.0.1:8080'}\n  agents: [{url: 'http://a:1'}]\n");
    assert_null(c->gate.verifier.url); /* it is the pool */
    config_destroy(c);
}

static void a_prompt_may_have_lines(void **state)
{
    static const char yaml[] = "proxy:\n  target: {url: 'http://t:1'}\n"
                               "quality_gate:\n  verification_prompt: |\n    Be strict: \"yes\" or ${NOT} \\ no.\n\n"
                               "    \tThen say it.\n  agents:\n    - url: http://a:1\n  min_token_probability: .5\n";
    setenv("NOT", "not", 1);
    struct config *c = rig_good("t.yaml", yaml);
    unsetenv("NOT");
    static const char want[] = "Be strict: \"yes\" or not \\ no.\n\n\tThen say it.";
    assert_string_equal(c->gate.verification_prompt, want);
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    config_show(c, to);
    fclose(to);
    struct config *again = rig_good("again.yaml", text);
    assert_string_equal(again->gate.verification_prompt, want);
    assert_true(again->gate.min_token_probability == 0.5);
    assert_int_equal(again->gate.n_agents, 1);
    json_t *j = config_show_json(c), *gate = json_object_get(j, "quality_gate");
    json_t *share = json_object_get(json_object_get(gate, "min_token_probability"), "value");
    assert_true(json_real_value(share) == 0.5);
    assert_int_equal(json_array_size(json_object_get(gate, "agents")), 1);
    assert_true(json_is_null(json_object_get(gate, "verifier")));
    json_decref(j);
    config_destroy(again);
    config_destroy(c);
    free(text);
}

static void only_the_verifier_waits_for_a_restart(void **state)
{
    static const char base[] = "proxy:\n  target: {url: 'http://t:1'}\n";
    char *one = xasprintf("%squality_gate:\n  verifier: {url: 'http://v:1'}\n  agents: [{url: 'http://a:1'}]\n", base);
    char *two = xasprintf("%s  consensus_window: 9\nquality_gate:\n  verifier: {url: 'http://w:1'}\n  keep_share: 0.5\n"
                          "  agents: [{url: 'http://b:1'}, {url: 'http://c:1'}]\n",
                          base);
    struct config *a = rig_good("t.yaml", one), *b = rig_good("t.yaml", two);
    char *text = config_restart_needed(a, b);
    assert_string_equal(text, "quality_gate.verifier.url (http://v:1 → http://w:1)");
    free(text);
    config_destroy(a);
    config_destroy(b);
    free(one);
    free(two);
}

const struct CMUnitTest modes_tests[] = {
    cmocka_unit_test(defaults),
    cmocka_unit_test(consensus_is_read),
    cmocka_unit_test(consensus_needs_voters),
    cmocka_unit_test(what_is_wrong_is_said),
    cmocka_unit_test(agents_are_servers),
    cmocka_unit_test(a_verifier_alone_is_the_target),
    cmocka_unit_test(a_prompt_may_have_lines),
    cmocka_unit_test(only_the_verifier_waits_for_a_restart),
};
const size_t modes_count = ARRAY_LEN(modes_tests);
