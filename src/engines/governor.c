#include "engines/governor.h"

#include <math.h>
#include <stdio.h>

static const double FADE = 0.97;                   /* of a verify, per newer one */
static const double RATE_FADE_US = 2e6;            /* a rate forgets in about so much time of its own */
static const double PRIOR = 4;                     /* tokens that the first guess of a chance weighs */
static const double CLEARLY = 1.03;                /* times better, before the other way is taken for good */
static const double LONGER = 1.05, SHORTER = 0.99; /* times better, before drafts through slots get that length: short
                                                    * ones cost everybody less */
static const double WORTH_TRYING = 1.1;            /* times: what is estimated roughly must promise */
static const double HICCUP = 1.7;                  /* times as long as expected */
static const double DOUBT = 2, WORSE = 0.9;        /* standard deviations; times what the target alone brings */
static const double LUCK = 0.3; /* tokens that rounds differ by at least, however alike the newest are */
static const double BRANCH_NEWEST = 0.3, BRANCH_FORGET = 0.01, BESIDE_NEWEST = 0.1, SLOT_NEWEST = 0.1;
static const double HOPELESS = 3; /* times better than the estimate of the other: no trial needed */
static const double LOST =
    0.5; /* of what the target alone brings: rounds that are tried bring less, and so soon not more */

enum {
    ROUNDS_KNOWN = 6,  /* verifies that make a line */
    TRIAL_TOKENS = 24, /* of the target alone */
    TRIAL_ROUNDS = 48, /* tokens of rounds */
    TRIAL_ROUND = 6,   /* that a round counts for at least: those of a bad drafter are short */
    TRIAL_LOST = 12,   /* tokens of rounds after which a trial may be lost already */
    TRIAL_FIRST = 192, /* tokens until the first trial; longer each time that it changes nothing */
    TRIAL_LAST = 16384,
    LONGEST = 48, /* draft that is thought of */
    /* through slots */
    SLOT_FIRST = 3, /* the first length */
    SLOT_STAY = 24, /* rounds until another one is tried; doubled each time that it changes nothing */
    SLOT_STAY_LAST = 768,
    SLOT_TRY = 16,   /* rounds that it is tried for */
    SLOT_SEEN = 4,   /* rounds of a length that tell what it takes */
    SLOT_WARM = 8,   /* rounds that may have to set up passes, */
    SLOT_KNOWN = 20, /* and rounds until it is known what they bring */
};

void governor_init(struct governor *g)
{
    *g = (struct governor){.next_trial = TRIAL_FIRST, .error = NAN};
}

static void add_sums(struct governor_sums *s, double fade, double x, double us)
{
    double power = 1;
    for (size_t i = 0; i < 3; i++, power *= x) {
        s->x[i] = s->x[i] * fade + power;
        if (i < 2)
            s->xt[i] = s->xt[i] * fade + power * us;
    }
}

/* Least squares for v0 + v1 x; neither may be negative. */
static void fit(struct governor *g)
{
    const struct governor_sums *s = &g->passes;
    double spread = s->x[0] * s->x[2] - s->x[1] * s->x[1];
    g->v[1] = spread > 1e-6 * s->x[0] * s->x[0] ? (s->x[0] * s->xt[1] - s->x[1] * s->xt[0]) / spread : 0;
    if (g->v[1] < 0)
        g->v[1] = 0;
    g->v[0] = (s->xt[0] - g->v[1] * s->x[1]) / s->x[0];
    if (g->v[0] < 0) { /* a line through the origin then */
        g->v[0] = 0;
        g->v[1] = s->x[2] > 0 ? s->xt[1] / s->x[2] : 0;
    }
}

/* A hiccup of the network or the machine says little about the next pass. */
static double without_hiccup(const struct governor *g, double known_us, double us)
{
    return g->passes.x[0] > ROUNDS_KNOWN && us > HICCUP * known_us ? HICCUP * known_us : us;
}

/* Of a token of a branch: what is seen is believed at once, and forgotten slowly, so that it is tried again. */
static double branch_token_us(const struct governor *g)
{
    return g->branch_token_us > 0 ? g->branch_token_us : g->v[1];
}

static void saw_branches(struct governor *g, size_t branched, double extra_us)
{
    double each = extra_us / (double)branched, known = branch_token_us(g);
    if (each < g->v[1])
        each = g->v[1];
    g->branch_token_us = known + BRANCH_NEWEST * (each - known);
}

