#include "advise/making.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advise/estimate.h"
#include "base/mem.h"

struct counts {
    size_t machines; /* that can run a model: by their hardware, or because they serve one */
    size_t gpus;     /* machines with one or more */
    size_t cpus;     /* machines of which it is known that they have none */
    size_t unknown;
    int only; /* the machine, where there is one */
    char *names;
};

static void append(char **text, const char *between, const char *more)
{
    char *longer = xasprintf("%s%s%s", *text ? *text : "", *text ? between : "", more);
    free(*text);
    *text = longer;
}

static struct counts count(const struct making *k)
{
    struct counts c = {.only = ADVICE_NONE};
    for (size_t i = 0; i < k->n; i++) {
        const struct advice_machine *m = &k->a->machine[i];
        bool serves = k->list[i].n_services > 0 || k->list[i].n_models > 0;
        if ((!m->known && !serves) || (k->wish->role && k->wish->role[i] == ADVICE_ROLE_NONE))
            continue;
        c.machines++;
        c.gpus += m->known && m->gpus > 0;
        c.cpus += m->known && m->gpus == 0;
        c.unknown += !m->known;
        c.only = (int)i;
        if (c.machines <= 4) {
            char *one = xasprintf("%s (%s)", k->list[i].name, m->hardware);
            append(&c.names, ", ", one);
            free(one);
        }
    }
    if (c.machines > 4)
        append(&c.names, " ", "and others");
    return c;
}

static void turn(struct making *k, const char *question, char *answer)
{
    making_turn(k, xstrdup(question), answer);
}

static const struct advice_model *target_of(const struct advice *a)
{
    return a->target >= 0 ? &a->model[a->target] : NULL;
}

static const struct advice_model *drafter_of(const struct advice *a)
{
    return a->n_drafters > 0 ? &a->model[a->drafter[0]] : NULL;
}

static const char *place(const struct making *k, const struct advice_model *m)
{
    return m->machine >= 0 ? k->list[m->machine].name : m->url;
}

/* Whether the model fits is asked wherever one is chosen. */
static bool ask_whether_it_fits(struct making *k)
{
    const struct advice *a = k->a;
    const struct advice_model *t = target_of(a);
    char need[32], has[32];
    if (!t || t->machine < 0 || t->need < 0)
        return true;
    int64_t there = a->machine[t->machine].memory;
    bool alone = there < 0 || t->need <= there || (t->missing == 0 && a->n_workers == 0);
    advice_bytes(need, sizeof(need), t->need);
    advice_bytes(has, sizeof(has), there);
    char *answer = alone ? xasprintf("yes: %s wants about %s, %s has %s", t->name, need, place(k, t),
                                     there < 0 ? "enough, or it would not run" : has)
                         : xasprintf("no: %s wants about %s, %s has %s%s", t->name, need, place(k, t), has,
                                     a->n_workers > 0 ? "; with the workers it does" : "");
    turn(k, "Does the big model fit on one machine?", answer);
    return alone;
}

static enum advice_kind one_machine(struct making *k, const struct counts *c)
{
    const struct advice *a = k->a;
    const struct advice_model *t = target_of(a), *d = drafter_of(a);
    size_t gpus = a->machine[c->only].gpus;
    if (t && d && t->source == ADVICE_RUNS && d->source == ADVICE_RUNS && t->verifies) {
        turn(k, "Do a big and a small model of one family run on it already?",
             xasprintf("yes: %s and %s, so they are used", t->name, d->name));
        return ADVICE_PROXY;
    }
    turn(k, "How many GPUs has it?", a->machine[c->only].known ? xasprintf("%zu", gpus) : xstrdup("not known"));
    return gpus >= 2 ? ADVICE_POOL : ADVICE_DIRECT;
}

static enum advice_kind several(struct making *k, const struct counts *c)
{
    const struct advice *a = k->a;
    const struct advice_model *d = drafter_of(a);
    if (c->gpus == 0 && c->unknown == 0) {
        turn(k, "Has any of them a GPU?", xstrdup("no, CPUs only"));
        return ADVICE_CROWD;
    }
    turn(k, "Has any of them a GPU?",
         c->gpus > 0 ? xasprintf("yes, %zu", c->gpus)
                     : xstrdup("not known of those that were only seen on the network"));
    bool cpu = d && d->machine >= 0 ? a->machine[d->machine].known && a->machine[d->machine].gpus == 0 : c->cpus > 0;
    turn(k, "Has some of them none?",
         c->cpus == 0 ? xstrdup(c->unknown ? "not known" : "no")
                      : xasprintf("yes, %zu%s", c->cpus, cpu ? ": the CPU drafts, the GPU verifies" : ""));
    return cpu && c->gpus > 0 ? ADVICE_CPU_DRAFT : ADVICE_PROXY;
}

