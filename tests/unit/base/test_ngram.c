/* Free drafts must be the text that stood behind the same words before, with a chance that can be believed, and cost
 * nothing whatever the text is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/ngram.h"

enum { MOST = 64, ALL_PROMPT = 1 << 30 };

static struct ngram_record record;

/* A letter is a token. */
static struct ngram *text(const char *s, size_t n_prompt)
{
    struct ngram *g = ngram_create(&record, n_prompt);
    for (; *s != '\0'; s++)
        ngram_append(g, &(int32_t){*s}, 1);
    return g;
}

static char proposed[MOST + 1];
static float probs[MOST];

static const char *propose(const struct ngram *g, const char *tail, size_t most)
{
    int32_t out[MOST], tokens[MOST];
    size_t n_tail = strlen(tail);
    for (size_t i = 0; i < n_tail; i++)
        tokens[i] = tail[i];
    size_t n = ngram_propose(g, tokens, n_tail, most, out, probs);
    assert_true(n <= most);
    for (size_t i = 0; i < n; i++) {
        proposed[i] = (char)out[i];
        assert_true(probs[i] > 0 && probs[i] < 1);
    }
    proposed[n] = '\0';
    return proposed;
}

static int reset(void **state)
{
    record = (struct ngram_record){0};
    return 0;
}

static void test_longest_match(void **state)
{
    struct ngram *g = text("one two three. xtwo four. one t", ALL_PROMPT);
    assert_string_equal(propose(g, "", 9), "wo three.");
    assert_string_equal(propose(g, "", 0), "");
    ngram_destroy(g);
    g = text("abcX. abcY. abcY. abc", ALL_PROMPT);
    assert_string_equal(propose(g, "", 1), "Y"); /* the newest, and most of them */
    ngram_destroy(g);
    g = text("-abcY-abcY-abcX+abc", ALL_PROMPT);
    assert_string_equal(propose(g, "", 1), "Y"); /* most of those with the longest match */
    ngram_destroy(g);
    g = text("zabcY yabcX abc", ALL_PROMPT);
    assert_string_equal(propose(g, "", 1), "X"); /* one each: the newest */
    ngram_destroy(g);
}

static void test_nothing_matches(void **state)
{
    struct ngram *g = ngram_create(&record, 0);
    assert_string_equal(propose(g, "", 9), "");
    assert_string_equal(propose(g, "aba", 9), ""); /* a tail is not searched */
    ngram_append(g, &(int32_t){'a'}, 1);
    assert_string_equal(propose(g, "", 9), "");
    ngram_append(g, (int32_t[]){'b', 'c'}, 2);
    assert_string_equal(propose(g, "", 9), "");
    assert_string_equal(propose(g, "x", 9), "");
    ngram_destroy(g);
    ngram_destroy(NULL);
}

/* Proposals behind a draft that nobody has verified leave the index as it is. */
static void test_behind_a_tail(void **state)
{
    struct ngram *g = text("the cat sat. ", ALL_PROMPT);
    assert_string_equal(propose(g, "the", 5), " cat ");
    assert_string_equal(propose(g, "the cat ", 4), "sat.");
    assert_string_equal(propose(g, "the cow ", 4), "the "); /* behind the newest blank, where the tail begins */
    assert_int_equal(ngram_length(g), 13);
    assert_string_equal(propose(g, "the", 5), " cat ");
    ngram_destroy(g);
}

static void test_repetition_goes_on(void **state)
{
    struct ngram *g = text("abcabcabc", 0);
    assert_string_equal(propose(g, "", 10), "abcabcabca");
    assert_string_equal(propose(g, "ab", 5), "cabca");
    ngram_destroy(g);
}

