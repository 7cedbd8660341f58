/* What the answers tell of themselves while they are written: who wrote which token, and how the rounds went. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "engines/gate.h"
#include "engines/proxy-internal.h"

/* The drafter's place in snapshot.backend, 0: there is none of that name. */
static uint8_t index_of(const struct proxy *p, const char *name)
{
    for (size_t i = 0; i < p->n_drafters; i++) {
        if (strcmp(p->drafter[i]->name, name) == 0)
            return (uint8_t)(i + 1);
    }
    return 0;
}

const struct live *proxy_live(const struct proxy *p)
{
    return &p->live.live;
}

void proxy_answer_drafted_by(struct proxy_answer *a, const char *name, bool quoted)
{
    a->draft_writer = quoted ? LIVE_QUOTE : LIVE_DRAFTER;
    a->draft_index = index_of(a->proxy, name);
}

void proxy_live_text(struct proxy_answer *a, const char *text, size_t len, const struct oai_token *tokens,
                     const bool *drafted, size_t n)
{
    struct live_recorder *r = &a->proxy->live;
    if (!live_recorder_wants(r, a->id, clock_us()))
        return;
    /* NAME@draft: the drafter writes all of it. */
    bool by_drafter = a->mode == PROXY_DRAFT;
    enum live_writer own = by_drafter ? LIVE_DRAFTER : gate_agent_wrote(a) ? LIVE_AGENT : LIVE_TARGET;
    uint8_t own_index = by_drafter ? index_of(a->proxy, a->target->name) : 0;
    for (size_t i = 0; i < n; i++)
        live_recorder_token(r, tokens[i].len, drafted[i] ? a->draft_writer : own,
                            drafted[i] ? a->draft_index : own_index);
    if (len > 0)
        live_recorder_text(r, text, len, own, own_index);
}

void proxy_live_round(struct proxy *p, const struct snapshot_round *r)
{
    struct live_round row = {.request = r->request,
                             .round = r->round,
                             .drafter = index_of(p, r->drafter),
                             .drafted = (uint16_t)r->drafted,
                             .accepted = (uint16_t)r->accepted,
                             .emitted = (uint16_t)r->emitted,
                             .draft_ms = (float)r->draft_ms,
                             .verify_ms = (float)r->verify_ms,
                             .wait_ms = (float)r->wait_ms,
                             .round_ms = r->round_ms > 0 ? (float)r->round_ms : NAN,
                             .predicted_ms = r->predicted_ms > 0 ? (float)r->predicted_ms : NAN};
    live_add_round(&p->live.live, &row);
}
