/* What somebody else may ask this machine to pull, and whether there is room for it. */
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "swarm/swarm.h"

enum { URL_MAX = 2048, GIB = 1 << 30 };

bool swarm_is_remote(const char *what)
{
    size_t n = strlen(what);
    if (strncasecmp(what, "http://", 7) == 0 || strncasecmp(what, "https://", 8) == 0)
        return n <= URL_MAX;
    for (const char *c = what; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '/')
            return false;
    }
    return n > 0 && n <= MANIFEST_NAME_MAX && what[0] != '.';
}

char *swarm_no_room(const struct manifest *m, const struct swarm_estimate *e, const char *dir)
{
    uint64_t needs = e->fetch + e->local;
    if (e->room < 0 || needs <= (uint64_t)e->room)
        return NULL;
    return xasprintf("no room: %s needs %.2f GiB more in %s, where %.2f GiB are free", m->filename, (double)needs / GIB,
                     dir, (double)e->room / GIB);
}
