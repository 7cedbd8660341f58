#include "engines/team.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/drafting.h"
#include "engines/merge.h"

static const float DRAFT_P_MIN = 0.3f;
static const int64_t SOON_US = 1000;
static const double CLEARLY = 0.003; /* more often right, before another one is the best */

struct mate {
    struct drafting *d;
    bool late, awaited;
    struct merge_trust trust;
    /* what it has written that continues the path: by team_follow */
    const int32_t *tokens;
    const float *probs;
    double *chance; /* n of them, with what the others say */
    size_t n, size;
    size_t length; /* of these worth verifying */
    double hope;
    /* what of it was there when a pass was begun */
    int32_t *sent;
    float *sent_probs;
    size_t n_sent;
    size_t in_pass; /* of these, that the pass checks */
};

struct team {
    struct proxy_answer *a;
    void (*on_news)(void *);
    void *arg;
    struct mate *mate[PROXY_DRAFTERS]; /* in the order of the configuration, as they came */
    size_t n;
    size_t most;                                              /* tokens of a draft, by the newest team_follow */
    struct mate *main;                                        /* whose draft is the line; NULL: nobody has one */
    double branch_chance[LINE_BRANCHES * LINE_BRANCH_TOKENS]; /* room for team_branches */
};

static bool governed(const struct team *t)
{
    return proxy_settings(t->a->proxy)->governor;
}

static struct governor *governor(const struct team *t)
{
    return proxy_governor(t->a->proxy);
}

static struct governor_drafter *record(const struct mate *m)
{
    return &drafting_member(m->d)->record;
}

struct team *team_create(struct proxy_answer *a, void (*on_news)(void *), void *arg)
{
    struct team *t = xcalloc(1, sizeof(*t));
    t->a = a;
    t->on_news = on_news;
    t->arg = arg;
    return t;
}

static void remove_mate(struct team *t, size_t i)
{
    struct mate *m = t->mate[i];
    memmove(&t->mate[i], &t->mate[i + 1], (t->n - i - 1) * sizeof(*t->mate));
    t->n--;
    if (t->main == m)
        t->main = NULL;
    drafting_destroy(m->d);
    free(m->chance);
    free(m->sent);
    free(m->sent_probs);
    free(m);
}

void team_destroy(struct team *t)
{
    if (t == NULL)
        return;
    while (t->n > 0)
        remove_mate(t, t->n - 1);
    free(t);
}

static struct mate *mate_of(const struct team *t, const struct member *m)
{
    for (size_t i = 0; i < t->n; i++) {
        if (drafting_member(t->mate[i]->d) == m)
            return t->mate[i];
    }
    return NULL;
}

bool team_gather(struct team *t, size_t n_path, size_t prompt_len)
{
    struct member *all[PROXY_DRAFTERS];
    size_t n = proxy_list_drafters(t->a->proxy, all), awake = 0;
    for (size_t i = 0; i < n && governor(t)->use_alone; i++) {
        if (all[i]->rest.resting) /* those who are awake do not pay */
            rest_end(&all[i]->rest);
    }
    for (size_t i = t->n; i-- > 0;) {
        const struct drafting *d = t->mate[i]->d;
        if (!drafting_usable(d, n_path) || (drafting_member(d)->rest.resting && governed(t)))
            remove_mate(t, i);
    }
    for (size_t i = 0; i < n; i++)
        awake += drafting_possible(all[i], t->a, n_path) && !all[i]->rest.resting;
    for (size_t i = 0; i < n; i++) {
        if (!drafting_possible(all[i], t->a, n_path) || mate_of(t, all[i]) != NULL)
            continue;
        if (all[i]->rest.resting && awake > 0 && governed(t))
            continue;
        if (all[i]->rest.resting) /* there is nobody else */
            rest_end(&all[i]->rest);
        struct mate *m = t->mate[t->n++] = xcalloc(1, sizeof(*m));
        m->d = drafting_create(t->a, all[i], prompt_len, t->on_news, t->arg);
    }
    return t->n > 0;
}

bool team_is_empty(const struct team *t)
{
    return t->n == 0;
}

bool team_drop(struct team *t, const struct member *m, bool going, size_t n_path)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct drafting *d = t->mate[i]->d;
        if (drafting_member(d) == m && (going || !drafting_usable(d, n_path))) {
            remove_mate(t, i);
            return true;
        }
    }
    return false;
}

