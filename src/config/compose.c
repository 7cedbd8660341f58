#include "config/compose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "config/config.h"
#include "config/tree.h"
#include "config/value.h"

enum { COLUMNS = 100, COMMENT_AT = 44, PROXY_PORT = 8088, POOL_PORT = 8080 };

struct compose {
    const struct advice *a;
    const struct machine *list;
    struct buf out;
};

/* ---- lines ---- */

/* A comment, wrapped between words; later lines are indented by `hang` more. */
static void put_comment(struct compose *c, int indent, int hang, const char *text)
{
    char *safe = utf8_printable(text, strlen(text));
    bool first = true;
    for (const char *at = safe; *at;) {
        int room = COLUMNS - indent - 2 - (first ? 0 : hang), n = 0, cut = 0;
        while (at[n] && n < room) {
            cut = at[n] == ' ' ? n : cut;
            n++;
        }
        if (!at[n] || cut == 0)
            cut = at[n] ? n + (int)strcspn(at + n, " ") : n;
        buf_printf(&c->out, "%*s# %*s%.*s\n", indent, "", first ? 0 : hang, "", cut, at);
        at += cut;
        at += strspn(at, " ");
        first = false;
    }
    free(safe);
}

__attribute__((format(printf, 4, 5))) static void comment(struct compose *c, int indent, int hang, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    put_comment(c, indent, hang, text);
    free(text);
}

/* The value on one line, as the loader reads it back.  variable: it is ${NAME}, to be replaced. */
static char *scalar(const char *value, bool variable)
{
    char *safe = utf8_printable(value, strlen(value));
    char *yaml = variable ? xasprintf("\"%s\"", safe) : value_yaml(safe);
    free(safe);
    return yaml;
}

/* "KEY: VALUE   # WHY" with the comments of a section in one column where the values are short; why may be NULL. */
static void put(struct compose *c, int indent, const char *key, const char *value, const char *why)
{
    char *yaml = scalar(value, strstr(key, "api_key") != NULL);
    char *line = xasprintf("%*s%s: %s", indent, "", key, yaml);
    if (why && *why)
        buf_printf(&c->out, "%-*s # %s\n", COMMENT_AT, line, why);
    else
        buf_printf(&c->out, "%s\n", line);
    free(line);
    free(yaml);
}

static void put_number(struct compose *c, int indent, const char *key, int64_t value, const char *why)
{
    char *line = xasprintf("%*s%s: %lld", indent, "", key, (long long)value);
    buf_printf(&c->out, why ? "%-*s # %s\n" : "%-*s\n", why ? COMMENT_AT : 0, line, why);
    free(line);
}

static void put_section(struct compose *c, int indent, const char *key)
{
    buf_printf(&c->out, "%*s%s:\n", indent, "", key);
}

/* ---- names ---- */

static const struct advice_model *target_of(const struct compose *c)
{
    return c->a->target >= 0 ? &c->a->model[c->a->target] : NULL;
}

static const char *machine_name(const struct compose *c, int machine)
{
    return machine >= 0 && c->list[machine].name[0] ? c->list[machine].name : NULL;
}

static bool called_alike(const struct compose *c, const struct advice_model *a, const struct advice_model *b)
{
    const char *x = machine_name(c, a->machine), *y = machine_name(c, b->machine);
    return a != b && x && y && strcmp(x, y) == 0;
}

/* What the cluster calls a server: the machine, with the model where several servers would be called alike.  Owned by
 * the caller; NULL: it has no name of its own. */
