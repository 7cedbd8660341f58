/* Every row of the decision tree and every warning; who gets which role, and what is left open when little is known. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advise/advice.h"
#include "base/mem.h"
#include "scene.h"

static const char *target_name(const struct advice *a)
{
    return a->target < 0 ? "none" : a->model[a->target].name;
}

static const char *drafter_name(const struct advice *a)
{
    return a->n_drafters == 0 ? "none" : a->model[a->drafter[0]].name;
}

/* ---- the decision table ---- */

static void scene_direct(struct scene *s, struct advice_wish *w)
{
    struct machine *m = scene_box(s, MACHINE_HERE, "pc", "NVIDIA GeForce RTX 3060", 12);
    scene_model(m, "file", "Qwen3-8B-Q4_K_M.gguf", "/models/Qwen3-8B-Q4_K_M.gguf");
}

static void scene_direct_cpu(struct scene *s, struct advice_wish *w)
{
    scene_model(scene_cpu(s, MACHINE_HERE, "pc", 16), "file", "Qwen3-1.7B-Q8_0.gguf", "/m/Qwen3-1.7B-Q8_0.gguf");
}

static void scene_pool(struct scene *s, struct advice_wish *w)
{
    struct machine *m = scene_box(s, MACHINE_HERE, "pc", "NVIDIA GeForce RTX 3060", 12);
    struct machine_gpu *second = machine_add_gpu(m);
    *second = m->gpu[0];
    scene_model(m, "file", "Qwen3-32B-Q4_K_M.gguf", "/models/Qwen3-32B-Q4_K_M.gguf");
}

static void scene_proxy(struct scene *s, struct advice_wish *w)
{
    scene_node(scene_box(s, MACHINE_AGENT, "big", "NVIDIA GeForce RTX 4090", 24), 8081, "qwen3:32b");
    scene_node(scene_box(s, MACHINE_HERE, "small", "NVIDIA GeForce GTX 1070", 8), 8081, "qwen3:1.7b");
}

static void scene_proxy_seen(struct scene *s, struct advice_wish *w)
{
    scene_node(scene_machine(s, MACHINE_SEEN, "192.168.1.1"), 8081, "qwen3:32b");
    scene_ollama(scene_machine(s, MACHINE_SEEN, "192.168.1.2"), "qwen3:1.7b");
}

static void scene_cpu_draft(struct scene *s, struct advice_wish *w)
{
    scene_node(scene_box(s, MACHINE_HERE, "big", "NVIDIA GeForce RTX 4090", 24), 8081, "qwen3:32b");
    scene_ollama(scene_cpu(s, MACHINE_AGENT, "old", 16), "qwen3:0.6b");
}

static void scene_cloud(struct scene *s, struct advice_wish *w)
{
    scene_ollama(scene_box(s, MACHINE_HERE, "pc", "NVIDIA GeForce RTX 2070", 8), "qwen3:8b");
    w->cloud_url = "https://api.example.com";
    w->cloud_model = "qwen3.5:397b";
    w->cloud_key = "API_KEY";
}

static void scene_combined(struct scene *s, struct advice_wish *w)
{
    struct machine *m = scene_box(s, MACHINE_HERE, "pc", "NVIDIA GeForce RTX 4090", 24);
    scene_model(m, "file", "Qwen2.5-72B-Q4_K_M.gguf", "/models/Qwen2.5-72B-Q4_K_M.gguf");
    scene_service(scene_box(s, MACHINE_AGENT, "other", "NVIDIA GeForce RTX 3090", 24), SERVICE_WORKER, 50052, "");
    scene_service(scene_box(s, MACHINE_AGENT, "third", "NVIDIA GeForce RTX 3090", 24), SERVICE_WORKER, 50052, "");
    scene_ollama(scene_cpu(s, MACHINE_AGENT, "old", 16), "qwen2.5:3b");
}

static void scene_crowd(struct scene *s, struct advice_wish *w)
{
    scene_ollama(scene_cpu(s, MACHINE_HERE, "a", 16), "qwen3:4b");
    scene_ollama(scene_cpu(s, MACHINE_AGENT, "b", 16), "qwen3:0.6b");
    scene_cpu(s, MACHINE_AGENT, "c", 8);
}

static void scene_nothing(struct scene *s, struct advice_wish *w)
{
}

static void scene_unknown(struct scene *s, struct advice_wish *w)
{
    scene_machine(s, MACHINE_HERE, "who");
}

static void scene_given(struct scene *s, struct advice_wish *w)
{
    w->target_url = "http://192.168.1.20:8081";
    w->draft_url = "http://192.168.1.30:8081";
}