void team_advance(struct team *t, size_t n_path, const struct backend_token *tokens, size_t n)
{
    for (size_t i = 0; i < t->n; i++)
        drafting_advance(t->mate[i]->d, n_path, tokens, n);
}

/* ---- what is there ---- */

/* Without the governor a draft ends where the drafter itself doubts: what follows is seldom right. */
static size_t confident(const float *probs, size_t n)
{
    size_t k = 0;
    while (k < n && !(probs[k] < DRAFT_P_MIN))
        k++;
    return k;
}

static void lines_of(const struct team *t, struct merge_line *lines)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct mate *m = t->mate[i];
        lines[i] = (struct merge_line){m->tokens, m->n, m->chance, merge_trusted(&m->trust)};
    }
}

/* How many branches a pass may have. */
static size_t breadth(const struct team *t)
{
    const struct config_proxy *settings = proxy_settings(t->a->proxy);
    const struct backend_info *info = &t->a->target->backend->info;
    if (!info->caps.verify_branches)
        return 0;
    size_t most = settings->verify_branches == CONFIG_AUTO ? BACKEND_BRANCHES_MAX : (size_t)settings->verify_branches;
    return info->slots > 0 && most > (size_t)info->slots - 1 ? (size_t)info->slots - 1 : most;
}

/* Without the governor: all drafts, as far as their drafters do not doubt, get one length, at which they have so many
 * different tokens together as one draft may have. */
static size_t even_depth(const struct team *t, bool go_on)
{
    struct merge_line lines[PROXY_DRAFTERS];
    lines_of(t, lines);
    for (size_t i = 0; i < t->n; i++)
        lines[i].n = confident(t->mate[i]->probs, lines[i].n);
    return breadth(t) == 0 ? t->most : merge_depth(lines, t->n, go_on, t->most);
}

static void judge_lengths(struct team *t)
{
    size_t even = governed(t) ? 0 : even_depth(t, false);
    t->main = NULL;
    for (size_t i = 0; i < t->n; i++) {
        struct mate *m = t->mate[i];
        double reach = 1;
        m->length = governed(t) ? governor_length(governor(t), m->chance, m->n) : confident(m->probs, m->n);
        if (!governed(t) && m->length > even)
            m->length = even;
        m->hope = 0;
        for (size_t j = 0; j < m->length; j++) {
            reach *= m->chance[j];
            m->hope += reach;
        }
        bool better = t->main == NULL || m->hope > t->main->hope || (m->hope == t->main->hope && m->n > t->main->n);
        if (m->n > 0 && better)
            t->main = m;
    }
}

void team_follow(struct team *t, const int32_t *path, size_t n_path, size_t most)
{
    t->most = most;
    for (size_t i = 0; i < t->n; i++) {
        struct mate *m = t->mate[i];
        m->n = drafting_follow(m->d, path, n_path, most, &m->tokens, &m->probs);
        if (m->n > m->size) {
            m->size = m->n + 32;
            m->chance = xreallocarray(m->chance, m->size, sizeof(*m->chance));
        }
        for (size_t j = 0; j < m->n; j++)
            m->chance[j] = governor_chance(record(m), m->probs[j]);
        if (m->n > 0 || !drafting_busy(m->d))
            m->late = false;
    }
    struct merge_line lines[PROXY_DRAFTERS];
    lines_of(t, lines);
    merge_chances(lines, t->n);
    judge_lengths(t);
}

const int32_t *team_line(const struct team *t, size_t *n)
{
    *n = t->main != NULL ? t->main->n : 0;
    return t->main != NULL ? t->main->tokens : NULL;
}

size_t team_length(const struct team *t)
{
    return t->main != NULL ? t->main->length : 0;
}

double team_hope(const struct team *t)
{
    return t->main != NULL ? t->main->hope : 0;
}

bool team_ready(const struct team *t, const int32_t *path, size_t n_path)
{
    for (size_t i = 0; i < t->n; i++) {
        if (drafting_ready(t->mate[i]->d, path, n_path))
            return true;
    }
    return false;
}

/* ---- branches ---- */