static enum advice_kind decide(struct making *k)
{
    const struct advice_wish *w = k->wish;
    struct counts c = count(k);
    enum advice_kind kind;
    if (w->target_url && (w->draft_url || c.machines == 0)) {
        turn(k, "Are the servers given?", xstrdup("yes, so nothing has to be looked for"));
        kind = ADVICE_PROXY;
    } else if (w->cloud_url) {
        turn(k, "Is there a key for an API that is to answer?", xasprintf("yes, %s", w->cloud_url));
        kind = ADVICE_CLOUD;
    } else if (c.machines == 0) {
        turn(k, "How many machines can run a model?", xstrdup("none is known"));
        kind = ADVICE_NOTHING;
    } else {
        turn(k, "How many machines can run a model?", xasprintf("%zu: %s", c.machines, c.names));
        bool fits = ask_whether_it_fits(k);
        if (!fits && k->a->n_workers > 0)
            kind = ADVICE_COMBINED;
        else
            kind = c.machines == 1 ? one_machine(k, &c) : several(k, &c);
    }
    free(c.names);
    return kind;
}

/* What the answers are to be is asked where the machines could do more than draft, or somebody has wished for it. */
static void ask_what_is_promised(struct making *k)
{
    struct advice *a = k->a;
    bool could = a->can[ADVICE_CONSENSUS] || a->can[ADVICE_GATE];
    bool both = a->can[ADVICE_CONSENSUS] && a->can[ADVICE_GATE];
    a->asks = a->target >= 0 && (k->wish->mode != ADVICE_EXACT || (a->kind == ADVICE_CROWD && could));
    if (!a->asks)
        return;
    static const char question[] = "What are the answers to promise?";
    if (a->mode == ADVICE_CONSENSUS)
        turn(k, question, xstrdup("consensus, as wished: approximate, what the drafters agree on is not checked"));
    else if (a->mode == ADVICE_GATE)
        turn(k, question, xstrdup("the quality gate, as wished: approximate, agents write and the target reviews"));
    else
        turn(k, question,
             xasprintf("to be exact, as long as nothing else is wished%s",
                       both                       ? "; consensus and the quality gate are possible, and approximate"
                       : a->can[ADVICE_CONSENSUS] ? "; consensus is possible, and approximate"
                       : a->can[ADVICE_GATE]      ? "; the quality gate is possible, and approximate"
                                                  : ""));
}

/* "2 agents": how many, and what. */
static char *several_of(size_t n, const char *what)
{
    return xasprintf("%zu %s%s", n, what, n == 1 ? "" : "s");
}

static char *title_of_mode(const struct making *k, const char *kind, const char *where)
{
    const struct advice *a = k->a;
    bool gate = a->mode == ADVICE_GATE;
    char *who = several_of(gate ? a->n_agents : a->n_drafters, gate ? "agent" : "drafter");
    char *text = xasprintf("%s: %s %s%s, %s on %s %s (approximate)", kind, who, gate ? "write" : "vote",
                           gate && a->n_agents == 1 ? "s" : "", a->model[a->target].name, where,
                           gate ? "reviews" : "checks what they do not agree on");
    free(who);
    return text;
}

static char *title(const struct making *k)
{
    const struct advice *a = k->a;
    const struct advice_model *t = target_of(a), *d = drafter_of(a);
    if (a->kind == ADVICE_NOTHING)
        return xstrdup("nothing to build on yet");
    const char *kind = a->kind == ADVICE_DIRECT && t ? "Ollama directly would do as well" : advice_kind_name(a->kind);
    if (!t)
        return xasprintf("%s, once there is a model", kind);
    if (a->mode != ADVICE_EXACT)
        return title_of_mode(k, kind, a->n_workers ? "several machines" : place(k, t));
    if (!d)
        return xasprintf("%s: %s on %s%s", kind, t->name, a->n_workers ? "several machines" : place(k, t),
                         a->ngram ? ", with drafts from the text itself" : "");
    return xasprintf("%s: %s on %s drafts, %s on %s %s", kind, d->name, place(k, d), t->name,
                     a->n_workers ? "several machines" : place(k, t), t->verifies ? "checks" : "answers");
}

/* ---- reasons ---- */

static void reason_of_kind(struct making *k)
{
    switch (k->a->kind) {
    case ADVICE_NOTHING:
        making_reason(k, "No GPU, CPU or server was found that a model could run on.");
        break;
    case ADVICE_DIRECT:
        making_reason(k,
                      "One machine with at most one GPU: Ollama or llama-server directly serves it as well, and "
                      "Tightwad adds little. What can still help: drafts from the text itself (n-grams), which cost "
                      "nothing and pay where answers repeat the prompt, and a small drafter of the same family beside "
                      "the big model, where memory is left.");
        break;
    case ADVICE_POOL:
        making_reason(
            k, "Several GPUs in one machine hold a model together that none of them could hold alone, behind one "
               "endpoint; no network lies between them.");
        break;
    case ADVICE_PROXY:
        making_reason(k,
                      "A small model drafts, the big one checks a whole draft in one pass: the text is the big model's "
                      "own, and each accepted token saves a pass.");
        break;
    case ADVICE_CPU_DRAFT:
        making_reason(
            k, "The CPU has nothing else to do and a tiny model is fast enough on it; the GPU spends its passes on "
               "checking. Nothing of the big model's memory is given away.");
        break;
    case ADVICE_CLOUD:
        making_reason(
            k, "The draft is made here and the API answers. Each round is a trip over the internet, 50 ms and more, "
               "and most APIs do not tell what is needed to check a draft: then the API answers by itself and the "
               "acceptance that is shown only says what checking would bring.");
        break;
    case ADVICE_COMBINED:
        making_reason(
            k, "The model fits on no machine alone, so its layers are spread. Each token is then a trip through all "
               "of them, which is where drafts pay most: one trip checks many tokens.");
        break;
    case ADVICE_CROWD:
        making_reason(
            k, "Nothing but CPUs, of which each alone is slow. They can do three things for the largest model: draft, "
               "all at once, which is exact, but brings little where checking a token costs what writing it does (it "
               "is measured, and left off where it does not pay); agree among themselves, so that the large one is "
               "not asked where they do (consensus); or write whole answers that it reviews (quality gate). The last "
               "two are approximate: answers are then not always those of the large model.");
        break;
    }
}