static void scene_two_here(struct scene *s, struct advice_wish *w)
{
    struct machine *m = scene_cpu(s, MACHINE_HERE, "pc", 16);
    scene_node(m, 8081, "target");
    scene_node(m, 8082, "small");
    for (size_t i = 0; i < m->n_models; i++) {
        snprintf(m->model[i].vocab, sizeof(m->model[i].vocab), "aaaa");
        snprintf(m->model[i].architecture, sizeof(m->model[i].architecture), "llama");
        m->model[i].bytes = i == 0 ? 2312320 : 300096;
    }
}

static const struct row {
    const char *what;
    void (*scene)(struct scene *s, struct advice_wish *w);
    enum advice_kind kind;
    const char *target, *drafter;
} rows[] = {
    {"1 machine, 1 GPU", scene_direct, ADVICE_DIRECT, "Qwen3-8B-Q4_K_M.gguf", "none"},
    {"1 machine, no GPU", scene_direct_cpu, ADVICE_DIRECT, "Qwen3-1.7B-Q8_0.gguf", "none"},
    {"1 machine, 2 GPUs", scene_pool, ADVICE_POOL, "Qwen3-32B-Q4_K_M.gguf", "none"},
    {"2 machines with GPUs", scene_proxy, ADVICE_PROXY, "qwen3:32b", "qwen3:1.7b"},
    {"2 machines that were only seen", scene_proxy_seen, ADVICE_PROXY, "qwen3:32b", "qwen3:1.7b"},
    {"2 machines, one without a GPU", scene_cpu_draft, ADVICE_CPU_DRAFT, "qwen3:32b", "qwen3:0.6b"},
    {"a machine and an API", scene_cloud, ADVICE_CLOUD, "qwen3.5:397b", "qwen3:8b"},
    {"a model that fits nowhere", scene_combined, ADVICE_COMBINED, "Qwen2.5-72B-Q4_K_M.gguf", "qwen2.5:3b"},
    {"a pile of CPUs", scene_crowd, ADVICE_CROWD, "qwen3:4b", "qwen3:0.6b"},
    {"no machine", scene_nothing, ADVICE_NOTHING, "none", "none"},
    {"a machine that nothing is known of", scene_unknown, ADVICE_NOTHING, "none", "none"},
    {"two servers that are given", scene_given, ADVICE_PROXY, "the model at 192.168.1.20:8081",
     "the model at 192.168.1.30:8081"},
    {"a pair that runs on one machine", scene_two_here, ADVICE_PROXY, "target", "small"},
};

static void decisions(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scene s = {.n = 0};
        struct advice_wish w;
        advice_wish_init(&w);
        rows[i].scene(&s, &w);
        struct advice *a = scene_advice(&s, &w);
        if (a->kind != rows[i].kind || strcmp(target_name(a), rows[i].target) != 0 ||
            strcmp(drafter_name(a), rows[i].drafter) != 0)
            fail_msg("%s: %s, %s, %s", rows[i].what, advice_kind_name(a->kind), target_name(a), drafter_name(a));
        advice_destroy(a);
        scene_finish(&s);
    }
}

static struct advice *advice_of(struct scene *s, void scene(struct scene *, struct advice_wish *))
{
    struct advice_wish w;
    advice_wish_init(&w);
    s->n = 0;
    scene(s, &w);
    return scene_advice(s, &w);
}

/* One GPU: said honestly, with what would still help. */
static void one_gpu_is_told_the_truth(void **state)
{
    struct scene s;
    struct advice *a = advice_of(&s, scene_direct);
    assert_non_null(strstr(a->reason[0], "Ollama or llama-server directly"));
    assert_non_null(strstr(a->reason[0], "n-grams"));
    assert_true(a->ngram && a->pooled);
    assert_int_equal(a->n_tasks, 1); /* a small one to pull */
    assert_string_equal(a->task[0].command, "ollama pull qwen3:0.6b");
    advice_destroy(a);
    scene_finish(&s);
}

static void a_small_file_drafts_beside_the_big_one(void **state)
{
    struct scene s;
    struct advice_wish w;
    advice_wish_init(&w);
    s.n = 0;
    scene_direct(&s, &w);
    scene_model(&s.list[0], "file", "Qwen3-0.6B-Q8_0.gguf", "/models/Qwen3-0.6B-Q8_0.gguf");
    scene_model(&s.list[0], "file", "nomic-embed-text.gguf", "/models/nomic-embed-text.gguf");
    struct advice *a = scene_advice(&s, &w);
    assert_int_equal(a->kind, ADVICE_DIRECT);
    assert_int_equal(a->n_models, 2); /* what embeds does not write */
    assert_string_equal(drafter_name(a), "Qwen3-0.6B-Q8_0.gguf");
    assert_int_equal(a->machine[0].role, ADVICE_ROLE_BOTH);
    assert_false(a->ngram);
    w.no_node = true; /* nothing could serve a file */
    advice_destroy(a);
    a = scene_advice(&s, &w);
    assert_int_equal(a->target, ADVICE_NONE);
    advice_destroy(a);
    scene_finish(&s);
}

