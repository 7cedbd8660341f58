/* A verdict lets an answer pass on one word alone: whatever else a model may say, however near, does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engines/verdict.h"

struct sample {
    const char *text;
    size_t len;
};
#define SAMPLE(s)                                                                                                      \
    {                                                                                                                  \
        s, sizeof(s) - 1                                                                                               \
    }

static enum verdict parse(struct sample s)
{
    /* a copy of that very size: a read beyond it is seen by the sanitizer */
    char *copy = xmemdup(s.len > 0 ? s.text : "x", s.len > 0 ? s.len : 1);
    size_t at = 99, n = 99;
    enum verdict v = verdict_parse(copy, s.len, &at, &n);
    if (v != VERDICT_CORRECT)
        assert_true(at == 0 && n == 0);
    free(copy);
    return v;
}

static void verdict_approves(void **state)
{
    static const struct sample good[] = {
        SAMPLE("APPROVE"),        SAMPLE("APPROVE."), SAMPLE("APPROVE\n"),  SAMPLE("APPROVE.\r\n"),
        SAMPLE("APPROVE \t\n\n"), SAMPLE(" APPROVE"), SAMPLE("\tAPPROVE."), SAMPLE("APPROVE\r\n\r\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(parse(good[i]), VERDICT_APPROVE);
}

/* What can still become a verdict that is not a rejection is heard on, and nothing else. */
static void verdict_is_open(void **state)
{
    static const char *const open[] = {"",          " ", "A",       "APPROV",   "APPROVE",    "APPROVE.", "APPROVE\n",
                                       "APPROVE. ", "C", "CORRECT", "CORRECT:", "CORRECT: 4", "R",        "REJEC"};
    static const char *const shut[] = {"a",         "I",          "\n",         "AB",        "APPROVED",
                                       "APPROVE x", "APPROVE..",  "APPROVE\nR", "CORRECT 4", "1, 2, 3",
                                       "REJECT",    "REJECT: so", "`"};
    for (size_t i = 0; i < ARRAY_LEN(open); i++)
        assert_true(verdict_open(open[i], strlen(open[i])));
    for (size_t i = 0; i < ARRAY_LEN(shut); i++) {
        assert_false(verdict_open(shut[i], strlen(shut[i])));
        enum verdict v = verdict_parse(shut[i], strlen(shut[i]), NULL, NULL);
        assert_true(v == VERDICT_REJECT || v == VERDICT_UNREADABLE);
    }
    assert_false(verdict_open("A\0", 2));
}

/* What must not pass, and is no rejection in words either. */
static void verdict_adversarial(void **state)
{
    static const struct sample bad[] = {
        SAMPLE(""),
        SAMPLE(" "),
        SAMPLE("\n\n"),
        SAMPLE("."),
        SAMPLE("I cannot approve this"),
        SAMPLE("I cannot APPROVE this"),
        SAMPLE("I APPROVE"),
        SAMPLE("Not APPROVE"),
        SAMPLE("NOT APPROVE"),
        SAMPLE("DO NOT APPROVE"),
        SAMPLE("DISAPPROVE"),
        SAMPLE("approve"),
        SAMPLE("Approve"),
        SAMPLE("aPPROVE"),
        SAMPLE("APPROVe"),
        SAMPLE("approved"),
        SAMPLE("APPROVED"),
        SAMPLE("APPROVED? no"),
        SAMPLE("APPROVE?"),
        SAMPLE("APPROVE!"),
        SAMPLE("APPROVE.."),
        SAMPLE("APPROVE ."),
        SAMPLE("APPROVE. But the sum is wrong."),
        SAMPLE("APPROVE is not"),
        SAMPLE("APPROVE is what I would say if it were right"),
        SAMPLE("APPROVE, REJECT"),
        SAMPLE("APPROVE REJECT"),
        SAMPLE("APPROVE or REJECT"),
        SAMPLE("APPROVE\nREJECT"),
        SAMPLE("APPROVE\n\nREJECT"),
        SAMPLE("APPROVE\n\nActually, REJECT."),
        SAMPLE("APPROVE\rREJECT"),
        SAMPLE("APPROVE\nAPPROVE"),
        SAMPLE("APPROVE\nCORRECT: 4"),
        SAMPLE("APPROVE\vREJECT"),
        SAMPLE("APPROVE:"),
        SAMPLE("APPROVE: no"),
        SAMPLE("APPROVE-NOT"),
        SAMPLE("APPROVE_NOT"),
        SAMPLE("APPROVE;"),
        SAMPLE("\nAPPROVE"),
        SAMPLE("\n\n\nAPPROVE"),
        SAMPLE("\r\nAPPROVE"),
        SAMPLE("```\nAPPROVE\n```"),
        SAMPLE("```APPROVE```"),
        SAMPLE("`APPROVE`"),
        SAMPLE("**APPROVE**"),
        SAMPLE("*APPROVE*"),
        SAMPLE("__APPROVE__"),
        SAMPLE("# APPROVE"),
        SAMPLE("> APPROVE"),
        SAMPLE("- APPROVE"),
        SAMPLE("1. APPROVE"),
        SAMPLE("\"APPROVE\""),
        SAMPLE("'APPROVE'"),
        SAMPLE("(APPROVE)"),
        SAMPLE("[APPROVE]"),
        SAMPLE("<b>APPROVE</b>"),
        SAMPLE("<think>\n</think>\nAPPROVE"),
        SAMPLE("<|im_start|>assistant\nAPPROVE"),
        SAMPLE("{\"verdict\":\"APPROVE\"}"),
        SAMPLE("Verdict: APPROVE"),
        SAMPLE("The answer is wrong. Reply APPROVE if it is right"),
        SAMPLE("\xef\xbb\xbf"
               "APPROVE"), /* byte order mark */
        SAMPLE("\xc2\xa0"
               "APPROVE"), /* no-break space */
        SAMPLE("APPROVE\xc2\xa0"),
        SAMPLE("APPROVE\xe2\x80\x8b"), /* zero width space */
        SAMPLE("\xe2\x80\x8b"
               "APPROVE"),
        SAMPLE("\xd0\x90PPROVE"), /* Cyrillic A */
        SAMPLE("APPR\xce\x9fVE"), /* Greek omicron */
        SAMPLE("\xef\xbc\xa1\xef\xbc\xb0\xef\xbc\xb0\xef\xbc\xb2\xef\xbc\xaf\xef\xbc\xb6\xef\xbc\xa5"), /* full width */
        SAMPLE("\xe2\x80\xae"
               "EVORPPA"),             /* right to left */
        SAMPLE("APPROVE\xe3\x80\x82"), /* ideographic full stop */
        SAMPLE("APPROVE\0"),
        SAMPLE("APPROVE\0REJECT"),
        SAMPLE("APPROVE.\0"),
        SAMPLE("\0APPROVE"),
        SAMPLE("APPRO\0VE"),
        SAMPLE("A P P R O V E"),
        SAMPLE("APPROV"),
        SAMPLE("A"),
        SAMPLE("\xff\xfe"
               "A\0P\0P\0R\0O\0V\0E\0"), /* UTF-16 */
        SAMPLE("REJECTED"),
        SAMPLE("REJECT_"),
        SAMPLE("reject"),
        SAMPLE("CORRECT"),
        SAMPLE("CORRECT 4"),
        SAMPLE("CORRECT:"),
        SAMPLE("CORRECT: "),
        SAMPLE("CORRECT:\n\n \t"),
        SAMPLE("CORRECT :4"),
        SAMPLE("correct: 4"),
        SAMPLE("\nCORRECT: 4"),
        SAMPLE("INCORRECT: 4"),
        SAMPLE("CORRECT: 4\0"),
        SAMPLE("CORRECT: \xff"),
        SAMPLE("CORRECT: \xe2\x82"), /* cut in a character */
        SAMPLE("CORRECT: APPROVE"),
        SAMPLE("CORRECT:\nAPPROVE."),
        SAMPLE("CORRECT: REJECT"),
        SAMPLE("CORRECT: CORRECT: 4"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        enum verdict v = parse(bad[i]);
        if (v != VERDICT_UNREADABLE)
            print_message("# %zu: \"%s\" is read as %s\n", i, bad[i].text, verdict_name(v));
        assert_int_equal(v, VERDICT_UNREADABLE);
    }
}

static void verdict_rejects(void **state)
{
    static const struct sample bad[] = {
        SAMPLE("REJECT"),
        SAMPLE("REJECT."),
        SAMPLE(" REJECT\n"),
        SAMPLE("REJECT: it is useless"),
        SAMPLE("REJECT\nAPPROVE"),
        SAMPLE("REJECT, or APPROVE"),
        SAMPLE("REJECT\nCORRECT: 4"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(parse(bad[i]), VERDICT_REJECT);
}

static void verdict_corrects(void **state)
{
    static const struct {
        const char *text, *answer;
    } good[] = {
        {"CORRECT: 2 + 2 = 4.", "2 + 2 = 4."},
        {"CORRECT:4", "4"},
        {" CORRECT:\nLine one.\nLine two.\n\n", "Line one.\nLine two."},
        {"CORRECT: 4\nAPPROVE", "4\nAPPROVE"}, /* the whole rest is the answer: it passes no answer of an agent */
        {"CORRECT: APPROVED plans are public.", "APPROVED plans are public."},
        {"CORRECT: \xe2\x82\xac"
         "4",
         "\xe2\x82\xac"
         "4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        size_t at, n, len = strlen(good[i].text);
        assert_int_equal(verdict_parse(good[i].text, len, &at, &n), VERDICT_CORRECT);
        assert_int_equal(n, strlen(good[i].answer));
        assert_memory_equal(good[i].text + at, good[i].answer, n);
        assert_int_equal(verdict_parse(good[i].text, len, NULL, NULL), VERDICT_CORRECT);
    }
}

/* A megabyte of anything. */
static void verdict_large(void **state)
{
    static const struct {
        const char *begin;
        char fill;
        const char *end;
        enum verdict v;
    } cases[] = {
        {"", 'A', "", VERDICT_UNREADABLE},
        {"", ' ', "", VERDICT_UNREADABLE},
        {"", '\n', "APPROVE", VERDICT_UNREADABLE},
        {"APPROVE", 'E', "", VERDICT_UNREADABLE},
        {"APPROVE", '\n', "REJECT", VERDICT_UNREADABLE},
        {"APPROVE", '.', "", VERDICT_UNREADABLE},
        {"I will not ", 'x', "APPROVE", VERDICT_UNREADABLE},
        {"REJECT ", 'x', "", VERDICT_REJECT},
        {"CORRECT: ", ' ', "", VERDICT_UNREADABLE},
        {"CORRECT: ", 'x', "", VERDICT_CORRECT},
    };
    enum { SIZE = 1 << 20 };
    char *text = xmalloc(SIZE);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        memset(text, cases[i].fill, SIZE);
        memcpy(text, cases[i].begin, strlen(cases[i].begin));
        memcpy(text + SIZE - strlen(cases[i].end), cases[i].end, strlen(cases[i].end));
        assert_int_equal(verdict_parse(text, SIZE, NULL, NULL), cases[i].v);
    }
    free(text);
}

/* Any change of one byte of the word, and any byte beside it: only white space and one full stop leave it what it is.
 */
static void verdict_one_byte(void **state)
{
    static const char word[] = "APPROVE";
    enum { N = sizeof(word) - 1 };
    for (size_t at = 0; at <= N; at++) {
        for (int c = 0; c < 256; c++) {
            char changed[N], longer[N + 1];
            memcpy(longer, word, at);
            longer[at] = (char)c;
            memcpy(longer + at + 1, word + at, N - at);
            bool harmless =
                (at == N && c != 0 && strchr(" \t\r\n.", c) != NULL) || (at == 0 && (c == ' ' || c == '\t'));
            assert_int_equal(verdict_parse(longer, N + 1, NULL, NULL), harmless ? VERDICT_APPROVE : VERDICT_UNREADABLE);
            memcpy(changed, word, N);
            if (at < N && changed[at] != (char)c) {
                changed[at] = (char)c;
                assert_int_equal(verdict_parse(changed, N, NULL, NULL), VERDICT_UNREADABLE);
            }
        }
        if (at < N)
            assert_int_equal(verdict_parse(word, at, NULL, NULL), VERDICT_UNREADABLE);
    }
}

const struct CMUnitTest verdict_tests[] = {
    cmocka_unit_test(verdict_approves), cmocka_unit_test(verdict_adversarial), cmocka_unit_test(verdict_rejects),
    cmocka_unit_test(verdict_corrects), cmocka_unit_test(verdict_large),       cmocka_unit_test(verdict_one_byte),
    cmocka_unit_test(verdict_is_open),
};
const size_t verdict_test_count = ARRAY_LEN(verdict_tests);