void governor_saw_verify(struct governor *g, size_t k, size_t branched, double us)
{
    double known = governor_verify_us(g, k, 0);
    g->pass_us = us;
    if (branched > 0 && g->passes.x[0] >= ROUNDS_KNOWN) {
        saw_branches(g, branched, us - known);
        return; /* says too little of k alone */
    }
    g->branch_token_us += BRANCH_FORGET * (g->v[1] - g->branch_token_us);
    add_sums(&g->passes, FADE, (double)k, without_hiccup(g, known, us));
    fit(g);
}

static void add_rate(struct governor_rate *r, size_t tokens, double us)
{
    double fade = exp(-us / RATE_FADE_US);
    r->tokens = r->tokens * fade + (double)tokens;
    r->us = r->us * fade + us;
}

static void count(struct governor *g, size_t tokens)
{
    g->since_tokens += (double)tokens;
    if (g->trying)
        g->tried_tokens += (double)tokens;
}

void governor_saw_round(struct governor *g, size_t tokens, double us, double predicted_us)
{
    add_rate(&g->rounds, tokens, us);
    g->newest[g->n_newest++ % GOVERNOR_NEWEST] = (struct governor_rate){(double)tokens, us};
    count(g, tokens);
    if (g->trying && tokens < TRIAL_ROUND)
        g->tried_tokens += (double)(TRIAL_ROUND - tokens);
    if (us > g->pass_us)
        g->beside_us += BESIDE_NEWEST * (us - g->pass_us - g->beside_us);
    g->measured_us = us;
    g->predicted_us = predicted_us;
    if (predicted_us > 0 && us > 0) {
        double e = fabs(us - predicted_us) / us;
        g->error = isnan(g->error) ? e : 0.95 * g->error + 0.05 * e;
    }
}

void governor_saw_alone(struct governor *g, size_t tokens, double us)
{
    add_rate(&g->alone, tokens, us);
    count(g, tokens);
}

void governor_saw_draft(struct governor_drafter *d, size_t tokens, double us)
{
    if (tokens == 0)
        return;
    double each = us / (double)tokens;
    d->draft_us = d->draft_us > 0 ? 0.9 * d->draft_us + 0.1 * each : each;
}

/* Finer near 1, where it matters most: 0.5, 0.75, 0.875 … are the borders. */
static size_t bucket_of(float prob)
{
    if (isnan(prob))
        return GOVERNOR_BUCKETS - 1;
    double miss = 1 - (double)prob;
    int i = miss <= 0 ? GOVERNOR_BUCKETS - 2 : (int)(-log2(miss));
    return i < 0 ? 0 : i > GOVERNOR_BUCKETS - 2 ? GOVERNOR_BUCKETS - 2 : (size_t)i;
}

static void count_right(double *right, double *all, size_t n, size_t accepted)
{
    for (size_t i = 0; i < n && i <= accepted; i++) {
        *right = *right * 0.99 + (i < accepted);
        *all = *all * 0.99 + 1;
    }
}

void governor_saw_outcome(struct governor *g, size_t n, size_t accepted)
{
    count_right(&g->right, &g->all, n, accepted);
}

void governor_saw_tokens(struct governor_drafter *d, const float *probs, size_t n, size_t accepted)
{
    for (size_t i = 0; i < n && i <= accepted; i++) {
        size_t b = bucket_of(probs != NULL ? probs[i] : NAN);
        d->bucket[b].right = d->bucket[b].right * 0.995 + (i < accepted);
        d->bucket[b].all = d->bucket[b].all * 0.995 + 1;
    }
    count_right(&d->right, &d->all, n, accepted);
}

static double mean(double right, double all)
{
    return (right + 0.8 * PRIOR) / (all + PRIOR);
}

/* ---- through slots ---- */

/* What drafts of length k bring in a microsecond. */
static double slot_rate(const struct governor *g, size_t k)
{
    double chance = 1, tokens = 1, each = mean(g->right, g->all);
    for (size_t i = 0; i < k; i++) {
        chance *= each;
        tokens += chance;
    }
    return tokens / (g->slot_us[k] + g->beside_us);
}