/* The others' drafts, from where they leave the line. */
static size_t other_lines(const struct team *t, struct merge_branch *out)
{
    const struct mate *main = t->main;
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct mate *m = t->mate[i];
        size_t at = merge_common(m->tokens, m->n, main->tokens, main->n);
        size_t len = !governed(t) ? m->length : m->n < main->length ? m->n : main->length;
        if (m == main || at >= main->length || at >= len)
            continue;
        double reach = 1;
        for (size_t j = 0; j < at; j++)
            reach *= main->chance[j];
        out[n++] = (struct merge_branch){
            .line = i, .at = at, .n = len - at, .tokens = m->tokens + at, .chance = m->chance + at, .reach = reach};
    }
    return n;
}

/* The second choices of the drafter whose draft is the line. */
static size_t second_choices(struct team *t, struct merge_branch *out)
{
    const struct mate *main = t->main;
    const struct line *l = drafting_line(main->d);
    size_t n = 0;
    for (size_t i = 0; i < l->n_branches; i++) {
        const struct line_branch *b = l->branch[i];
        size_t at = b->at - l->base;
        if (at >= main->length)
            continue;
        double reach = 1, *chance = t->branch_chance + n * LINE_BRANCH_TOKENS;
        for (size_t j = 0; j < at; j++)
            reach *= main->chance[j];
        size_t len = b->n < main->length - at ? b->n : main->length - at;
        for (size_t j = 0; j < len; j++)
            chance[j] =
                j == 0 ? governor_branch_chance(record(main), b->probs[j]) : governor_chance(record(main), b->probs[j]);
        out[n++] = (struct merge_branch){.at = at, .n = len, .tokens = b->tokens, .chance = chance, .reach = reach};
    }
    return n;
}

size_t team_branches(struct team *t, struct backend_branch *out)
{
    struct merge_branch of[PROXY_DRAFTERS + LINE_BRANCHES];
    size_t chosen[BACKEND_BRANCHES_MAX], most = breadth(t), n = 0;
    if (t->main == NULL || most == 0)
        return 0;
    if (t->n > 1)
        n = other_lines(t, of);
    if (governed(t))
        n += second_choices(t, of + n);
    n = merge_choose(governed(t) ? governor(t) : NULL, of, n, t->main->length, most, chosen);
    for (size_t i = 0; i < n; i++) {
        const struct merge_branch *b = &of[chosen[i]];
        out[i] = (struct backend_branch){.at = b->at, .tokens = b->tokens, .n = b->n};
    }
    return n;
}

/* ---- waiting ---- */

bool team_busy(const struct team *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (drafting_busy(t->mate[i]->d) && t->mate[i]->n < t->most)
            return true;
    }
    return false;
}

/* The chance that m is right with its first token, which is not there, and the others with none of theirs. */
static double chance_beside(const struct team *t, const struct mate *m)
{
    double said = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct mate *other = t->mate[i];
        bool again = other->n == 0;
        for (size_t j = 0; j < i && !again; j++)
            again = t->mate[j]->n > 0 && t->mate[j]->tokens[0] == other->tokens[0];
        said += again ? 0 : other->chance[0];
    }
    return said < 1 ? (1 - said) * merge_trusted(&m->trust) : 0;
}

/* Whether the next token of m, who has none yet, is worth the time. */
static bool first_is_worth_it(const struct team *t, const struct mate *m)
{
    const struct governor *g = governor(t);
    double next_us = drafting_next_us(m->d);
    if (!governed(t))
        return true;
    if (t->main != NULL)
        return governor_waits_other(g, record(m), chance_beside(t, m), next_us);
    return !proxy_settings(t->a->proxy)->draft_ahead || governor_waits_first(g, record(m), next_us);
}

/* Whether m's draft goes a way of its own to its end, or is the line. */
static bool leads(const struct team *t, const struct mate *m)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct mate *other = t->mate[i];
        bool covered = merge_common(m->tokens, m->n, other->tokens, other->n) == m->n;
        if (other != m && covered && (other->n > m->n || (other->n == m->n && other == t->main)))
            return false;
    }
    return true;
}

static bool next_is_worth_it(const struct team *t, const struct mate *m)
{
    if (m->n == 0)
        return first_is_worth_it(t, m);
    if (!governed(t))
        return m->n < even_depth(t, true) && confident(m->probs, m->n) == m->n;
    return m->length == m->n && leads(t, m) &&
           governor_waits(governor(t), m->chance, m->n, governor_mean(record(m)), drafting_next_us(m->d));
}

