#include "engines/pool-argv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"
#include "config/words.h"

enum { OPTIONS_MAX = 1024, RPC_MAX = 256 };

/* ---- lists ---- */

static void add(char ***list, const char *text)
{
    size_t n = 0;
    while (*list != NULL && (*list)[n] != NULL)
        n++;
    *list = xreallocarray(*list, n + 2, sizeof(**list));
    (*list)[n] = xstrdup(text);
    (*list)[n + 1] = NULL;
}

static void add_pair(struct pool_argv *a, const char *option, const char *value)
{
    add(&a->argv, option);
    add(&a->argv, value);
}

static void add_number(struct pool_argv *a, const char *option, long long value)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", value);
    add_pair(a, option, text);
}

/* NAME=VALUE, in the place of an earlier one of that name. */
static void set_env(struct pool_argv *a, const char *pair)
{
    size_t name = strcspn(pair, "=") + 1;
    for (char **e = a->env; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, pair, name) == 0) {
            free(*e);
            *e = xstrdup(pair);
            return;
        }
    }
    add(&a->env, pair);
}

static void free_list(char **list)
{
    for (char **at = list; at != NULL && *at != NULL; at++)
        free(*at);
    free(list);
}

void pool_argv_finish(struct pool_argv *a)
{
    free_list(a->argv);
    free_list(a->env);
    *a = (struct pool_argv){0};
}

static void add_quoted(struct buf *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    buf_adds(b, b->len > 0 ? " " : "");
    if (*word != '\0' && strspn(word, plain) == strlen(word)) {
        buf_adds(b, word);
        return;
    }
    buf_addc(b, '\'');
    for (; *word != '\0'; word++) {
        if (*word == '\'')
            buf_adds(b, "'\\''");
        else
            buf_addc(b, *word);
    }
    buf_addc(b, '\'');
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && !isdigit((unsigned char)word[1]) && word[1] != '.';
}

char *pool_argv_text(const struct pool_argv *a)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (char **e = a->env; e != NULL && *e != NULL; e++) {
        char *name = xstrndup(*e, strcspn(*e, "=")), *hidden = xasprintf("%s=(set)", name);
        add_quoted(&b, words_is_secret(name) ? hidden : *e);
        free(name);
        free(hidden);
    }
    for (char **w = a->argv; w != NULL && *w != NULL; w++)
        add_quoted(&b, w > a->argv && is_option(w[-1]) && words_is_secret(w[-1]) ? "(set)" : *w);
    return buf_steal(&b);
}

/* ---- what --help says ---- */

