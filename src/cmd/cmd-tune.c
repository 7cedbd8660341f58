/* tightwad tune: whether this machine's memory and swap are ready for large models, and the commands that make them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/residency.h"
#include "cmd/cmd.h"
#include "cmd/term.h"

extern const struct cmd cmd_tune;

enum { SWAPPINESS_MOST = 20 };

struct meminfo {
    int64_t total, available, swap_total, swap_free; /* bytes, -1 unknown */
};

static struct meminfo read_meminfo(void)
{
    struct meminfo m = {-1, -1, -1, -1};
    const struct {
        const char *name;
        int64_t *to;
    } rows[] = {{"MemTotal: %" SCNd64, &m.total},
                {"MemAvailable: %" SCNd64, &m.available},
                {"SwapTotal: %" SCNd64, &m.swap_total},
                {"SwapFree: %" SCNd64, &m.swap_free}};
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            int64_t kib;
            if (sscanf(line, rows[i].name, &kib) == 1)
                *rows[i].to = kib * 1024;
        }
    }
    if (f != NULL)
        fclose(f);
    return m;
}

/* The first line of a small file, "" when it can't be read. */
static void read_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    out[0] = '\0';
    if (f == NULL)
        return;
    if (fgets(out, (int)size, f) != NULL)
        out[strcspn(out, "\n")] = '\0';
    fclose(f);
}

static void say(bool good, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void say(bool good, const char *what, const char *fmt, ...)
{
    bool colour = term_colour(stdout);
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    printf("%s%s%s %-10s %s\n", term_escape(colour, good ? TERM_GOOD : TERM_BAD), good ? "✓" : "✗",
           term_escape(colour, TERM_PLAIN), what, text);
    free(text);
}

static void fix(const char *command)
{
    printf("               %s\n", command);
}

static double gib(int64_t bytes)
{
    return (double)bytes / (1 << 30);
}

static int64_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

static int64_t largest_model(const struct config *cfg)
{
    int64_t most = 0;
    for (size_t i = 0; cfg != NULL && i < cfg->pool.n_models; i++) {
        int64_t size = file_size(cfg->pool.models[i].path);
        most = size > most ? size : most;
    }
    return most;
}

static void tell_memory(const struct meminfo *m, const struct config *cfg)
{
    int64_t model = largest_model(cfg);
    bool elsewhere = cfg != NULL && (cfg->pool.n_workers > 0 || cfg->pool.coordinator.n_gpus > 0);
    bool enough = model <= m->available || elsewhere;
    say(enough, "memory", "%.1f of %.1f GiB available", gib(m->available), gib(m->total));
    if (model > 0)
        printf("               the largest model has %.1f GiB%s\n", gib(model),
               elsewhere ? ", which the pool's devices share" : "");
    if (!enough)
        fix("a smaller quantisation, or devices that take a share: workers in cluster.yaml");
}

static void tell_swap(const struct meminfo *m)
{
    char swappiness[16];
    int64_t used = m->swap_total - m->swap_free;
    if (m->swap_total <= 0) {
        say(false, "swap", "none: a moment of too little memory ends a program instead of slowing it down");
        fix("sudo fallocate -l 16G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon "
            "/swapfile");
    } else {
        say(used < m->swap_total / 2, "swap", "%.1f of %.1f GiB in use", gib(used), gib(m->swap_total));
        if (used >= m->swap_total / 2)
            fix("more than half of it is in use: end what is not needed, then sudo swapoff -a && sudo swapon -a");
    }
    read_line("/proc/sys/vm/swappiness", swappiness, sizeof(swappiness));
    if (swappiness[0] == '\0')
        return;
    bool low = atoi(swappiness) <= SWAPPINESS_MOST;
    say(low, "swappiness", "vm.swappiness is %s%s", swappiness,
        low ? "" : ": reading a large file pushes programs out of memory");
    if (!low)
        fix("sudo sysctl vm.swappiness=10    # and vm.swappiness=10 in /etc/sysctl.d/99-tightwad.conf to keep it");
}

static void tell_kernel(void)
{
    char text[128];
    read_line("/proc/sys/vm/overcommit_memory", text, sizeof(text));
    if (text[0] != '\0') {
        bool fine = strcmp(text, "2") != 0;
        say(fine, "overcommit", "vm.overcommit_memory is %s%s", text,
            fine ? "" : ": a mapped model counts against the limit, and loads fail with memory to spare");
        if (!fine)
            fix("sudo sysctl vm.overcommit_memory=0");
    }
    read_line("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text));
    if (text[0] != '\0') {
        bool fine = strstr(text, "[never]") == NULL;
        say(fine, "huge pages", "transparent huge pages: %s", text);
        if (!fine)
            fix("echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
    }
}

static void tell_lock(const struct config *cfg)
{
    struct rlimit r;
    bool wanted = false;
    for (size_t i = 0; cfg != NULL && i < cfg->pool.coordinator.extra_args.n; i++)
        wanted = wanted || strcmp(cfg->pool.coordinator.extra_args.list[i], "--mlock") == 0;
    if (getrlimit(RLIMIT_MEMLOCK, &r) != 0)
        return;
    bool unlimited = r.rlim_cur == RLIM_INFINITY;
    bool enough = !wanted || unlimited || (int64_t)r.rlim_cur > largest_model(cfg);
    if (unlimited)
        say(true, "memlock", "memory may be locked without a limit");
    else
        say(enough, "memlock", "%.1f MiB may be locked; --mlock is %s", (double)r.rlim_cur / (1 << 20),
            wanted ? "among extra_args and wants the whole model" : "not used");
    if (!enough)
        fix("ulimit -l unlimited    # or, to keep it: \"* - memlock unlimited\" in /etc/security/limits.conf");
}

static void tell_cache(const struct config *cfg)
{
    bool elsewhere = cfg->pool.n_workers > 0 || cfg->pool.coordinator.n_gpus > 0;
    for (size_t i = 0; i < cfg->pool.n_models; i++) {
        const struct config_model *m = &cfg->pool.models[i];
        int64_t size = file_size(m->path), in = size < 0 ? -1 : residency_bytes(m->path);
        if (size < 0)
            continue;
        if (in < 0)
            say(true, "page cache", "%s: unknown of %.2f GiB", m->name, gib(size));
        else
            say(true, "page cache", "%s: %.2f of %.2f GiB in memory%s", m->name, gib(in), gib(size),
                elsewhere && in > size / 2 ? " (`tightwad reclaim` gives it back once the model is loaded)" : "");
    }
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    (void)args;
    struct config *cfg = cmd_load_config(env, false);
    if (cfg == NULL)
        return CMD_FAILED;
    struct meminfo m = read_meminfo();
    tell_memory(&m, cfg);
    tell_swap(&m);
    tell_kernel();
    tell_lock(cfg);
    tell_cache(cfg);
    config_destroy(cfg);
    return CMD_OK;
}

const struct cmd cmd_tune = {
    .name = "tune",
    .usage = "",
    .summary = "whether this machine's memory and swap are ready, with the commands that mend it",
    .run = run,
};
