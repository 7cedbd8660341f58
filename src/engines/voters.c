#include "engines/voters.h"

#include <string.h>

#include "base/clock.h"

void voters_init(struct voters *v, struct proxy_answer *a, size_t prompt_len, void (*on_news)(void *), void *arg)
{
    *v = (struct voters){.a = a, .prompt_len = prompt_len, .on_news = on_news, .arg = arg};
}

void voters_finish(struct voters *v)
{
    for (size_t i = 0; i < v->n; i++)
        drafting_destroy(v->list[i].drafting);
    v->n = 0;
}

static void let_go(struct voters *v, size_t i)
{
    drafting_destroy(v->list[i].drafting);
    v->n--;
    memmove(&v->list[i], &v->list[i + 1], (v->n - i) * sizeof(*v->list));
}

void voters_drop(struct voters *v, const struct member *m)
{
    for (size_t i = v->n; i-- > 0;) {
        if (drafting_member(v->list[i].drafting) == m)
            let_go(v, i);
    }
}

static bool has(const struct voters *v, const struct member *m)
{
    for (size_t i = 0; i < v->n; i++) {
        if (drafting_member(v->list[i].drafting) == m)
            return true;
    }
    return false;
}

/* Whether it may be able to draft soon: it is there, and what is in the way passes by itself. */
static bool may_come(const struct member *m, size_t n_path)
{
    bool different = m->vocab_known && (m->vocab == BACKEND_VOCAB_DIFFERENT || m->vocab == BACKEND_VOCAB_UNKNOWN);
    int32_t n_ctx = m->backend->info.n_ctx;
    return member_up(m) && !m->paused && !different && (n_ctx <= 0 || (size_t)n_ctx > n_path + 1);
}

bool voters_muster(struct voters *v, size_t n_path)
{
    const struct proxy *p = v->a->proxy;
    bool hope = false;
    for (size_t i = v->n; i-- > 0;) {
        if (!drafting_usable(v->list[i].drafting, n_path))
            let_go(v, i);
    }
    for (size_t i = 0; i < p->n_drafters; i++) {
        struct member *m = p->drafter[i];
        if (member_is_text(m))
            continue;
        hope = hope || may_come(m, n_path);
        if (drafting_possible(m, v->a, n_path) && !has(v, m))
            v->list[v->n++] = (struct voter){.drafting = drafting_create(v->a, m, v->prompt_len, v->on_news, v->arg)};
    }
    return v->n > 0 || hope;
}

/* How long this one is still waited for, microseconds; 0: not any more. */
static int64_t patience(const struct voter *w, int64_t since_us)
{
    int64_t now = clock_us(), heard = drafting_news_us(w->drafting);
    int64_t left = drafting_patience_us(w->drafting) - (now - (heard > since_us ? heard : since_us));
    return left > 0 ? left : 0;
}

/* It was given up, and is let alone until it has overtaken the path, or has said what it had to say: told of every new
 * token it would begin anew each time and never be in time again. */
static bool is_late(const struct voter *w, const int32_t *path, size_t n_path)
{
    return w->silent && !drafting_ready(w->drafting, path, n_path);
}

int64_t voters_collect(struct voters *v, const int32_t *path, size_t n_path, size_t window, int64_t since_us)
{
    int64_t most = proxy_settings(v->a->proxy)->draft_timeout_ms * 1000 - (clock_us() - since_us), wait = 0;
    for (size_t i = 0; i < v->n; i++) {
        struct voter *w = &v->list[i];
        const float *probs;
        w->n = 0;
        if (is_late(w, path, n_path))
            continue;
        w->n = drafting_follow(w->drafting, path, n_path, window, &w->tokens, &probs);
        if (w->n >= window || (w->n > 0 && !drafting_busy(w->drafting))) {
            w->silent = false;
        } else if (!w->silent && drafting_busy(w->drafting)) {
            int64_t left = patience(w, since_us);
            left = left < most ? left : most;
            w->silent = left <= 0;
            wait = left > wait ? left : wait;
        }
    }
    return wait;
}

void voters_vote(const struct voters *v, enum vote_rule rule, size_t window, struct vote_result *out)
{
    struct vote_draft drafts[PROXY_DRAFTERS];
    for (size_t i = 0; i < v->n; i++) {
        const struct voter *w = &v->list[i];
        drafts[i] = (struct vote_draft){.tokens = w->tokens, .n = w->n};
        /* Who has ended what it has to say has more to say behind these tokens, once they are agreed upon. */
        if (w->n > 0 && w->n < window && !drafting_busy(w->drafting))
            window = w->n;
    }
    vote_count(rule, drafts, v->n, window, out);
}

const char *voters_author(const struct voters *v, const int32_t *line, size_t n)
{
    for (size_t i = 0; i < v->n; i++) {
        const struct voter *w = &v->list[i];
        if (w->n >= n && memcmp(w->tokens, line, n * sizeof(*line)) == 0)
            return drafting_name(w->drafting);
    }
    return "";
}

void voters_go_on(struct voters *v, const int32_t *path, size_t n_path, size_t window)
{
    for (size_t i = 0; i < v->n; i++) {
        struct voter *w = &v->list[i];
        const float *probs;
        if (!is_late(w, path, n_path))
            (void)drafting_follow(w->drafting, path, n_path, window, &w->tokens, &probs);
    }
}

void voters_advance(struct voters *v, size_t n_path, const struct backend_token *tokens, size_t n)
{
    for (size_t i = 0; i < v->n; i++)
        drafting_advance(v->list[i].drafting, n_path, tokens, n);
}