static void what_is_to_be_fetched_fits_beside_it(void **state)
{
    struct scene s;
    struct advice *a = advice_of(&s, scene_pool);
    assert_int_equal(a->n_tasks, 1); /* of 24 GB 20 are taken: no room for 8B */
    assert_string_equal(a->task[0].command, "ollama pull qwen3:4b");
    advice_destroy(a);
    scene_finish(&s);
}

static void roles_of_the_proxy(void **state)
{
    struct scene s;
    struct advice *a = advice_of(&s, scene_proxy);
    assert_int_equal(a->machine[0].role, ADVICE_ROLE_TARGET);
    assert_int_equal(a->machine[1].role, ADVICE_ROLE_DRAFTER);
    assert_int_equal(a->machine[0].class, HARDWARE_TARGET);
    assert_int_equal(a->machine[1].class, HARDWARE_MEDIUM);
    assert_string_equal(a->machine[0].hardware, "RTX 4090, 24 GB");
    assert_string_equal(a->model[a->target].url, "http://192.168.1.1:8081");
    assert_string_equal(a->model[a->target].backend, "node");
    assert_int_equal(a->estimate.pair.basis, PAIR_PROVEN);
    /* 19.4 GB over 1008 GB/s at 65 %. */
    assert_true(a->estimate.alone > 28 && a->estimate.alone < 36);
    assert_true(a->estimate.drafted > a->estimate.alone);
    assert_true(a->estimate.draft_tokens > 0);
    assert_non_null(a->estimate.basis);
    advice_destroy(a);

    /* Fixed the other way round, it says what comes of that. */
    const enum advice_role swapped[] = {ADVICE_ROLE_DRAFTER, ADVICE_ROLE_TARGET};
    struct advice_wish w;
    advice_wish_init(&w);
    w.role = swapped;
    a = scene_advice(&s, &w);
    assert_string_equal(target_name(a), "qwen3:1.7b");
    assert_string_equal(drafter_name(a), "none"); /* a bigger one does not draft */
    assert_int_equal(a->machine[0].role, ADVICE_ROLE_DRAFTER);
    advice_destroy(a);
    const enum advice_role alone[] = {ADVICE_ROLE_AUTO, ADVICE_ROLE_NONE};
    w.role = alone;
    a = scene_advice(&s, &w);
    assert_string_equal(target_name(a), "qwen3:32b");
    assert_int_equal(a->n_drafters, 0);
    assert_true(scene_warns(a, ADVICE_NO_DRAFTER) && a->ngram);
    advice_destroy(a);
    scene_finish(&s);
}

/* In a container, or in the home of another user: the server tells of its models, and nobody else can read them. */
static void models_that_only_ollama_can_read(void **state)
{
    struct scene s = {.n = 0};
    scene_ollama(scene_box(&s, MACHINE_HERE, "big", "NVIDIA GeForce RTX 4090", 24), "qwen3:32b");
    struct advice_wish w;
    advice_wish_init(&w);
    struct advice *a = scene_advice(&s, &w);
    assert_int_equal(a->n_models, 1);
    assert_int_equal(a->model[a->target].source, ADVICE_RUNS);
    assert_string_equal(a->model[a->target].backend, "ollama");
    advice_destroy(a);
    scene_finish(&s);
}

