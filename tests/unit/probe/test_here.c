/* The probe of this machine: its parts against made-up files and programs, and as a whole with tools that hang, fail or
 * are not there. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/mem.h"
#include "probe/cards.h"
#include "probe/here.h"
#include "probe/memory.h"
#include "probe/models-here.h"
#include "probe/read-file.h"
#include "probe/tools.h"
#include "probe/topology.h"

static char root[64];
static char *old_path, *old_home;

static char *at(const char *path)
{
    return xasprintf("%s/%s", root, path);
}

/* Makes a file below root and the folders that it needs. */
static void make(const char *path, const char *text, mode_t mode)
{
    char *full = at(path);
    for (char *p = strchr(full + strlen(root) + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(full, mode);
    free(full);
}

/* An empty $PATH and $HOME below root; nothing that this machine has is found. */
static int set_up(void **state)
{
    static const char *const unset[] = {"OLLAMA_MODELS", "LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"};
    strcpy(root, "/tmp/tightwad-test-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(unset); i++)
        unsetenv(unset[i]);
    old_path = xstrdup(getenv("PATH"));
    old_home = xstrdup(getenv("HOME"));
    char *path = at("bin"), *home = at("home");
    mkdir(path, 0700);
    mkdir(home, 0700);
    setenv("PATH", path, 1);
    setenv("HOME", home, 1);
    free(path);
    free(home);
    return 0;
}

static int tear_down(void **state)
{
    setenv("PATH", old_path, 1);
    if (old_home)
        setenv("HOME", old_home, 1);
    char *command = xasprintf("rm -rf '%s'", root);
    int rc = system(command);
    free(command);
    free(old_path);
    free(old_home);
    return rc;
}

static bool has_note(const struct machine *m, const char *text)
{
    for (size_t i = 0; i < m->n_notes; i++) {
        if (strstr(m->note[i], text))
            return true;
    }
    return false;
}

static void memory_of_the_machine(void **state)
{
    struct memory m;
    memory_read(&m, root);
    assert_true(m.total == -1 && m.available == -1 && m.machine == -1);
    make("proc/meminfo", "MemTotal:       24684084 kB\nMemFree:        23835572 kB\nMemAvailable:   24155936 kB\n",
         0600);
    memory_read(&m, root);
    assert_int_equal(m.total, 24684084LL * 1024);
    assert_int_equal(m.available, 24155936LL * 1024);
    make("proc/meminfo", "MemTotal: much\nMemAvailable", 0600);
    memory_read(&m, root);
    assert_true(m.total == -1 && m.available == -1);
}

static void memory_of_a_control_group(void **state)
{
    struct memory m;
    make("proc/meminfo", "MemTotal:       16777216 kB\nMemAvailable:   12582912 kB\n", 0600);
    make("proc/self/cgroup", "0::/a/b\n", 0600);
    make("sys/fs/cgroup/a/memory.max", "4294967296\n", 0600);
    make("sys/fs/cgroup/a/memory.current", "1073741824\n", 0600);
    make("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 536870912\n", 0600);
    make("sys/fs/cgroup/a/b/memory.max", "max\n", 0600);
    make("sys/fs/cgroup/a/b/memory.current", "5\n", 0600);
    memory_read(&m, root);
    assert_int_equal(m.machine, 16LL << 30);
    assert_int_equal(m.total, 4LL << 30);
    assert_int_equal(m.available, (4LL << 30) - (1LL << 30) + (512LL << 20));
    /* The inner one is the closer bound. */
    make("sys/fs/cgroup/a/b/memory.max", "1000000\n", 0600);
    memory_read(&m, root);
    assert_int_equal(m.total, 1000000);
    assert_int_equal(m.available, 999995);
    /* Version 1; its way to say "no limit" is a number beyond all memory. */
    make("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/process/6ae\n0::/\n", 0600);
    make("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n", 0600);
    make("sys/fs/cgroup/memory/memory.usage_in_bytes", "7\n", 0600);
    memory_read(&m, root);
    assert_int_equal(m.total, 16LL << 30);
    assert_int_equal(m.available, 12LL << 30);
    make("sys/fs/cgroup/memory/process/6ae/memory.limit_in_bytes", "2147483648\n", 0600);
    make("sys/fs/cgroup/memory/process/6ae/memory.usage_in_bytes", "4147483648\n", 0600);
    memory_read(&m, root);
    assert_int_equal(m.total, 2LL << 30);
    assert_int_equal(m.available, 0);
    make("proc/self/cgroup", "garbage\n:\n::\n1:memory\n\n", 0600);
    memory_read(&m, root);
    assert_int_equal(m.total, 16LL << 30);
}

static void device(const char *name, const char *vendor, const char *id, const char *class)
{
    static const char *const files[] = {"vendor", "device", "class"};
    const char *const texts[] = {vendor, id, class};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *path = xasprintf("sys/bus/pci/devices/%s/%s", name, files[i]);
        make(path, texts[i], 0600);
        free(path);
    }
}

static void cards_of_the_bus(void **state)
{
    struct machine m;
    machine_init(&m, MACHINE_HERE);
    cards_probe(&m, root);
    assert_int_equal(m.n_gpus, 0);
    device("0000:03:00.0", "0x1002\n", "0x744c\n", "0x030000\n");
    device("0000:03:00.1", "0x1002\n", "0xab30\n", "0x040300\n"); /* its sound */
    device("0000:01:00.0", "0x10de\n", "0x2684\n", "0x030200\n");
    device("0000:00:02.0", "0x8086\n", "0x9a49\n", "0x030000\n");
    device("0000:00:01.0", "0x1234\n", "0x1111\n", "0x030000\n"); /* a virtual machine's screen */
    make("sys/bus/pci/devices/0000:03:00.0/mem_info_vram_total", "25753026560\n", 0600);
    make("sys/bus/pci/devices/0000:03:00.0/mem_info_vram_used", "1048576\n", 0600);
    make("sys/bus/pci/devices/0000:03:00.0/gpu_busy_percent", "25\n", 0600);
    cards_probe(&m, root);
    assert_int_equal(m.n_gpus, 3);
    assert_string_equal(m.gpu[0].name, "Intel card 9a49");
    assert_int_equal(m.gpu[0].vendor, GPU_INTEL);
    assert_int_equal(m.gpu[0].memory, -1);
    assert_string_equal(m.gpu[1].bus, "0000:01:00.0");
    assert_true(m.gpu[1].memory == -1 && m.gpu[1].memory_used == -1 && isnan(m.gpu[1].utilisation));
    assert_int_equal(m.gpu[2].memory, 25753026560);
    assert_int_equal(m.gpu[2].memory_used, 1048576);
    assert_true(m.gpu[2].utilisation == 0.25);
    machine_finish(&m);
    make("usr/share/hwdata/pci.ids",
         "# a list\n\n1002  AMD\n\t744c  Navi 31 [Radeon RX 7900 XTX]\n\t\t1002 0e3b  A sub one\n"
         "10de  NVIDIA Corporation\n\t2684  AD102 [GeForce RTX 4090]\n8086  Intel\n\t9a49  TigerLake-LP",
         0600);
    machine_init(&m, MACHINE_HERE);
    cards_probe(&m, root);
    assert_string_equal(m.gpu[0].name, "Intel TigerLake-LP");
    assert_string_equal(m.gpu[1].name, "NVIDIA AD102 [GeForce RTX 4090]");
    assert_string_equal(m.gpu[2].name, "AMD Navi 31 [Radeon RX 7900 XTX]");
    machine_finish(&m);
}

static void names_of_systems(void **state)
{
    char name[24];
    assert_true(topology_os_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=y\n", name, sizeof(name)));
    assert_string_equal(name, "Debian GNU/Linux 12 (bo");
    assert_true(topology_os_name("PRETTY_NAME=Arch\nX=1", name, sizeof(name)));
    assert_string_equal(name, "Arch");
    assert_false(topology_os_name("NAME=x\nUGLY_PRETTY_NAME=y\n", name, sizeof(name)));
    assert_false(topology_os_name("PRETTY_NAME=\n", name, sizeof(name)));
    assert_true(topology_os_name("PRETTY_NAME='a b", name, sizeof(name)));
    assert_string_equal(name, "a b");
}

static void cores_of_several_kinds(void **state)
{
    struct machine m;
    char *file = xasprintf("%s/data/hybrid.xml", getenv("TIGHTWAD_TEST_DATA"));
    setenv("HWLOC_XMLFILE", file, 1);
    machine_init(&m, MACHINE_HERE);
    topology_probe(&m);
    assert_string_equal(m.cpu.model, "12th Gen Intel(R) Core(TM) i5-12500H");
    assert_int_equal(m.cpu.cores, 6);
    assert_int_equal(m.cpu.threads, 12);
    assert_int_equal(m.cpu.fast_cores, 2);
    assert_int_equal(m.cpu.slow_cores, 4);
    assert_int_equal(m.cpu.l2, 2 << 20);
    assert_int_equal(m.cpu.l3, 30 << 20);
    machine_finish(&m);
    unsetenv("HWLOC_XMLFILE");
    setenv("HWLOC_SYNTHETIC", "pack:2 [numa] l2:4(size=65536) core:1 pu:2", 1);
    machine_init(&m, MACHINE_HERE);
    topology_probe(&m);
    assert_int_equal(m.cpu.packages, 2);
    assert_int_equal(m.cpu.numa_nodes, 2);
    assert_int_equal(m.cpu.cores, 8);
    assert_int_equal(m.cpu.threads, 16);
    assert_int_equal(m.cpu.fast_cores, -1); /* all of one kind */
    assert_int_equal(m.cpu.l3, -1);
    machine_finish(&m);
    unsetenv("HWLOC_SYNTHETIC");
    setenv("HWLOC_XMLFILE", "/nonexistent", 1);
    machine_init(&m, MACHINE_HERE);
    topology_probe(&m);
    assert_true(m.memory > 0);
    machine_finish(&m);
    unsetenv("HWLOC_XMLFILE");
    free(file);
}

static void versions_of_programs(void **state)
{
    static const struct {
        const char *says, *version;
    } rows[] = {
        {"register_backend: registered backend CPU (1 devices)\nversion: 5046 (7c3f55c1)\nbuilt with gcc 12\n",
         "5046 (7c3f55c1)"},
        {"ollama version is 0.9.1\n", "0.9.1"},
        {"Warning: could not connect to a running Ollama instance\nWarning: client version is 0.5.7\n", "0.5.7"},
        {"tightwad-node 0.1.0, llama.cpp 0.7.0\n", "0.1.0, llama.cpp 0.7.0"},
        {"v3\nmore words\n", ""},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char version[64];
        tools_version(rows[i].says, version, sizeof(version));
        assert_string_equal(version, rows[i].version);
    }
}

static void finds_programs(void **state)
{
    struct machine m;
    atomic_bool stop = false;
    static const char *const nowhere[] = {"relative", "~/there", NULL};
    assert_null(tools_find("llama-server", nowhere));
    make("bin/llama-server", "#!/bin/sh\necho 'version: 17 (abc)' >&2\n", 0700);
    make("bin/ollama", "no program at all", 0600); /* may not be run: is none */
    make("home/there/ollama", "#!/bin/sh\nexit 3\n", 0700);
    make("home/llama.cpp/build/bin/rpc-server", "#!/bin/sh\nexit 1\n", 0700);
    char *path = tools_find("ollama", nowhere), *want = at("home/there/ollama");
    assert_string_equal(path, want);
    free(path);
    make("node", "#!/bin/sh\necho 'tightwad-node 9.9'\n", 0700);
    char *node = at("node");
    machine_init(&m, MACHINE_HERE);
    tools_probe(&m, node, &stop);
    assert_string_equal(m.tool[0].name, "llama-server");
    assert_string_equal(m.tool[0].version, "17 (abc)");
    /* Another ollama of this machine may lie in a usual place. */
    const struct machine_tool *t = &m.tool[m.n_tools - 2];
    assert_string_equal(t->name, "rpc-server");
    assert_non_null(strstr(t->path, root));
    assert_string_equal(t->version, "");
    assert_string_equal(m.tool[m.n_tools - 1].name, "tightwad-node");
    assert_string_equal(m.tool[m.n_tools - 1].version, "9.9");
    machine_finish(&m);
    free(want);
    free(node);
    unsetenv("HOME");
    assert_null(tools_find("ollama", nowhere));
}

static const struct machine_model *model(const struct machine *m, const char *name)
{
    for (size_t i = 0; i < m->n_models; i++) {
        if (strcmp(m->model[i].name, name) == 0)
            return &m->model[i];
    }
    return NULL;
}

static void find_models(struct machine *m, const char *folder, int timeout_ms)
{
    struct models_here s = {&folder, folder ? 1 : 0, timeout_ms, NULL};
    machine_init(m, MACHINE_HERE);
    models_here_disks(m, &s);
    models_here_probe(m, &s);
}

static void copy(const char *name, const char *to)
{
    char *command = xasprintf("PATH=/usr/bin:/bin; mkdir -p \"$(dirname '%s/%s')\" && cp '%s/%s.gguf' '%s/%s'", root,
                              to, getenv("TIGHTWAD_MODELS"), name, root, to);
    assert_int_equal(system(command), 0);
    free(command);
}

static void finds_models(void **state)
{
    struct machine m;
    struct stat st;
    char *given = at("mine"), *blob = at("home/.cache/huggingface/hub/models--a--b/blobs/123");
    copy("draft", "home/.cache/llama.cpp/draft.gguf");
    copy("small", "home/.cache/huggingface/hub/models--a--b/blobs/123");
    make("home/.cache/huggingface/hub/models--a--b/snapshots/fff/readme", "", 0600);
    char *linked = at("home/.cache/huggingface/hub/models--a--b/snapshots/fff/small.gguf"), *loop = at("mine/loop");
    assert_int_equal(symlink("../../blobs/123", linked), 0);
    copy("mid", "mine/deep/er/mid.GGUF");
    make("mine/broken.gguf", "GGUF, but no more than that", 0600);
    make("mine/eyes.txt", "GGUF", 0600);
    assert_int_equal(symlink(".", loop), 0);
    copy("draft", "home/.ollama/models/blobs/sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    make("home/.ollama/models/manifests/registry.ollama.ai/library/tiny/1b",
         "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":"
         "\"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}]}",
         0600);
    make("home/.ollama/models/manifests/registry.ollama.ai/library/cloudy/latest", "{\"layers\":[]}", 0600);
    char *file = at("home/.cache/llama.cpp/draft.gguf"), *again = at("home/models/again.gguf");
    make("home/models/none.txt", "", 0600);
    assert_int_equal(link(file, again), 0);
    find_models(&m, given, 5000);
    assert_null(model(&m, "again.gguf")); /* the same file */
    const struct machine_model *draft = model(&m, "draft.gguf"), *tiny = model(&m, "tiny:1b");
    assert_non_null(draft);
    assert_string_equal(draft->from, "file");
    assert_string_equal(draft->architecture, "llama");
    assert_string_equal(draft->quantisation, "Q8_0");
    assert_int_equal(strlen(draft->vocab), 64);
    assert_true(draft->parameters > 1000);
    assert_int_equal(stat(draft->path, &st), 0);
    assert_int_equal(draft->bytes, st.st_size);
    assert_non_null(tiny);
    assert_string_equal(tiny->from, "ollama");
    assert_int_equal(tiny->bytes, draft->bytes);
    assert_string_equal(tiny->architecture, "llama");
    assert_non_null(model(&m, "small.gguf"));
    assert_non_null(model(&m, "mid.GGUF"));
    assert_null(model(&m, "cloudy:latest"));
    assert_null(model(&m, "broken.gguf"));
    assert_true(has_note(&m, "broken.gguf"));
    assert_int_equal(m.n_disks, 1); /* all on one */
    assert_true(m.disk[0].size > 0 && m.disk[0].free_ >= 0 && m.disk[0].free_ <= m.disk[0].size);
    machine_finish(&m);
    /* No time at all: a note, and no more. */
    find_models(&m, given, -1);
    assert_int_equal(m.n_models, 0);
    assert_true(has_note(&m, "models: the search was ended"));
    machine_finish(&m);
    free(given);
    free(blob);
    free(linked);
    free(file);
    free(again);
    free(loop);
}

static void split_models_are_one(void **state)
{
    struct machine m;
    char *given = at("mine");
    copy("draft", "mine/big-00001-of-00003.gguf");
    copy("small", "mine/big-00002-of-00003.gguf");
    copy("mid", "mine/big-00003-of-00003.gguf");
    copy("mid", "mine/half-00001-of-00002.gguf");
    find_models(&m, given, 5000);
    assert_int_equal(m.n_models, 2);
    const struct machine_model *big = model(&m, "big-00001-of-00003.gguf"),
                               *half = model(&m, "half-00001-of-00002.gguf");
    assert_non_null(big);
    assert_non_null(half);
    assert_true(big->bytes > 0 && big->parameters > half->bytes / 10);
    assert_int_equal(half->parameters, -1);
    assert_true(has_note(&m, "part 2 of 2 can't be read"));
    machine_finish(&m);
    free(given);
}

static void no_home(void **state)
{
    struct machine m;
    unsetenv("HOME");
    find_models(&m, NULL, 5000);
    assert_true(m.n_disks >= 1);
    machine_finish(&m);
}

struct outcome {
    struct event_base *base;
    struct machine m;
    int called;
};

static void on_done(struct machine *m, void *arg)
{
    struct outcome *o = arg;
    o->m = *m;
    o->called++;
    event_base_loopbreak(o->base);
}

static void whole(struct outcome *o, const struct here_opts *opts)
{
    *o = (struct outcome){.base = event_base_new()};
    here_probe(o->base, opts, on_done, o);
    assert_int_equal(o->called, 0);
    event_base_dispatch(o->base);
    assert_int_equal(o->called, 1);
    event_base_free(o->base);
}

static void this_machine(void **state)
{
    struct outcome o;
    make("bin/nvidia-smi",
         "#!/bin/sh\necho '0, NVIDIA GeForce RTX 3060, 12288, 11, 0, 38, 14.90, 550.120, 00000000:41:00.0'\n", 0700);
    make("bin/rocm-smi", "#!/bin/sh\necho 'WARNING: No JSON data to report'\n", 0700);
    whole(&o, NULL);
    assert_int_equal(o.m.origin, MACHINE_HERE);
    assert_true(o.m.name[0] && o.m.os[0] && o.m.arch[0]);
    assert_true(o.m.memory > 0 && o.m.memory_available > 0);
    assert_true(o.m.cpu.threads > 0 && (o.m.cpu.cores == -1 || o.m.cpu.cores <= o.m.cpu.threads));
    assert_true(o.m.n_disks > 0);
    assert_string_equal(o.m.gpu[0].name, "NVIDIA GeForce RTX 3060");
    assert_true(has_note(&o.m, "rocm-smi: it finds no card"));
    machine_finish(&o.m);
    whole(&o, &(struct here_opts){.parts = HERE_NVIDIA});
    assert_int_equal(o.m.memory, -1);
    assert_int_equal(o.m.n_gpus, 1);
    assert_int_equal(o.m.n_notes, 0);
    machine_finish(&o.m);
}

/* A tool that hangs costs its deadline and a note; the rest is there. */
static void a_tool_that_hangs(void **state)
{
    struct outcome o;
    make("bin/nvidia-smi", "#!/bin/sh\ntrap '' TERM\n/bin/sleep 600 &\nwait\n", 0700);
    int64_t t0 = clock_us();
    whole(&o, &(struct here_opts){.timeout_ms = 400});
    assert_true(clock_us() - t0 < 5000000);
    assert_true(o.m.memory > 0);
    assert_int_equal(o.m.n_gpus, 0);
    assert_true(has_note(&o.m, "nvidia-smi: no answer within"));
    machine_finish(&o.m);
}

static void cancelled(void **state)
{
    struct outcome o = {.base = event_base_new()};
    make("bin/nvidia-smi", "#!/bin/sh\n/bin/sleep 600\n", 0700);
    struct here *h = here_probe(o.base, NULL, on_done, &o);
    event_base_loop(o.base, EVLOOP_NONBLOCK);
    int64_t t0 = clock_us();
    here_cancel(h);
    assert_true(clock_us() - t0 < 1000000);
    event_base_loop(o.base, EVLOOP_NONBLOCK);
    assert_int_equal(o.called, 0);
    event_base_free(o.base);
    here_cancel(NULL);
}

#define HERE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

const struct CMUnitTest here_tests[] = {
    HERE_TEST(cards_of_the_bus), HERE_TEST(memory_of_the_machine),  HERE_TEST(memory_of_a_control_group),
    HERE_TEST(names_of_systems), HERE_TEST(cores_of_several_kinds), HERE_TEST(versions_of_programs),
    HERE_TEST(finds_programs),   HERE_TEST(finds_models),           HERE_TEST(split_models_are_one),
    HERE_TEST(no_home),          HERE_TEST(this_machine),           HERE_TEST(a_tool_that_hangs),
    HERE_TEST(cancelled),
};
const size_t here_count = sizeof(here_tests) / sizeof(here_tests[0]);
