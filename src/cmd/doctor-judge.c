#include "cmd/doctor-judge.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/url.h"

/* Where the field's experience draws its lines. */
static const double other_family = 0.10; /* accepted below this: the models have nothing in common */
static const double mismatch = 0.40;     /* below this: quantisation or fine-tune differ too much */
static const double far_ms = 10;         /* a trip above this eats what speculation wins */
static const double slow_drafter = 15;   /* tokens per second */
static const double hardly = 0.8;        /* of the target's own speed: drafting loses */
static const double worth = 1.25;        /* a longer draft is advised when it is this much faster */
enum { DRAFT_MOST = 64, ENOUGH = 40 };   /* drafted tokens that make an acceptance worth judging */

const char *doctor_level_name(enum doctor_level l)
{
    static const char *const names[] = {"note", "warning", "error"};
    return names[l];
}

static struct doctor_finding *add(struct doctor_findings *out, enum doctor_level level, const char *id,
                                  const struct doctor_server *s)
{
    out->list = xreallocarray(out->list, out->n + 1, sizeof(*out->list));
    struct doctor_finding *f = &out->list[out->n++];
    *f = (struct doctor_finding){.level = level, .id = id, .server = s != NULL ? s->name : NULL};
    return f;
}

void doctor_findings_finish(struct doctor_findings *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->list[i].what);
        free(f->list[i].cause);
        free(f->list[i].fix);
    }
    free(f->list);
    *f = (struct doctor_findings){0};
}

double doctor_acceptance(const struct doctor_server *d)
{
    return d->drafted > 0 ? (double)d->accepted / (double)d->drafted : NAN;
}

/* The acceptance that is measured is accepted / drafted over whole drafts; the formula wants the chance of one token.
 * For drafts of k tokens a = accepted / drafted is (b + b^2 + … + b^k) / k with b that chance: found by halving. */
static double chance(double accepted_share, int k)
{
    double low = 0, high = 1;
    for (int i = 0; i < 50; i++) {
        double b = (low + high) / 2, sum = 0, power = 1;
        for (int j = 0; j < k; j++)
            sum += power *= b;
        *(sum / k < accepted_share ? &low : &high) = b;
    }
    return (low + high) / 2;
}

double doctor_rate(const struct doctor_server *t, const struct doctor_server *d, int64_t k)
{
    double share = doctor_acceptance(d);
    if (isnan(share) || isnan(t->pass_ms) || isnan(d->draft_ms))
        return NAN;
    double b = chance(share, DOCTOR_DRAFT), tokens = 0, power = 1;
    for (int64_t i = 0; i <= k; i++, power *= b)
        tokens += power;
    double ms = t->pass_ms + (double)k * (isnan(t->pass_more_ms) ? 0 : t->pass_more_ms);
    if (k > 0)
        ms += (isnan(d->draft_fixed_ms) ? 0 : d->draft_fixed_ms) + (double)k * d->draft_ms;
    return ms > 0 ? tokens / ms * 1000 : NAN;
}

int64_t doctor_best_draft(const struct doctor_server *t, const struct doctor_server *d)
{
    int64_t best = 0;
    double most = -1;
    for (int64_t k = 1; k <= DRAFT_MOST; k++) {
        double rate = doctor_rate(t, d, k);
        if (isnan(rate))
            return 0;
        if (rate > most) {
            most = rate;
            best = k;
        }
    }
    return best;
}

/* The port of its url, owned by the caller. */
static char *port_of(const struct doctor_server *s)
{
    char *host = url_host_port(s->url), *colon = strrchr(host, ':'), *port = xstrdup(colon != NULL ? colon + 1 : "");
    free(host);
    return port;
}

/* What to type on its machine, so that it listens on the network; owned by the caller. */
static char *how_to_serve(const struct doctor_server *s)
{
    char *port = port_of(s), *command;
    if (s->kind != NULL && strcmp(s->kind, "ollama") == 0)
        command = xasprintf("OLLAMA_HOST=0.0.0.0:%s ollama serve", port);
    else if (s->kind != NULL && strcmp(s->kind, "llamacpp") == 0)
        command = xasprintf("llama-server -m MODEL.gguf --host 0.0.0.0 --port %s", port);
    else
        command = xasprintf("tightwad node -m MODEL.gguf --listen 0.0.0.0:%s", port);
    free(port);
    return command;
}

