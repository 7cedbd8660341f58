/* tightwad inspect: what a GGUF file is, without loading it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/cmd.h"
#include "cmd/inspect-plan.h"
#include "probe/gguf-type.h"
#include "probe/gguf.h"
#include "probe/ollama-store.h"

extern const struct cmd cmd_inspect;

/* Text from a file as valid UTF-8 on one line: a terminal must not obey it.  Owned by the caller. */
static char *clean(const char *s)
{
    return utf8_printable(s, strlen(s));
}

static json_t *text_json(const char *s)
{
    char *safe = s ? clean(s) : NULL;
    json_t *j = safe ? json_string(safe) : json_null();
    free(safe);
    return j;
}

static json_t *number_json(int64_t v)
{
    return v < 0 ? json_null() : json_integer(v);
}

static json_t *types_json(const struct gguf *g)
{
    json_t *o = json_object();
    for (uint32_t i = 0; i < GGUF_TYPES; i++) {
        if (g->type_count[i])
            json_object_set_new(
                o, gguf_tensor_type_name(i, NULL, NULL),
                json_pack("{s:I,s:I}", "tensors", (json_int_t)g->type_count[i], "bytes", (json_int_t)g->type_bytes[i]));
    }
    return o;
}

static json_t *tensors_json(const struct gguf *g)
{
    json_t *list = json_array();
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        json_t *shape = json_array();
        for (uint32_t d = 0; d < t->n_dims; d++)
            json_array_append_new(shape, json_integer((json_int_t)t->dims[d]));
        json_array_append_new(list, json_pack("{s:o,s:s,s:o,s:I,s:I}", "name", text_json(t->name), "type",
                                              gguf_tensor_type_name(t->type, NULL, NULL), "shape", shape, "offset",
                                              (json_int_t)t->offset, "bytes", (json_int_t)t->size));
    }
    return list;
}

static json_t *metadata_json(const struct gguf *g)
{
    json_t *o = json_object();
    for (size_t i = 0; i < g->n_kvs; i++) {
        const struct gguf_kv *kv = &g->kvs[i];
        json_t *v = NULL;
        switch (kv->kind) {
        case GGUF_INT:
            v = json_integer(kv->i);
            break;
        case GGUF_UINT:
            v = kv->u <= INT64_MAX ? json_integer((json_int_t)kv->u) : json_real((double)kv->u);
            break;
        case GGUF_FLOAT:
            v = json_real(kv->f); /* NULL for what JSON has not: infinite, not a number */
            break;
        case GGUF_BOOL:
            v = json_boolean(kv->u);
            break;
        case GGUF_STRING:
            v = text_json(kv->text);
            break;
        case GGUF_ARRAY:
            v = json_pack("{s:I}", "elements", (json_int_t)kv->len);
            break;
        }
        char *key = clean(kv->key);
        json_object_set_new(o, key, v ? v : json_null());
        free(key);
    }
    return o;
}

static void print_json(const struct gguf *g, const char *path)
{
    json_t *o = json_object();
    const struct {
        const char *key;
        json_t *value;
    } rows[] = {
        {"path", text_json(path)},
        {"name", text_json(g->name)},
        {"architecture", text_json(g->architecture)},
        {"parameters", json_integer((json_int_t)g->n_params)},
        {"quantisation", text_json(g->file_type)},
        {"types", types_json(g)},
        {"file_bytes", json_integer((json_int_t)g->file_size)},
        {"tensor_bytes", json_integer((json_int_t)g->tensor_bytes)},
        {"layers", number_json(g->n_layers)},
        {"embedding", number_json(g->n_embd)},
        {"heads", number_json(g->n_heads)},
        {"heads_kv", number_json(g->n_heads_kv)},
        {"experts", number_json(g->n_experts)},
        {"n_ctx_train", number_json(g->n_ctx_train)},
        {"tokenizer", text_json(g->tokenizer)},
        {"n_vocab", number_json(g->n_vocab)},
        {"fingerprint", text_json(*g->vocab_fingerprint ? g->vocab_fingerprint : NULL)},
        {"chat_template", json_boolean(g->chat_template)},
        {"license", text_json(g->license)},
        {"gguf_version", json_integer(g->version)},
        {"splits", json_integer(g->n_splits)},
        {"metadata", metadata_json(g)},
        {"tensors", tensors_json(g)},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        json_object_set_new(o, rows[i].key, rows[i].value);
    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(o);
}

static void line_text(const char *what, const char *text)
{
    char *safe = clean(text);
    printf("  %-14s %s\n", what, safe);
    free(safe);
}

static void line_number(const char *what, int64_t v, const char *unit)
{
    if (v >= 0)
        printf("  %-14s %" PRId64 "%s\n", what, v, unit);
}

/* "2.15 GiB".  Owned by the caller. */
static char *bytes_text(uint64_t n)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < ARRAY_LEN(units); u++)
        v /= 1024;
    return xasprintf(u ? "%.2f %s" : "%.0f %s", v, units[u]);
}