static char *server_name(const struct compose *c, const struct advice_model *m)
{
    const char *machine = machine_name(c, m->machine);
    const struct advice_model *t = target_of(c);
    bool alike = t && called_alike(c, t, m), twin = alike && strcmp(t->name, m->name) == 0;
    for (size_t i = 0; i < c->a->n_drafters; i++) {
        const struct advice_model *d = &c->a->model[c->a->drafter[i]];
        alike = alike || called_alike(c, d, m);
        twin = twin || (called_alike(c, d, m) && strcmp(d->name, m->name) == 0);
    }
    for (size_t i = 0; i < c->a->n_agents; i++) {
        const struct advice_model *x = &c->a->model[c->a->agent[i]];
        alike = alike || called_alike(c, x, m);
        twin = twin || (called_alike(c, x, m) && strcmp(x->name, m->name) == 0);
    }
    if (!machine || twin)
        return NULL;
    return alike ? xasprintf("%s %s", machine, m->name) : xstrdup(machine);
}

/* The pool calls a model by its name, of at most 63 bytes; a file's without .gguf. */
static char *pool_name(const struct advice_model *m)
{
    size_t n = strlen(m->name);
    if (n > 5 && strcmp(m->name + n - 5, ".gguf") == 0)
        n -= 5;
    n = n > 63 ? 63 : n;
    n -= utf8_incomplete_tail(m->name, n);
    return xstrndup(m->name, n);
}

/* Whether the drafter is run beside the pool, from a file here. */
static bool beside_pool(const struct compose *c, const struct advice_model *m)
{
    return c->a->pooled && !m->url;
}

/* ---- the parts ---- */

static void put_head(struct compose *c)
{
    const struct advice *a = c->a;
    comment(c, 0, 0, "%s", a->title);
    put_comment(c, 0, 0,
                "Written by `tightwad init`. Change it as you like: every setting is explained by cluster.yaml(5), "
                "`tightwad config check` names mistakes, and a running proxy takes most changes over at once.");
    buf_adds(&c->out, "#\n# How it was decided\n");
    for (size_t i = 0; i < a->n_path; i++)
        comment(c, 0, 4, "  %s %s", a->path[i].question, a->path[i].answer);
    buf_adds(&c->out, "#\n");
    for (size_t i = 0; i < a->n_reasons; i++)
        comment(c, 0, 2, "%s", a->reason[i]);
    for (size_t i = 0; i < a->n_warnings; i++)
        comment(c, 0, 2, "! %s%s%s", a->warning[i].text, a->warning[i].fix ? ". What helps: " : "",
                a->warning[i].fix ? a->warning[i].fix : "");
    if (a->n_tasks > 0)
        buf_adds(&c->out, "#\n# Still to be done\n");
    for (size_t i = 0; i < a->n_tasks; i++) {
        const char *on = machine_name(c, a->task[i].machine);
        comment(c, 0, 4, "  %s%s%s  (%s)", on ? on : "", on ? ": " : "", a->task[i].command ? a->task[i].command : "",
                a->task[i].text);
    }
    if (!isnan(a->estimate.alone) && !isnan(a->estimate.drafted))
        comment(c, 0, 2, "estimate: %.3g tokens/s alone, %.3g with drafts (`tightwad bench` measures it)",
                a->estimate.alone, a->estimate.drafted);
    else if (!isnan(a->estimate.alone))
        comment(c, 0, 2, "estimate: %.3g tokens/s alone (`tightwad bench` measures it)", a->estimate.alone);
    buf_adds(&c->out, "\n");
}

/* What is known of a model, for a comment: "qwen3, 8.2B, q4_k_m, 4.9 GB". */
static char *about(const struct advice_model *m)
{
    char size[16], bytes[32];
    const char *parts[] = {m->parameters > 0 ? advice_size(size, sizeof(size), m->parameters) : "", m->quantisation,
                           m->bytes > 0 ? advice_bytes(bytes, sizeof(bytes), m->bytes) : ""};
    char *text = xstrdup(m->name);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!parts[i][0])
            continue;
        char *longer = xasprintf("%s, %s", text, parts[i]);
        free(text);
        text = longer;
    }
    return text;
}

