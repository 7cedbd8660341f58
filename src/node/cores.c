#include "node/cores.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static int read_int(int cpu, const char *what, int otherwise)
{
    char path[128];
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return otherwise;
    int value;
    if (fscanf(f, "%d", &value) != 1)
        value = otherwise;
    fclose(f);
    return value;
}

/* CPUs' worth of time that the control group allows, INT_MAX for no limit. */
static int group_quota(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (f == NULL)
        return INT_MAX;
    long quota, period;
    int n = fscanf(f, "%ld %ld", &quota, &period);
    fclose(f);
    if (n != 2 || period <= 0 || quota < period)
        return n == 2 ? 1 : INT_MAX;
    return (int)(quota / period);
}

int node_physical_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    int seen[CPU_SETSIZE][2], cores = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        int package = read_int(cpu, "physical_package_id", 0), core = read_int(cpu, "core_id", cpu), i = 0;
        while (i < cores && (seen[i][0] != package || seen[i][1] != core))
            i++;
        seen[i][0] = package;
        seen[i][1] = core;
        cores += i == cores;
    }
    int quota = group_quota();
    return cores < 1 ? 1 : cores < quota ? cores : quota;
}
