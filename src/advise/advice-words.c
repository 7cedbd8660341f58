#include "advise/making.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advise/family.h"
#include "base/mem.h"

#define SLOW_DRAFTER 15.0 /* tokens/s; under that a CPU does not help */
#define FAR_AWAY 10e-3    /* seconds */
#define QUANT_APART 3.0   /* bits of a weight: Q2 with Q8 */

static const char *place(const struct making *k, const struct advice_model *m)
{
    return m->machine >= 0 ? k->list[m->machine].name : m->url ? m->url : "this machine";
}

/* ---- warnings ---- */

static void warn_of_family(struct making *k, const struct advice_model *t, const struct advice_model *d)
{
    const struct family_model tf = making_family(t), df = making_family(d);
    enum family_match match = family_compare(&tf, &df);
    const struct family *f = t->family;
    char *smaller =
        f ? xasprintf("take a smaller %s", f->words) : xstrdup("take a smaller model of the target's family");
    if (match == FAMILY_OTHER && k->a->estimate.pair.basis != PAIR_PROVEN)
        making_warn(k, ADVICE_OTHER_FAMILY, smaller,
                    "%s and %s are of different families: about 3 %% of the draft would be accepted", d->name, t->name);
    else if (match != FAMILY_SAME)
        making_warn(
            k, ADVICE_UNSURE_FAMILY, smaller,
            "whether %s and %s share a vocabulary is not certain: it is compared before the first draft, and nothing "
            "is drafted where they differ",
            d->name, t->name);
    else
        free(smaller);
}

static void warn_of_quantisation(struct making *k, const struct advice_model *t, const struct advice_model *d)
{
    bool tk, dk;
    double tb = family_bits(t->quantisation, &tk), db = family_bits(d->quantisation, &dk);
    if (tk && dk && fabs(tb - db) >= QUANT_APART && db < 4)
        making_warn(k, ADVICE_QUANTISATION, xstrdup("take the drafter in Q4 or more: it is small anyway"),
                    "the drafter is %s and the target %s: so far apart they agree less often", d->quantisation,
                    t->quantisation);
}

static bool on_cpu(const struct making *k, const struct advice_model *m)
{
    return m->machine >= 0 && k->a->machine[m->machine].known && k->a->machine[m->machine].gpus == 0;
}

static void warn_of_speed(struct making *k, const struct advice_model *t, const struct advice_model *d)
{
    const struct advice_estimate *e = &k->a->estimate;
    if (on_cpu(k, d) && d->alone < SLOW_DRAFTER)
        making_warn(k, ADVICE_SLOW_DRAFTER, xstrdup("take a smaller model of the same family"),
                    "%s on the CPU of %s drafts some %.0f tokens/s by the estimate; under %.0f it does not help",
                    d->name, place(k, d), d->alone, SLOW_DRAFTER);
    double far = fmax(advice_trip(t), advice_trip(d));
    if (far > FAR_AWAY)
        making_warn(k, ADVICE_LATENCY,
                    xstrdup("cable instead of Wi-Fi; proxy.max_draft_tokens: 32 or more, so that fewer trips are made"),
                    "%s is %.0f ms away; over %.0f ms each round waits for the network",
                    place(k, advice_trip(t) > advice_trip(d) ? t : d), far * 1e3, FAR_AWAY * 1e3);
    if (!isnan(e->drafted) && e->drafted <= e->alone)
        making_warn(
            k, ADVICE_DOES_NOT_PAY,
            xstrdup("nothing has to be done: what drafting brings is measured, and a draft that does not pay is not "
                    "asked for"),
            "by the estimate drafting does not pay here: %.0f tokens/s with, %.0f without", e->drafted, e->alone);
    if (t->parameters > 0 && d->parameters > 0 && d->parameters * 2 > t->parameters)
        making_warn(k, ADVICE_SIZES, xstrdup("a drafter of a fifth of the target's size or less"),
                    "%s is more than half as large as %s: it drafts hardly faster than the target writes", d->name,
                    t->name);
}