static void models_can_be_chosen(void **state)
{
    struct scene s = {.n = 0};
    struct machine *m = scene_box(&s, MACHINE_HERE, "big", "NVIDIA GeForce RTX 4090", 24);
    scene_service(m, SERVICE_OLLAMA, 11434, "");
    scene_model(m, "ollama", "qwen3:32b", "/ollama/blobs/32");
    scene_model(m, "ollama", "qwen3:14b", "/ollama/blobs/14");
    scene_model(m, "ollama", "llama3.2:3b", "/ollama/blobs/3");
    struct machine *o = scene_box(&s, MACHINE_AGENT, "old", "NVIDIA GeForce GTX 1070", 8);
    scene_ollama(o, "qwen3:1.7b");
    scene_model(o, "ollama", "qwen3:0.6b", NULL);
    struct advice_wish w;
    advice_wish_init(&w);
    struct advice *a = scene_advice(&s, &w);
    /* On this machine Ollama's own files can be served by a node, which checks drafts. */
    assert_int_equal(a->model[a->target].source, ADVICE_HERE);
    assert_string_equal(a->model[a->target].path, "ollama:qwen3:32b");
    assert_true(a->pooled);
    int order[16], llama = -1;
    assert_true(a->n_models <= ARRAY_LEN(order));
    size_t n = advice_drafters_for(a, a->target, order);
    assert_true(n >= 3);
    assert_int_equal(order[0], a->drafter[0]);
    for (size_t i = 0; i < n; i++)
        assert_null(strstr(a->model[order[i]].name, "llama"));
    for (size_t i = 0; i < a->n_models; i++)
        llama = strcmp(a->model[i].name, "llama3.2:3b") == 0 ? (int)i : llama;
    w.drafter = llama; /* by somebody who wants it so */
    struct advice *b = scene_advice(&s, &w);
    assert_string_equal(drafter_name(b), "llama3.2:3b");
    assert_true(scene_warns(b, ADVICE_OTHER_FAMILY));
    assert_true(b->estimate.accepted == 0.03);
    advice_destroy(b);
    w.drafter = ADVICE_NONE;
    b = scene_advice(&s, &w);
    assert_int_equal(b->n_drafters, 0);
    assert_false(b->ngram);
    advice_destroy(b);
    advice_wish_init(&w);
    w.target_name = "qwen3:14b";
    b = scene_advice(&s, &w);
    assert_string_equal(target_name(b), "qwen3:14b");
    advice_destroy(b);
    advice_destroy(a);
    scene_finish(&s);
}

static void models_that_are_still_to_be_fetched(void **state)
{
    struct scene s = {.n = 0};
    scene_box(&s, MACHINE_AGENT, "big", "NVIDIA GeForce RTX 4090", 24);
    scene_service(scene_box(&s, MACHINE_HERE, "old", "NVIDIA GeForce GTX 1060", 6), SERVICE_OLLAMA, 11434, "");
    struct advice_wish w;
    advice_wish_init(&w);
    struct advice *a = scene_advice(&s, &w);
    assert_int_equal(a->target, ADVICE_NONE);
    assert_int_equal(a->n_tasks, 1);
    assert_int_equal(a->task[0].machine, 0);
    assert_string_equal(a->task[0].command, "ollama pull qwen3:32b");
    advice_destroy(a);
    w.target_name = "qwen3:32b";
    w.draft_name = "qwen3:1.7b";
    a = scene_advice(&s, &w);
    assert_string_equal(target_name(a), "qwen3:32b");
    assert_int_equal(a->model[a->target].machine, 0);
    assert_string_equal(a->model[a->target].url, "http://192.168.1.1:8081");
    assert_string_equal(drafter_name(a), "qwen3:1.7b");
    assert_int_equal(a->model[a->drafter[0]].machine, 1);
    assert_string_equal(a->model[a->drafter[0]].backend, "ollama");
    assert_int_equal(a->n_tasks, 3); /* pull, serve, pull */
    assert_string_equal(a->task[1].command, "tightwad node -m ollama:qwen3:32b --listen 0.0.0.0:8081");
    advice_destroy(a);
    w.target_name = "/models/other.gguf"; /* a file of this machine */
    w.draft_name = NULL;
    a = scene_advice(&s, &w);
    assert_string_equal(target_name(a), "other.gguf");
    assert_true(a->pooled);
    assert_string_equal(a->model[a->target].path, "/models/other.gguf");
    advice_destroy(a);
    scene_finish(&s);
}