/* The same for a firewall that lets nobody through. */
static char *how_to_open(const struct doctor_server *s)
{
    char *port = port_of(s);
    char *text = xasprintf("see whether the machine is on (`ping`), let its firewall open the port (`sudo ufw allow "
                           "%s/tcp`), and restart the server if the port is open but silent",
                           port);
    free(port);
    return text;
}

const char *doctor_role_name(enum doctor_role r)
{
    static const char *const names[] = {[DOCTOR_DRAFTER] = "drafter",
                                        [DOCTOR_TARGET] = "target",
                                        [DOCTOR_VERIFIER] = "verifier",
                                        [DOCTOR_AGENT] = "agent"};
    return names[r];
}

static const char *key_of(const struct doctor_server *s)
{
    static const char *const keys[] = {[DOCTOR_DRAFTER] = "proxy.draft or proxy.drafters",
                                       [DOCTOR_TARGET] = "proxy.target",
                                       [DOCTOR_VERIFIER] = "quality_gate.verifier",
                                       [DOCTOR_AGENT] = "quality_gate.agents"};
    return keys[s->role];
}

/* Whether it answers, and as what.  serve: what starts such a server there, NULL for one that needs none. */
static void judge_answer(const struct doctor_server *s, const char *serve, struct doctor_findings *out)
{
    const char *role = doctor_role_name(s->role), *said = s->message != NULL ? s->message : "no details";
    struct doctor_finding *f;
    switch (s->reach) {
    case DOCTOR_ANSWERS:
        return;
    case DOCTOR_NO_NAME:
        f = add(out, DOCTOR_ERROR, "no-such-host", s);
        f->what = xasprintf("the %s's host name cannot be found (%s)", role, s->url);
        f->cause = xasprintf("the name in the url is not known to this machine's resolver: %s", said);
        f->fix = xasprintf("correct %s's url, or use the machine's address instead of its name", key_of(s));
        return;
    case DOCTOR_NOTHING:
        f = add(out, DOCTOR_ERROR, "nothing-listens", s);
        f->what = xasprintf("nothing listens at the %s's address %s", role, s->url);
        f->cause =
            xasprintf("the machine is there and refuses the connection: the server is not running, has another port, "
                      "or listens on its loopback only (%s)",
                      said);
        f->fix = xasprintf("start it there: `%s`; or correct %s's url", serve, key_of(s));
        return;
    case DOCTOR_LOOPBACK_ONLY:
        f = add(out, DOCTOR_ERROR, "loopback-only", s);
        f->what = xasprintf("the %s at %s listens on the loopback address only", role, s->url);
        f->cause =
            xstrdup("the same port answers at 127.0.0.1 of this machine, but not at the address in the configuration");
        f->fix = xasprintf("let it listen on the network: `%s`; or use 127.0.0.1 in %s's url if both run here", serve,
                           key_of(s));
        return;
    case DOCTOR_SILENT:
        f = add(out, DOCTOR_ERROR, "no-answer", s);
        f->what = xasprintf("the %s at %s does not answer", role, s->url);
        f->cause = xasprintf("the machine is off, a firewall drops the packets, or the process is stopped (%s)", said);
        f->fix = how_to_open(s);
        return;
    case DOCTOR_NONSENSE:
        f = add(out, DOCTOR_ERROR, "not-such-a-server", s);
        f->what = xasprintf("what answers at the %s's address %s is not %s", role, s->url,
                            s->kind != NULL && strcmp(s->kind, "auto") != 0 ? s->kind : "a server that tightwad knows");
        f->cause = xasprintf("another program has that port, or `backend` names the wrong kind (%s)", said);
        f->fix = xasprintf(
            "correct %s's url, or its backend (node, llamacpp, ollama, openai; leave it out to let tightwad ask)",
            key_of(s));
        return;
    case DOCTOR_DENIED:
        f = add(out, DOCTOR_ERROR, "denied", s);
        f->what = xasprintf("the %s at %s refuses this client", role, s->url);
        f->cause = xasprintf("it wants an API key, or another one (%s)", said);
        f->fix = xasprintf("set %s's api_key (${ENV} keeps it out of the file)", key_of(s));
        return;
    case DOCTOR_NO_MODEL:
        f = add(out, DOCTOR_ERROR, "no-model", s);
        f->what = xasprintf("the %s at %s does not have the model %s", role, s->url,
                            s->model_name != NULL ? s->model_name : "that is wanted");
        f->cause = xasprintf("%s", said);
        f->fix = s->kind != NULL && strcmp(s->kind, "ollama") == 0
                     ? xasprintf("fetch it there: `ollama pull %s`; or correct %s's model_name",
                                 s->model_name != NULL ? s->model_name : "MODEL", key_of(s))
                     : xasprintf("correct %s's model_name (leave it out to take what the server has)", key_of(s));
        return;
    }
}