static void put_server(struct compose *c, int indent, const struct advice_model *m, bool item)
{
    char *name = server_name(c, m), *key = m->key ? xasprintf("${%s}", m->key) : NULL;
    const struct {
        const char *key, *value;
    } rows[] = {
        {"name", name}, {"url", m->url}, {"backend", m->backend}, {"model_name", m->model_name}, {"api_key", key}};
    bool first = item;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!rows[i].value)
            continue;
        char *dashed = xasprintf("%s%s", first ? "- " : item ? "  " : "", rows[i].key);
        put(c, indent, dashed, rows[i].value, NULL);
        free(dashed);
        first = false;
    }
    free(name);
    free(key);
}

static void put_drafters(struct compose *c)
{
    const struct advice *a = c->a;
    size_t n = 0;
    for (size_t i = 0; i < a->n_drafters; i++)
        n += a->model[a->drafter[i]].url != NULL;
    if (n == 0 && !a->ngram)
        return;
    buf_adds(&c->out, "\n");
    put_comment(c, 2, 0,
                n > 1
                    ? "All draft at once, and the target checks all of it in one pass: they only make it faster. Each "
                      "may be switched off at any time."
                : n > 0 ? "The small model only makes it faster: it may be switched off at any time."
                        : "Needs no server: drafts what the prompt and the answer so far repeat, at no cost.");
    put_section(c, 2, "drafters");
    for (size_t i = 0; i < a->n_drafters; i++) {
        const struct advice_model *m = &a->model[a->drafter[i]];
        if (!m->url)
            continue;
        char *text = about(m);
        put_comment(c, 4, 0, text);
        free(text);
        put_server(c, 4, m, true);
    }
    if (n == 0)
        buf_adds(&c->out, "    - type: ngram\n");
}

/* Off unless it was wished for, and there only where it could be switched on. */
static void put_consensus(struct compose *c)
{
    const struct advice *a = c->a;
    bool on = a->mode == ADVICE_CONSENSUS;
    if (!on && !(a->asks && a->can[ADVICE_CONSENSUS] && a->n_drafters >= 2))
        return;
    buf_adds(&c->out, "\n");
    put_comment(c, 2, 0,
                "APPROXIMATE unless off: tokens that the drafters agree on are given out without the target. strict: "
                "all must agree; majority: more than half; any_disagree: all, over a whole window. A share is checked "
                "afterwards, and too many errors make it exact again. NAME@exact stays exact.");
    put(c, 2, "consensus_mode", on ? "strict" : "off", on ? "approximate" : "exact");
}

/* Which of the models may be asked for whole answers; off unless it was wished for. */
static void put_gate(struct compose *c)
{
    const struct advice *a = c->a;
    bool on = a->mode == ADVICE_GATE;
    if (!on && !(a->asks && a->can[ADVICE_GATE]))
        return;
    buf_adds(&c->out, "\n");
    put_comment(
        c, 0, 0,
        "APPROXIMATE while it is on: the agents write whole answers, and the model above reviews each: approved "
        "ones pass as they are, others it corrects or writes anew. NAME@exact stays exact.");
    put_section(c, 0, "quality_gate");
    put(c, 2, "enabled", on ? "true" : "false",
        on ? "`tightwad gate stop` turns it off" : "`tightwad gate start` turns it on");
    put_section(c, 2, "agents");
    for (size_t i = 0; i < a->n_agents; i++) {
        const struct advice_model *m = &a->model[a->agent[i]];
        char *text = about(m);
        put_comment(c, 4, 0, text);
        free(text);
        put_server(c, 4, m, true);
    }
    put(c, 2, "review", "auto", "what the reviewer can do; both ways with a node");
}