static void warn_of_memory(struct making *k, const struct advice_model *m)
{
    char lack[32], need[32];
    if (m->missing <= 0)
        return;
    advice_bytes(lack, sizeof(lack), m->missing);
    advice_bytes(need, sizeof(need), m->need);
    making_warn(
        k, ADVICE_TOO_BIG,
        xstrdup("a smaller quantisation or model, a shorter context, or a worker more (`tightwad worker` on another "
                "machine)"),
        "%s wants about %s; %s lacks %s of that", m->name, need, place(k, m), lack);
}

static void warn_of_target(struct making *k, const struct advice_model *t)
{
    if (t->moe)
        making_warn(
            k, ADVICE_MOE, NULL,
            "%s is a mixture of experts: all of it is in memory (in a pool some 20 GB on each GPU, so cards of 24 GB "
            "and more), while few of its weights are read for a token, so it is fast already and a draft saves less",
            t->name);
    if (t->cannot) {
        bool ollama = strcmp(t->backend, "ollama") == 0;
        char *fix = !ollama ? NULL
                    : k->wish->no_node
                        ? NULL
                        : xasprintf("on %s: tightwad node -m ollama:%s --listen %s:%d", place(k, t), t->name,
                                    t->machine == k->here ? "127.0.0.1" : "0.0.0.0", ADVICE_NODE_PORT);
        making_warn(k, ADVICE_CANNOT_VERIFY, fix, "%s will not get faster as it is: %s", t->name, t->cannot);
    }
    if (strcmp(t->backend, "llamacpp") == 0)
        making_warn(
            k, ADVICE_SLOTS,
            xstrdup("start it with --parallel 9 --kv-unified --cache-ram 0, or serve the file with tightwad node"),
            "a llama-server checks drafts through its slots, which pays less than a node does and wants flags");
}

static void warn_of_secrets(struct making *k)
{
    for (size_t i = 0; i < k->n; i++) {
        for (size_t j = 0; j < k->list[i].n_services; j++) {
            const struct machine_service *s = &k->list[i].service[j];
            if (s->needs_secret)
                making_warn(k, ADVICE_SECRET, NULL, "the %s at %s:%d wants a key or token, so what it has is not known",
                            service_kind_name(s->kind), s->host, s->port);
        }
    }
}

/* ---- tasks ---- */

/* A word as a shell reads it; owned by the caller. */
static char *shell_word(const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./_-:+=,@";
    if (*word && strspn(word, safe) == strlen(word))
        return xstrdup(word);
    char *out = xstrdup("'");
    for (const char *at = word; *at; at++) {
        char *longer = *at == '\'' ? xasprintf("%s'\\''", out) : xasprintf("%s%c", out, *at);
        free(out);
        out = longer;
    }
    char *whole = xasprintf("%s'", out);
    free(out);
    return whole;
}

/* HOST, with the port where it is not the usual one; owned by the caller. */
static char *agent_place(const struct machine_service *agent)
{
    enum { USUAL = 9191 };
    bool v6 = strchr(agent->host, ':') != NULL;
    if (agent->port == USUAL)
        return xstrdup(agent->host);
    return xasprintf("%s%s%s:%d", v6 ? "[" : "", agent->host, v6 ? "]" : "", agent->port);
}

/* An agent starts it, told from here; else somebody types it there. */
static void task_of_node(struct making *k, const struct advice_model *m, const char *role)
{
    const struct machine_service *agent = m->machine >= 0 ? making_service(&k->list[m->machine], SERVICE_AGENT) : NULL;
    const char *colon = strrchr(m->url, ':');
    char *at = agent ? agent_place(agent) : NULL;
    /* An agent knows what lies there by its name as well. */
    bool told = agent && m->source == ADVICE_THERE;
    char *path = shell_word(told && strncmp(m->path, "ollama:", 7) == 0 ? m->path + 7 : m->path);
    if (m->machine < 0 || m->machine == k->here)
        making_task(k, m->machine, xasprintf("tightwad node -m %s --listen 127.0.0.1%s", path, colon), "serve it as %s",
                    role);
    else if (told)
        making_task(k, k->here, xasprintf("tightwad agent start %s node %s port=%s", at, path, colon + 1),
                    "have the agent of %s serve it as %s", k->list[m->machine].name, role);
    else
        making_task(k, m->machine, xasprintf("tightwad node -m %s --listen 0.0.0.0%s", path, colon), "serve it as %s",
                    role);
    free(path);
    free(at);
}

