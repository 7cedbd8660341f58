#include "probe/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "probe/read-file.h"

/* The files of one version of the memory controller. */
struct controller {
    const char *mount, *limit, *usage;
    const char *cache; /* key in memory.stat: file pages that are given up under pressure */
};

static const struct controller controllers[] = {
    {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"},
    {"/sys/fs/cgroup/unified", "memory.max", "memory.current", "inactive_file"},
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};

enum { VERSION_2 = 0, VERSION_2_BESIDE_1, VERSION_1 };

/* One group's limit, where it has one below what the machine has. */
static void bound(struct memory *m, const char *root, const struct controller *c, const char *group)
{
    char *limit_path = xasprintf("%s%s/%s", c->mount, group, c->limit);
    char *usage_path = xasprintf("%s%s/%s", c->mount, group, c->usage);
    char *stat_path = xasprintf("%s%s/memory.stat", c->mount, group);
    int64_t limit = read_file_number(root, limit_path), usage = read_file_number(root, usage_path);
    if (limit >= 0 && (m->machine < 0 || limit < m->machine)) {
        char *stat = read_file(root, stat_path);
        int64_t cache = stat != NULL ? read_file_value(stat, c->cache) : -1;
        if (m->total < 0 || limit < m->total)
            m->total = limit;
        if (usage >= 0) {
            int64_t left = limit - usage + (cache > 0 ? cache : 0);
            left = left < 0 ? 0 : left > limit ? limit : left;
            if (m->available < 0 || left < m->available)
                m->available = left;
        }
        free(stat);
    }
    free(stat_path);
    free(usage_path);
    free(limit_path);
}

/* The group, and those that it lies in: each bounds.  The process's own path may not exist below the mount (inside a
 * container it is that of the host); then the mount's root is the container's group. */
static void bound_all(struct memory *m, const char *root, const struct controller *c, const char *group, size_t len)
{
    char *path = xstrndup(group, len);
    for (size_t n = strlen(path); n > 1; n = strlen(path)) {
        bound(m, root, c, path);
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            break;
        *slash = '\0';
    }
    free(path);
    bound(m, root, c, "");
}

/* "0::/GROUP" is version 2, "7:memory:/GROUP" (or "7:cpu,memory:/GROUP") version 1. */
static void bound_by_line(struct memory *m, const char *root, const char *line, size_t len)
{
    const char *first = memchr(line, ':', len);
    const char *second = first != NULL ? memchr(first + 1, ':', len - (size_t)(first + 1 - line)) : NULL;
    if (second == NULL)
        return;
    const char *group = second + 1;
    size_t group_len = len - (size_t)(group - line), names = (size_t)(second - first - 1);
    if (names == 0) {
        bound_all(m, root, &controllers[VERSION_2], group, group_len);
        bound_all(m, root, &controllers[VERSION_2_BESIDE_1], group, group_len);
        return;
    }
    for (const char *name = first + 1; name < second;) {
        size_t n = strcspn(name, ",:");
        if (n == 6 && strncmp(name, "memory", n) == 0)
            bound_all(m, root, &controllers[VERSION_1], group, group_len);
        name += n + 1;
    }
}

void memory_read(struct memory *m, const char *root)
{
    *m = (struct memory){-1, -1, -1};
    char *info = read_file(root, "/proc/meminfo");
    if (info != NULL) {
        int64_t total = read_file_value(info, "MemTotal"), available = read_file_value(info, "MemAvailable");
        m->total = m->machine = total > 0 ? total * 1024 : -1;
        m->available = available >= 0 ? available * 1024 : -1;
    }
    free(info);
    char *groups = read_file(root, "/proc/self/cgroup");
    for (const char *line = groups; line != NULL && *line != '\0';) {
        size_t n = strcspn(line, "\n");
        bound_by_line(m, root, line, n);
        line += n + (line[n] == '\n');
    }
    free(groups);
}
