#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/doctor-judge.h"
#include "unit.h"

extern const struct CMUnitTest doctor_tests[];
extern const size_t doctor_count;

/* A set-up where nothing is wrong: a pass of 50 ms, drafts of 200 tokens/s, 60 % accepted, everything near. */
static struct doctor_server drafter;
static struct doctor_facts facts;

static int healthy(void **state)
{
    drafter = (struct doctor_server){
        .name = "small",
        .url = "http://small:8081",
        .kind = "node",
        .model = "small",
        .drafts = true,
        .vocab = DOCTOR_VOCAB_FINE,
        .vocab_reason = "identical",
        .drafted = 200,
        .accepted = 120,
        .rtt_ms = 0.5,
        .draft_ms = 5,
        .draft_fixed_ms = 0.5,
        .noise = NAN,
        .alone_ms = NAN,
        .pass_ms = NAN,
        .pass_more_ms = NAN,
    };
    facts = (struct doctor_facts){
        .config = "cluster.yaml",
        .target = {.role = DOCTOR_TARGET,
                   .name = "big",
                   .url = "http://big:8081",
                   .kind = "node",
                   .model = "big",
                   .verifies = true,
                   .generates = true,
                   .rtt_ms = 0.5,
                   .alone_ms = 50,
                   .pass_ms = 50,
                   .pass_more_ms = 0.5,
                   .batch_invariant_known = true,
                   .batch_invariant = true,
                   .noise = 0,
                   .draft_ms = NAN,
                   .draft_fixed_ms = NAN},
        .drafters = &drafter,
        .n_drafters = 1,
        .max_draft_tokens = 32,
    };
    return 0;
}

/* Exactly these findings, in this order; each has a cause and a fix.  what: must stand in the first one's words. */
static void finds(const char *const *ids, size_t n, const char *what)
{
    struct doctor_findings f;
    doctor_judge(&facts, &f);
    for (size_t i = 0; i < f.n && i < n; i++)
        assert_string_equal(f.list[i].id, ids[i]);
    for (size_t i = 0; i < f.n; i++) {
        assert_non_null(f.list[i].what);
        assert_true(strlen(f.list[i].cause) > 5);
        assert_true(strlen(f.list[i].fix) > 5);
    }
    if (f.n != n)
        fail_msg("%zu findings instead of %zu; the first is %s", f.n, n, f.n > 0 ? f.list[0].id : "none");
    if (what != NULL && strstr(f.list[0].what, what) == NULL && strstr(f.list[0].cause, what) == NULL &&
        strstr(f.list[0].fix, what) == NULL)
        fail_msg("\"%s\" (%s; %s) does not say \"%s\"", f.list[0].what, f.list[0].cause, f.list[0].fix, what);
    doctor_findings_finish(&f);
}

static void finds_one(const char *id, const char *what)
{
    finds(&id, 1, what);
}

static void a_good_set_up_has_no_findings(void **state)
{
    finds(NULL, 0, NULL);
}