/* What is still to be started gets a port of its own, and whoever is to start it is told how. */
static void servers_that_are_still_to_be_started(void **state)
{
    struct scene s = {.n = 0};
    struct machine *big = scene_box(&s, MACHINE_AGENT, "big", "NVIDIA GeForce RTX 4090", 24);
    scene_service(big, SERVICE_AGENT, 9191, "");
    scene_service(big, SERVICE_LLAMACPP, 8081, "")->needs_secret = true; /* the usual port is taken */
    scene_model(big, "file", "Qwen3-32B-Q4_K_M.gguf", "/models/my Qwen3-32B-Q4_K_M.gguf");
    struct machine *here = scene_box(&s, MACHINE_HERE, "small", "NVIDIA GeForce GTX 1070", 8);
    scene_model(here, "file", "Qwen3-1.7B-Q8_0.gguf", "/m/Qwen3-1.7B-Q8_0.gguf");
    struct advice_wish w;
    advice_wish_init(&w);
    w.target_name = "Qwen3-32B-Q4_K_M.gguf";
    struct advice *a = scene_advice(&s, &w);
    assert_string_equal(target_name(a), "Qwen3-32B-Q4_K_M.gguf");
    assert_false(a->pooled);
    assert_string_equal(a->model[a->target].url, "http://192.168.1.1:8082");
    assert_string_equal(drafter_name(a), "Qwen3-1.7B-Q8_0.gguf");
    assert_string_equal(a->model[a->drafter[0]].url, "http://127.0.0.1:8081");
    assert_int_equal(a->n_tasks, 2);
    assert_string_equal(a->task[0].command,
                        "tightwad agent start 192.168.1.1 node '/models/my Qwen3-32B-Q4_K_M.gguf' port=8082");
    assert_int_equal(a->task[0].machine, 1); /* typed here */
    assert_string_equal(a->task[1].command, "tightwad node -m /m/Qwen3-1.7B-Q8_0.gguf --listen 127.0.0.1:8081");
    advice_destroy(a);

    /* Both on the other machine: two ports. */
    scene_model(big, "file", "Qwen3-4B-Q8_0.gguf", "/models/Qwen3-4B-Q8_0.gguf");
    w.draft_name = "Qwen3-4B-Q8_0.gguf";
    a = scene_advice(&s, &w);
    assert_string_equal(a->model[a->target].url, "http://192.168.1.1:8082");
    assert_string_equal(a->model[a->drafter[0]].url, "http://192.168.1.1:8083");
    advice_destroy(a);
    scene_finish(&s);
}

static void the_pool_takes_the_fewest_workers(void **state)
{
    struct scene s;
    struct advice *a = advice_of(&s, scene_combined);
    /* 72B in Q4_K_M wants some 48 GB: 24 here and one of the two others is not enough with what it needs beside. */
    assert_true(a->pooled);
    assert_in_range(a->n_workers, 1, 2);
    assert_int_equal(a->machine[a->worker[0]].role, ADVICE_ROLE_WORKER);
    assert_int_equal(a->machine[3].role, ADVICE_ROLE_DRAFTER);
    assert_int_equal(a->model[a->target].missing, 0);
    assert_true(a->estimate.alone > 0);
    advice_destroy(a);
    /* With one worker only it fits no more, and says by how much. */
    const enum advice_role roles[] = {ADVICE_ROLE_TARGET, ADVICE_ROLE_NONE, ADVICE_ROLE_NONE, ADVICE_ROLE_DRAFTER};
    struct advice_wish w;
    advice_wish_init(&w);
    w.role = roles;
    a = scene_advice(&s, &w);
    assert_int_equal(a->n_workers, 0);
    assert_true(scene_warns(a, ADVICE_TOO_BIG));
    assert_true(a->model[a->target].missing > 10 * GIB);
    advice_destroy(a);
    scene_finish(&s);
}

static void workers_tell_what_they_lend(void **state)
{
    struct scene s = {.n = 0};
    struct machine *m = scene_box(&s, MACHINE_HERE, "pc", "NVIDIA GeForce RTX 4090", 24);
    scene_model(m, "file", "Qwen2.5-72B-Q4_K_M.gguf", "/models/Qwen2.5-72B-Q4_K_M.gguf");
    scene_service(scene_machine(&s, MACHINE_SEEN, "small"), SERVICE_WORKER, 50052, "")->memory = 8 * GIB;
    scene_service(scene_machine(&s, MACHINE_SEEN, "large"), SERVICE_WORKER, 50052, "")->memory = 48 * GIB;
    struct advice *a = scene_advice(&s, NULL);
    assert_int_equal(a->kind, ADVICE_COMBINED);
    assert_int_equal(a->n_workers, 1);
    assert_int_equal(a->worker[0], 2);
    assert_int_equal(a->machine[2].class, HARDWARE_TARGET);
    assert_string_equal(a->machine[1].hardware, "lends 8 GB");
    assert_false(scene_warns(a, ADVICE_TOO_BIG));
    advice_destroy(a);
    s.list[2].service[0].memory_free = 4 * GIB; /* somebody uses the rest */
    a = scene_advice(&s, NULL);
    assert_int_equal(a->n_workers, 2);
    assert_true(scene_warns(a, ADVICE_TOO_BIG));
    advice_destroy(a);
    scene_finish(&s);
}

static void the_cloud_is_far(void **state)
{
    struct scene s;
    struct advice *a = advice_of(&s, scene_cloud);
    assert_non_null(strstr(a->reason[0], "50 ms"));
    assert_true(scene_warns(a, ADVICE_CANNOT_VERIFY));
    assert_string_equal(a->model[a->target].key, "API_KEY");
    assert_string_equal(a->model[a->target].backend, "openai");
    assert_int_equal(a->estimate.pair.basis, PAIR_PROVEN);
    assert_false(scene_warns(a, ADVICE_OTHER_FAMILY));
    advice_destroy(a);
    scene_finish(&s);
}