/* A neighbour of the length in use is tried now and then, the less often the longer nothing comes of it. */
static void end_slot_trial(struct governor *g)
{
    bool better = g->slot_seen[g->tried] >= SLOT_SEEN && g->slot_us[g->steady] > 0 &&
                  slot_rate(g, g->tried) > slot_rate(g, g->steady) * (g->upward ? LONGER : SHORTER);
    if (better)
        g->steady = g->tried;
    else
        g->upward = !g->upward;
    g->stay = better ? SLOT_STAY : g->stay * 2 < SLOT_STAY_LAST ? g->stay * 2 : SLOT_STAY_LAST;
    g->tried = 0;
    g->slot_rounds = 0;
}

static void try_neighbour(struct governor *g)
{
    if (g->steady == 1 || g->steady == GOVERNOR_SLOTS)
        g->upward = g->steady == 1;
    g->tried = g->upward ? g->steady + 1 : g->steady - 1;
    g->slot_seen[g->tried] = 0;
    g->slot_rounds = 0;
}

/* Only rounds after a draft that was right throughout can be compared, in which all slots read equally much.  The first
 * ones of a length may have set up its passes on every worker. */
static void saw_slot_time(struct governor *g, size_t k, double us)
{
    double *known = &g->slot_us[k];
    size_t seen = g->slot_seen[k]++;
    if (seen == 0 || (seen < SLOT_SEEN && us < *known))
        *known = us;
    else if (seen >= SLOT_SEEN)
        *known += SLOT_NEWEST * ((us > HICCUP * *known ? HICCUP * *known : us) - *known);
}

void governor_saw_slots(struct governor *g, size_t k, size_t read, double us)
{
    if (!g->slots) {
        g->slots = g->upward = true;
        g->steady = SLOT_FIRST;
        g->stay = SLOT_STAY;
    }
    g->pass_us = us;
    if (k == 0 || k > GOVERNOR_SLOTS)
        return;
    if (read == (k + 1) * (k + 1))
        saw_slot_time(g, k, us);
    g->slot_rounds++;
    g->passes.x[0]++;
    if (g->passes.x[0] == SLOT_WARM) /* what those brought says nothing of others */
        g->rounds = (struct governor_rate){0};
    if (g->tried > 0 && g->slot_rounds >= (g->slot_seen[g->tried] > 2 * SLOT_SEEN ? SLOT_TRY : 2 * SLOT_TRY))
        end_slot_trial(g);
    else if (g->tried == 0 && g->slot_rounds >= g->stay)
        try_neighbour(g);
    /* At the best length k the server spends as much on passes as on tokens: v0 = w (k + 1)². */
    double at = (double)g->steady + 1, w = g->slot_us[g->steady] / 2 / (at * at);
    g->v[0] = g->slot_us[g->steady] / 2 + w;
    g->v[1] = 2 * w;
    g->v[2] = w;
}

/* Whether enough is known to choose. */
static bool informed(const struct governor *g)
{
    return g->passes.x[0] >= (g->slots ? SLOT_KNOWN : ROUNDS_KNOWN);
}

/* Through slots, the length of all drafts for now. */
static size_t slot_length(const struct governor *g)
{
    return !g->slots ? SIZE_MAX : g->tried > 0 ? g->tried : g->steady;
}

double governor_mean(const struct governor_drafter *d)
{
    return mean(d->right, d->all);
}

double governor_chance(const struct governor_drafter *d, float prob)
{
    size_t b = bucket_of(prob);
    double guess = isnan(prob) ? governor_mean(d) : (double)prob;
    return (d->bucket[b].right + guess * PRIOR) / (d->bucket[b].all + PRIOR);
}

double governor_branch_chance(const struct governor_drafter *d, float prob)
{
    return (double)prob * (d->branch_right + PRIOR) / (d->branch_hoped + PRIOR);
}

double governor_verify_us(const struct governor *g, size_t k, size_t branched)
{
    double n = (double)k;
    if (g->slots && k <= GOVERNOR_SLOTS && g->slot_us[k] > 0)
        return g->slot_us[k];
    return g->passes.x[0] < 1 ? NAN : g->v[0] + g->v[1] * n + g->v[2] * n * n + branch_token_us(g) * (double)branched;
}

/* Of token k of a pass, in time. */
static double token_us(const struct governor *g, size_t k)
{
    return g->v[1] + g->v[2] * (2 * (double)k - 1);
}