bool team_waits(struct team *t)
{
    bool any = false;
    for (size_t i = 0; i < t->n; i++) {
        struct mate *m = t->mate[i];
        m->awaited = drafting_busy(m->d) && m->n < t->most && !(m->late && t->n > 1) && next_is_worth_it(t, m);
        any = any || m->awaited;
    }
    return any;
}

/* Whoever sends something all the time, and nothing of use, is not waited for for ever. */
static int64_t patience_us(const struct team *t, const struct mate *m, int64_t since_us)
{
    int64_t heard = drafting_news_us(m->d) > since_us ? drafting_news_us(m->d) : since_us, now = clock_us();
    int64_t us = drafting_patience_us(m->d) - (now - heard);
    int64_t most = proxy_settings(t->a->proxy)->draft_timeout_ms * 1000 - (now - since_us);
    return us < most ? us : most;
}

int64_t team_patience_us(const struct team *t, int64_t since_us)
{
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < t->n; i++) {
        int64_t us = t->mate[i]->awaited ? patience_us(t, t->mate[i], since_us) : INT64_MAX;
        least = us < least ? us : least;
    }
    return least < SOON_US ? SOON_US : least;
}

bool team_expire(struct team *t, int64_t since_us)
{
    for (size_t i = 0; i < t->n; i++) {
        struct mate *m = t->mate[i];
        m->late = m->late || (m->awaited && patience_us(t, m, since_us) <= SOON_US);
    }
    return t->n <= 1 || !team_waits(t);
}

/* ---- records ---- */

/* How many of the mate's tokens are in the pass, along the line or a branch of it. */
static size_t in_pass(const struct team *t, const struct mate *m, size_t n, const struct backend_branch *branches,
                      size_t n_branches)
{
    size_t most = merge_common(m->tokens, m->n, t->main->tokens, n), along = most;
    for (size_t i = 0; i < n_branches; i++) {
        const struct backend_branch *b = &branches[i];
        if (b->at > along || b->at >= m->n)
            continue;
        size_t same = b->at + merge_common(m->tokens + b->at, m->n - b->at, b->tokens, b->n);
        most = same > most ? same : most;
    }
    return most;
}

void team_sent(struct team *t, const int32_t *path, size_t n_path, size_t n, const struct backend_branch *branches,
               size_t n_branches)
{
    size_t end = n;
    for (size_t i = 0; i < n_branches; i++)
        end = branches[i].at + branches[i].n > end ? branches[i].at + branches[i].n : end;
    for (size_t i = 0; i < t->n; i++) {
        struct mate *m = t->mate[i];
        m->n_sent = m == t->main ? n : m->n < end ? m->n : end;
        m->in_pass = t->main != NULL ? in_pass(t, m, n, branches, n_branches) : 0;
        m->sent = xreallocarray(m->sent, m->n_sent + 1, sizeof(*m->sent));
        m->sent_probs = xreallocarray(m->sent_probs, m->n_sent + 1, sizeof(*m->sent_probs));
        if (m->n_sent > 0) {
            memcpy(m->sent, m->tokens, m->n_sent * sizeof(*m->sent));
            memcpy(m->sent_probs, m->probs, m->n_sent * sizeof(*m->sent_probs));
        }
        drafting_sent(m->d, path, n_path, m->n_sent, proxy_settings(t->a->proxy)->draft_ahead ? t->most : 0);
    }
}

/* Where drafts parted: who was right. */
static void judge_parting(struct team *t, const int32_t *right, size_t n)
{
    struct merge_line lines[PROXY_DRAFTERS];
    struct merge_trust trust[PROXY_DRAFTERS];
    for (size_t i = 0; i < t->n; i++) {
        struct mate *m = t->mate[i];
        for (size_t j = 0; j < m->n_sent; j++)
            m->chance[j] = governor_chance(record(m), m->sent_probs[j]);
        lines[i] = (struct merge_line){m->sent, m->n_sent, m->chance, 1};
        trust[i] = m->trust;
    }
    merge_judge(lines, t->n, right, n, trust);
    for (size_t i = 0; i < t->n; i++)
        t->mate[i]->trust = trust[i];
}

/* Of rounds, of late. */
static double rate(const struct team *t)
{
    double per_second = governor_rate(&governor(t)->rounds);
    return isnan(per_second) ? 0 : per_second;
}

