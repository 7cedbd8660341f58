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

static void warn_of_mode(struct making *k, const struct advice_model *t)
{
    const struct advice *a = k->a;
    enum advice_mode wish = k->wish->mode;
    if (!t)
        return;
    if (a->mode != ADVICE_EXACT)
        making_warn(k, ADVICE_APPROXIMATE, xasprintf("ask for the model NAME@exact where it matters"),
                    "answers are approximate: a client that asks for the plain name does not always get what %s would "
                    "have written",
                    t->name);
    else if (wish == ADVICE_CONSENSUS)
        making_warn(k, ADVICE_NOT_HERE, xstrdup("a second small model of the target's family, on any machine"),
                    "there is no consensus here, so answers are exact: it takes a target that checks drafts, and two "
                    "drafters that run or can be started");
    else if (wish == ADVICE_GATE)
        making_warn(k, ADVICE_NOT_HERE, xstrdup("a small model of any family, on any machine"),
                    "there is no quality gate here, so answers are exact: it takes another server that writes answers, "
                    "with a model no larger than %s",
                    t->name);
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
    const char *agent = NULL;
    for (size_t j = 0; a->mode == ADVICE_GATE && j < a->n_agents && !agent; j++)
        agent = a->model[a->agent[j]].machine == i ? a->model[a->agent[j]].name : NULL;
    if (agent && writes)
        return xasprintf("has %s, and %s as an agent of the gate", writes, agent);
    if (agent)
        return xasprintf("has %s, an agent of the gate (%s)", agent, class);
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
    warn_of_mode(k, t);
    if (!t)
        return;
    warn_of_memory(k, t);
    warn_of_target(k, t);
    if (a->n_drafters == 0) {
        making_warn(k, ADVICE_NO_DRAFTER, NULL, "no model was found that could draft for %s%s", t->name,
                    a->ngram ? ": drafts are taken from the text itself" : "");
        return;
    }
    const struct advice_model *d = &a->model[a->drafter[0]];
    warn_of_family(k, t, d);
    warn_of_quantisation(k, t, d);
    warn_of_memory(k, d);
    warn_of_speed(k, t, d);
}