static char *params_text(uint64_t n)
{
    if (n >= 1000000000)
        return xasprintf("%.2f B (%" PRIu64 ")", (double)n / 1e9, n);
    return xasprintf("%.2f M (%" PRIu64 ")", (double)n / 1e6, n);
}

static void print_quantisation(const struct gguf *g)
{
    printf("  %-14s %s:", "quantisation", g->file_type ? g->file_type : "not named");
    bool first = true;
    for (uint32_t i = 0; i < GGUF_TYPES; i++) {
        if (!g->type_count[i])
            continue;
        char *size = bytes_text(g->type_bytes[i]);
        printf("%s %s %" PRIu64 " tensor%s (%s)", first ? "" : ",", gguf_tensor_type_name(i, NULL, NULL),
               g->type_count[i], g->type_count[i] == 1 ? "" : "s", size);
        free(size);
        first = false;
    }
    printf("%s\n", first ? " no tensors" : "");
}

static void print_tensors(const struct gguf *g)
{
    printf("\n  tensors\n");
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        char shape[96] = "", *name = clean(t->name), *size = bytes_text(t->size);
        for (uint32_t d = 0; d < t->n_dims; d++) {
            size_t n = strlen(shape);
            snprintf(shape + n, sizeof(shape) - n, "%s%" PRIu64, d ? " x " : "", t->dims[d]);
        }
        printf("  %-36s %-8s %-22s %s\n", name, gguf_tensor_type_name(t->type, NULL, NULL), shape, size);
        free(size);
        free(name);
    }
}

static void print_words(const struct gguf *g, const char *path, bool tensors)
{
    char *file = bytes_text(g->file_size), *weights = bytes_text(g->tensor_bytes), *params = params_text(g->n_params);
    char *shown = clean(path);
    printf("%s\n", shown);
    line_text("model", g->name ? g->name : "not named");
    line_text("architecture", g->architecture);
    line_text("parameters", params);
    print_quantisation(g);
    printf("  %-14s %s, %s of it weights\n", "size", file, weights);
    line_number("layers", g->n_layers, "");
    line_number("embedding", g->n_embd, "");
    line_number("heads", g->n_heads, "");
    line_number("KV heads", g->n_heads_kv, "");
    line_number("experts", g->n_experts, "");
    line_number("context", g->n_ctx_train, " tokens in training");
    line_text("tokenizer", g->tokenizer ? g->tokenizer : "none in the file");
    line_number("vocabulary", g->n_vocab, " tokens");
    if (*g->vocab_fingerprint)
        line_text("fingerprint", g->vocab_fingerprint);
    line_text("chat template", g->chat_template ? "yes" : "no");
    line_text("licence", g->license ? g->license : "not named");
    if (g->n_splits > 1)
        line_number("split into", g->n_splits, " files; this is what this one holds");
    if (tensors)
        print_tensors(g);
    free(shown);
    free(params);
    free(weights);
    free(file);
}

static int run_file(const struct cmd_args *args)
{
    char *cause = NULL, *found = NULL;
    const char *path = args->words[0];
    if (strncmp(path, "ollama:", 7) == 0) {
        found = ollama_store_find(path + 7, &cause);
        if (!found)
            return cmd_fail_cause(cause);
        path = found;
    }
    struct gguf *g = gguf_open(path, &cause);
    if (g && cmd_args_has(args, "json"))
        print_json(g, path);
    else if (g)
        print_words(g, path, cmd_args_has(args, "tensors"));
    int rc = g ? CMD_OK : cmd_fail_cause(cause);
    gguf_destroy(g);
    free(found);
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    if (cmd_args_has(args, "plan"))
        return inspect_plan(env, args->n_words > 0 ? args->words[0] : NULL, cmd_args_has(args, "json"));
    if (args->n_words == 0)
        return cmd_fail("which model? A GGUF file, or ollama:NAME[:TAG]");
    return run_file(args);
}

static const struct cmd_option options[] = {
    {0, "json", NULL, "everything as one JSON object, metadata and tensors too"},
    {0, "plan", NULL, "which device of the pool would take which layers; MODEL is one of the configuration's"},
    {0, "tensors", NULL, "list the tensors as well"},
    {0},
};

const struct cmd cmd_inspect = {
    .name = "inspect",
    .usage = "MODEL.gguf|ollama:NAME[:TAG]|--plan [MODEL] [--json]",
    .summary = "tell what a model file is, or how a pool would share it",
    .help = "Two models can speculate together when their vocabulary fingerprints are equal.\n"
            "Only the file's header is read; nothing is loaded.\n\n"
            "With --plan the workers of the configuration are asked what memory they have, and the plan of a start\n"
            "is shown: layers, weights, cache and room to compute of each device, in bytes with --json.  Exit code\n"
            "0: the model can be started; 1: it can't, and the last line says what is missing.\n\n"
            "    tightwad inspect Qwen3-0.6B-Q8_0.gguf\n"
            "    tightwad inspect ollama:qwen3:0.6b\n"
            "    tightwad inspect --plan qwen3-72b",
    .options = options,
    .min_words = 0,
    .max_words = 1,
    .run = run,
};
