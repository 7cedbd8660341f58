#include "probe/topology.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <hwloc.h>

#include "base/mem.h"
#include "probe/memory.h"
#include "probe/read-file.h"

bool topology_os_name(const char *text, char *name, size_t size)
{
    static const char key[] = "PRETTY_NAME=";
    const char *at = text;
    while (at != NULL && strncmp(at, key, sizeof(key) - 1) != 0) {
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at == NULL)
        return false;
    at += sizeof(key) - 1;
    char quote = *at == '"' || *at == '\'' ? *at++ : '\n';
    size_t n = 0;
    while (at[n] != '\0' && at[n] != quote && at[n] != '\n')
        n++;
    char *value = xstrndup(at, n);
    machine_text(name, size, value);
    free(value);
    return name[0] != '\0';
}

static void probe_names(struct machine *m)
{
    struct utsname u;
    char *release = read_file("", "/etc/os-release");
    if (release == NULL)
        release = read_file("", "/usr/lib/os-release");
    bool named = release != NULL && topology_os_name(release, m->os, sizeof(m->os));
    free(release);
    if (uname(&u) != 0)
        return;
    machine_text(m->name, sizeof(m->name), u.nodename);
    machine_text(m->arch, sizeof(m->arch), u.machine);
    if (!named) {
        char *text = xasprintf("%s %s", u.sysname, u.release);
        machine_text(m->os, sizeof(m->os), text);
        free(text);
    }
}

static void probe_memory(struct machine *m)
{
    struct memory memory;
    memory_read(&memory, "");
    m->memory = memory.total;
    m->memory_available = memory.available;
    if (memory.total >= 0 && memory.total < memory.machine)
        machine_add_note(m, "memory: a control group allows %.1f of the machine's %.1f GiB",
                         (double)memory.total / (1 << 30), (double)memory.machine / (1 << 30));
}

static int objects(hwloc_topology_t t, hwloc_obj_type_t type)
{
    int n = hwloc_get_nbobjs_by_type(t, type);
    return n > 0 ? n : -1;
}

static int64_t cache_bytes(hwloc_topology_t t, hwloc_obj_type_t type)
{
    hwloc_obj_t o = hwloc_get_obj_by_type(t, type, 0);
    return o != NULL && o->attr->cache.size > 0 ? (int64_t)o->attr->cache.size : -1;
}

#if HWLOC_API_VERSION >= 0x00020400
/* What a kind of cores is called: 1 fast, 0 slow, -1 not told.  Frequencies do not tell: processors without any slow
 * cores favour some of their cores by a little. */
static int kind_is_fast(const struct hwloc_info_s *infos, unsigned n, int64_t best)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(infos[i].name, "CoreType") == 0)
            return strcmp(infos[i].value, "IntelAtom") != 0;
        if (strcmp(infos[i].name, "LinuxCapacity") == 0 && best > 0)
            return strtoll(infos[i].value, NULL, 10) * 10 >= best * 9;
    }
    return -1;
}

static int64_t best_capacity(hwloc_topology_t t, int kinds)
{
    int64_t best = 0;
    for (int k = 0; k < kinds; k++) {
        struct hwloc_info_s *infos;
        unsigned n = 0;
        if (hwloc_cpukinds_get_info(t, (unsigned)k, NULL, NULL, &n, &infos, 0) != 0)
            continue;
        for (unsigned i = 0; i < n; i++) {
            int64_t v = strcmp(infos[i].name, "LinuxCapacity") == 0 ? strtoll(infos[i].value, NULL, 10) : 0;
            best = v > best ? v : best;
        }
    }
    return best;
}

static void probe_kinds(struct machine_cpu *cpu, hwloc_topology_t t)
{
    int kinds = hwloc_cpukinds_get_nr(t, 0), count[2] = {0, 0};
    int64_t best = best_capacity(t, kinds);
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    bool told = kinds >= 2;
    for (int k = 0; k < kinds && told; k++) {
        struct hwloc_info_s *infos;
        unsigned n = 0;
        int fast =
            hwloc_cpukinds_get_info(t, (unsigned)k, set, NULL, &n, &infos, 0) == 0 ? kind_is_fast(infos, n, best) : -1;
        told = fast >= 0;
        for (int i = 0; told && i < cpu->cores; i++) {
            hwloc_obj_t core = hwloc_get_obj_by_type(t, HWLOC_OBJ_CORE, (unsigned)i);
            count[fast] += core != NULL && hwloc_bitmap_intersects(core->cpuset, set);
        }
    }
    hwloc_bitmap_free(set);
    if (told && count[0] > 0 && count[1] > 0) {
        cpu->slow_cores = count[0];
        cpu->fast_cores = count[1];
    }
}
#else
static void probe_kinds(struct machine_cpu *cpu, hwloc_topology_t t)
{
    (void)cpu;
    (void)t;
}
#endif

static void probe_model(struct machine_cpu *cpu, hwloc_topology_t t)
{
    hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
    const char *name = package != NULL ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    if (name == NULL)
        name = hwloc_obj_get_info_by_name(hwloc_get_root_obj(t), "CPUModel");
    machine_text(cpu->model, sizeof(cpu->model), name);
}

static hwloc_topology_t load(void)
{
    hwloc_topology_t t;
    if (hwloc_topology_init(&t) != 0)
        return NULL;
    if (hwloc_topology_load(t) == 0)
        return t;
    hwloc_topology_destroy(t);
    return NULL;
}

void topology_probe(struct machine *m)
{
    probe_names(m);
    probe_memory(m);
    hwloc_topology_t t = load();
    if (t == NULL) {
        machine_add_note(m, "hwloc: it can't make out this machine's processor");
        return;
    }
    struct machine_cpu *cpu = &m->cpu;
    probe_model(cpu, t);
    cpu->packages = objects(t, HWLOC_OBJ_PACKAGE);
    cpu->cores = objects(t, HWLOC_OBJ_CORE);
    cpu->threads = objects(t, HWLOC_OBJ_PU);
    cpu->numa_nodes = objects(t, HWLOC_OBJ_NUMANODE);
    cpu->l2 = cache_bytes(t, HWLOC_OBJ_L2CACHE);
    cpu->l3 = cache_bytes(t, HWLOC_OBJ_L3CACHE);
    probe_kinds(cpu, t);
    hwloc_topology_destroy(t);
}