static void put_proxy(struct compose *c, const struct compose_opts *o)
{
    const struct advice_model *t = target_of(c);
    put_section(c, 0, "proxy");
    put(c, 2, "host", o && o->host ? o->host : "127.0.0.1",
        o && o->host ? "" : "this machine alone; 0.0.0.0 serves your private network too");
    put_number(c, 2, "port", o && o->port > 0 ? o->port : PROXY_PORT, "where clients go: http://HOST:PORT/v1");
    if (t && !c->a->pooled) {
        char *text = about(t);
        buf_adds(&c->out, "\n");
        comment(c, 2, 0,
                c->a->mode == ADVICE_EXACT ? "Every answer is what this model alone would have written: %s"
                                           : "What is asked for as NAME@exact is what this model alone would write: %s",
                text);
        free(text);
        put_section(c, 2, "target");
        put_server(c, 4, t, false);
    }
    put_drafters(c);
    if (c->a->n_drafters > 0 && t->verifies) {
        buf_adds(&c->out, "\n");
        put_number(c, 2, "max_draft_tokens", 32, "the most; how long a draft is, is measured");
    }
    put_consensus(c);
}

/* What drives the GPUs here. */
static const char *pool_backend(const struct machine *m, const struct advice_machine *a)
{
    static const char *const names[] = {[GPU_NVIDIA] = "cuda",
                                        [GPU_AMD] = "hip",
                                        [GPU_INTEL] = "vulkan",
                                        [GPU_APPLE] = "metal",
                                        [GPU_OTHER] = "vulkan"};
    const char *is = NULL;
    if (a->gpus == 0)
        return a->known ? "cpu" : "auto";
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (hardware_gpu_memory(&m->gpu[i], m->memory) == 0)
            continue;
        const char *now = names[m->gpu[i].vendor];
        if (is && strcmp(is, now) != 0)
            return "auto";
        is = now;
    }
    return is ? is : "auto";
}

/* A port that nothing of this machine listens on, as far as the scan saw. */
static int free_port(const struct machine *m)
{
    int port = POOL_PORT;
    for (bool taken = true; taken && port < PROXY_PORT + 100;) {
        taken = port == PROXY_PORT;
        for (size_t i = 0; m && i < m->n_services && !taken; i++)
            taken = m->service[i].port == port;
        port += taken;
    }
    return port;
}

/* Of each GPU here its name and memory: true only where all are known, for then the plan can count on them. */
static bool gpus_known(const struct machine *m)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (hardware_gpu_memory(&m->gpu[i], m->memory) < 0)
            return false;
    }
    return m->n_gpus <= CONFIG_GPUS_MAX;
}

static void put_gpus(struct compose *c, const struct machine *m)
{
    put_section(c, 2, "gpus");
    for (size_t i = 0; i < m->n_gpus; i++) {
        int64_t bytes = hardware_gpu_memory(&m->gpu[i], m->memory);
        if (bytes <= 0)
            continue;
        char *vram = xasprintf("%.4g", (double)bytes / (1 << 30));
        put(c, 4, "- name", m->gpu[i].name[0] ? m->gpu[i].name : "GPU", NULL);
        buf_printf(&c->out, "      vram_gb: %s\n", vram);
        free(vram);
    }
}

static void put_workers(struct compose *c)
{
    const struct advice *a = c->a;
    if (a->n_workers == 0)
        return;
    buf_adds(&c->out, "\n");
    put_comment(c, 0, 0,
                "They lend memory. llama.cpp's RPC trusts whoever connects and encrypts nothing: only in a network "
                "that you trust. How much each has it tells itself.");
    put_section(c, 0, "workers");
    for (size_t i = 0; i < a->n_workers; i++) {
        const struct machine *m = &c->list[a->worker[i]];
        size_t ports = 0;
        put(c, 2, "- host", m->address, NULL);
        if (m->name[0])
            put(c, 2, "  name", m->name, NULL);
        for (size_t j = 0; j < m->n_services && ports < CONFIG_GPUS_MAX; j++) {
            if (m->service[j].kind != SERVICE_WORKER)
                continue;
            if (ports++ == 0)
                put_section(c, 2, "  gpus");
            buf_printf(&c->out, "      - rpc_port: %d\n", m->service[j].port);
        }
    }
}

