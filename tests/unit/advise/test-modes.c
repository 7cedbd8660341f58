/* What the answers promise: nothing approximate is chosen for anybody; what is wished for is given where it can be,
 * with who takes part, and said to be approximate. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "scene.h"

static void scene_crowd(struct scene *s, struct advice_wish *w)
{
    scene_ollama(scene_cpu(s, MACHINE_HERE, "a", 16), "qwen3:4b");
    scene_ollama(scene_cpu(s, MACHINE_AGENT, "b", 16), "qwen3:0.6b");
    scene_cpu(s, MACHINE_AGENT, "c", 8);
}

static void scene_proxy(struct scene *s, struct advice_wish *w)
{
    scene_node(scene_box(s, MACHINE_AGENT, "big", "NVIDIA GeForce RTX 4090", 24), 8081, "qwen3:32b");
    scene_node(scene_box(s, MACHINE_HERE, "small", "NVIDIA GeForce GTX 1070", 8), 8081, "qwen3:1.7b");
}

static void scene_direct(struct scene *s, struct advice_wish *w)
{
    struct machine *m = scene_box(s, MACHINE_HERE, "pc", "NVIDIA GeForce RTX 3060", 12);
    scene_model(m, "file", "Qwen3-8B-Q4_K_M.gguf", "/models/Qwen3-8B-Q4_K_M.gguf");
}

static struct advice *advice_of(struct scene *s, void scene(struct scene *, struct advice_wish *))
{
    struct advice_wish w;
    advice_wish_init(&w);
    s->n = 0;
    scene(s, &w);
    return scene_advice(s, &w);
}

static const char *turn_of(const struct advice *a, const char *question)
{
    for (size_t i = 0; i < a->n_path; i++) {
        if (strstr(a->path[i].question, question))
            return a->path[i].answer;
    }
    return "";
}

static const char *warning_of(const struct advice *a, enum advice_trouble what)
{
    for (size_t i = 0; i < a->n_warnings; i++) {
        if (a->warning[i].what == what)
            return a->warning[i].text;
    }
    return "";
}

/* A node that checks drafts, and three machines with a small model each. */
static void scene_crowd_of_nodes(struct scene *s, struct advice_wish *w)
{
    static const char *const small[] = {"qwen3:0.6b", "qwen3:1.7b", "qwen3:0.6b"};
    scene_node(scene_cpu(s, MACHINE_HERE, "a", 32), 8081, "qwen3:14b");
    for (size_t i = 0; i < ARRAY_LEN(small); i++)
        scene_node(scene_cpu(s, MACHINE_AGENT, i == 0 ? "b" : i == 1 ? "c" : "d", 16), 8081, small[i]);
}

/* What a crowd could do is said; what is approximate is not chosen for anybody. */
static void a_crowd_stays_exact_unless_wished(void **state)
{
    struct scene s;
    struct advice *a = advice_of(&s, scene_crowd);
    assert_int_equal(a->mode, ADVICE_EXACT);
    assert_true(a->asks && a->can[ADVICE_GATE]);
    assert_false(a->can[ADVICE_CONSENSUS]); /* an Ollama checks nothing */
    assert_non_null(strstr(a->reason[0], "(consensus)"));
    assert_non_null(strstr(a->reason[0], "(quality gate)"));
    assert_non_null(strstr(a->reason[0], "approximate"));
    assert_string_equal(
        turn_of(a, "promise"),
        "to be exact, as long as nothing else is wished; the quality gate is possible, and approximate");
    assert_null(strstr(a->title, "approximate"));
    assert_false(scene_warns(a, ADVICE_APPROXIMATE));
    char *text = advice_tell(a, s.list, "h:1", NULL);
    assert_null(strstr(text, "may differ"));
    free(text);
    advice_destroy(a);
    scene_finish(&s);
    a = advice_of(&s, scene_proxy); /* two machines with GPUs: there is nothing to ask */
    assert_false(a->asks);
    assert_string_equal(turn_of(a, "promise"), "");
    advice_destroy(a);
    scene_finish(&s);
}

static void a_gate_of_those_that_write(void **state)
{
    struct scene s = {.n = 0};
    struct advice_wish w;
    advice_wish_init(&w);
    scene_crowd_of_nodes(&s, &w);
    scene_cpu(&s, MACHINE_AGENT, "e", 16); /* has nothing yet */
    w.mode = ADVICE_GATE;
    struct advice *a = scene_advice(&s, &w);
    assert_int_equal(a->kind, ADVICE_CROWD);
    assert_int_equal(a->mode, ADVICE_GATE);
    assert_int_equal(a->n_agents, 3);
    for (size_t i = 0; i < a->n_agents; i++) {
        assert_int_not_equal(a->agent[i], a->target);
        assert_int_equal(a->machine[a->model[a->agent[i]].machine].role, ADVICE_ROLE_DRAFTER);
    }
    assert_non_null(strstr(a->title, "3 agents write, qwen3:14b on a reviews (approximate)"));
    assert_non_null(strstr(warning_of(a, ADVICE_APPROXIMATE), "qwen3:14b"));
    assert_non_null(strstr(turn_of(a, "promise"), "the quality gate, as wished: approximate"));
    assert_true(a->estimate.agents > a->estimate.alone); /* three that are smaller */
    assert_true(a->estimate.reviewed > a->estimate.alone);
    assert_string_equal(a->task[a->n_tasks - 1].command, "ollama pull qwen3:1.7b");
    assert_int_equal(a->task[a->n_tasks - 1].machine, 4);
    char *text = advice_tell(a, s.list, "h:1", NULL);
    assert_non_null(strstr(text, "may differ"));
    assert_null(strstr(text, "same as before"));
    free(text);
    advice_destroy(a);
    scene_finish(&s);
}