/* ---- warnings ---- */

static void warnings(void **state)
{
    struct scene s = {.n = 0};
    struct machine *big = scene_box(&s, MACHINE_HERE, "big", "NVIDIA GeForce RTX 4090", 24);
    scene_node(big, 8081, "qwen3:32b-q8_0");
    struct machine *old = scene_cpu(&s, MACHINE_AGENT, "old", 16);
    scene_node(old, 8081, "qwen3:8b-q2_k");
    old->service[0].rtt_us = 12000;
    struct advice *a = scene_advice(&s, NULL);
    assert_true(scene_warns(a, ADVICE_QUANTISATION));
    assert_true(scene_warns(a, ADVICE_SLOW_DRAFTER)); /* 2.9 GB over 26 GB/s */
    assert_true(a->model[a->drafter[0]].alone < 15);
    assert_true(scene_warns(a, ADVICE_LATENCY));
    assert_false(scene_warns(a, ADVICE_OTHER_FAMILY) || scene_warns(a, ADVICE_UNSURE_FAMILY) ||
                 scene_warns(a, ADVICE_MOE) || scene_warns(a, ADVICE_CANNOT_VERIFY) || scene_warns(a, ADVICE_SECRET));
    advice_destroy(a);
    scene_finish(&s);

    s.n = 0;
    scene_ollama(scene_box(&s, MACHINE_AGENT, "big", "NVIDIA GeForce RTX 4090", 24), "qwen3:30b-a3b");
    scene_service(scene_box(&s, MACHINE_HERE, "pc", "NVIDIA GeForce RTX 3060", 12), SERVICE_LLAMACPP, 8080,
                  "Qwen2.5-1.5B-Q8_0");
    s.list[1].service[0].needs_secret = true;
    a = scene_advice(&s, NULL);
    assert_string_equal(target_name(a), "qwen3:30b-a3b");
    assert_true(scene_warns(a, ADVICE_MOE) && scene_warns(a, ADVICE_CANNOT_VERIFY) && scene_warns(a, ADVICE_SECRET));
    assert_true(scene_warns(a, ADVICE_UNSURE_FAMILY)); /* qwen2.5 beside qwen3 */
    for (size_t i = 0; i < a->n_warnings; i++) {
        if (a->warning[i].what == ADVICE_CANNOT_VERIFY)
            assert_non_null(strstr(a->warning[i].fix, "tightwad node -m ollama:qwen3:30b-a3b"));
    }
    assert_true(isnan(a->estimate.drafted));
    advice_destroy(a);
    scene_finish(&s);

    s.n = 0;
    scene_service(scene_machine(&s, MACHINE_SEEN, "big"), SERVICE_LLAMACPP, 8080, "Qwen3-8B-Q4_K_M");
    scene_node(scene_cpu(&s, MACHINE_HERE, "pc", 64), 8081, "qwen3:4.5b");
    a = scene_advice(&s, NULL);
    assert_true(scene_warns(a, ADVICE_SLOTS) && scene_warns(a, ADVICE_SIZES));
    assert_true(isnan(a->estimate.alone)); /* nothing is known of that machine */
    advice_destroy(a);
    scene_finish(&s);
}

static void a_cpu_target_gains_nothing(void **state)
{
    struct scene s = {.n = 0};
    scene_node(scene_cpu(&s, MACHINE_HERE, "a", 64), 8081, "qwen3:8b");
    scene_node(scene_cpu(&s, MACHINE_AGENT, "b", 64), 8081, "qwen3:4b");
    struct advice *a = scene_advice(&s, NULL);
    assert_true(scene_warns(a, ADVICE_DOES_NOT_PAY));
    advice_destroy(a);
    scene_finish(&s);
}

