/* Do the target and a drafter mean the same tokens?  By fingerprint where both have one, else by how they tokenize a
 * few texts. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backends/calls.h"
#include "backends/node.h"
#include "base/mem.h"

/* Words, numbers, code, white space, scripts: what vocabularies differ in. */
static const char *const samples[] = {
    "The quick brown fox jumps over the lazy dog.",
    "Internationalisation, antidisestablishmentarianism; they'd've.",
    "3.14159265358979 1234567890 0x7fff 1e-9",
    "int main(void)\n{\n\treturn printf(\"%d\\n\", 42);\n}\n",
    "   three spaces,\ttab,\n\n\nthree lines",
    "Ärger über Größe: façade naïve",
    "\u041c\u043e\u0441\u043a\u0432\u0430 \u0438 \u041a\u0438\u0435\u0432",
    "\u65e5\u672c\u8a9e\u3068\u4e2d\u6587",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea",
    "emoji \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "SELECT * FROM users WHERE id = 'a' -- {\"k\": [1, 2]}",
    "http://example.org/a?b=c&d=e#f user@example.org $x += <b>y</b>",
};

enum { SAMPLES = ARRAY_LEN(samples) };

/* Tables are padded to multiples of a power of two: this much more or less may be padding. */
static bool sizes_agree(int32_t a, int32_t b)
{
    int32_t low = a < b ? a : b, high = a < b ? b : a;
    return low == 0 || high - low <= 1024;
}

struct vocab_call {
    struct backend_call c; /* of the target */
    struct backend *draft;
    size_t sample;
    int32_t *tokens; /* of the sample, by the target */
    size_t n_tokens;
    struct backend_call *inner;
    char small_print[65]; /* padded: the fingerprint that the longer one's beginning must have */
    int32_t small, large;
};

static void release(struct backend_call *c)
{
    struct vocab_call *v = (struct vocab_call *)c;
    free(v->tokens);
    if (v->inner != NULL)
        call_cancel(v->inner);
}

static void end(struct vocab_call *v, enum backend_vocab_match match, char *reason)
{
    call_end_vocab(&v->c, match, reason);
    free(reason);
}

static void on_prefix(void *arg, const struct backend_status *st, const char *text, size_t len)
{
    struct vocab_call *v = arg;
    v->inner = NULL;
    if (st->error != BACKEND_OK)
        end(v, BACKEND_VOCAB_UNKNOWN, xasprintf("the vocabularies cannot be compared: %s", st->message));
    else if (strcmp(text, v->small_print) == 0)
        end(v, BACKEND_VOCAB_PADDED,
            xasprintf("identical in the first %" PRId32 " tokens, %" PRId32 " of padding", v->small,
                      v->large - v->small));
    else
        end(v, BACKEND_VOCAB_DIFFERENT,
            xasprintf("the vocabularies differ within their first %" PRId32 " tokens", v->small));
}

static void by_fingerprint(struct backend_call *c)
{
    struct vocab_call *v = (struct vocab_call *)c;
    const struct backend_info *t = &c->b->info, *d = &v->draft->info;
    if (strcmp(t->fingerprint, d->fingerprint) == 0) {
        end(v, BACKEND_VOCAB_SAME, xasprintf("identical: %" PRId32 " tokens", t->n_vocab));
        return;
    }
    if (t->n_vocab == d->n_vocab) {
        end(v, BACKEND_VOCAB_DIFFERENT,
            xasprintf("both vocabularies have %" PRId32 " tokens, but not the same ones", t->n_vocab));
        return;
    }
    struct backend *large = t->n_vocab > d->n_vocab ? c->b : v->draft;
    const struct backend_info *small = large == c->b ? d : t;
    memcpy(v->small_print, small->fingerprint, sizeof(v->small_print));
    v->small = small->n_vocab;
    v->large = large->info.n_vocab;
    v->inner = node_vocab_prefix(large, v->small, on_prefix, v);
}

static void next_sample(struct vocab_call *v);

static void on_draft_tokens(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct vocab_call *v = arg;
    v->inner = NULL;
    if (st->error != BACKEND_OK) {
        end(v, BACKEND_VOCAB_UNKNOWN, xasprintf("the drafter's vocabulary cannot be asked: %s", st->message));
        return;
    }
    if (n != v->n_tokens || memcmp(tokens, v->tokens, n * sizeof(*tokens)) != 0) {
        end(v, BACKEND_VOCAB_DIFFERENT,
            xasprintf("target and drafter tokenize \"%.40s\" differently: %zu and %zu tokens%s",
                      v->sample == 3 ? "int main(void)" : samples[v->sample], v->n_tokens, n,
                      n == v->n_tokens ? ", with other ids" : ""));
        return;
    }
    v->sample++;
    next_sample(v);
}

static void on_target_tokens(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct vocab_call *v = arg;
    v->inner = NULL;
    if (st->error != BACKEND_OK) {
        end(v, BACKEND_VOCAB_UNKNOWN, xasprintf("the target's vocabulary cannot be asked: %s", st->message));
        return;
    }
    free(v->tokens);
    v->tokens = xmemdup(tokens, (n > 0 ? n : 1) * sizeof(*tokens));
    v->n_tokens = n;
    const char *text = samples[v->sample];
    v->inner = backend_tokenize(v->draft, text, strlen(text), false, on_draft_tokens, v);
}

static void next_sample(struct vocab_call *v)
{
    if (v->sample == SAMPLES) {
        end(v, BACKEND_VOCAB_SAMPLED,
            xasprintf("%d texts tokenize alike, %" PRId32 " and %" PRId32 " tokens (0: not told)", (int)SAMPLES,
                      v->c.b->info.n_vocab, v->draft->info.n_vocab));
        return;
    }
    const char *text = samples[v->sample];
    v->inner = backend_tokenize(v->c.b, text, strlen(text), false, on_target_tokens, v);
}

static void begin(struct backend_call *c)
{
    struct vocab_call *v = (struct vocab_call *)c;
    const struct backend_info *t = &c->b->info, *d = &v->draft->info;
    if (!t->known || !d->known)
        end(v, BACKEND_VOCAB_UNKNOWN,
            xasprintf("%s has not answered yet", t->known ? v->draft->cfg.url : c->b->cfg.url));
    else if (d->caps.any_vocabulary)
        end(v, BACKEND_VOCAB_SAME, xstrdup("it drafts from the tokens of the text, whatever they mean"));
    else if (t->fingerprint[0] != '\0' && d->fingerprint[0] != '\0')
        by_fingerprint(c);
    else if (!d->caps.tokenize)
        end(v, BACKEND_VOCAB_UNKNOWN,
            xasprintf("%s has no tokenizer to ask%s", v->draft->cfg.url,
                      d->caps.draft_text ? "; it drafts text, which is tokenized with the target's vocabulary" : ""));
    else if (!t->caps.tokenize)
        end(v, BACKEND_VOCAB_UNKNOWN, xasprintf("%s has no tokenizer to ask", c->b->cfg.url));
    else if (!sizes_agree(t->n_vocab, d->n_vocab))
        end(v, BACKEND_VOCAB_DIFFERENT,
            xasprintf("the target has %" PRId32 " tokens, the drafter %" PRId32, t->n_vocab, d->n_vocab));
    else
        next_sample(v);
}

struct backend_call *backend_compare_vocab(struct backend *target, struct backend *draft, backend_vocab_cb *cb,
                                           void *arg)
{
    struct vocab_call *v = call_create(sizeof(*v), target, NULL, CALL_VOCAB, 0, arg);
    v->c.cb.vocab = cb;
    v->c.release = release;
    v->draft = draft;
    call_defer(&v->c, begin);
    return &v->c;
}
