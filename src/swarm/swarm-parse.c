#include "swarm/swarm-parse.h"

#include <stdlib.h>

#include "base/mem.h"

struct swarm_parse {
    char *path, *text; /* one of them */
    size_t len;
    swarm_parse_cb *done; /* NULL: cancelled */
    void *arg;
    struct manifest *m;
    char *cause;
};

static void work(void *data)
{
    struct swarm_parse *p = data;
    p->m = p->path != NULL ? manifest_load(p->path, &p->cause) : manifest_parse(p->text, p->len, &p->cause);
}

static void drop(void *data)
{
    struct swarm_parse *p = data;
    manifest_destroy(p->m);
    free(p->path);
    free(p->text);
    free(p->cause);
    free(p);
}

static void done(void *data)
{
    struct swarm_parse *p = data;
    struct manifest *m = p->m;
    if (p->done != NULL) {
        p->m = NULL;
        p->done(p->arg, m, p->cause != NULL ? p->cause : "");
    }
    drop(p);
}

static struct swarm_parse *start(struct crew *crew, struct swarm_parse *p)
{
    crew_add(crew, &(struct crew_job){.work = work, .done = done, .drop = drop, .data = p});
    return p;
}

struct swarm_parse *swarm_parse_text(struct crew *crew, const char *text, size_t len, swarm_parse_cb *fn, void *arg)
{
    struct swarm_parse *p = xcalloc(1, sizeof(*p));
    *p = (struct swarm_parse){.text = xmemdup(text, len), .len = len, .done = fn, .arg = arg};
    return start(crew, p);
}

struct swarm_parse *swarm_parse_file(struct crew *crew, const char *path, swarm_parse_cb *fn, void *arg)
{
    struct swarm_parse *p = xcalloc(1, sizeof(*p));
    *p = (struct swarm_parse){.path = xstrdup(path), .done = fn, .arg = arg};
    return start(crew, p);
}

void swarm_parse_cancel(struct swarm_parse *p)
{
    if (p != NULL)
        p->done = NULL;
}
