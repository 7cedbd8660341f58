#include "advise/fold.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "probe/scan-answer.h"

bool fold_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcasecmp(address, "localhost") == 0;
}

/* The lower, the more the entry knows of itself. */
static int rank(enum machine_origin o)
{
    static const int ranks[] = {[MACHINE_HERE] = 0, [MACHINE_AGENT] = 1, [MACHINE_TYPED] = 2, [MACHINE_SEEN] = 3};
    return ranks[o];
}

/* Where the machine stands among the first n, or n. */
static size_t find(const struct machine *list, size_t n, const struct machine *m, bool here)
{
    size_t i = 0;
    while (i < n &&
           !(here ? list[i].origin == MACHINE_HERE : m->address[0] && strcmp(list[i].address, m->address) == 0))
        i++;
    return i;
}

/* m goes into list[at]; whichever knows more of itself leads. */
static void put_together(struct machine *list, size_t at, struct machine m)
{
    if (rank(m.origin) < rank(list[at].origin)) {
        struct machine other = list[at];
        list[at] = m;
        m = other;
    }
    int64_t rtt = list[at].rtt_us;
    scan_answer_merge(&list[at], &m);
    if (list[at].origin == MACHINE_HERE)
        list[at].rtt_us = rtt;
    machine_finish(&m);
}

size_t fold_machines(struct machine *list, size_t n, bool is_here(const char *address))
{
    size_t kept = 0;
    bool known = false;
    for (size_t i = 0; i < n; i++)
        known = known || list[i].origin == MACHINE_HERE;
    for (size_t pass = 0; pass < 2; pass++) {
        /* This machine comes first, so that the others find it. */
        for (size_t i = pass == 0 ? 0 : kept; i < n; i++) {
            const char *at = list[i].address;
            bool here =
                list[i].origin == MACHINE_HERE || (known && *at && (fold_is_loopback(at) || (is_here && is_here(at))));
            if (pass == 0 && list[i].origin != MACHINE_HERE)
                continue;
            struct machine m = list[i];
            size_t twin = find(list, kept, &m, here);
            if (twin < kept) {
                put_together(list, twin, m);
                memmove(&list[i], &list[i + 1], (n - i - 1) * sizeof(*list));
                n--;
                i--;
            } else {
                memmove(&list[kept + 1], &list[kept], (i - kept) * sizeof(*list));
                list[kept++] = m;
            }
        }
    }
    return kept;
}
