#include "engines/vote.h"

#include <string.h>

#include "base/mem.h"

static const char *const names[] = {
    [VOTE_OFF] = "off",
    [VOTE_STRICT] = "strict",
    [VOTE_MAJORITY] = "majority",
    [VOTE_ANY_DISAGREE] = "any_disagree",
};

const char *vote_rule_name(enum vote_rule rule)
{
    return names[rule];
}

bool vote_rule_find(const char *name, enum vote_rule *rule)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *rule = (enum vote_rule)i;
            return true;
        }
    }
    return false;
}

/* Whether a draft has drafted the first n tokens of the line, and one more. */
static bool follows(const struct vote_draft *d, const int32_t *line, size_t n)
{
    return d->n > n && (n == 0 || memcmp(d->tokens, line, n * sizeof(*line)) == 0);
}

/* Whether it says something else within these n tokens. */
static bool left(const struct vote_draft *d, const int32_t *line, size_t n)
{
    size_t len = d->n < n ? d->n : n;
    return len > 0 && memcmp(d->tokens, line, len * sizeof(*line)) != 0;
}

struct tally {
    int32_t token;  /* the one with the most votes, the first voter's where they are even */
    size_t most;    /* its votes */
    size_t votes;   /* of those who have drafted the line until here */
    size_t against; /* voters who left it before */
};

static struct tally count_at(const struct vote_draft *drafts, size_t n, const int32_t *line, size_t at)
{
    struct tally t = {0};
    for (size_t i = 0; i < n; i++) {
        t.against += left(&drafts[i], line, at);
        if (!follows(&drafts[i], line, at))
            continue;
        size_t same = 0;
        for (size_t k = 0; k < n; k++)
            same += follows(&drafts[k], line, at) && drafts[k].tokens[at] == drafts[i].tokens[at];
        t.votes++;
        if (same > t.most) {
            t.most = same;
            t.token = drafts[i].tokens[at];
        }
    }
    return t;
}

static bool agrees(enum vote_rule rule, const struct tally *t)
{
    if (t->votes < VOTE_LEAST || rule == VOTE_OFF)
        return false;
    if (rule == VOTE_MAJORITY)
        return 2 * t->most > t->votes + t->against;
    return t->most == t->votes;
}

void vote_count(enum vote_rule rule, const struct vote_draft *drafts, size_t n, size_t window, struct vote_result *out)
{
    *out = (struct vote_result){.agreed = 0};
    bool open = true;
    while (out->n_line < window) {
        struct tally t = count_at(drafts, n, out->line, out->n_line);
        if (t.votes == 0)
            break;
        open = open && agrees(rule, &t);
        out->line[out->n_line++] = t.token;
        out->agreed += open;
    }
    for (size_t i = 0; i < n && rule == VOTE_ANY_DISAGREE; i++) {
        if (left(&drafts[i], out->line, out->n_line))
            out->agreed = 0;
    }
    for (size_t i = 0; i < n; i++)
        out->outvoted = out->outvoted || left(&drafts[i], out->line, out->agreed);
    out->target = out->agreed < window;
}