static bool in_name(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* Where the option stands as a word of its own; NULL: nowhere. */
static const char *find_option(const char *help, const char *option)
{
    size_t n = strlen(option);
    for (const char *at = strstr(help, option); at != NULL; at = strstr(at + 1, option)) {
        if ((at == help || !in_name(at[-1])) && !in_name(at[n]))
            return at;
    }
    return NULL;
}

bool pool_argv_has(const char *help, const char *option)
{
    return find_option(help, option) != NULL;
}

enum pool_binary pool_argv_kind(const char *help)
{
    return strstr(help, "tightwad-node") != NULL ? POOL_NODE : POOL_LLAMA_SERVER;
}

static bool can(const struct pool_argv_ask *ask, const char *option)
{
    return ask->help == NULL || pool_argv_has(ask->help, option);
}

/* Whether --flash-attn wants a value: older llama-servers have it as a bare flag. */
static bool flash_wants_value(const char *help)
{
    const char *at = help != NULL ? find_option(help, "--flash-attn") : NULL;
    if (at == NULL)
        return true;
    size_t line = strcspn(at, "\n");
    const char *value = strstr(at, "on|off");
    return value != NULL && (size_t)(value - at) < line;
}

/* ---- extra_args ---- */

/* Every option that help lists: words that begin with a dash.  Owned by the caller, also each of them. */
static size_t list_options(const char *help, char **names, size_t max)
{
    size_t n = 0;
    for (const char *at = help; *at != '\0' && n < max; at++) {
        if (*at != '-' || (at > help && (in_name(at[-1]) || at[-1] == '=')))
            continue;
        size_t len = strspn(at, "-");
        while (in_name(at[len]))
            len++;
        if (len > strspn(at, "-"))
            names[n++] = xstrndup(at, len);
        at += len - 1;
    }
    return n;
}

static int unknown_extra(const struct config *cfg, const char *help, const char *name, char **cause)
{
    char *where = config_where(cfg, "coordinator.extra_args"), *names[OPTIONS_MAX];
    size_t n = list_options(help, names, OPTIONS_MAX);
    const char *near = config_nearest(name, (const char *const *)names, n);
    cause_set(cause, "%s%scoordinator.extra_args: %s has no option %s%s%s%s", where != NULL ? where : "",
              where != NULL ? ": " : "",
              pool_argv_kind(help) == POOL_NODE ? "tightwad-node" : "the coordinator's binary", name,
              near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(where);
    return -1;
}

int pool_argv_check_extra(const struct config *cfg, const char *help, char **cause)
{
    const struct config_words *extra = &cfg->pool.coordinator.extra_args;
    for (size_t i = 0; i < extra->n; i++) {
        if (!is_option(extra->list[i]))
            continue;
        char *name = xstrndup(extra->list[i], strcspn(extra->list[i], "="));
        int rc = pool_argv_has(help, name) ? 0 : unknown_extra(cfg, help, name, cause);
        free(name);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* The value of --name VALUE, --name=VALUE or -n VALUE among the extra arguments, the last one; NULL: not given. */
static const char *extra_value(const struct config_words *extra, const char *name, const char *brief)
{
    const char *value = NULL;
    size_t len = strlen(name);
    for (size_t i = 0; i < extra->n; i++) {
        const char *word = extra->list[i];
        if (strncmp(word, name, len) == 0 && word[len] == '=')
            value = word + len + 1;
        else if ((strcmp(word, name) == 0 || strcmp(word, brief) == 0) && i + 1 < extra->n)
            value = extra->list[i + 1];
    }
    return value;
}

bool pool_argv_places(const struct config *cfg)
{
    static const char *const names[] = {"-ngl",    "--n-gpu-layers", "--gpu-layers", "-ot",         "--override-tensor",
                                        "-cmoe",   "--cpu-moe",      "-ncmoe",       "--n-cpu-moe", "-dev",
                                        "--device"};
    const struct config_words *extra = &cfg->pool.coordinator.extra_args;
    for (size_t i = 0; i < extra->n; i++) {
        size_t n = strcspn(extra->list[i], "=");
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            if (strlen(names[k]) == n && strncmp(extra->list[i], names[k], n) == 0)
                return true;
        }
    }
    return false;
}

size_t pool_argv_shares(const struct config *cfg, double *shares, size_t max)
{
    const char *text = extra_value(&cfg->pool.coordinator.extra_args, "--tensor-split", "-ts");
    size_t n = 0;
    while (text != NULL && *text != '\0' && n < max) {
        char *end;
        double v = strtod(text, &end);
        if (end == text || !(v >= 0))
            return 0;
        shares[n++] = v;
        text = *end != '\0' ? end + 1 : end;
    }
    return n;
}

/* ---- the coordinator ---- */

/* RPC servers in the plan's order, each once, with commas.  Owned by the caller; NULL: none. */
static char *rpc_list(const struct pool_argv_ask *ask, size_t *n_devices)
{
    struct buf b;
    const char *last = NULL;
    buf_init(&b, 65536);
    *n_devices = 0;
    for (size_t i = 0; i < ask->plan->n_parts; i++) {
        const struct split_device *d = &ask->devices[ask->plan->parts[i].device];
        if (d->kind != SPLIT_RPC)
            continue;
        ++*n_devices;
        if (last == NULL || strcmp(last, d->endpoint) != 0)
            buf_printf(&b, "%s%s", b.len > 0 ? "," : "", d->endpoint);
        last = d->endpoint;
    }
    char *text = b.len > 0 ? xstrdup(b.data) : NULL;
    buf_finish(&b);
    return text;
}

static bool plan_is_cpu(const struct pool_argv_ask *ask)
{
    return ask->plan->n_parts == 0 || ask->devices[ask->plan->parts[0].device].kind == SPLIT_CPU;
}

static void add_cpu(const struct pool_argv_ask *ask, struct pool_argv *a)
{
    if (can(ask, "--device"))
        add_pair(a, "--device", "none");
    add_pair(a, "--n-gpu-layers", "0");
}

/* --rpc, --tensor-split and what goes with them.  RPC servers come before this machine's GPUs, as llama.cpp itself
 * orders them; only where the GPUs here must stay unused are devices named (RPC0, RPC1 … in the order of --rpc). */
static void add_split(const struct pool_argv_ask *ask, struct pool_argv *a)
{
    bool no_gpu = strcmp(ask->cfg->pool.coordinator.backend, "cpu") == 0;
    size_t n_rpc = 0;
    if (plan_is_cpu(ask)) {
        if (no_gpu)
            add_cpu(ask, a);
        return; /* else nobody said what GPUs there are: the binary takes what it finds */
    }
    char *rpc = rpc_list(ask, &n_rpc);
    if (rpc != NULL)
        add_pair(a, "--rpc", rpc);
    if (rpc != NULL && no_gpu && can(ask, "--device")) {
        struct buf b;
        buf_init(&b, 8192);
        for (size_t i = 0; i < n_rpc; i++)
            buf_printf(&b, "%sRPC%zu", i > 0 ? "," : "", i);
        add_pair(a, "--device", b.data);
        buf_finish(&b);
    }
    add_pair(a, "--n-gpu-layers", ask->binary == POOL_NODE ? "all" : "999");
    if (ask->plan->n_parts > 1 && ask->plan->missing == 0) {
        char *shares = split_shares(ask->plan);
        add_pair(a, "--tensor-split", shares);
        free(shares);
    }
    free(rpc);
}

/* on, off, auto or not set, as the binary at hand wants it. */
static void add_flash(const struct pool_argv_ask *ask, struct pool_argv *a)
{
    const char *flash = ask->model->flash_attn;
    if (flash == NULL)
        return;
    if (flash_wants_value(ask->help))
        add_pair(a, "--flash-attn", flash);
    else if (strcmp(flash, "on") == 0)
        add(&a->argv, "--flash-attn");
}

/* What only a llama-server is told: it divides its context among its slots, and verifies well with one cache for all
 * slots, as many of them as a round has tokens, and no copies of slots kept. */
static void add_server(const struct pool_argv_ask *ask, struct pool_argv *a)
{
    size_t slots = (size_t)ask->cfg->pool.coordinator.slots;
    if (ask->verify_slots > slots)
        slots = ask->verify_slots;
    add_number(a, "--ctx-size", (long long)ask->ctx * (long long)slots);
    add_number(a, "--parallel", (long long)slots);
    if (ask->model->predict > 0)
        add_number(a, can(ask, "--predict") ? "--predict" : "-n", ask->model->predict);
    if (can(ask, "--fit"))
        add_pair(a, "--fit", "off"); /* the split is planned already */
    if (ask->verify_slots == 0)
        return;
    if (can(ask, "--kv-unified"))
        add(&a->argv, "--kv-unified");
    if (can(ask, "--cache-ram"))
        add_pair(a, "--cache-ram", "0");
    if (can(ask, "--swa-full"))
        add(&a->argv, "--swa-full");
}

static void add_program(const struct pool_argv_ask *ask, struct pool_argv *a)
{
    for (const char *const *p = ask->program; *p != NULL; p++)
        add(&a->argv, *p);
    add_pair(a, "--model", ask->path != NULL ? ask->path : ask->model->path);
    if (can(ask, "--alias"))
        add_pair(a, "--alias", ask->model->name);
}

/* Presets first; what the configuration gives wins. */
static void add_env(const struct pool_argv_ask *ask, struct pool_argv *a)
{
    const struct config_coordinator *c = &ask->cfg->pool.coordinator;
    if (getenv("OMP_WAIT_POLICY") == NULL)
        set_env(a, "OMP_WAIT_POLICY=passive"); /* threads that spin take the cores of everyone else here */
    if (ask->verify_slots > 0)
        set_env(a, "GGML_CPU_TILED_MM=0"); /* else a CPU sums a pass of many tokens in another order than one token */
    if (strcmp(c->backend, "hip") == 0 && c->n_gpus >= 2) {
        set_env(a, "HSA_ENABLE_SDMA=0");
        set_env(a, "GPU_MAX_HW_QUEUES=1");
    }
    for (size_t i = 0; i < c->env.n; i++)
        set_env(a, c->env.list[i]);
}

int pool_argv_coordinator(const struct pool_argv_ask *ask, struct pool_argv *out, char **cause)
{
    const struct config_coordinator *c = &ask->cfg->pool.coordinator;
    *out = (struct pool_argv){0};
    if (ask->help != NULL && pool_argv_check_extra(ask->cfg, ask->help, cause) != 0)
        return -1;
    add_program(ask, out);
    add_pair(out, "--host", c->host);
    add_number(out, "--port", c->port);
    if (ask->binary == POOL_NODE) {
        add_number(out, "--ctx-size", ask->ctx);
        add_number(out, "--parallel", c->slots);
    } else {
        add_server(ask, out);
    }
    if (c->threads > 0)
        add_number(out, "--threads", c->threads);
    add_split(ask, out);
    add_flash(ask, out);
    for (size_t i = 0; i < c->extra_args.n; i++)
        add(&out->argv, c->extra_args.list[i]);
    add_env(ask, out);
    return 0;
}

void pool_argv_drafter(const struct pool_argv_ask *ask, int port, int gpu, struct pool_argv *out)
{
    const struct config_coordinator *c = &ask->cfg->pool.coordinator;
    *out = (struct pool_argv){0};
    add_program(ask, out);
    add_pair(out, "--host", "127.0.0.1");
    add_number(out, "--port", port);
    add_number(out, "--ctx-size", ask->ctx);
    add_number(out, "--parallel", c->slots);
    if (c->threads > 0)
        add_number(out, "--threads", c->threads);
    if (gpu < 0) {
        add_cpu(ask, out);
    } else if (c->n_gpus > 1) {
        struct buf shares;
        buf_init(&shares, 1024);
        for (size_t i = 0; i < c->n_gpus; i++)
            buf_printf(&shares, "%s%d", i > 0 ? "," : "", (int)i == gpu);
        add_pair(out, "--tensor-split", shares.data);
        buf_finish(&shares);
    }
    add_flash(ask, out);
    add_env(ask, out);
}