static void consensus_of_those_that_draft(void **state)
{
    struct scene s = {.n = 0};
    struct advice_wish w;
    advice_wish_init(&w);
    scene_crowd_of_nodes(&s, &w);
    struct advice *a = scene_advice(&s, &w);
    assert_int_equal(a->n_drafters, 3); /* all draft at once, exactly too */
    assert_true(a->can[ADVICE_CONSENSUS] && a->can[ADVICE_GATE]);
    assert_non_null(strstr(turn_of(a, "promise"), "consensus and the quality gate are possible"));
    advice_destroy(a);
    w.mode = ADVICE_CONSENSUS;
    a = scene_advice(&s, &w);
    assert_int_equal(a->mode, ADVICE_CONSENSUS);
    assert_non_null(strstr(a->title, "3 drafters vote, qwen3:14b on a checks what they do not agree on (approximate)"));
    assert_true(scene_warns(a, ADVICE_APPROXIMATE));
    advice_destroy(a);
    scene_finish(&s);
}

/* On one machine nobody is asked, but a wish counts: its servers vote and write side by side. */
static void a_wish_counts_on_one_machine(void **state)
{
    struct scene s = {.n = 0};
    struct advice_wish w;
    advice_wish_init(&w);
    struct machine *m = scene_cpu(&s, MACHINE_HERE, "pc", 32);
    scene_node(m, 8081, "qwen3:8b");
    scene_node(m, 8082, "qwen3:0.6b");
    scene_node(m, 8083, "qwen3:1.7b");
    struct advice *a = scene_advice(&s, &w);
    assert_int_equal(a->n_drafters, 1);
    assert_int_equal(a->mode, ADVICE_EXACT);
    assert_false(a->asks);
    advice_destroy(a);
    w.mode = ADVICE_CONSENSUS;
    a = scene_advice(&s, &w);
    assert_int_equal(a->mode, ADVICE_CONSENSUS);
    assert_int_equal(a->n_drafters, 2);
    advice_destroy(a);
    w.mode = ADVICE_GATE;
    a = scene_advice(&s, &w);
    assert_int_equal(a->mode, ADVICE_GATE);
    assert_int_equal(a->n_agents, 2);
    assert_true(a->asks);
    advice_destroy(a);
    scene_finish(&s);
}

static void a_wish_that_can_not_be_had(void **state)
{
    struct scene s = {.n = 0};
    struct advice_wish w;
    advice_wish_init(&w);
    scene_crowd(&s, &w);
    w.mode = ADVICE_CONSENSUS;
    struct advice *a = scene_advice(&s, &w);
    assert_int_equal(a->mode, ADVICE_EXACT);
    assert_non_null(strstr(warning_of(a, ADVICE_NOT_HERE), "answers are exact"));
    assert_null(strstr(a->title, "approximate"));
    assert_true(a->asks); /* what can be had is offered */
    advice_destroy(a);
    scene_finish(&s);
    advice_wish_init(&w);
    scene_direct(&s, &w);
    w.mode = ADVICE_GATE;
    a = scene_advice(&s, &w);
    assert_int_equal(a->mode, ADVICE_EXACT);
    assert_non_null(strstr(warning_of(a, ADVICE_NOT_HERE), "there is no quality gate here"));
    advice_destroy(a);
    scene_finish(&s);
}

/* Files there are served by nodes on ports of their own, once that is wished for. */
static void agents_that_are_still_to_be_started(void **state)
{
    struct scene s = {.n = 0};
    struct advice_wish w;
    advice_wish_init(&w);
    scene_node(scene_cpu(&s, MACHINE_HERE, "a", 32), 8081, "qwen3:8b");
    struct machine *m = scene_cpu(&s, MACHINE_AGENT, "b", 16);
    scene_model(m, "file", "Llama-3.2-1B-Q8_0.gguf", "/m/Llama-3.2-1B-Q8_0.gguf"); /* of any family */
    scene_service(m, SERVICE_NODE, 8081, "")->needs_secret = true;
    struct advice *a = scene_advice(&s, &w);
    bool was = a->can[ADVICE_GATE];
    advice_destroy(a);
    w.mode = ADVICE_GATE;
    a = scene_advice(&s, &w);
    assert_true(was || a->n_agents > 0);
    const struct advice_model *agent = NULL;
    for (size_t i = 0; i < a->n_agents; i++)
        agent = a->model[a->agent[i]].source == ADVICE_THERE ? &a->model[a->agent[i]] : agent;
    assert_non_null(agent);
    assert_string_equal(agent->url, "http://192.168.1.2:8082");
    bool told = false;
    for (size_t i = 0; i < a->n_tasks; i++)
        told |= strcmp(a->task[i].text, "serve it as an agent") == 0;
    assert_true(told);
    advice_destroy(a);
    scene_finish(&s);
}

const struct CMUnitTest modes_tests[] = {
    cmocka_unit_test(a_crowd_stays_exact_unless_wished), cmocka_unit_test(a_gate_of_those_that_write),
    cmocka_unit_test(consensus_of_those_that_draft),     cmocka_unit_test(a_wish_counts_on_one_machine),
    cmocka_unit_test(a_wish_that_can_not_be_had),        cmocka_unit_test(agents_that_are_still_to_be_started),
};
const size_t modes_count = ARRAY_LEN(modes_tests);