static void judge_reach(const struct doctor_server *s, struct doctor_findings *out)
{
    char *serve = s->url != NULL ? how_to_serve(s) : NULL;
    judge_answer(s, serve, out);
    free(serve);
}

static void judge_target(const struct doctor_facts *facts, struct doctor_findings *out)
{
    const struct doctor_server *t = &facts->target;
    struct doctor_finding *f;
    if (t->reach != DOCTOR_ANSWERS)
        return;
    if (!t->verifies) {
        f = add(out, DOCTOR_WARN, "cannot-verify", t);
        f->what = xasprintf("the target at %s can't check a draft in one pass: nothing is gained by drafting", t->url);
        f->cause = xasprintf("%s", t->cannot_verify != NULL ? t->cannot_verify : "it has no way to ask for that");
        f->fix = xasprintf(
            "%sserve the same model file by `tightwad node -m MODEL.gguf` (`-m ollama:NAME` finds Ollama's own "
            "file) and name that as the target; until then its answers are passed on as they are",
            t->kind != NULL && strcmp(t->kind, "llamacpp") == 0
                ? "start it with `--parallel 9 --kv-unified --cache-ram 0`, or "
                : "");
    }
    if (t->verifies && t->advice != NULL) {
        f = add(out, DOCTOR_NOTE, "slot-flags", t);
        f->what = xasprintf("the target at %s checks drafts through its slots, and its flags make that slower than it "
                            "could be",
                            t->url);
        f->cause = xstrdup(t->advice);
        f->fix =
            xstrdup("start llama-server with `--parallel 9 --kv-unified --cache-ram 0`: nine slots check drafts of "
                    "eight, in one pass for all of them, and keep what they hold; -c is then shared by all slots, "
                    "so make it (draft + 1) times the longest conversation");
    }
    if (t->batch_invariant_known && !t->batch_invariant) {
        f = add(out, DOCTOR_NOTE, "near-ties", t);
        f->what = xasprintf("the target's answers are exact up to near-ties, not byte for byte");
        f->cause = xasprintf("it was found by trying that a batched pass and a single one differ by up to %.3g in a "
                             "logit (usual on GPUs)",
                             t->noise);
        f->fix = xstrdup("nothing is wrong; on a CPU node `--flash-attn off` gives bit-identity");
    }
}

static void judge_vocab(const struct doctor_server *d, struct doctor_findings *out)
{
    if (d->vocab != DOCTOR_VOCAB_DIFFERENT)
        return;
    struct doctor_finding *f = add(out, DOCTOR_ERROR, "other-vocabulary", d);
    f->what = xasprintf("the drafter at %s has another vocabulary than the target: it is not used", d->url);
    f->cause = xasprintf("%s", d->vocab_reason != NULL ? d->vocab_reason : "the models are of different families");
    f->fix = xstrdup(
        "draft with a small model of the target's own family (`tightwad inspect MODEL.gguf` shows the fingerprint "
        "that must be equal)");
}

static bool judge_acceptance(const struct doctor_server *d, struct doctor_findings *out)
{
    double a = doctor_acceptance(d);
    struct doctor_finding *f;
    if (isnan(a) || d->drafted < ENOUGH || a >= mismatch)
        return true;
    if (a < other_family) {
        f = add(out, DOCTOR_ERROR, "other-family", d);
        f->cause =
            xstrdup("the models are of different families (across families about 3 % is usual), or the drafter's file "
                    "is broken");
        f->fix = xstrdup("draft with a small model of the target's own family and generation");
    } else {
        f = add(out, DOCTOR_WARN, "mismatch", d);
        f->cause =
            xstrdup("a likely mismatch of quantisation or fine-tune: a base model drafts for a chat model, another "
                    "release, or one of them is quantised very hard");
        f->fix = xstrdup(
            "take the drafter from the same release and tuning as the target, quantised to Q8_0 or Q4_K_M; 40 to "
            "80 % is usual then");
    }
    f->what = xasprintf("only %.0f %% of %zu drafted tokens were accepted (%s)", 100 * a, d->drafted,
                        d->compared ? "found by comparing: the target can't verify" : "checked by the target");
    return false;
}