static void test_taken_back(void **state)
{
    static const char first[] = "to be or not to be";
    struct ngram *g = text(first, ALL_PROMPT), *same = text(first, ALL_PROMPT);
    int32_t path[64];
    for (size_t i = 0; i < sizeof(first); i++)
        path[i] = first[i];
    for (size_t keep = 0; keep < sizeof(first); keep++) {
        int32_t other[64];
        memcpy(other, path, sizeof(path));
        for (size_t i = keep; i < 40; i++)
            other[i] = "to not"[i % 6];
        ngram_follow(g, other, 40);
        assert_int_equal(ngram_length(g), 40);
        ngram_follow(g, path, sizeof(first) - 1);
        assert_int_equal(ngram_length(g), sizeof(first) - 1);
        char want[MOST + 1];
        strcpy(want, propose(same, "", 8));
        assert_string_equal(propose(g, "", 8), want);
        strcpy(want, propose(same, " or", 8));
        assert_string_equal(propose(g, " or", 8), want);
    }
    ngram_follow(g, path, 5);
    assert_string_equal(propose(g, " to", 3), " be");
    ngram_destroy(g);
    ngram_destroy(same);
}

static float chance_of(const char *s)
{
    struct ngram *g = text(s, ALL_PROMPT);
    propose(g, "", 1);
    ngram_destroy(g);
    return probs[0];
}

/* Before anything is known: longer matches are trusted more, those that others contradict less. */
static void test_first_guesses(void **state)
{
    assert_true(chance_of("abcdefgh abcdefgh") > chance_of("abc abc"));
    assert_true(chance_of("abc abc") > chance_of("ab ab"));
    assert_true(chance_of("ab ab") > chance_of("a a"));
    assert_true(chance_of("xabX yabY zab") < chance_of("xabX yabX zab"));
}

/* The same beginning, another end each time: what such a match is worth is learned, by distance. */
static void test_learns(void **state)
{
    struct ngram *g = ngram_create(&record, 0);
    int32_t next = 100;
    for (int i = 0; i < 60; i++) {
        for (int32_t c = 1; c <= 12; c++)
            ngram_append(g, &c, 1);
        ngram_append(g, &next, 1);
        next++;
    }
    int32_t head[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, out[MOST];
    assert_true(ngram_propose(g, head, 12, 4, out, probs) > 0);
    assert_true(probs[0] < 0.1f);
    assert_true(ngram_propose(g, head, 4, 4, out, probs) == 4);
    assert_int_equal(out[0], 5);
    assert_true(probs[0] > 0.8f);
    ngram_destroy(g);
    /* and another text, with the same record, knows it from the start */
    g = ngram_create(&record, 100);
    ngram_append(g, head, 12);
    ngram_append(g, &next, 1);
    assert_true(ngram_propose(g, head, 4, 4, out, probs) == 4);
    assert_true(probs[0] > 0.8f);
    ngram_destroy(g);
}

/* Prompts follow their own rules: nothing is learned from how they repeat themselves. */
static void test_prompt_teaches_nothing(void **state)
{
    static const struct ngram_record nothing;
    struct ngram *g = text("abcabcabcabcabcabc", 18);
    assert_memory_equal(&record, &nothing, sizeof(record));
    ngram_append(g, (int32_t[]){'a', 'b'}, 2);
    assert_memory_not_equal(&record, &nothing, sizeof(record));
    ngram_destroy(g);
}

/* The worst texts for chains of equal hashes: one token, two tokens, and more of them than are held. */
static void test_adversarial(void **state)
{
    enum { LONG = NGRAM_MOST + NGRAM_MOST / 2 + 7 };
    int32_t *tokens = xmalloc(LONG * sizeof(*tokens)), out[MOST];
    for (unsigned kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < LONG; i++)
            tokens[i] = kind == 0 ? 7 : kind == 1 ? (int32_t)(i % 2) : (int32_t)(i * i % 65537);
        struct ngram *g = ngram_create(&record, kind == 2 ? 0 : 1000);
        ngram_append(g, tokens, 50000);
        for (size_t i = 50000; i < 50400; i += 4) {
            ngram_append(g, tokens + i, 4);
            size_t n = ngram_propose(g, tokens + i + 4, i % 100, MOST, out, probs);
            assert_true(kind == 2 || n == MOST);
            for (size_t j = 0; kind < 2 && j < n; j++)
                assert_int_equal(out[j], tokens[i + 4 + i % 100 + j]);
        }
        ngram_append(g, tokens + 50400, LONG - 50400);
        assert_int_equal(ngram_length(g), LONG);
        for (size_t i = 0; kind < 2 && i < 3; i++) {
            assert_int_equal(ngram_propose(g, NULL, 0, MOST, out, probs), MOST);
            assert_int_equal(out[0], tokens[LONG - 2]);
            assert_int_equal(out[1], tokens[LONG - 1]);
            ngram_follow(g, tokens, LONG - 4);
            assert_int_equal(ngram_length(g), LONG - 4);
            ngram_follow(g, tokens, LONG);
        }
        ngram_follow(g, tokens, 100); /* of which nothing is held any more */
        assert_int_equal(ngram_length(g), 100);
        ngram_follow(g, tokens, 0);
        assert_int_equal(ngram_propose(g, NULL, 0, MOST, out, probs), 0);
        ngram_destroy(g);
    }
    free(tokens);
}