/* A CPU could hold the larger one, and would write a token a second. */
static void a_target_that_is_too_slow_is_not_chosen(void **state)
{
    struct scene s = {.n = 0};
    struct machine *m = scene_cpu(&s, MACHINE_HERE, "pc", 64);
    scene_model(m, "file", "Qwen3-32B-Q4_K_M.gguf", "/m/Qwen3-32B-Q4_K_M.gguf");
    scene_node(scene_box(&s, MACHINE_AGENT, "gpu", "NVIDIA GeForce RTX 3060", 12), 8081, "qwen3:14b");
    struct advice *a = scene_advice(&s, NULL);
    assert_string_equal(target_name(a), "qwen3:14b");
    advice_destroy(a);
    scene_finish(&s);

    s.n = 0;
    m = scene_cpu(&s, MACHINE_HERE, "pc", 64);
    scene_model(m, "file", "Qwen3-32B-Q4_K_M.gguf", "/m/Qwen3-32B-Q4_K_M.gguf");
    scene_model(m, "file", "Qwen3-4B-Q4_K_M.gguf", "/m/Qwen3-4B-Q4_K_M.gguf");
    struct advice_wish w;
    advice_wish_init(&w);
    a = scene_advice(&s, &w);
    assert_string_equal(target_name(a), "Qwen3-4B-Q4_K_M.gguf");
    advice_destroy(a);
    w.target_name = "Qwen3-32B-Q4_K_M.gguf"; /* unless somebody wants it so */
    a = scene_advice(&s, &w);
    assert_string_equal(target_name(a), "Qwen3-32B-Q4_K_M.gguf");
    assert_true(a->estimate.alone < 2);
    advice_destroy(a);
    scene_finish(&s);
}

static void a_drafter_without_room_computes_on_the_cpu(void **state)
{
    struct scene s = {.n = 0};
    struct machine *m = scene_box(&s, MACHINE_HERE, "pc", "NVIDIA GeForce RTX 4090", 24);
    scene_model(m, "file", "Qwen3-32B-Q4_K_M.gguf", "/m/Qwen3-32B-Q4_K_M.gguf");
    scene_model(m, "file", "Qwen3-8B-Q4_K_M.gguf", "/m/Qwen3-8B-Q4_K_M.gguf");
    struct advice *a = scene_advice(&s, NULL);
    assert_string_equal(drafter_name(a), "Qwen3-8B-Q4_K_M.gguf");
    assert_true(scene_warns(a, ADVICE_DOES_NOT_PAY)); /* 19 and 5 GB in 24: the 8B model drafts at 5 tokens/s */
    double with = a->estimate.drafted;
    m->gpu[0].memory = 48 * GIB;
    advice_destroy(a);
    a = scene_advice(&s, NULL);
    assert_true(a->estimate.drafted > with && a->estimate.drafted > a->estimate.alone);
    advice_destroy(a);
    scene_finish(&s);
}

/* ---- edges ---- */

static void what_is_unknown_stays_unknown(void **state)
{
    struct scene s = {.n = 0};
    struct machine *m = scene_box(&s, MACHINE_HERE, "pc", "a card", -1);
    scene_model(m, "file", "thing.gguf", "/m/thing.gguf");
    m->memory = -1;
    m->cpu.cores = -1;
    struct advice *a = scene_advice(&s, NULL);
    assert_int_equal(a->machine[0].memory, -1);
    assert_int_equal(a->machine[0].class, HARDWARE_UNKNOWN);
    assert_true(isnan(a->machine[0].gbps) && isnan(a->machine[0].model_max));
    assert_int_equal(a->kind, ADVICE_DIRECT);
    assert_true(isnan(a->estimate.alone) && isnan(a->estimate.drafted));
    assert_int_equal(a->model[0].missing, -1);
    assert_false(scene_warns(a, ADVICE_TOO_BIG));
    assert_non_null(strstr(a->machine[0].hardware, "memory not known"));
    advice_destroy(a);
    scene_finish(&s);
}

static void several_gpus_of_different_sizes(void **state)
{
    struct scene s = {.n = 0};
    struct machine *m = scene_box(&s, MACHINE_HERE, "pc", "NVIDIA GeForce GTX 1060", 6);
    struct machine_gpu *g = machine_add_gpu(m);
    g->vendor = GPU_NVIDIA;
    g->memory = 24 * GIB;
    snprintf(g->name, sizeof(g->name), "NVIDIA GeForce RTX 3090");
    g = machine_add_gpu(m);
    g->vendor = GPU_INTEL; /* the processor's own */
    g->unified = true;
    snprintf(g->name, sizeof(g->name), "Intel UHD Graphics");
    struct advice *a = scene_advice(&s, NULL);
    assert_int_equal(a->machine[0].gpus, 2);
    assert_int_equal(a->machine[0].memory, 30 * GIB);
    assert_int_equal(a->machine[0].largest, 24 * GIB);
    assert_true(a->machine[0].gbps == 936);
    assert_int_equal(a->kind, ADVICE_POOL);
    assert_string_equal(a->machine[0].hardware, "2 x GTX 1060 and others, 30 GB");
    advice_destroy(a);
    scene_finish(&s);
}