static void judge_network(const struct doctor_server *t, const struct doctor_server *d, struct doctor_findings *out)
{
    const struct doctor_server *worse = !isnan(t->rtt_ms) && !(t->rtt_ms < d->rtt_ms) ? t : d;
    if (isnan(worse->rtt_ms) || worse->rtt_ms <= far_ms)
        return;
    struct doctor_finding *f = add(out, DOCTOR_WARN, "far-away", worse);
    double both = (isnan(t->rtt_ms) ? 0 : t->rtt_ms) + (isnan(d->rtt_ms) ? 0 : d->rtt_ms);
    f->what = xasprintf(
        "acceptance is good (%.0f %%), but the network is slow: %s is %.1f ms away, and each round waits "
        "%.1f ms for trips",
        100 * doctor_acceptance(d), worse->role == DOCTOR_TARGET ? "the target" : "the drafter", worse->rtt_ms, both);
    f->cause = xasprintf(
        "a round makes a trip to the drafter and one to the target; over %.0f ms is Wi-Fi, a VPN or a distant "
        "site",
        far_ms);
    f->fix = xasprintf("use a cable, put the drafter beside the proxy or the target, and let drafts be long "
                       "(proxy.max_draft_tokens: auto)");
}

/* Whether drafting can pay at all by these measurements. */
static bool judge_gain(const struct doctor_server *t, const struct doctor_server *d, int64_t best,
                       struct doctor_findings *out)
{
    double then = doctor_rate(t, d, best);
    if (best == 0 || isnan(t->alone_ms) || t->alone_ms <= 0 || then >= 1000 / t->alone_ms)
        return true;
    if (then > hardly * 1000 / t->alone_ms)
        return false; /* as good as even: nothing to speak of */
    struct doctor_finding *f = add(out, DOCTOR_NOTE, "does-not-pay", d);
    f->what =
        xasprintf("by this measurement speculation does not pay here: about %.0f tokens/s at best, the target alone "
                  "writes %.0f",
                  then, 1000 / t->alone_ms);
    f->cause =
        xasprintf("a pass takes %.1f ms and %.2f ms more for each drafted token, the target alone %.2f ms for a token: "
                  "checking is hardly cheaper than writing (small models on a CPU), or the trips are long",
                  t->pass_ms, t->pass_more_ms, t->alone_ms);
    f->fix = xstrdup(
        "nothing is wrong; it pays with bigger models, GPUs and pools. proxy.max_draft_tokens: 0 switches it off");
    return false;
}

static void judge_cap(const struct doctor_facts *facts, const struct doctor_server *d, struct doctor_findings *out)
{
    const struct doctor_server *t = &facts->target;
    int64_t cap = facts->max_draft_tokens, best = doctor_best_draft(t, d);
    struct doctor_finding *f;
    if (!judge_gain(t, d, best, out) || cap < 0 || best <= cap)
        return;
    double now = doctor_rate(t, d, cap), then = doctor_rate(t, d, best);
    if (cap > 0 && then < worth * now)
        return;
    f = add(out, DOCTOR_WARN, cap == 0 ? "speculation-off" : "draft-too-short", NULL);
    f->what = cap == 0 ? xstrdup("speculation is switched off: proxy.max_draft_tokens is 0")
                       : xasprintf("proxy.max_draft_tokens is %lld: too small to pay", (long long)cap);
    f->cause =
        xasprintf("a round has fixed costs (two trips and a pass of the target): about %.0f tokens/s now, about %.0f "
                  "with drafts of %lld",
                  now, then, (long long)best);
    f->fix = xasprintf("set proxy.max_draft_tokens to %lld or more, or to auto", (long long)best);
}

static void judge_drafter(const struct doctor_facts *facts, const struct doctor_server *d, struct doctor_findings *out)
{
    struct doctor_finding *f;
    if (d->reach != DOCTOR_ANSWERS || d->url == NULL) /* the text itself: there is no server to judge */
        return;
    if (!d->drafts) {
        f = add(out, DOCTOR_ERROR, "cannot-draft", d);
        f->what = xasprintf("the drafter at %s gives neither token ids nor plain continuations", d->url);
        f->cause = xasprintf("a server of kind %s has no call for that", d->kind != NULL ? d->kind : "unknown");
        f->fix = xstrdup("draft with `tightwad node`, llama-server or Ollama");
        return;
    }
    judge_vocab(d, out);
    bool slow = !isnan(d->draft_ms) && d->draft_ms > 0 && 1000 / d->draft_ms < slow_drafter;
    if (judge_acceptance(d, out) && doctor_acceptance(d) >= mismatch) {
        judge_network(&facts->target, d, out);
        if (!slow)
            judge_cap(facts, d, out);
    }
    if (slow) {
        f = add(out, DOCTOR_WARN, "slow-drafter", d);
        f->what = xasprintf("the drafter at %s writes %.1f tokens/s", d->url, 1000 / d->draft_ms);
        f->cause =
            xasprintf("below %.0f tokens/s a draft takes longer than it saves: the model is too big for that machine",
                      slow_drafter);
        f->fix = xstrdup("use a smaller model or quantisation there (0.5 to 1.5 B drafts for 7 to 14 B), or its GPU");
    }
}