/* What a draft of at most k tokens a round would have brought, and how well its chances held. */
struct replay {
    size_t rounds, tokens, sure, sure_right;
};

static void replay_answer(struct replay *r, const int32_t *path, size_t n_prompt, size_t n)
{
    struct ngram *g = ngram_create(&record, n_prompt);
    ngram_append(g, path, n_prompt);
    for (size_t i = n_prompt; i < n;) {
        int32_t draft[MOST];
        size_t k = ngram_propose(g, NULL, 0, 16, draft, probs), right = 0;
        while (right < k && i + right < n && draft[right] == path[i + right])
            right++;
        for (size_t j = 0; j < k && j <= right; j++) {
            r->sure += probs[j] > 0.9f;
            r->sure_right += probs[j] > 0.9f && j < right;
        }
        size_t emitted = right < n - i ? right + 1 : n - i;
        ngram_append(g, path + i, emitted);
        r->rounds++;
        r->tokens += emitted;
        i += emitted;
    }
    ngram_destroy(g);
}

/* Prompts of the demo's target and what it wrote, as tokens: "Repeat: ..." must fly, a story need not. */
static void test_replay(void **state)
{
    struct replay repeated = {0}, *now = NULL, rest = {0};
    int32_t path[1024];
    size_t n = 0, n_prompt = 0;
    char word[32], *name = xasprintf("%s/replay.txt", getenv("TIGHTWAD_TEST_DATA"));
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    for (bool more = true; more;) {
        more = fscanf(f, "%31s", word) == 1;
        if (now != NULL && (!more || strchr(word, ':') != NULL)) {
            replay_answer(now, path, n_prompt, n);
            n = 0;
        }
        if (more && strchr(word, ':') != NULL)
            now = strcmp(word, "repeat:") == 0 ? &repeated : &rest;
        else if (more && strcmp(word, "|") == 0)
            n_prompt = n;
        else if (more && n < 1024)
            path[n++] = atoi(word);
    }
    fclose(f);
    free(name);
    printf("# repeat: %.2f tokens a round, others %.2f; of those that were 90 %% sure %.3f were right\n",
           (double)repeated.tokens / (double)repeated.rounds, (double)rest.tokens / (double)rest.rounds,
           (double)repeated.sure_right / (double)repeated.sure);
    assert_true(repeated.tokens > 600 && rest.tokens > 300);
    assert_true((double)repeated.tokens > 7 * (double)repeated.rounds);
    assert_true((double)repeated.sure_right > 0.9 * (double)repeated.sure);
}

const struct CMUnitTest ngram_tests[] = {
    cmocka_unit_test_setup(test_longest_match, reset),
    cmocka_unit_test_setup(test_nothing_matches, reset),
    cmocka_unit_test_setup(test_behind_a_tail, reset),
    cmocka_unit_test_setup(test_repetition_goes_on, reset),
    cmocka_unit_test_setup(test_taken_back, reset),

    cmocka_unit_test_setup(test_first_guesses, reset),
    cmocka_unit_test_setup(test_learns, reset),
    cmocka_unit_test_setup(test_prompt_teaches_nothing, reset),
    cmocka_unit_test_setup(test_adversarial, reset),
    cmocka_unit_test_setup(test_replay, reset),
};
const size_t ngram_count = sizeof(ngram_tests) / sizeof(ngram_tests[0]);
