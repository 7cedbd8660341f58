#include "real.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"

extern char **environ;

enum { ARGS_MAX = 39, START_MS = 60000 };

static int free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    close(fd);
    return ntohs(sa.sin_port);
}

static pid_t running[8];

static void kill_all(void)
{
    for (size_t i = 0; i < ARRAY_LEN(running); i++)
        if (running[i] > 0)
            kill(running[i], SIGKILL);
}

/* A test that fails leaves its servers: they end with this program. */
static void remember(pid_t pid)
{
    static bool registered;
    if (!registered)
        atexit(kill_all);
    registered = true;
    for (size_t i = 0; i < ARRAY_LEN(running); i++)
        if (running[i] <= 0) {
            running[i] = pid;
            return;
        }
}

/* A status of 200 at /health, asked with plain sockets: the client is what is under test. */
static bool is_healthy(int port)
{
    static const char ask[] = "GET /health HTTP/1.0\r\n\r\n";
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    char reply[64] = "";
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && write(fd, ask, sizeof(ask) - 1) > 0 &&
              read(fd, reply, sizeof(reply) - 1) > 12 && strstr(reply, " 200 ") != NULL;
    close(fd);
    return ok;
}

static void start(struct real *r)
{
    char *const *argv = r->argv;
    int port = r->port;
    posix_spawn_file_actions_t fa;
    int64_t end = clock_us() + (int64_t)START_MS * 1000;
    posix_spawn_file_actions_init(&fa);
    if (getenv("TIGHTWAD_TEST_VERBOSE") == NULL) {
        posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
    }
    setenv("OMP_WAIT_POLICY", "passive", 0);
    assert_int_equal(posix_spawnp(&r->pid, argv[0], &fa, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&fa);
    remember(r->pid);
    snprintf(r->url, sizeof(r->url), "http://127.0.0.1:%d", port);
    while (!is_healthy(port)) {
        assert_int_equal(waitpid(r->pid, NULL, WNOHANG), 0);
        assert_true(clock_us() < end);
        usleep(20000);
    }
}

static const char *models(void)
{
    const char *dir = getenv("TIGHTWAD_MODELS");
    return dir != NULL ? dir : "subprojects/demo-models";
}

static size_t add_args(char **argv, size_t n, const char *const *args)
{
    for (; args != NULL && *args != NULL && n < ARGS_MAX; args++)
        argv[n++] = xstrdup(*args);
    argv[n] = NULL;
    return n;
}

bool real_llama_server(struct real *r, const char *model, const char *const *args)
{
    char lib[512], loader[600], path[1200], program[600], file[600], port[16];
    size_t n = 0;
    memset(r, 0, sizeof(*r));
    r->port = free_port();
    snprintf(lib, sizeof(lib), "%s/../llama-runtime/prefix/usr/lib/x86_64-linux-gnu", models());
    snprintf(loader, sizeof(loader), "%s/ld-linux-x86-64.so.2", lib);
    snprintf(path, sizeof(path), "%s:%s/llama", lib, lib);
    snprintf(program, sizeof(program), "%s/../../bin/llama-server", lib);
    snprintf(file, sizeof(file), "%s/%s.gguf", models(), model);
    snprintf(port, sizeof(port), "%d", r->port);
    if (access(loader, X_OK) == 0 && access(program, R_OK) == 0) {
        n = add_args(r->argv, n, (const char *const[]){loader, "--library-path", path, program, NULL});
    } else if (access("/usr/bin/llama-server", X_OK) == 0) {
        n = add_args(r->argv, n, (const char *const[]){"/usr/bin/llama-server", NULL});
    } else {
        return false;
    }
    const char *const own[] = {"-m", file, "--host", "127.0.0.1", "--port", port, "-t", "1", "--parallel", "2", NULL};
    n = add_args(r->argv, n, own);
    add_args(r->argv, n, args);
    start(r);
    return true;
}

/* $TIGHTWAD_NODE, or the one in the root of the build folder that this test was built in. */
static bool find_node(char *out, size_t size)
{
    const char *given = getenv("TIGHTWAD_NODE");
    char self[512];
    if (given != NULL) {
        snprintf(out, size, "%s", given);
        return access(out, X_OK) == 0;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return false;
    self[n] = '\0';
    for (int up = 0; up < 3; up++)
        *strrchr(self, '/') = '\0';
    snprintf(out, size, "%s/tightwad-node", self);
    return access(out, X_OK) == 0;
}

bool real_node(struct real *r, const char *model, const char *const *args)
{
    char program[600], file[600], listen[64];
    memset(r, 0, sizeof(*r));
    r->port = free_port();
    if (!find_node(program, sizeof(program)))
        return false;
    snprintf(file, sizeof(file), "%s/%s.gguf", models(), model);
    snprintf(listen, sizeof(listen), "127.0.0.1:%d", r->port);
    const char *const own[] = {program, "-m", file, "--listen", listen, "--threads", "1", NULL};
    size_t n = add_args(r->argv, 0, own);
    add_args(r->argv, n, args);
    start(r);
    return true;
}

void real_kill(struct real *r)
{
    if (r->pid <= 0)
        return;
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    for (size_t i = 0; i < ARRAY_LEN(running); i++)
        if (running[i] == r->pid)
            running[i] = 0;
    r->pid = 0;
}

void real_restart(struct real *r)
{
    start(r);
}

void real_free(struct real *r)
{
    real_kill(r);
    for (char **a = r->argv; *a != NULL; a++)
        free(*a);
    memset(r, 0, sizeof(*r));
}

void real_pause(struct real *r)
{
    kill(r->pid, SIGSTOP);
    waitpid(r->pid, NULL, WUNTRACED); /* until all its threads stand still */
}

void real_continue(struct real *r)
{
    kill(r->pid, SIGCONT);
}
