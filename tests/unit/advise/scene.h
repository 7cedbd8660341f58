/* Machines to be advised on, put together part by part. */
#ifndef TIGHTWAD_TESTS_ADVISE_SCENE_H
#define TIGHTWAD_TESTS_ADVISE_SCENE_H

#include <stdbool.h>
#include <stddef.h>

#include "advise/advice.h"

#define GIB (INT64_C(1) << 30)

enum { SCENE_MACHINES = 8 };

struct scene {
    struct machine list[SCENE_MACHINES];
    size_t n;
};

/* With addresses 192.168.1.N, N being its number from 1; nothing is known of its hardware. */
struct machine *scene_machine(struct scene *s, enum machine_origin origin, const char *name);
/* Of 8 cores, without a card; with one of gib GB (-1: it does not tell). */
struct machine *scene_cpu(struct scene *s, enum machine_origin origin, const char *name, int gib);
struct machine *scene_box(struct scene *s, enum machine_origin origin, const char *name, const char *card, int gib);

void scene_model(struct machine *m, const char *from, const char *name, const char *path);
struct machine_service *scene_service(struct machine *m, enum service_kind kind, int port, const char *model);
void scene_node(struct machine *m, int port, const char *model);
void scene_ollama(struct machine *m, const char *model);
/* Frees the machines. */
void scene_finish(struct scene *s);

/* The advice for them (w NULL: nothing is wished), with what holds for every one checked. */
struct advice *scene_advice(const struct scene *s, const struct advice_wish *w);
bool scene_warns(const struct advice *a, enum advice_trouble what);

#endif
