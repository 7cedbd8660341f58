/* Passes of the target, and the tokens that come of them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engines/speculate.h"

/* ---- tokens arrive ---- */

enum { EMIT_MOST = 256 };

static void fill_token(struct oai_token *to, const struct backend_token *from, struct oai_top *tops)
{
    *to = (struct oai_token){.id = from->id,
                             .piece = from->end ? "" : from->piece,
                             .len = from->end ? 0 : from->len,
                             .logprob = from->has_logprob ? from->logprob : NAN};
    for (size_t i = 0; i < from->n_top; i++)
        tops[i] = (struct oai_top){from->top[i].token, from->top_piece[i], from->top_len[i], from->top[i].logprob};
    to->top = tops;
    to->n_top = from->n_top;
}

bool spec_take(struct speculation *s, const struct backend_token *tokens, size_t n, size_t n_drafted)
{
    struct proxy_answer *a = s->a;
    struct oai_token out[EMIT_MOST];
    bool drafted[EMIT_MOST];
    size_t n_tops = 0, used = 0, first = 0;
    for (size_t i = 0; i < n; i++)
        n_tops += tokens[i].n_top;
    struct oai_top *tops = n_tops > 0 ? xcalloc(n_tops, sizeof(*tops)) : NULL;
    bool open = true, reads = true;
    for (size_t i = 0; i < n && open; i++) {
        path_push(&s->path, tokens[i].id);
        fill_token(&out[i - first], &tokens[i], tops + used);
        used += tokens[i].n_top;
        drafted[i - first] = i < n_drafted;
        a->tokens++;
        open = answer_feed(a->text, tokens[i].piece, tokens[i].len, tokens[i].end) == ANSWER_OPEN;
        if (open && path_is_full(&s->path)) {
            answer_cut(a->text);
            open = false;
        }
        size_t count = i - first + 1;
        if (!open || i + 1 == n || count == EMIT_MOST) {
            /* The token that ends generation has no text of its own and is not shown. */
            if (tokens[i].end)
                count--;
            size_t len;
            const char *text = answer_take(a->text, &len);
            if (len > 0 || count > 0)
                reads = proxy_answer_tell_text(a, text, len, out, drafted, count) && reads;
            first = i + 1;
        }
    }
    free(tops);
    proxy_count_tokens(a, n);
    if (!reads)
        a->paused = true;
    team_advance(s->team, s->path.n, tokens, n);
    return open;
}

void spec_finish(struct speculation *s)
{
    if (s->a->ended) /* the client went away while it was told of the last tokens */
        return;
    spec_change_state(s, SPEC_ENDED);
    proxy_answer_done(s->a, (int64_t)s->path.prompt_len, answer_tokens(s->a->text), answer_state(s->a->text));
}

/* ---- verify ---- */

/* What a round says about the time of the next one.  round_us: since the verdict before, 0 unknown. */
static void measure(struct speculation *s, const struct backend_status *st, const struct backend_verdict *v,
                    double round_us)
{
    struct governor *g = proxy_governor(s->a->proxy);
    size_t emitted = v->accepted + 1;
    member_ok(s->a->target, st->elapsed_us, emitted);
    if (!proxy_is_target(s->a->proxy, s->a->target) || v->cold) /* the latter is paid once an answer */
        return;
    if (v->read > 0)
        governor_saw_slots(g, s->n_draft, v->read, (double)st->elapsed_us);
    else
        governor_saw_verify(g, s->n_draft, s->n_draft * v->branches, (double)st->elapsed_us);
    if (round_us > 0 && !(s->quoted && (g->use_alone || team_is_empty(s->team)))) /* a quote speaks for no drafter */
        governor_saw_round(g, emitted, round_us, s->predicted_us);
}

/* What the drafters make of the verdict: the draft was that of the one who was right for longest. */
static void tell_team(struct speculation *s, const struct backend_verdict *v)
{
    bool end = v->tokens[v->accepted].end;
    size_t n = v->accepted + !end;
    int32_t *right = xcalloc(n + 1, sizeof(*right));
    for (size_t i = 0; i < n; i++)
        right[i] = v->tokens[i].id;
    const char *name = team_result(s->team, right, n);
    free(right);
    if (name == NULL)
        return;
    snprintf(s->drafter, sizeof(s->drafter), "%s", name);
    proxy_answer_drafted_by(s->a, s->drafter, false);
}