/* Tokens per microsecond that the answer brings as it goes on now; 0 while too little is known to be choosy. */
static double value_of_time(const struct governor *g)
{
    const struct governor_rate *r = g->use_alone || g->rounds.us <= 0 ? &g->alone : &g->rounds;
    return g->passes.x[0] < ROUNDS_KNOWN || r->us <= 0 ? 0 : r->tokens / r->us;
}

double governor_token_cost(const struct governor *g, size_t k)
{
    return value_of_time(g) * token_us(g, k);
}

size_t governor_length(const struct governor *g, const double *chance, size_t n)
{
    double reach = 1;
    size_t k = 0;
    if (g->slots)
        return n < slot_length(g) ? n : slot_length(g);
    for (size_t i = 0; i < n; i++) {
        reach *= chance[i];
        if (reach <= governor_token_cost(g, i + 1))
            break;
        k = i + 1;
    }
    return k;
}

/* The best rate of a round whose draft begins to come after wait_us, with `extra` tokens that have come in before_us.
 */
static double best_rate(const struct governor *g, const struct governor_drafter *d, double wait_us, size_t ready,
                        double extra, double before_us)
{
    double chance = 1, tokens = 1 + extra, best = 0, each = governor_mean(d);
    for (size_t k = 1; k <= LONGEST; k++) {
        chance *= each;
        tokens += chance;
        double draft_us = k > ready ? wait_us + (double)(k - ready - 1) * d->draft_us : 0;
        double rate = tokens / (before_us + draft_us + governor_verify_us(g, k, 0));
        best = rate > best ? rate : best;
    }
    return best;
}

bool governor_waits_first(const struct governor *g, const struct governor_drafter *d, double next_us)
{
    if (g->passes.x[0] < ROUNDS_KNOWN || d->draft_us <= 0)
        return true;
    double v0 = g->v[0], ready = (v0 - next_us) / d->draft_us, miss = 1 - governor_mean(d);
    return best_rate(g, d, next_us, 0, 0, 0) * WORTH_TRYING >=
           best_rate(g, d, next_us, ready > 0 ? (size_t)ready : 0, 1, v0 + miss * next_us);
}

bool governor_waits(const struct governor *g, const double *chance, size_t n, double next, double next_us)
{
    double reach = 1, rate = value_of_time(g);
    if (n >= slot_length(g))
        return false;
    for (size_t i = 0; i < n; i++)
        reach *= chance[i];
    return reach * next > rate * (next_us + token_us(g, n + 1));
}

bool governor_waits_other(const struct governor *g, const struct governor_drafter *d, double reach, double next_us)
{
    double chance = reach, tokens = 0, us = next_us, rate = value_of_time(g), each = governor_mean(d);
    for (size_t k = 1; k <= LONGEST; k++) {
        chance *= each;
        tokens += chance;
        us += branch_token_us(g) + (k > 1 ? d->draft_us : 0);
        if (tokens > rate * us)
            return true;
    }
    return false;
}

double governor_branch_worth(const struct governor *g, double reach, const double *chance, size_t n, size_t pass)
{
    double tokens = 0;
    for (size_t i = 0; i < n; i++) {
        reach *= chance[i];
        tokens += reach;
    }
    return tokens - value_of_time(g) * branch_token_us(g) * (double)pass;
}

void governor_saw_branch(struct governor_drafter *d, double prob, bool right)
{
    d->branch_right = d->branch_right * 0.99 + right;
    d->branch_hoped = d->branch_hoped * 0.99 + prob;
}

double governor_rate(const struct governor_rate *r)
{
    return r->us > 0 ? r->tokens * 1e6 / r->us : NAN;
}

/* What the target alone would bring, from measurement, else from the shortest verify without its trip. */
static double alone_rate(const struct governor *g, double rtt_us)
{
    if (g->alone.us > 0)
        return governor_rate(&g->alone);
    double us = g->v[0] - rtt_us;
    if (us < g->v[1])
        us = g->v[1];
    return us > 0 ? 1e6 / us : INFINITY;
}

/* Whether the rounds that are tried are so much slower that the rest of the trial would be time thrown away. */
static bool trial_is_lost(const struct governor *g, double rtt_us)
{
    return g->use_alone && g->tried_tokens >= TRIAL_LOST && governor_rate(&g->rounds) < LOST * alone_rate(g, rtt_us);
}