static void task_of_model(struct making *k, const struct advice_model *m, bool target)
{
    if (m->source == ADVICE_NAMED && m->path && strncmp(m->path, "ollama:", 7) == 0) {
        char *name = shell_word(m->path + 7);
        making_task(k, m->machine, xasprintf("ollama pull %s", name), "fetch %s", m->path + 7);
        free(name);
    }
    bool waits = m->source == ADVICE_NAMED || m->source == ADVICE_THERE || m->source == ADVICE_HERE;
    if (waits && m->url && m->path && strcmp(m->backend, "node") == 0)
        task_of_node(k, m, target ? "the target" : "a drafter");
}

static void task_of_workers(struct making *k)
{
    const struct advice *a = k->a;
    for (size_t i = 0; i < a->n_workers; i++) {
        const struct machine *m = &k->list[a->worker[i]];
        const struct machine_service *agent = making_service(m, SERVICE_AGENT);
        if (making_service(m, SERVICE_WORKER))
            continue;
        if (agent) {
            char *at = agent_place(agent);
            making_task(k, k->here, xasprintf("tightwad agent start %s worker allow=NETWORK", at),
                        "have the agent of %s lend its memory; NETWORK is the one that may use it, as 192.168.1.0/24",
                        m->name);
            free(at);
        } else {
            making_task(k, a->worker[i],
                        xasprintf("tightwad worker --listen 0.0.0.0:%d --allow NETWORK", ADVICE_WORKER_PORT),
                        "lend its memory to the pool; NETWORK is the one that may use it, as 192.168.1.0/24");
        }
    }
}

/* A size of a family that can be fetched by its name. */
static const struct offer {
    const char *family;
    double b;
    const char *name;
} offers[] = {
    {"qwen3", 0.6, "qwen3:0.6b"},
    {"qwen3", 1.7, "qwen3:1.7b"},
    {"qwen3", 4, "qwen3:4b"},
    {"qwen3", 8, "qwen3:8b"},
    {"qwen3", 14, "qwen3:14b"},
    {"qwen3", 32, "qwen3:32b"},
    {"qwen2.5", 0.5, "qwen2.5:0.5b"},
    {"qwen2.5", 1.5, "qwen2.5:1.5b"},
    {"qwen2.5", 3, "qwen2.5:3b"},
    {"qwen2.5", 7, "qwen2.5:7b"},
    {"llama3", 1, "llama3.2:1b"},
    {"llama3", 3, "llama3.2:3b"},
    {"llama3", 8, "llama3.1:8b"},
    {"gemma3", 1, "gemma3:1b"},
    {"gemma3", 4, "gemma3:4b"},
    {"mistral", 7, "mistral:7b"},
    {"deepseek-qwen", 1.5, "deepseek-r1:1.5b"},
};

/* The largest offer of the family up to that size, NULL: none. */
static const struct offer *offer_of(const char *family, double most)
{
    const struct offer *best = NULL;
    for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
        if (strcmp(offers[i].family, family) == 0 && offers[i].b <= most * 1.05 && (!best || offers[i].b > best->b))
            best = &offers[i];
    }
    return best;
}

/* Where a drafter would go: the machine with the best use for one that is not the target's. */
static int drafting_machine(const struct making *k, const struct advice_model *t)
{
    int best = ADVICE_NONE;
    for (size_t i = 0; i < k->n; i++) {
        bool ours = t && t->machine == (int)i;
        if (ours || !making_may(k, (int)i, ADVICE_ROLE_DRAFTER) || !k->a->machine[i].known)
            continue;
        if (best < 0 || k->a->machine[i].model_max > k->a->machine[best].model_max)
            best = (int)i;
    }
    return best >= 0 ? best : t && t->machine >= 0 ? t->machine : k->here;
}

