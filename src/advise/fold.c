#include "advise/fold.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

bool fold_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcasecmp(address, "localhost") == 0;
}

/* The lower, the more the entry knows. */
static int rank(const struct machine *m)
{
    static const int ranks[] = {[MACHINE_HERE] = 0, [MACHINE_AGENT] = 1, [MACHINE_TYPED] = 2, [MACHINE_SEEN] = 3};
    return ranks[m->origin];
}

static void take_service(struct machine *to, const struct machine_service *s, bool here)
{
    for (size_t i = 0; i < to->n_services; i++) {
        struct machine_service *have = &to->service[i];
        if (have->kind != s->kind || have->port != s->port)
            continue;
        if (strcmp(have->host, s->host) == 0 || here) {
            if (here && fold_is_loopback(s->host) && !fold_is_loopback(have->host))
                *have = *s;
            return;
        }
    }
    *machine_add_service(to) = *s;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Takes the strings of m over. */
static void take_model(struct machine *to, struct machine_model *m)
{
    for (size_t i = 0; i < to->n_models; i++) {
        struct machine_model *have = &to->model[i];
        if (!same_text(have->name, m->name) || !same_text(have->from, m->from))
            continue;
        if (!have->path) {
            have->path = m->path;
            m->path = NULL;
        }
        if (have->parameters < 0)
            have->parameters = m->parameters;
        if (have->bytes < 0)
            have->bytes = m->bytes;
        if (!have->vocab[0])
            memcpy(have->vocab, m->vocab, sizeof(have->vocab));
        return;
    }
    *machine_add_model(to) = *m;
    m->name = m->path = m->from = NULL;
}

static void merge(struct machine *to, struct machine *from, bool here)
{
    for (size_t i = 0; i < from->n_services; i++)
        take_service(to, &from->service[i], here);
    for (size_t i = 0; i < from->n_models; i++)
        take_model(to, &from->model[i]);
    if (to->rtt_us < 0 && !here)
        to->rtt_us = from->rtt_us;
    machine_finish(from);
}

size_t fold_machines(struct machine *list, size_t n, bool is_here(const char *address))
{
    size_t kept = 0, here = n;
    bool *gone = xcalloc(n + 1, sizeof(*gone));
    for (size_t i = 0; i < n && here == n; i++)
        here = list[i].origin == MACHINE_HERE ? i : n;
    for (size_t i = 0; here < n && i < n; i++) {
        const char *at = list[i].address;
        bool own = i != here && *at && (fold_is_loopback(at) || (is_here && is_here(at)));
        if (own || (i != here && list[i].origin == MACHINE_HERE)) {
            merge(&list[here], &list[i], true);
            gone[i] = true;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (gone[i])
            continue;
        size_t twin = 0;
        while (twin < kept && !(*list[i].address && strcmp(list[twin].address, list[i].address) == 0))
            twin++;
        if (twin == kept) {
            list[kept++] = list[i];
            continue;
        }
        if (rank(&list[i]) < rank(&list[twin])) {
            struct machine other = list[twin];
            list[twin] = list[i];
            list[i] = other;
        }
        merge(&list[twin], &list[i], false);
    }
    free(gone);
    return kept;
}