/* Tokens until rounds that have just been given up are tried again: the worse they were, the later. */
static double first_trial(const struct governor *g, double alone)
{
    return g->use_alone && governor_rate(&g->rounds) < LOST * alone ? 4 * TRIAL_FIRST : TRIAL_FIRST;
}

static void end_trial(struct governor *g, double rtt_us)
{
    double rounds = governor_rate(&g->rounds), alone = alone_rate(g, rtt_us), longer = trial_is_lost(g, rtt_us) ? 4 : 2;
    bool was = g->use_alone;
    g->trying = false;
    g->since_tokens = 0;
    /* Who is in possession stays unless the other one is clearly better. */
    g->use_alone = was ? !(rounds > alone * CLEARLY) : alone > rounds * CLEARLY;
    g->next_trial = was != g->use_alone ? first_trial(g, alone) : g->next_trial * longer;
    if (g->next_trial > TRIAL_LAST)
        g->next_trial = TRIAL_LAST;
}

/* Whether the newest rounds brought less than the target alone would: a drafter that slowed down shows there long
 * before it shows in the long run, which is then believed no more. */
static bool turned_bad(struct governor *g, double alone)
{
    struct governor_rate all = {0};
    double sum = 0, squares = 0, n = GOVERNOR_NEWEST;
    if (g->n_newest < GOVERNOR_NEWEST)
        return false;
    for (size_t i = 0; i < GOVERNOR_NEWEST; i++) {
        const struct governor_rate *r = &g->newest[i];
        double gain = r->tokens - WORSE * r->us * alone / 1e6;
        sum += gain;
        squares += gain * gain;
        all.tokens += r->tokens;
        all.us += r->us;
    }
    double spread = DOUBT * sqrt(fmax(squares - sum * sum / n, 0) + n * LUCK * LUCK);
    if (sum + spread >= 0) /* bad luck makes such rounds, too */
        return false;
    g->rounds = all;
    return true;
}

static bool trial_is_due(struct governor *g, double rtt_us)
{
    if (!informed(g))
        return false;
    if (g->use_alone)
        return g->since_tokens >= g->next_trial;
    double alone = alone_rate(g, rtt_us);
    if (g->alone.us <= 0 && turned_bad(g, alone))
        return true;
    if (governor_rate(&g->rounds) > HOPELESS * alone)
        return false;
    return g->alone.us <= 0 || g->since_tokens >= g->next_trial;
}

static void go_alone(struct governor *g)
{
    g->use_alone = true;
    g->since_tokens = 0;
    g->next_trial = first_trial(g, governor_rate(&g->alone));
}

bool governor_prefers_alone(struct governor *g, double rtt_us)
{
    if (g->trying && (g->tried_tokens >= (g->use_alone ? TRIAL_ROUNDS : TRIAL_TOKENS) || trial_is_lost(g, rtt_us)))
        end_trial(g, rtt_us);
    /* What is known already may be enough to change sides: a drafter that slowed down, a text that drafts badly. */
    if (!g->trying && !g->use_alone && informed(g) && g->alone.us > 0) {
        double alone = governor_rate(&g->alone);
        if (turned_bad(g, alone) || alone > governor_rate(&g->rounds) * CLEARLY)
            go_alone(g);
    }
    if (g->use_alone)
        g->n_newest = 0;
    if (!g->trying && trial_is_due(g, rtt_us)) {
        g->trying = true;
        g->tried_tokens = 0;
        /* What the other way brought long ago is forgotten: it is to be judged by how it is now. */
        struct governor_rate *other = g->use_alone ? &g->rounds : &g->alone;
        other->tokens *= 0.1;
        other->us *= 0.1;
    }
    return g->use_alone != g->trying;
}

void governor_reason(const struct governor *g, char *out, size_t size)
{
    double rounds = governor_rate(&g->rounds), alone = governor_rate(&g->alone);
    if (!informed(g))
        snprintf(out, size, "measuring");
    else if (g->trying)
        snprintf(out, size, "trying %s again", g->use_alone ? "speculation" : "the target alone");
    else if (g->use_alone)
        snprintf(out, size, "drafting does not pay: %.0f tokens/s with it, %.0f without", rounds, alone);
    else if (isnan(alone))
        snprintf(out, size, "%.0f tokens/s with drafting, far more than the target alone could bring", rounds);
    else
        snprintf(out, size, "%.0f tokens/s with drafting, %.0f without", rounds, alone);
}
