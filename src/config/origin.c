#include "config/origin.h"

#include "base/mem.h"

static struct config_origin *find(const struct config *c, const struct option *o, size_t index)
{
    for (size_t i = 0; i < c->n_origins; i++) {
        if (c->origins[i].option == o && c->origins[i].index == index)
            return &c->origins[i];
    }
    return NULL;
}

void origin_set(struct config *c, const struct option *o, size_t index, const char *file, size_t line)
{
    struct config_origin *it = find(c, o, index);
    if (!it) {
        c->origins = xreallocarray(c->origins, c->n_origins + 1, sizeof(*c->origins));
        it = &c->origins[c->n_origins++];
    }
    *it = (struct config_origin){.option = o, .index = index, .file = file, .line = line};
}

const struct config_origin *origin_get(const struct config *c, const struct option *o, size_t index)
{
    return find(c, o, index);
}
