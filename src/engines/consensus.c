#include "engines/consensus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/noise.h"
#include "engines/audit.h"
#include "engines/pieces.h"
#include "engines/proxy-internal.h"

void consensus_init(struct consensus *c)
{
    *c = (struct consensus){.pieces = pieces_create()};
}

void consensus_target_replaced(struct consensus *c)
{
    while (c->left != NULL)
        audit_destroy(c->left);
}

void consensus_finish(struct consensus *c)
{
    consensus_target_replaced(c);
    pieces_destroy(c->pieces);
}

int proxy_set_consensus(struct proxy *p, const char *mode, char **cause)
{
    struct consensus *c = &p->consensus;
    enum vote_rule rule;
    if (!vote_rule_find(mode, &rule))
        return cause_set(cause, "the consensus mode is off, strict, majority or any_disagree; not %s", mode);
    if (rule == VOTE_OFF && c->rule != VOTE_OFF)
        log_info("consensus is off");
    else if (rule != VOTE_OFF)
        log_warn("consensus is %s: what drafters agree on goes out without the target, and such answers are "
                 "approximate",
                 mode);
    *c = (struct consensus){.rule = rule, .pieces = c->pieces, .left = c->left, .n_left = c->n_left, .era = c->era + 1};
    char *copy = xstrdup(mode);
    free(p->settings.consensus_mode);
    p->settings.consensus_mode = copy;
    return 0;
}

/* ---- whether it can be used ---- */

/* Drafters that can vote now. */
static size_t voters(const struct proxy *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_drafters; i++)
        n += !member_is_text(p->drafter[i]) && member_can_draft(p->drafter[i], p->target);
    return n;
}

void consensus_why_not(const struct proxy *p, char *out, size_t size)
{
    const struct consensus *c = &p->consensus;
    const struct backend_info *target = &p->target->backend->info;
    size_t n = voters(p);
    out[0] = '\0';
    if (c->rule == VOTE_OFF)
        snprintf(out, size, "consensus_mode is off");
    else if (c->suspended)
        snprintf(out, size, "%s", c->trouble);
    else if (proxy_draft_cap(p) == 0)
        snprintf(out, size, "max_draft_tokens is 0");
    else if (target->known && !target->caps.verify)
        snprintf(out, size, "the target can't verify: %.180s",
                 target->cannot_verify != NULL ? target->cannot_verify : "it has no way to check a draft");
    else if (n < VOTE_LEAST)
        snprintf(out, size, "%s: a vote needs %d", n == 0 ? "no drafter can draft now" : "one drafter can draft now",
                 VOTE_LEAST);
}

bool consensus_goes_on(const struct proxy *p)
{
    return p->consensus.rule != VOTE_OFF && !p->consensus.suspended && proxy_draft_cap(p) != 0;
}

bool consensus_serves(const struct proxy_answer *a)
{
    const struct backend_caps *caps = &a->target->backend->info.caps;
    const struct oai_request *q = &a->req;
    return consensus_goes_on(a->proxy) && voters(a->proxy) >= VOTE_LEAST && q->logprobs < 0 && !q->echo &&
           caps->verify && (!caps->verify_greedy_only || q->sampling.temperature == 0) &&
           (q->prompt_tokens != NULL || (q->chat ? caps->templated : caps->tokenize));
}

/* ---- what it is worth ---- */

bool consensus_wants_audit(const struct proxy *p, uint64_t request, uint64_t window)
{
    return noise_share(noise_mix(request + UINT64_C(0x9e3779b97f4a7c15)) ^ window) < p->settings.consensus_audit;
}

void consensus_count_audit(struct proxy *p, size_t tokens, size_t wrong)
{
    struct consensus *c = &p->consensus;
    c->audited++;
    c->wrong += wrong > 0;
    c->audited_tokens += tokens;
    c->wrong_tokens += wrong;
    c->lately += (double)tokens;
    c->lately_wrong += (double)wrong;
    double error = c->lately_wrong / c->lately, most = p->settings.consensus_max_error;
    if (!c->suspended && c->rule != VOTE_OFF && c->lately >= CONSENSUS_SURE && error > most) {
        c->suspended = true;
        snprintf(c->trouble, sizeof(c->trouble),
                 "suspended: %.2g %% of the tokens that were checked lately are wrong, consensus_max_error is %.2g %%",
                 100 * error, 100 * most);
        log_warn("consensus is %s; answers are exact again until it is set anew", c->trouble);
    }
    if (c->lately >= CONSENSUS_LATELY) {
        c->lately /= 2;
        c->lately_wrong /= 2;
    }
}

void consensus_answer_ended(const struct proxy_answer *a)
{
    if (a->mode == PROXY_CONSENSUS && a->runner == &speculate_runner)
        a->proxy->consensus.fallback += (uint64_t)(a->tokens - a->voted);
}

void consensus_fill(const struct proxy *p, struct snapshot_consensus *out)
{
    const struct consensus *c = &p->consensus;
    *out = (struct snapshot_consensus){
        .configured = c->rule != VOTE_OFF,
        .suspended = c->suspended,
        .window = p->settings.consensus_window,
        .audit_share = p->settings.consensus_audit,
        .max_error = p->settings.consensus_max_error,
        .windows = c->windows,
        .skipped = c->skipped,
        .accepted = c->accepted,
        .fallback = c->fallback,
        .audited = c->audited,
        .wrong = c->wrong,
        .audited_tokens = c->audited_tokens,
        .wrong_tokens = c->wrong_tokens,
        .error = c->audited_tokens > 0 ? (double)c->wrong_tokens / (double)c->audited_tokens : NAN,
        .target_passes = c->target_passes,
    };
    snprintf(out->mode, sizeof(out->mode), "%s", vote_rule_name(c->rule));
    consensus_why_not(p, out->why, sizeof(out->why));
    stats_wilson(c->wrong_tokens, c->audited_tokens, &out->error_low, &out->error_high);
}
