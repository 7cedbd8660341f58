#include "cmd/bench-llama.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"

enum {
    READY_MS = 180000,
    GRACE_MS = 200, /* it waits for the end of connections that are kept alive */
};

/* The loader's library folder of the private prefix; NULL where there is none.  Owned by the caller. */
static char *prefix_library(void)
{
    char first[256];
    FILE *f = fopen(TIGHTWAD_LLAMA_PREFIX "/.complete", "re");
    if (f == NULL)
        return NULL;
    bool read = fscanf(f, "%255s", first) == 1;
    fclose(f);
    return read ? xasprintf("%s/%s", TIGHTWAD_LLAMA_PREFIX, first) : NULL;
}

static bool in_path(const char *name)
{
    const char *path = getenv("PATH");
    bool found = false;
    for (const char *at = path != NULL ? path : ""; !found && *at != '\0';) {
        size_t len = strcspn(at, ":");
        char *file = xasprintf("%.*s/%s", (int)len, at, name);
        found = len > 0 && access(file, X_OK) == 0;
        free(file);
        at += len + (at[len] == ':');
    }
    return found;
}

/* A program of the private prefix runs through the prefix's own loader. */
int bench_llama_find(const char *given, struct stack_argv *a, char **cause)
{
    if (given != NULL) {
        bool there = strchr(given, '/') != NULL ? access(given, X_OK) == 0 : in_path(given);
        if (!there)
            return cause_set(cause, "%s is not a program that can be started", given);
        stack_arg(a, "%s", given);
        return 0;
    }
    if (in_path("llama-server")) {
        stack_arg(a, "llama-server");
        return 0;
    }
    char *lib = prefix_library(), *program = xasprintf("%s/usr/bin/llama-server", TIGHTWAD_LLAMA_PREFIX);
    bool there = lib != NULL && access(program, X_OK) == 0;
    if (there) {
        stack_arg(a, "%s/ld-linux-x86-64.so.2", lib);
        stack_arg(a, "--library-path");
        stack_arg(a, "%s:%s/llama", lib, lib);
        stack_arg(a, "%s", program);
    }
    free(lib);
    free(program);
    return there ? 0 : cause_set(cause, "no llama-server in $PATH: name one with --llama-server PATH");
}

static int make(struct stack_argv *a, const struct bench_llama *l, char **cause)
{
    if (bench_llama_find(l->given, a, cause) != 0)
        return -1;
    stack_arg(a, "-m");
    stack_arg(a, "%s", l->target);
    if (l->workers[0] != '\0') {
        stack_arg(a, "--rpc");
        stack_arg(a, "%s", l->workers);
    }
    stack_arg(a, "--host");
    stack_arg(a, "127.0.0.1");
    stack_arg(a, "--port");
    stack_arg(a, "%d", l->port);
    stack_arg(a, "-ngl");
    stack_arg(a, "999");
    stack_arg(a, "-c");
    stack_arg(a, "%d", l->ctx * (l->verify_slots > 0 ? l->verify_slots : 1));
    stack_arg(a, "-np");
    stack_arg(a, "%d", l->verify_slots > 0 ? l->verify_slots : 1);
    if (l->verify_slots > 0) {
        stack_arg(a,
                  "--kv-unified"); /* all slots in one pass; flash attention, its default, is what that is made for */
    } else {
        /* As our node has it, so that the bits of both agree; on a CPU it is the faster one, too. */
        stack_arg(a, "-fa");
        stack_arg(a, "off");
    }
    stack_arg(a, "-t");
    stack_arg(a, "%d", l->threads);
    stack_arg(a, "-tb");
    stack_arg(a, "%d", l->threads);
    return 0;
}

struct stack_program *bench_llama_start(struct stack *s, struct bench_llama *l, char **cause)
{
    struct stack_argv a = l->made;
    l->made = (struct stack_argv){0};
    if (a.n == 0) {
        l->port = child_free_port(0);
        if (make(&a, l, cause) != 0)
            return NULL;
    }
    if (l->drafter != NULL) {
        stack_arg(&a, "-md");
        stack_arg(&a, "%s", l->drafter);
        /* Beside the server: left to itself, it puts the draft model on the workers, and pays a trip for each token. */
        stack_arg(&a, "-devd");
        stack_arg(&a, "%s", l->draft_device);
        stack_arg(&a, "--spec-type");
        stack_arg(&a, "draft-simple");
        stack_arg(&a, "--spec-draft-n-max");
        stack_arg(&a, "%d", l->n_max);
        stack_arg(&a, "--spec-draft-p-min");
        stack_arg(&a, "%g", l->p_min);
    }
    struct stack_program *p = stack_start(s, "llama-server", &a, cause);
    if (p == NULL)
        return NULL;
    p->address = xasprintf("127.0.0.1:%d", l->port);
    p->grace_ms = GRACE_MS;
    if (stack_wait_http(s, p, "/health", NULL, READY_MS, cause) == 0)
        return p;
    stack_end(s, p);
    return NULL;
}