static void unified_memory_is_the_machines(void **state)
{
    struct scene s = {.n = 0};
    struct machine *m = scene_box(&s, MACHINE_TYPED, "mac", "Apple M2 Max", -1);
    m->memory = 64 * GIB;
    m->gpu[0].vendor = GPU_APPLE;
    m->gpu[0].unified = true;
    struct advice *a = scene_advice(&s, NULL);
    assert_int_equal(a->machine[0].memory, 48 * GIB);
    assert_int_equal(a->machine[0].class, HARDWARE_TARGET);
    assert_true(a->machine[0].gbps == 400);
    advice_destroy(a);
    scene_finish(&s);
}

static void words(void **state)
{
    char b[32];
    assert_string_equal(advice_bytes(b, sizeof(b), -1), "?");
    assert_string_equal(advice_bytes(b, sizeof(b), 24 * GIB), "24 GB");
    assert_string_equal(advice_bytes(b, sizeof(b), 5 * GIB / 2), "2.5 GB");
    assert_string_equal(advice_bytes(b, sizeof(b), GIB / 2), "512 MB");
    assert_string_equal(advice_bytes(b, sizeof(b), 1030625000), "1 GB");
    assert_string_equal(advice_bytes(b, sizeof(b), 0), "0.0 MB");
    assert_string_equal(advice_bytes(b, sizeof(b), 100000), "0.1 MB");
    assert_string_equal(advice_size(b, sizeof(b), -1), "?");
    assert_string_equal(advice_size(b, sizeof(b), 32000000000), "32B");
    assert_string_equal(advice_size(b, sizeof(b), 8190000000), "8.2B");
    assert_string_equal(advice_size(b, sizeof(b), 600000000), "0.6B");
    assert_string_equal(advice_size(b, sizeof(b), 135000000), "135M");
    assert_string_equal(advice_size(b, sizeof(b), 2100000), "2.1M");
    assert_string_equal(advice_size(b, sizeof(b), 84000), "84K");
    for (int i = ADVICE_NOTHING; i <= ADVICE_CROWD; i++)
        assert_true(*advice_kind_name((enum advice_kind)i));
    for (int i = 0; i < ADVICE_ROLES; i++)
        assert_true(*advice_role_name((enum advice_role)i));
    for (int i = 0; i < ADVICE_MODES; i++)
        assert_true(*advice_mode_name((enum advice_mode)i));
    for (int i = ADVICE_RUNS; i <= ADVICE_API; i++)
        assert_true(*advice_source_name((enum advice_source)i));
    struct scene s;
    struct advice *a = advice_of(&s, scene_proxy);
    struct advice_measured m = {.accepted = 0.71};
    char *text = advice_tell(a, s.list, "192.168.1.5:8088", &m);
    assert_non_null(strstr(text, "192.168.1.5:8088"));
    assert_non_null(strstr(text, "71 %"));
    assert_non_null(strstr(text, "qwen3:1.7b"));
    assert_non_null(strstr(text, "sooner"));
    free(text);
    m.loses = true; /* nothing is promised that the measurement does not bear out */
    text = advice_tell(a, s.list, "192.168.1.5:8088", &m);
    assert_null(strstr(text, "sooner"));
    assert_non_null(strstr(text, "By the measurement drafting does not pay"));
    free(text);
    text = advice_tell(a, s.list, "192.168.1.5:8088", NULL);
    assert_true(!strstr(text, "nan") && !strstr(text, "sooner"));
    free(text);
    advice_destroy(a);
    scene_finish(&s);
    advice_destroy(NULL);
}

const struct CMUnitTest advice_tests[] = {
    cmocka_unit_test(decisions),
    cmocka_unit_test(one_gpu_is_told_the_truth),
    cmocka_unit_test(a_small_file_drafts_beside_the_big_one),
    cmocka_unit_test(what_is_to_be_fetched_fits_beside_it),
    cmocka_unit_test(roles_of_the_proxy),
    cmocka_unit_test(models_that_only_ollama_can_read),
    cmocka_unit_test(models_can_be_chosen),
    cmocka_unit_test(models_that_are_still_to_be_fetched),
    cmocka_unit_test(servers_that_are_still_to_be_started),
    cmocka_unit_test(the_pool_takes_the_fewest_workers),
    cmocka_unit_test(workers_tell_what_they_lend),
    cmocka_unit_test(the_cloud_is_far),
    cmocka_unit_test(warnings),
    cmocka_unit_test(a_cpu_target_gains_nothing),
    cmocka_unit_test(a_target_that_is_too_slow_is_not_chosen),
    cmocka_unit_test(a_drafter_without_room_computes_on_the_cpu),
    cmocka_unit_test(what_is_unknown_stays_unknown),
    cmocka_unit_test(several_gpus_of_different_sizes),
    cmocka_unit_test(unified_memory_is_the_machines),
    cmocka_unit_test(words),
};
const size_t advice_count = ARRAY_LEN(advice_tests);
