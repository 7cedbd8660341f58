/* Answers that would speak for others where they are asked about in words. */
#include <string.h>

#include "base/mem.h"
#include "engines/review-internal.h"

/* An answer whose text has the marks in it by which the verifier's model tells one turn from the next would speak for
 * others in the question, even for the verifier.  It has other tokens when its marks are read as such; a token that
 * begins a text may stand before them. */
static void on_marks(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    size_t begin = n > r->answer.n;
    if (n != r->answer.n + begin || memcmp(tokens + begin, r->answer.list, r->answer.n * sizeof(*tokens)) != 0) {
        review_conclude(r, VERDICT_UNREADABLE, REVIEW_PROMPT, "the answer has the marks of turns in its text");
    } else {
        r->unmarked(r);
    }
}

static void on_plain(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    review_tokens_set(&r->answer, tokens, n);
    r->has_answer = true;
    r->call = backend_tokenize(r->o.verifier->backend, r->o.text, r->o.len, true, on_marks, r);
}

/* The marks of all models have a bracket in them: <|im_end|>, </s>, [INST]. */
static bool may_have_marks(const struct review *r)
{
    return memchr(r->o.text, '<', r->o.len) != NULL || memchr(r->o.text, '[', r->o.len) != NULL;
}

/* What marks look like, for servers that have no tokenizer to ask, or one that reads marks whatever it is told. */
static bool looks_marked(const struct review *r)
{
    static const char *const marks[] = {"<|", "|>", "<\xef\xbd\x9c", "_of_turn>", "[INST]", "[/INST]", "<s>", "</s>"};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (memmem(r->o.text, r->o.len, marks[i], strlen(marks[i])) != NULL)
            return true;
    return false;
}

void review_look_for_marks(struct review *r, void (*unmarked)(struct review *r))
{
    struct backend *b = r->o.verifier->backend;
    const struct backend_caps *caps = &b->info.caps;
    r->unmarked = unmarked;
    if (!caps->score && looks_marked(r))
        review_conclude(r, VERDICT_UNREADABLE, REVIEW_PROMPT, "the answer may have the marks of turns in its text");
    else if (caps->tokenize && may_have_marks(r))
        r->call = backend_tokenize(b, r->o.text, r->o.len, r->has_answer, r->has_answer ? on_marks : on_plain, r);
    else
        unmarked(r);
}