static void unreachable_servers(void **state)
{
    static const struct {
        enum doctor_reach reach;
        const char *id, *kind, *says;
    } rows[] = {
        {DOCTOR_NO_NAME, "no-such-host", "node", "proxy.draft"},
        {DOCTOR_NOTHING, "nothing-listens", "node", "tightwad node"},
        {DOCTOR_NOTHING, "nothing-listens", "ollama", "ollama serve"},
        {DOCTOR_LOOPBACK_ONLY, "loopback-only", "ollama", "OLLAMA_HOST=0.0.0.0"},
        {DOCTOR_LOOPBACK_ONLY, "loopback-only", "llamacpp", "--host 0.0.0.0"},
        {DOCTOR_SILENT, "no-answer", "node", "firewall"},
        {DOCTOR_NONSENSE, "not-such-a-server", "node", "backend"},
        {DOCTOR_DENIED, "denied", "openai", "api_key"},
        {DOCTOR_NO_MODEL, "no-model", "ollama", "ollama pull qwen3:0.6b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        drafter.reach = rows[i].reach;
        drafter.kind = rows[i].kind;
        drafter.model_name = "qwen3:0.6b";
        finds_one(rows[i].id, rows[i].says);
    }
    healthy(NULL);
    facts.target.reach = DOCTOR_NOTHING;
    finds_one("nothing-listens", "the target");
}

static void acceptance_has_three_ranges(void **state)
{
    drafter.accepted = 19; /* 9.5 % */
    finds_one("other-family", "10 %");
    drafter.accepted = 20; /* 10 % */
    finds_one("mismatch", "quantisation or fine-tune");
    drafter.accepted = 79; /* 39.5 % */
    finds_one("mismatch", "40 %");
    drafter.accepted = 80; /* 40 % */
    finds(NULL, 0, NULL);
    drafter.drafted = 30; /* too few to judge */
    drafter.accepted = 0;
    finds(NULL, 0, NULL);
}

static void other_vocabulary(void **state)
{
    drafter.vocab = DOCTOR_VOCAB_DIFFERENT;
    drafter.drafted = 0;
    drafter.vocab_reason = "640 tokens here, 32000 there";
    finds_one("other-vocabulary", "32000");
}

static void a_slow_network(void **state)
{
    drafter.rtt_ms = 10;
    finds(NULL, 0, NULL);
    drafter.rtt_ms = 10.1;
    finds_one("far-away", "the drafter is 10.1 ms away");
    drafter.rtt_ms = 0.5;
    facts.target.rtt_ms = 25;
    finds_one("far-away", "the target is 25.0 ms away");
    drafter.accepted = 30; /* the network is not the trouble then */
    finds_one("mismatch", NULL);
}

static void a_cap_that_is_too_small(void **state)
{
    facts.max_draft_tokens = 1;
    finds_one("draft-too-short", "max_draft_tokens is 1");
    facts.max_draft_tokens = -1; /* auto */
    finds(NULL, 0, NULL);
    facts.max_draft_tokens = 0;
    finds_one("speculation-off", "is 0");
    facts.max_draft_tokens = 1;
    drafter.draft_ms = 60; /* drafting costs more than the target: no length pays, and that is not the cap's fault */
    facts.target.pass_more_ms = 50;
    finds_one("does-not-pay", "the target alone writes 20");
    drafter.draft_ms = 20; /* as good as even */
    facts.target.pass_more_ms = 5;
    drafter.accepted = 82;
    finds(NULL, 0, NULL);
}

static void a_slow_drafter(void **state)
{
    facts.target.alone_ms = facts.target.pass_ms = 500; /* so slow that even such a drafter pays */
    drafter.draft_ms = 66.6;
    finds(NULL, 0, NULL);
    drafter.draft_ms = 1000 / 14.9;
    finds_one("slow-drafter", "14.9 tokens/s");
}

static void rocm_needs_sdma_off(void **state)
{
    facts.rocm_gpus = 1;
    finds(NULL, 0, NULL);
    facts.rocm_gpus = 2;
    finds_one("rocm-sdma", "HSA_ENABLE_SDMA=0");
    facts.hsa_enable_sdma = "1";
    finds_one("rocm-sdma", "is 1");
    facts.hsa_enable_sdma = "0";
    finds(NULL, 0, NULL);
}

static void a_target_that_cannot_verify(void **state)
{
    facts.target.verifies = false;
    facts.target.cannot_verify = "Ollama takes no token ids";
    facts.target.pass_ms = facts.target.pass_more_ms = NAN;
    finds_one("cannot-verify", "Ollama takes no token ids");
}

static void the_rest(void **state)
{
    facts.target.batch_invariant = false;
    facts.target.noise = 0.25;
    finds_one("near-ties", "0.25");
    healthy(NULL);
    facts.node_missing = "not beside this program";
    finds_one("no-node", "not beside this program");
    healthy(NULL);
    facts.n_drafters = 0;
    finds_one("no-drafter", "proxy.draft");
    healthy(NULL);
    drafter.drafts = false;
    drafter.drafted = 0;
    finds_one("cannot-draft", NULL);
    healthy(NULL);
    facts.target.url = NULL;
    finds_one("no-target", "cluster.yaml");
}

/* By hand: chance 1 means k + 1 tokens a round; with nothing accepted, one token. */
static void the_rate_is_that_of_the_formula(void **state)
{
    drafter.accepted = drafter.drafted;
    double all = doctor_rate(&facts.target, &drafter, 8);
    assert_true(fabs(all - 9 / (0.0005 + 8 * 0.005 + 0.05 + 8 * 0.0005)) < 0.1);
    drafter.accepted = 0;
    double none = doctor_rate(&facts.target, &drafter, 8);
    assert_true(fabs(none - 1 / (0.0005 + 8 * 0.005 + 0.05 + 8 * 0.0005)) < 0.1);
    assert_true(fabs(doctor_rate(&facts.target, &drafter, 0) - 20) < 0.01);
    assert_int_equal(doctor_best_draft(&facts.target, &drafter), 1);
    drafter.drafted = 0;
    assert_true(isnan(doctor_rate(&facts.target, &drafter, 8)));
    assert_int_equal(doctor_best_draft(&facts.target, &drafter), 0);
}

static void the_configurations_own_findings(void **state)
{
    struct config_finding list[] = {
        {.error = false, .where = (char *)"x.yaml:1", .text = (char *)"`peer` means nothing"},
        {.error = true, .where = (char *)"x.yaml:2", .text = (char *)"no key `prot`"}};
    struct config_findings findings = {list, 1};
    facts.config_findings = &findings;
    finds_one("configuration", "x.yaml:1: `peer` means nothing");
    findings.n = 2; /* an error: what follows from it is not told */
    facts.target.url = NULL;
    finds((const char *const[]){"configuration", "configuration"}, 2, NULL);
}

#define HEALTHY(f) cmocka_unit_test_setup(f, healthy)

const struct CMUnitTest doctor_tests[] = {
    HEALTHY(a_good_set_up_has_no_findings),
    HEALTHY(unreachable_servers),
    HEALTHY(acceptance_has_three_ranges),
    HEALTHY(other_vocabulary),
    HEALTHY(a_slow_network),
    HEALTHY(a_cap_that_is_too_small),
    HEALTHY(a_slow_drafter),
    HEALTHY(rocm_needs_sdma_off),
    HEALTHY(a_target_that_cannot_verify),
    HEALTHY(the_rest),
    HEALTHY(the_configurations_own_findings),
    HEALTHY(the_rate_is_that_of_the_formula),
};
const size_t doctor_count = ARRAY_LEN(doctor_tests);