static void put_models(struct compose *c)
{
    const struct advice *a = c->a;
    const struct advice_model *t = target_of(c), *d = NULL;
    for (size_t i = 0; i < a->n_drafters && !d; i++)
        d = beside_pool(c, &a->model[a->drafter[i]]) ? &a->model[a->drafter[i]] : NULL;
    char *name = pool_name(t), *draft = d ? pool_name(d) : NULL;
    if (draft && strcmp(draft, name) == 0) {
        free(draft);
        draft = xasprintf("%.58s-draft", name);
    }
    buf_adds(&c->out, "\n");
    put_comment(c, 0, 0, "`tightwad swap NAME` changes the model without dropping a request.");
    put_section(c, 0, "models");
    char *text = about(t);
    put(c, 2, "- name", name, NULL);
    put_comment(c, 4, 0, text);
    put(c, 4, "path", t->path, NULL);
    buf_adds(&c->out, "    default: true\n");
    if (draft) {
        char *what = about(d);
        put(c, 4, "draft", draft, "run beside it");
        put(c, 2, "- name", draft, NULL);
        put_comment(c, 4, 0, what);
        put(c, 4, "path", d->path, NULL);
        free(what);
    }
    free(text);
    free(name);
    free(draft);
}

/* The target is run here, by `tightwad start`. */
static void put_pool(struct compose *c)
{
    const struct advice_model *t = target_of(c);
    const struct machine *here = t->machine >= 0 ? &c->list[t->machine] : NULL;
    const struct advice_machine *is = here ? &c->a->machine[t->machine] : NULL;
    const char *backend = here ? pool_backend(here, is) : "auto";
    bool named = here && is->gpus > 0 && gpus_known(here);
    buf_adds(&c->out, "\n");
    comment(c, 0, 0,
            "The big model is run on this machine: `tightwad start` starts it, watches it, and starts it again. %s",
            c->a->mode == ADVICE_EXACT ? "Every answer is what it alone would have written."
                                       : "What is asked for as NAME@exact is what it alone would write.");
    put_section(c, 0, "coordinator");
    put(c, 2, "host", "127.0.0.1", "only the proxy needs to reach it");
    put_number(c, 2, "port", free_port(here), NULL);
    bool cpu = strcmp(backend, "cpu") == 0;
    put(c, 2, "backend", named || cpu ? backend : "auto", cpu ? "no GPU here" : "what drives the GPUs here");
    if (named)
        put_gpus(c, here);
    put_workers(c);
    put_models(c);
}

char *compose_yaml(const struct advice *a, const struct machine *list, const struct compose_opts *o)
{
    struct compose c = {.a = a, .list = list};
    buf_init(&c.out, TREE_BYTES_MAX);
    put_head(&c);
    put_proxy(&c, o);
    if (a->pooled && target_of(&c))
        put_pool(&c);
    if (target_of(&c))
        put_gate(&c);
    return buf_steal(&c.out);
}

bool compose_estimate(const char *text, size_t len, double *alone, double *drafted)
{
    static const char begin[] = "# estimate: ", middle[] = " tokens/s alone";
    const char *line = memmem(text, len, begin, sizeof(begin) - 1);
    if (!line || (line != text && line[-1] != '\n'))
        return false;
    size_t left = len - (size_t)(line - text);
    const char *eol = memchr(line, '\n', left);
    char *copy = xstrndup(line, eol ? (size_t)(eol - line) : left), *end = NULL;
    *alone = strtod(copy + sizeof(begin) - 1, &end);
    bool ok = *alone > 0 && strncmp(end, middle, sizeof(middle) - 1) == 0;
    const char *rest = ok ? end + sizeof(middle) - 1 : "";
    *drafted = strncmp(rest, ", ", 2) == 0 ? strtod(rest + 2, NULL) : NAN;
    free(copy);
    return ok;
}
