/* tightwad tune: whether this machine's memory and swap are ready for large models, and the commands that make them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/mem.h"
#include "base/residency.h"
#include "cmd/cmd.h"
#include "cmd/term.h"
#include "probe/memory.h"
#include "probe/read-file.h"

extern const struct cmd cmd_tune;

enum { SWAPPINESS_MOST = 20 };

struct meminfo {
    int64_t total, available, swap_total, swap_free; /* bytes, -1 unknown */
};

static struct meminfo read_meminfo(void)
{
    struct memory memory;
    memory_read(&memory, "");
    struct meminfo m = {memory.total, memory.available, -1, -1};
    char *text = read_file("", "/proc/meminfo");
    if (text != NULL) {
        int64_t total = read_file_value(text, "SwapTotal"), unused = read_file_value(text, "SwapFree");
        m.swap_total = total >= 0 ? total * 1024 : -1;
        m.swap_free = unused >= 0 ? unused * 1024 : -1;
    }
    free(text);
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

static void say(json_t *list, bool good, const char *what, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* One more thing that was looked at. */
static void say(json_t *list, bool good, const char *what, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    json_array_append_new(list, json_pack("{s:b, s:s, s:s, s:n}", "good", good, "what", what, "text", text, "fix"));
    free(text);
}

/* What mends the last one. */
static void fix(json_t *list, const char *command)
{
    json_object_set_new(json_array_get(list, json_array_size(list) - 1), "fix", json_string(command));
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

static void tell_memory(json_t *list, const struct meminfo *m, const struct config *cfg)
{
    int64_t model = largest_model(cfg);
    bool elsewhere = cfg != NULL && (cfg->pool.n_workers > 0 || cfg->pool.coordinator.n_gpus > 0);
    bool enough = model <= m->available || elsewhere;
    char *share = model > 0 ? xasprintf("; the largest model has %.1f GiB%s", gib(model),
                                        elsewhere ? ", which the pool's devices share" : "")
                            : xstrdup("");
    say(list, enough, "memory", "%.1f of %.1f GiB available%s", gib(m->available), gib(m->total), share);
    free(share);
    if (!enough)
        fix(list, "a smaller quantisation, or devices that take a share: workers in cluster.yaml");
}

static void tell_swap(json_t *list, const struct meminfo *m)
{
    char swappiness[16];
    int64_t used = m->swap_total - m->swap_free;
    if (m->swap_total <= 0) {
        say(list, false, "swap", "none: a moment of too little memory ends a program instead of slowing it down");
        fix(list, "sudo fallocate -l 16G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon "
                  "/swapfile");
    } else {
        say(list, used < m->swap_total / 2, "swap", "%.1f of %.1f GiB in use", gib(used), gib(m->swap_total));
        if (used >= m->swap_total / 2)
            fix(list, "more than half of it is in use: end what is not needed, then sudo swapoff -a && sudo swapon -a");
    }
    read_line("/proc/sys/vm/swappiness", swappiness, sizeof(swappiness));
    if (swappiness[0] == '\0')
        return;
    bool low = atoi(swappiness) <= SWAPPINESS_MOST;
    say(list, low, "swappiness", "vm.swappiness is %s%s", swappiness,
        low ? "" : ": reading a large file pushes programs out of memory");
    if (!low)
        fix(list,
            "sudo sysctl vm.swappiness=10    # and vm.swappiness=10 in /etc/sysctl.d/99-tightwad.conf to keep it");
}

static void tell_kernel(json_t *list)
{
    char text[128];
    read_line("/proc/sys/vm/overcommit_memory", text, sizeof(text));
    if (text[0] != '\0') {
        bool fine = strcmp(text, "2") != 0;
        say(list, fine, "overcommit", "vm.overcommit_memory is %s%s", text,
            fine ? "" : ": a mapped model counts against the limit, and loads fail with memory to spare");
        if (!fine)
            fix(list, "sudo sysctl vm.overcommit_memory=0");
    }
    read_line("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text));
    if (text[0] != '\0') {
        bool fine = strstr(text, "[never]") == NULL;
        say(list, fine, "huge pages", "transparent huge pages: %s", text);
        if (!fine)
            fix(list, "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
    }
}

static void tell_lock(json_t *list, const struct config *cfg)
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
        say(list, true, "memlock", "memory may be locked without a limit");
    else
        say(list, enough, "memlock", "%.1f MiB may be locked; --mlock is %s", (double)r.rlim_cur / (1 << 20),
            wanted ? "among extra_args and wants the whole model" : "not used");
    if (!enough)
        fix(list, "ulimit -l unlimited    # or, to keep it: \"* - memlock unlimited\" in /etc/security/limits.conf");
}

static void tell_cache(json_t *list, const struct config *cfg)
{
    bool elsewhere = cfg->pool.n_workers > 0 || cfg->pool.coordinator.n_gpus > 0;
    for (size_t i = 0; i < cfg->pool.n_models; i++) {
        const struct config_model *m = &cfg->pool.models[i];
        int64_t size = file_size(m->path), in = size < 0 ? -1 : residency_bytes(m->path);
        if (size < 0)
            continue;
        if (in < 0)
            say(list, true, "page cache", "%s: unknown of %.2f GiB", m->name, gib(size));
        else
            say(list, true, "page cache", "%s: %.2f of %.2f GiB in memory%s", m->name, gib(in), gib(size),
                elsewhere && in > size / 2 ? " (`tightwad reclaim` gives it back once the model is loaded)" : "");
    }
}

static void print_words(const json_t *list)
{
    bool colour = term_colour(stdout);
    size_t i;
    const json_t *o;
    json_array_foreach(list, i, o)
    {
        bool good = json_is_true(json_object_get(o, "good"));
        const char *command = json_string_value(json_object_get(o, "fix"));
        printf("%s%s%s %-10s %s\n", term_escape(colour, good ? TERM_GOOD : TERM_BAD), good ? "✓" : "✗",
               term_escape(colour, TERM_PLAIN), json_string_value(json_object_get(o, "what")),
               json_string_value(json_object_get(o, "text")));
        if (command != NULL)
            printf("               %s\n", command);
    }
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct config *cfg = cmd_load_config(env, false);
    if (cfg == NULL)
        return CMD_FAILED;
    struct meminfo m = read_meminfo();
    json_t *list = json_array();
    tell_memory(list, &m, cfg);
    tell_swap(list, &m);
    tell_kernel(list);
    tell_lock(list, cfg);
    tell_cache(list, cfg);
    config_destroy(cfg);
    if (cmd_args_has(args, "json")) {
        json_t *o = json_pack("{s:o}", "findings", list);
        json_dumpf(o, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(o);
    } else {
        print_words(list);
        json_decref(list);
    }
    return CMD_OK;
}

static const struct cmd_option options[] = {
    {0, "json", NULL, "what was looked at as one JSON object"},
    {0},
};

const struct cmd cmd_tune = {
    .name = "tune",
    .usage = "[--json]",
    .summary = "whether this machine's memory and swap are ready, with the commands that mend it",
    .options = options,
    .run = run,
};