static void reason_of_mode(struct making *k)
{
    const struct advice *a = k->a;
    const struct advice_model *t = target_of(a);
    const struct advice_estimate *e = &a->estimate;
    if (a->mode == ADVICE_CONSENSUS)
        making_reason(
            k,
            "Consensus: tokens that all drafters agree on come at their pace, and %s writes the rest. A share "
            "of what it was not asked about is checked afterwards; where more than 2 %% of that is wrong, "
            "answers are exact again.",
            t->name);
    if (a->mode == ADVICE_GATE)
        making_reason(k,
                      "Quality gate: the agents write whole answers, and %s reads each: it passes, is corrected, or is "
                      "written anew. How often a wrong one passes is measured on a share of them.",
                      t->name);
    if (a->mode == ADVICE_GATE && !isnan(e->agents) && !isnan(e->reviewed))
        making_reason(k,
                      "Estimate: the agents write %.0f tokens/s together, %s reads %.0f of them a second, and alone "
                      "writes %.0f. Where it has both to ask and to read, it reads half of that.",
                      e->agents, t->name, e->reviewed, e->alone);
}

static void reason_of_pair(struct making *k)
{
    const struct advice *a = k->a;
    const struct advice_model *t = target_of(a), *d = drafter_of(a);
    const struct pair_outlook *p = &a->estimate.pair;
    char ts[16], ds[16];
    if (!t || !d)
        return;
    advice_size(ts, sizeof(ts), t->parameters);
    advice_size(ds, sizeof(ds), d->parameters);
    const char *how = p->proven && *p->proven->how ? p->proven->how : NULL;
    if (p->basis == PAIR_PROVEN && !isnan(p->proven->accepted))
        making_reason(k, "%s and %s are a proven pair%s%s%s: about %.0f %% of the draft was accepted.", d->name,
                      t->name, how ? " (" : "", how ? how : "", how ? ")" : "", 100 * p->proven->accepted);
    else if (p->basis == PAIR_PROVEN)
        making_reason(k, "%s and %s are a proven pair%s%s%s.", d->name, t->name, how ? " (" : "", how ? how : "",
                      how ? ")" : "");
    else if (p->basis == PAIR_ROW)
        making_reason(k, "One family, %s for %s: such pairs accept %.0f to %.0f %% of the draft.", ds, ts, 100 * p->low,
                      100 * p->high);
    else if (p->basis == PAIR_NEAR)
        making_reason(k, "One family, %s for %s: near what is known to accept %.0f to %.0f %% of the draft.", ds, ts,
                      100 * p->low, 100 * p->high);
    else if (p->basis == PAIR_GUESS)
        making_reason(k,
                      "How much of the draft will be accepted cannot be told beforehand: size or family is not known.");
}

static void reason_of_estimate(struct making *k)
{
    struct advice *a = k->a;
    struct advice_estimate *e = &a->estimate;
    const struct advice_model *t = target_of(a);
    if (!t)
        return;
    if (isnan(e->alone)) {
        e->basis = xasprintf("no estimate: the hardware behind %s or the size of the model is not known", place(k, t));
    } else if (isnan(e->drafted)) {
        e->basis = xasprintf("%s: weights over %.0f %% of the memory bandwidth; no estimate with drafts", t->name,
                             100 * ESTIMATE_SHARE);
    } else {
        e->basis = xasprintf(
            "weights over %.0f %% of the memory bandwidth, drafts of %lld token%s of which %.0f %% are right, "
            "drafting ahead",
            100 * ESTIMATE_SHARE, (long long)e->draft_tokens, e->draft_tokens == 1 ? "" : "s", 100 * e->accepted);
    }
    if (!isnan(e->alone) && !isnan(e->drafted))
        making_reason(k, "Estimate: %.0f tokens/s alone, %.0f with drafts (%s).", e->alone, e->drafted, e->basis);
    else if (!isnan(e->alone))
        making_reason(k, "Estimate: %.0f tokens/s alone (%s).", e->alone, e->basis);
}

void making_path(struct making *k)
{
    k->a->kind = decide(k);
    ask_what_is_promised(k);
    k->a->title = title(k);
    reason_of_kind(k);
    reason_of_mode(k);
    reason_of_pair(k);
    reason_of_estimate(k);
}
