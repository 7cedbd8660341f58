#include "scene.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"

struct machine *scene_machine(struct scene *s, enum machine_origin origin, const char *name)
{
    struct machine *m = &s->list[s->n++];
    machine_init(m, origin);
    snprintf(m->name, sizeof(m->name), "%s", name);
    if (origin != MACHINE_HERE)
        snprintf(m->address, sizeof(m->address), "192.168.1.%zu", s->n);
    return m;
}

struct machine *scene_cpu(struct scene *s, enum machine_origin origin, const char *name, int gib)
{
    struct machine *m = scene_machine(s, origin, name);
    m->memory = gib * GIB;
    m->cpu.cores = 8;
    return m;
}

struct machine *scene_box(struct scene *s, enum machine_origin origin, const char *name, const char *card, int gib)
{
    struct machine *m = scene_cpu(s, origin, name, 32);
    struct machine_gpu *g = machine_add_gpu(m);
    g->vendor = GPU_NVIDIA;
    g->memory = gib < 0 ? -1 : gib * GIB;
    snprintf(g->name, sizeof(g->name), "%s", card);
    return m;
}

void scene_model(struct machine *m, const char *from, const char *name, const char *path)
{
    struct machine_model *x = machine_add_model(m);
    x->name = xstrdup(name);
    x->from = xstrdup(from);
    x->path = xstrdup(path);
}

struct machine_service *scene_service(struct machine *m, enum service_kind kind, int port, const char *model)
{
    struct machine_service *s = machine_add_service(m);
    s->kind = kind;
    s->port = port;
    s->rtt_us = 300;
    machine_text(s->host, sizeof(s->host), m->address[0] ? m->address : "127.0.0.1");
    snprintf(s->model, sizeof(s->model), "%s", model);
    return s;
}

void scene_node(struct machine *m, int port, const char *model)
{
    scene_service(m, SERVICE_NODE, port, model);
    scene_model(m, "node", model, NULL);
}

void scene_ollama(struct machine *m, const char *model)
{
    scene_service(m, SERVICE_OLLAMA, 11434, "");
    scene_model(m, "ollama", model, NULL);
}

void scene_finish(struct scene *s)
{
    for (size_t i = 0; i < s->n; i++)
        machine_finish(&s->list[i]);
    s->n = 0;
}

bool scene_warns(const struct advice *a, enum advice_trouble what)
{
    for (size_t i = 0; i < a->n_warnings; i++) {
        if (a->warning[i].what == what)
            return true;
    }
    return false;
}

/* What holds for every advice. */
struct advice *scene_advice(const struct scene *s, const struct advice_wish *w)
{
    struct advice *a = advice_make(s->list, s->n, w);
    assert_non_null(a->title);
    assert_true(a->n_path > 0 && a->n_reasons > 0);
    assert_int_equal(a->n_machines, s->n);
    for (size_t i = 0; i < a->n_machines; i++)
        assert_true(a->machine[i].why && a->machine[i].hardware);
    for (size_t i = 0; i < a->n_path; i++)
        assert_true(*a->path[i].question && *a->path[i].answer);
    for (size_t i = 0; i < a->n_models; i++) {
        assert_non_null(a->model[i].name);
        assert_true(a->model[i].url || a->model[i].path);
        assert_true(a->model[i].verifies == !a->model[i].cannot);
    }
    assert_true(a->target < (int)a->n_models);
    for (size_t i = 0; i < a->n_drafters; i++)
        assert_true(a->drafter[i] >= 0 && a->drafter[i] != a->target);
    return a;
}