static void judge_machine(const struct doctor_facts *facts, struct doctor_findings *out)
{
    struct doctor_finding *f;
    if (facts->rocm_gpus > 1 && (facts->hsa_enable_sdma == NULL || strcmp(facts->hsa_enable_sdma, "0") != 0)) {
        f = add(out, DOCTOR_WARN, "rocm-sdma", NULL);
        f->what = xasprintf("this machine has %d ROCm GPUs, and HSA_ENABLE_SDMA is %s", facts->rocm_gpus,
                            facts->hsa_enable_sdma != NULL ? facts->hsa_enable_sdma : "not set");
        f->cause = xstrdup("copies between AMD GPUs by the SDMA engines hang or corrupt data on many boards");
        f->fix = xstrdup("export HSA_ENABLE_SDMA=0 before starting a node (or any server) on them");
    }
    if (facts->node_missing != NULL) {
        f = add(out, DOCTOR_NOTE, "no-node", NULL);
        f->what = xstrdup("tightwad-node is not installed here: `tightwad node` and `tightwad demo` don't work");
        f->cause = xasprintf("%s", facts->node_missing);
        f->fix = xstrdup(
            "run `./bootstrap build` in the source tree (it fetches libllama where the system has none). Without "
            "a node of tightwad's own, a remote draft is verified by llama-server's slots only, and by Ollama "
            "not at all");
    }
}

/* True when the configuration can be used. */
static bool judge_config(const struct config_findings *list, struct doctor_findings *out)
{
    bool usable = true;
    for (size_t i = 0; list != NULL && i < list->n; i++) {
        const struct config_finding *c = &list->list[i];
        struct doctor_finding *f = add(out, c->error ? DOCTOR_ERROR : DOCTOR_WARN, "configuration", NULL);
        f->what = xasprintf("%s: %s", c->where, c->text);
        f->cause = xstrdup(c->error ? "the configuration can't be used as it is: nothing is started with it"
                                    : "what stands there has no effect");
        f->fix =
            xasprintf("correct %s; cluster.yaml(5) describes every option, `tightwad config check` shows all that is "
                      "wrong",
                      c->where);
        usable = usable && !c->error;
    }
    return usable;
}

void doctor_judge(const struct doctor_facts *facts, struct doctor_findings *out)
{
    *out = (struct doctor_findings){0};
    if (!judge_config(facts->config_findings, out)) {
        judge_machine(facts, out);
        return;
    }
    if (facts->target.url == NULL) {
        struct doctor_finding *f = add(out, DOCTOR_ERROR, "no-target", NULL);
        f->what = xasprintf("no target is configured%s%s", facts->config != NULL ? " in " : "",
                            facts->config != NULL ? facts->config : ", and no configuration file was found");
        f->cause = xstrdup("proxy.target.url says which server's model is to be served");
        f->fix =
            xstrdup("write it into cluster.yaml, or set TIGHTWAD_TARGET_URL; `tightwad demo` needs no configuration");
    } else {
        judge_reach(&facts->target, out);
        judge_target(facts, out);
    }
    if (facts->n_drafters == 0 && facts->n_reviewed == 0 && facts->target.url != NULL) {
        struct doctor_finding *f = add(out, DOCTOR_NOTE, "no-drafter", NULL);
        f->what = xstrdup("no drafter is configured: the target answers alone");
        f->cause = xstrdup("there is neither proxy.draft nor proxy.drafters");
        f->fix = xstrdup("serve a small model of the target's family and name it under proxy.draft");
    }
    for (size_t i = 0; i < facts->n_drafters; i++) {
        judge_reach(&facts->drafters[i], out);
        judge_drafter(facts, &facts->drafters[i], out);
    }
    for (size_t i = 0; i < facts->n_reviewed; i++)
        judge_reach(&facts->reviewed[i], out);
    judge_machine(facts, out);
}
