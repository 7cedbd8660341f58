/* The governor: from what is measured it says how long a draft to verify, whether to wait for more of it, and whether
 * to speculate at all.  Pure arithmetic, no clock and no loop of its own.
 *
 * Verify time is a curve in the number of tokens checked, v0 + v1 k + v2 k²: a line where a pass does them all, bent
 * where a server computes the prefix anew for each of them.  A drafted token is right with a probability that is
 * learned from how tokens fared that the drafter was as sure of.  With c_i, the chance that the first i tokens are all
 * right, a round brings E(k) = 1 + c_1 + … + c_k tokens.  The answer as a whole is a renewal process: one more token
 * pays while what it brings is more than what the answer would bring in the time it costs, c_k > rate · cost (the
 * optimality condition of renewal-reward processes). A branch, a second guess in the same pass, pays by the same rule.
 *
 * Through the slots of a server each of k + 1 sequences reads what all of them wrote, some (k + 1)² tokens a round, and
 * one that is left out of a round reads what it missed in the next one that it is needed for.  So there leaving out a
 * doubtful token saves little: all drafts get one length, that at which E(k) over the time of a round is largest.  What
 * rounds of a length take is measured, because passes of varying lengths are dearer than all of one.
 */
#ifndef TIGHTWAD_ENGINES_GOVERNOR_H
#define TIGHTWAD_ENGINES_GOVERNOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GOVERNOR_BUCKETS = 12, GOVERNOR_NEWEST = 8, GOVERNOR_SLOTS = 16 };

struct governor_rate { /* tokens over time, old ones fade */
    double tokens, us;
};

struct governor_sums { /* fading, over verifies: of x^0 … x^2, and of time · x^0 and time · x */
    double x[3], xt[2];
};

/* What is known of one drafter.  All zero: nothing yet. */
struct governor_drafter {
    struct {
        double right, all;
    } bucket[GOVERNOR_BUCKETS];        /* its tokens, by its own probability of them; the last one: unknown; fading */
    double right, all;                 /* over all of them */
    double draft_us;                   /* its time for one more token, 0 unknown */
    double branch_right, branch_hoped; /* how often a second choice of it was right, and how often it said so; fading */
};

struct governor {
    struct governor_sums passes;            /* of length; through slots only their number */
    double v[3];                            /* the curve through them */
    bool slots;                             /* whether drafts are checked through slots */
    double slot_us[GOVERNOR_SLOTS + 1];     /* time by length, 0 unknown */
    uint32_t slot_seen[GOVERNOR_SLOTS + 1]; /* rounds that it is known from */
    size_t steady, tried;                   /* the length that pays best; another one that is being tried, 0 none */
    size_t slot_rounds, stay;               /* since that changed; rounds until the next trial */
    bool upward;                            /* whether the next one is longer */
    double pass_us, beside_us;              /* of the newest verify; what rounds take beside it, fading */
    double branch_token_us;                 /* the target's time for a token of a branch, 0 unknown */
    struct governor_rate newest[GOVERNOR_NEWEST]; /* each of the newest rounds since it speculates */
    size_t n_newest;
    struct governor_rate rounds, alone; /* what speculating and the target alone have brought */
    double right, all;                  /* tokens of the lines that were checked, fading */
    /* the choice between rounds and the target alone */
    bool use_alone;
    bool trying;                      /* the other one is being measured */
    double tried_tokens;              /* by this trial */
    double since_tokens;              /* since the last trial */
    double next_trial;                /* tokens until the next one */
    double predicted_us, measured_us; /* of the newest round, 0 unknown */
    double error;                     /* fading mean of |measured - predicted| / measured, NAN before the first */
};

/* Knows nothing yet. */
void governor_init(struct governor *g);

/* What was measured. */
/* A pass that checked a draft of k tokens, and beside it branches of `branched` tokens in all. */
void governor_saw_verify(struct governor *g, size_t k, size_t branched, double us);
/* The same through the slots of a server, which had to read so many tokens for it.  Now and
 * then it tries another length for some rounds. */
void governor_saw_slots(struct governor *g, size_t k, size_t read, double us);
/* From one verdict to the next; predicted_us: what that was expected to take, 0 nothing. */
void governor_saw_round(struct governor *g, size_t tokens, double us, double predicted_us);
void governor_saw_alone(struct governor *g, size_t tokens, double us);
/* A line of n tokens of which the first `accepted` were right. */
void governor_saw_outcome(struct governor *g, size_t n, size_t accepted);

/* The same of one drafter, whatever became of its draft. */
void governor_saw_draft(struct governor_drafter *d, size_t tokens, double us); /* between tokens of one draft */
/* A branch of which the drafter thought prob was right, or not. */
void governor_saw_branch(struct governor_drafter *d, double prob, bool right);
/* probs may hold NANs, or be NULL. */
void governor_saw_tokens(struct governor_drafter *d, const float *probs, size_t n, size_t accepted);

/* The chance that a token is right of which the drafter thinks prob (NAN unknown); the mean of all its tokens; the
 * first one of a branch. */
double governor_chance(const struct governor_drafter *d, float prob);
double governor_mean(const struct governor_drafter *d);
double governor_branch_chance(const struct governor_drafter *d, float prob);
/* Time of a verify of k tokens, and of branches of `branched` tokens beside them, microseconds; NAN while nothing is
 * known. */
double governor_verify_us(const struct governor *g, size_t k, size_t branched);
/* What token k of a pass costs, in tokens that the same time would bring otherwise; 0 while nothing is known. */
double governor_token_cost(const struct governor *g, size_t k);
/* In what follows chance[i] is that of token i of a draft, given that those before it are right. */
/* How many of the first n tokens of a draft are worth verifying now. */
size_t governor_length(const struct governor *g, const double *chance, size_t n);
/* Whether to wait for another token, of that chance, when these n are there; next_us: until it comes, as far as is
 * known. */
bool governor_waits(const struct governor *g, const double *chance, size_t n, double next, double next_us);
/* The same where none is there and the drafter writes ahead: the choice is between the time until the first one comes
 * and a pass that brings one token of the target's own while the drafter works. */
bool governor_waits_first(const struct governor *g, const struct governor_drafter *d, double next_us);
/* The same where others have drafted already: reach is the chance that they are wrong and d right. */
bool governor_waits_other(const struct governor *g, const struct governor_drafter *d, double reach, double next_us);
/* What a branch of n tokens in the pass is worth, in tokens; reach: the chance that the line is right until there.
 * pass: the tokens that it adds to the pass. */
double governor_branch_worth(const struct governor *g, double reach, const double *chance, size_t n, size_t pass);

/* Whether the next tokens should come from the target alone; rtt_us of a call to the target.  Changes its mind only
 * here, and counts trials: call it before each round, and each time the stream of the target alone has brought tokens.
 */
bool governor_prefers_alone(struct governor *g, double rtt_us);
/* Tokens per second that rounds, or the target alone, have brought; NAN unknown. */
double governor_rate(const struct governor_rate *r);
/* Why it does what it does, in words, into out. */
void governor_reason(const struct governor *g, char *out, size_t size);

#endif