static void count_round(struct speculation *s, const struct backend_status *st, const struct backend_verdict *v,
                        double round_us)
{
    struct proxy_answer *a = s->a;
    const struct backend_info *info = &a->target->backend->info;
    double draft_ms = team_draft_ms(s->team);
    if (s->n_draft > 0 && !s->quoted)
        tell_team(s, v);
    struct snapshot_round r = {.request = a->id,
                               .round = s->rounds,
                               .drafter = s->n_draft > 0 ? s->drafter : "",
                               .drafted = (uint32_t)s->n_draft,
                               .accepted = (uint32_t)v->accepted,
                               .emitted = (uint32_t)v->accepted + 1,
                               .draft_ms = draft_ms,
                               .verify_ms = (double)st->elapsed_us / 1000.0,
                               .wait_ms = (double)s->wait_us / 1000.0,
                               .predicted_ms = s->predicted_us / 1000.0,
                               .round_ms = round_us / 1000.0};
    bool near = !info->batch_invariant && !isnan(v->margin) && !isnan(info->noise) && v->margin <= info->noise;
    if (s->n_draft > 0) {
        a->rounds++;
        a->drafted += (int64_t)s->n_draft;
        a->accepted += (int64_t)v->accepted;
        proxy_count_branches(a->proxy, v->branches, v->branch != 0);
    }
    struct member *quoter = s->quoted ? proxy_pick_quoter(a->proxy) : NULL;
    if (quoter != NULL) {
        quoter->drafted += s->n_draft;
        quoter->accepted += v->accepted;
    }
    proxy_count_round(a, &r, near);
}

static void on_verify(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct speculation *s = arg;
    struct proxy_answer *a = s->a;
    s->call = NULL;
    if (a->ended)
        return;
    if (st->error != BACKEND_OK) {
        spec_lose(s, st);
        return;
    }
    double round_us = s->verdict_us != 0 ? (double)(clock_us() - s->verdict_us) : 0;
    bool prefill = s->sent < s->path.prompt_len;
    if (!prefill)
        measure(s, st, v, round_us);
    else
        member_saw_prompt(a->target, st->elapsed_us, s->path.n - s->sent);
    s->verdict_us = clock_us();
    s->sent = s->path.n;
    s->rounds++;
    if (s->n_draft > 0 || (!team_is_empty(s->team) && !prefill))
        count_round(s, st, v, round_us);
    s->wait_us = 0;
    if (spec_take(s, v->tokens, v->accepted + 1, v->accepted))
        spec_step(s);
    else
        spec_finish(s);
}

void spec_verify(struct speculation *s, const struct backend_tree *tree)
{
    struct proxy_answer *a = s->a;
    struct governor *g = proxy_governor(a->proxy);
    const struct backend_tree none = {0};
    if (tree == NULL)
        tree = &none;
    spec_change_state(s, SPEC_VERIFY);
    s->n_draft = tree->n_draft;
    for (size_t i = 0; i < tree->n_branches; i++) {
        size_t end = tree->branches[i].at + tree->branches[i].n;
        s->n_draft = end > s->n_draft ? end : s->n_draft;
    }
    double us = governor_verify_us(g, s->n_draft, s->n_draft * tree->n_branches);
    s->predicted_us = s->verdict_us == 0 || isnan(us) ? 0 : (double)(clock_us() - s->verdict_us) + us;
    const struct member *quoter = s->quoted ? proxy_pick_quoter(a->proxy) : NULL;
    if (s->n_draft > 0) {
        snprintf(s->drafter, sizeof(s->drafter), "%s",
                 s->quoted ? (quoter != NULL ? quoter->name : "") : team_name(s->team));
        proxy_answer_drafted_by(a, s->drafter, s->quoted);
    }
    s->call = backend_verify_tree(s->session, s->path.tokens, s->path.n, tree, a->req.logprobs,
                                  member_deadline_ms(a->target, s->path.n - s->sent), on_verify, s);
}