static void task_of_drafter(struct making *k, const struct advice_model *t)
{
    const struct family *f = t->family;
    const struct pair_row *row = pair_row_of((double)t->parameters / 1e9);
    int at = drafting_machine(k, t);
    if (!f || !row || at < 0)
        return;
    double most = fmin(row->draft_max, (double)t->parameters / 1e9 / 4);
    if (!isnan(k->a->machine[at].model_max))
        most = fmin(most, k->a->machine[at].model_max);
    /* Beside the target it takes what that leaves; a thousand million parameters are some 0.66 GB with their cache. */
    const struct advice_machine *m = &k->a->machine[at];
    if (at == t->machine && m->gpus > 0 && m->memory > 0 && t->need > 0)
        most = fmin(most, (double)(m->memory - t->need) / 0.66e9);
    const struct offer *o = offer_of(f->id, most);
    if (o)
        making_task(k, at, xasprintf("ollama pull %s", o->name), "a small %s there could draft for %s", f->words,
                    t->name);
}

/* Nothing is there: what would be worth fetching. */
static void task_of_beginning(struct making *k)
{
    int best = ADVICE_NONE;
    for (size_t i = 0; i < k->n; i++) {
        const struct advice_machine *m = &k->a->machine[i];
        if (m->known && (best < 0 || m->model_max > k->a->machine[best].model_max))
            best = (int)i;
    }
    const struct offer *o = best < 0 ? NULL : offer_of("qwen3", k->a->machine[best].model_max);
    if (o)
        making_task(k, best, xasprintf("ollama pull %s", o->name),
                    "no model was found; this one suits it (any family and any GGUF file will do)");
}

/* ---- machines ---- */

static char *why(const struct making *k, int i)
{
    const struct advice *a = k->a;
    const struct advice_machine *m = &a->machine[i];
    const struct advice_model *t = a->target >= 0 ? &a->model[a->target] : NULL;
    const char *drafts = NULL;
    for (size_t j = 0; j < a->n_drafters && !drafts; j++)
        drafts = a->model[a->drafter[j]].machine == i ? a->model[a->drafter[j]].name : NULL;
    const char *writes = t && t->machine == i ? t->name : NULL;
    const char *class = hardware_class_words(m->class);
    if (m->role == ADVICE_ROLE_WORKER)
        return xasprintf("lends its memory to the pool (%s)", class);
    if (writes && drafts)
        return xasprintf("has %s and %s", writes, drafts);
    if (writes)
        return xasprintf("has %s (%s)", writes, class);
    if (drafts)
        return xasprintf("has %s (%s)", drafts, class);
    if (m->role != ADVICE_ROLE_NONE)
        return xasprintf("has no model yet for what it was given to do (%s)", class);
    return xasprintf("%s (%s)", t ? "not needed now" : "no model yet", class);
}

void making_words(struct making *k)
{
    struct advice *a = k->a;
    const struct advice_model *t = a->target >= 0 ? &a->model[a->target] : NULL;
    for (size_t i = 0; i < k->n; i++)
        a->machine[i].why = why(k, (int)i);
    warn_of_secrets(k);
    if (a->kind == ADVICE_CROWD)
        making_warn(
            k, ADVICE_LATER, NULL,
            "consensus of several drafters and the quality gate are not in this version: what is written here is "
            "the nearest that is");
    if (!t) {
        task_of_beginning(k);
        return;
    }
    warn_of_memory(k, t);
    warn_of_target(k, t);
    task_of_model(k, t, true);
    task_of_workers(k);
    if (a->n_drafters == 0) {
        making_warn(k, ADVICE_NO_DRAFTER, NULL, "no model was found that could draft for %s%s", t->name,
                    a->ngram ? ": drafts are taken from the text itself" : "");
        task_of_drafter(k, t);
        return;
    }
    const struct advice_model *d = &a->model[a->drafter[0]];
    warn_of_family(k, t, d);
    warn_of_quantisation(k, t, d);
    warn_of_memory(k, d);
    warn_of_speed(k, t, d);
    for (size_t i = 0; i < a->n_drafters; i++)
        task_of_model(k, &a->model[a->drafter[i]], false);
}
