/* tightwad logs: what the pool's programs write, and the instance itself. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/control.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "engines/pool.h"

extern const struct cmd cmd_logs;

enum { LINES = 50, PIECE = 64 * 1024, LOOK_NS = 100 * 1000 * 1000 };

static const struct cmd_option options[] = {
    {'f', "follow", NULL, "go on as lines are written, until Ctrl-C"},
    {'n', "lines", "N", "begin with the last N lines (50)"},
    {0, "drafter", NULL, "those of the pool's drafter"},
    {0, "own", NULL, "those of the instance itself while it has no terminal (without a pool: always)"},
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0},
};

/* The offset at which the last n lines of the file begin. */
static off_t start_of_lines(int fd, int64_t n)
{
    char piece[PIECE];
    off_t end = lseek(fd, 0, SEEK_END), at = end;
    while (at > 0) {
        size_t len = at < PIECE ? (size_t)at : PIECE;
        at -= (off_t)len;
        if (pread(fd, piece, len, at) != (ssize_t)len)
            return 0;
        for (size_t i = len; i-- > 0;) {
            if (piece[i] == '\n' && at + (off_t)i + 1 < end && n-- == 1)
                return at + (off_t)i + 1;
        }
    }
    return 0;
}

/* Copies what there is from offset at on; returns where it ends. */
static off_t copy(int fd, off_t at)
{
    char piece[PIECE];
    ssize_t n;
    while ((n = pread(fd, piece, sizeof(piece), at)) > 0) {
        if (fwrite(piece, 1, (size_t)n, stdout) != (size_t)n)
            break;
        at += n;
    }
    fflush(stdout);
    return at;
}

/* A file that was turned over is read to its end, then the new one from its beginning. */
static void follow(const char *path, int fd, off_t at)
{
    struct stat here, there;
    while (!ferror(stdout)) {
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
        at = copy(fd, at);
        if (stat(path, &there) != 0 || fstat(fd, &here) != 0 || there.st_ino == here.st_ino)
            continue;
        int next = open(path, O_RDONLY | O_CLOEXEC);
        if (next < 0)
            continue;
        copy(fd, at);
        close(fd);
        fd = next;
        at = 0;
    }
}

/* The pool's where there is one, else the instance's own.  Owned by the caller. */
static char *log_path(int port, bool drafter, bool own)
{
    char *dir = control_dir(), *path = pool_log_path(dir, port, drafter);
    free(dir);
    if (!own && (drafter || access(path, F_OK) == 0))
        return path;
    free(path);
    return control_log_path(port);
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    char *cause = NULL;
    int64_t port = 0, lines = LINES;
    if (cmd_args_int(args, "port", 1, 65535, &port, &cause) != 0 ||
        cmd_args_int(args, "lines", 1, 1000000, &lines, &cause) != 0)
        return cmd_fail_cause(cause), CMD_USAGE;
    if (port == 0) {
        struct config *cfg = cmd_load_config(env, false);
        if (cfg == NULL)
            return CMD_FAILED;
        port = cfg->proxy.port;
        config_destroy(cfg);
    }
    bool drafter = cmd_args_has(args, "drafter");
    char *path = log_path((int)port, drafter, cmd_args_has(args, "own"));
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = CMD_OK;
    if (fd < 0) {
        rc = cmd_fail("%s: %s (an instance on port %d %s writes it: --port names another one)", path, strerror(errno),
                      (int)port, drafter ? "with a pool and its drafter" : "without a terminal");
    } else {
        signal(SIGPIPE, SIG_DFL);
        off_t at = copy(fd, start_of_lines(fd, lines));
        if (cmd_args_has(args, "follow"))
            follow(path, fd, at);
        close(fd);
    }
    free(path);
    return rc;
}

const struct cmd cmd_logs = {
    .name = "logs",
    .usage = "[-f] [-n N] [--drafter | --own] [--port PORT]",
    .summary = "what the pool's programs write, and the instance itself",
    .options = options,
    .run = run,
};