/* Who has rested long enough is tried again. */
static void wake(struct team *t, size_t tokens)
{
    struct member *all[PROXY_DRAFTERS];
    size_t n = proxy_list_drafters(t->a->proxy, all);
    for (size_t i = 0; i < n; i++) {
        if (all[i]->rest.resting && rest_slept(&all[i]->rest, tokens, rate(t))) {
            rest_end(&all[i]->rest);
            log_debug("drafter %s is tried again", all[i]->name);
        }
    }
}

/* The one whose tokens are right most often; who was it so far stays it where others are as good. */
static const struct mate *best_mate(const struct team *t)
{
    const struct mate *best = NULL;
    double most = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct rest *r = &drafting_member(t->mate[i]->d)->rest;
        double quality = rest_quality(r) + (r->best ? CLEARLY : 0);
        if (quality > most) {
            best = t->mate[i];
            most = quality;
        }
    }
    return best;
}

static void set_best(struct team *t, const struct mate *best)
{
    if (drafting_member(best->d)->rest.best)
        return;
    /* Who is not here now may have been it. */
    struct member *all[PROXY_DRAFTERS];
    size_t n = proxy_list_drafters(t->a->proxy, all);
    for (size_t i = 0; i < n; i++)
        all[i]->rest.best = false;
    for (size_t i = 0; i < t->n; i++)
        rest_doubt(&drafting_member(t->mate[i]->d)->rest);
    drafting_member(best->d)->rest.best = true;
}

/* Who knows too little of what the best one does not know rests. */
static void judge_rest(struct team *t, const size_t *same, size_t tokens)
{
    for (size_t i = 0; i < t->n; i++)
        rest_saw_tokens(&drafting_member(t->mate[i]->d)->rest, t->mate[i]->n_sent, same[i]);
    const struct mate *best = best_mate(t);
    size_t known = 0;
    for (size_t i = 0; i < t->n; i++)
        known = t->mate[i] == best ? same[i] : known;
    set_best(t, best);
    bool wrong = known < best->n_sent && known < tokens;
    for (size_t i = 0; i < t->n; i++) {
        const struct mate *m = t->mate[i];
        struct rest *r = &drafting_member(m->d)->rest;
        if (m == best)
            continue;
        bool spoke = m->n_sent > (same[i] < known ? same[i] : known);
        /* What it knew and the pass did not check is of no use. */
        rest_saw_round(r, tokens, same[i] < m->in_pass ? same[i] : m->in_pass, known, wrong && spoke);
        if (r->resting || !rest_is_due(r))
            continue;
        rest_begin(r, rate(t));
        log_info("drafter %s adds too little to %s, and rests", drafting_name(m->d), drafting_name(best->d));
    }
}

const char *team_result(struct team *t, const int32_t *right, size_t n)
{
    size_t same[PROXY_DRAFTERS], best = 0, times = 0, which = 0;
    if (t->n > 1)
        judge_parting(t, right, n);
    for (size_t i = 0; i < t->n; i++) {
        struct mate *m = t->mate[i];
        struct member *member = drafting_member(m->d);
        same[i] = merge_common(m->sent, m->n_sent, right, n);
        governor_saw_tokens(&member->record, m->sent_probs, m->n_sent, same[i]);
        if (m == t->main)
            governor_saw_outcome(governor(t), m->n_sent, same[i]);
        size_t own = same[i] < m->in_pass ? same[i] : m->in_pass;
        member->drafted += m->in_pass;
        member->accepted += own;
        member->offered += m->n_sent > 0;
        times = own > best ? 1 : times + (own == best);
        if (own > best || (own == best && m == t->main)) {
            best = own;
            which = i;
        }
    }
    if (t->n == 0)
        return NULL;
    drafting_member(t->mate[which]->d)->wins += best > 0 && times == 1;
    if (governed(t)) {
        wake(t, n);
        if (t->n > 1)
            judge_rest(t, same, n);
    }
    for (size_t i = 0; i < t->n; i++)
        t->mate[i]->n_sent = t->mate[i]->in_pass = 0;
    return drafting_name(t->mate[which]->d);
}

const char *team_name(const struct team *t)
{
    return t->main != NULL ? drafting_name(t->main->d) : "";
}

double team_draft_ms(const struct team *t)
{
    const struct mate *m = t->main != NULL ? t->main : t->n > 0 ? t->mate[0] : NULL;
    return m != NULL ? (double)drafting_elapsed_us(m->d) / 1000.0 : NAN;
}
