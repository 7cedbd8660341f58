/* The review of one answer against a scripted verifier: what is approved, what is kept and what is not, each way a
 * verdict can be made of, and that a verifier that fails makes none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/fake.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/review-internal.h"

#define SESSION "POST /v1/node/session"
#define TOKENIZE "POST /v1/node/tokenize"
#define DETOKENIZE "POST /v1/node/detokenize"
#define SCORE "POST /v1/node/score"
#define VERIFY "POST /v1/node/verify"
#define GENERATE "POST /v1/node/generate"

static const char node_info[] = "{\"protocol\":1,\"model\":\"tiny\",\"n_vocab\":640,\"n_ctx\":64,\"slots\":4,"
                                "\"eog\":[638],\"chat_template\":true}";
static const char two_ends[] = "{\"protocol\":1,\"model\":\"tiny\",\"n_vocab\":640,\"n_ctx\":64,\"slots\":4,"
                               "\"eog\":[638,639],\"chat_template\":true}";

struct verifier {
    struct event_base *base;
    struct httpc *http;
    struct fake *fake;
    struct member *m;
    struct review_words words;
    struct oai_request q;
    struct review_opts o;
    struct review *review, *cancel_when_marked;
    bool up;
    /* what came */
    bool done;
    int calls;
    struct review_result r;
    char message[256], kept[64], correction[64], said[128];
    int32_t first_request_token;
};

static void keep_text(char *to, size_t size, const char *text, size_t len)
{
    snprintf(to, size, "%.*s", (int)len, text != NULL ? text : "");
}

static void on_review(void *arg, const struct review_result *r)
{
    struct verifier *v = arg;
    v->done = true;
    v->calls++;
    v->r = *r;
    v->review = NULL;
    keep_text(v->message, sizeof(v->message), r->message, strlen(r->message));
    keep_text(v->kept, sizeof(v->kept), r->kept_text, r->kept_len);
    keep_text(v->correction, sizeof(v->correction), r->correction, r->correction_len);
    keep_text(v->said, sizeof(v->said), r->said, r->said_len);
    v->first_request_token = r->n_request_tokens > 0 ? r->request_tokens[0] : -1;
}

static void on_member(void *arg, struct member *m)
{
    struct verifier *v = arg;
    v->up = member_up(m);
    if (!v->up && v->cancel_when_marked != NULL) {
        review_cancel(v->cancel_when_marked);
        v->cancel_when_marked = NULL;
    }
}

static void set_request(struct verifier *v, bool chat, const char *body)
{
    struct oai_limits limits = {.max_tokens = 100};
    struct oai_error err;
    oai_request_finish(&v->q);
    assert_int_equal(oai_request_parse(&v->q, chat, body, strlen(body), &limits, &err), 0);
}

/* kind: of the server; info: what a node says of itself. */
static void start(struct verifier *v, const char *kind, const char *info)
{
    memset(v, 0, sizeof(*v));
    log_set_level(LOG_ERROR);
    v->base = event_base_new();
    v->http = httpc_create(v->base);
    v->fake = fake_create(v->base);
    if (info != NULL)
        fake_always(v->fake, "GET /v1/node", 200, info);
    else
        fake_always(v->fake, "GET /v1/models", 200, "{\"data\":[{\"id\":\"m\"}]}");
    struct config_server cfg = {.name = "v", .url = (char *)fake_url(v->fake), .backend = (char *)kind};
    char *cause = NULL;
    struct backend *b = backend_create(v->base, v->http, &cfg, &cause);
    v->m = member_create(v->base, ROLE_TARGET, b, on_member, v);
    loop_until(v->base, &v->up);
    set_request(v, true, "{\"messages\":[{\"role\":\"user\",\"content\":\"What is 1 + 1?\"}]}");
    v->o = (struct review_opts){.verifier = v->m,
                                .words = &v->words,
                                .request = &v->q,
                                .text = "abc",
                                .len = 3,
                                .finish = ANSWER_STOP,
                                .kind = REVIEW_LIKELIHOOD,
                                .prompt = "Review.",
                                .min_token_probability = 0.01,
                                .keep_share = 0.25};
}

static void stop(struct verifier *v)
{
    oai_request_finish(&v->q);
    review_words_finish(&v->words);
    member_destroy(v->m);
    httpc_destroy(v->http);
    fake_destroy(v->fake);
    event_base_free(v->base);
}

static void go(struct verifier *v)
{
    v->done = false;
    v->calls = 0;
    v->review = review_start(&v->o, on_review, v);
    assert_false(v->done);
}

static void review(struct verifier *v)
{
    go(v);
    loop_until(v->base, &v->done);
    loop_for(v->base, 5);
    assert_int_equal(v->calls, 1);
}

#define expect_verdict(v, want, who) check_verdict((v), (want), (who), __LINE__)
static void check_verdict(const struct verifier *v, enum verdict want, enum review_kind who, int line)
{
    if (v->r.error != BACKEND_OK || v->r.verdict != want || v->r.by != who)
        print_message("# line %d: %s: %s by %s, \"%s\"\n", line, backend_error_name(v->r.error),
                      verdict_name(v->r.verdict), review_kind_name(v->r.by), v->message);
    assert_int_equal(v->r.error, BACKEND_OK);
    assert_int_equal(v->r.verdict, want);
    assert_int_equal(v->r.by, who);
}

/* The prompt is 5 6 7, the answer 10 11 12 with these log probabilities and gaps, the end's last. */
static void script_score(struct verifier *v, const char *logprobs, const char *gaps)
{
    char body[256];
    fake_reply(v->fake, SESSION, 200, "{\"session\":1,\"tokens\":[5,6,7]}");
    fake_reply(v->fake, TOKENIZE, 200, "{\"tokens\":[10,11,12]}");
    snprintf(body, sizeof(body), "{\"logprobs\":[%s],\"gaps\":[%s]}", logprobs, gaps);
    fake_reply(v->fake, SCORE, 200, body);
}

/* The question is 20 21, APPROVE is 30 31. */
static void script_question(struct verifier *v)
{
    fake_reply(v->fake, SESSION, 200, "{\"session\":2,\"tokens\":[20,21]}");
    if (v->words.approve == NULL)
        fake_reply(v->fake, TOKENIZE, 200, "{\"tokens\":[30,31]}");
}

/* The verifier does not agree, and says these pieces (JSON strings) after the first one. */
static void script_verdict(struct verifier *v, const char *first, const char *const *more, size_t n, bool ends)
{
    char body[256], lines[4][256];
    const char *parts[4];
    snprintf(body, sizeof(body), "{\"accepted\":0,\"next\":40,\"text\":[%s],\"margin\":1}", first);
    fake_reply(v->fake, VERIFY, 200, body);
    for (size_t i = 0; i < n; i++) {
        snprintf(lines[i], sizeof(lines[i]), "{\"t\":[41],\"s\":[%s]}\n", more[i]);
        parts[i] = lines[i];
    }
    snprintf(lines[n], sizeof(lines[n]), "%s{\"done\":true,\"n\":1,\"reason\":\"eog\"}\n",
             ends ? "{\"t\":[638],\"s\":[\"\"],\"eog\":true}\n" : "");
    parts[n] = lines[n];
    fake_stream(v->fake, GENERATE, "application/x-ndjson", parts, n + 1, true);
}

/* The verifier begins to correct; asked whether that comes to the answer itself, whose tokens are 40 43 then, it says
 * this. */
static void script_correction(struct verifier *v, const char *verdict)
{
    fake_reply(v->fake, VERIFY, 200, "{\"accepted\":0,\"next\":40,\"text\":[\"CORRECT\"],\"margin\":1}");
    fake_reply(v->fake, TOKENIZE, 200, "{\"tokens\":[40,43]}");
    fake_reply(v->fake, VERIFY, 200, verdict);
}

#define CHAT "POST /v1/chat/completions"

static void script_chat(struct verifier *v, const char *text, const char *finish)
{
    char parts[3][4096];
    snprintf(parts[0], sizeof(parts[0]), "data: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}\n\n", text);
    snprintf(parts[1], sizeof(parts[1]),
             "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"%s\"}],"
             "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n",
             finish);
    snprintf(parts[2], sizeof(parts[2]), "data: [DONE]\n\n");
    fake_stream(v->fake, CHAT, "text/event-stream", (const char *const[]){parts[0], parts[1], parts[2]}, 3, true);
}

/* ---- by likelihood ---- */

static void review_likely(void **state)
{
    struct verifier v;
    start(&v, "node", node_info);
    script_score(&v, "-0.1,-4.5,-0.2,-0.3", "0,2,0,0");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_LIKELIHOOD);
    assert_int_equal(v.r.passes, 1);
    assert_int_equal(v.r.tokens, 0);
    assert_int_equal(v.r.n_tokens, 3);
    assert_int_equal(v.r.lowest_at, 1);
    assert_true(fabs(v.r.lowest - exp(-4.5)) < 1e-6);
    assert_int_equal(v.first_request_token, 5);
    assert_string_equal(fake_body(v.fake, SCORE, 0),
                        "{\"session\":1,\"keep\":0,\"tokens\":[5,6,7,10,11,12,638],\"n\":4}");
    assert_non_null(strstr(fake_body(v.fake, TOKENIZE, 0), "\"abc\""));
    /* white space around it is not judged, but in what continues a prompt */
    v.o.text = " abc\n\n";
    v.o.len = 6;
    script_score(&v, "-0.1,-4.5,-0.2,-0.3", "0,2,0,0");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_LIKELIHOOD);
    assert_non_null(strstr(fake_body(v.fake, TOKENIZE, 1), "\"abc\""));
    set_request(&v, false, "{\"prompt\":\"Once\"}");
    script_score(&v, "-0.1,-4.5,-0.2,-0.3", "0,2,0,0");
    review(&v);
    assert_non_null(strstr(fake_body(v.fake, TOKENIZE, 2), "\" abc\\n\\n\""));
    v.o.text = "abc";
    v.o.len = 3;
    /* an answer that was cut has no end to be judged */
    v.o.finish = ANSWER_LENGTH;
    script_score(&v, "-0.1,-0.1,-0.2", "0,0,0");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_LIKELIHOOD);
    assert_non_null(strstr(fake_body(v.fake, SCORE, 3), "[5,6,7,10,11,12],\"n\":3"));
    /* nothing of it but its end */
    v.o.finish = ANSWER_STOP;
    v.o.len = 0;
    fake_reply(v.fake, SESSION, 200, "{\"session\":1,\"tokens\":[5,6,7]}");
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[]}");
    fake_reply(v.fake, SCORE, 200, "{\"logprobs\":[-9],\"gaps\":[8]}");
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_LIKELIHOOD);
    v.o.finish = ANSWER_LENGTH;
    fake_reply(v.fake, SESSION, 200, "{\"session\":1,\"tokens\":[5,6,7]}");
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[]}");
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_LIKELIHOOD);
    assert_int_equal(fake_count(v.fake, SCORE), 5);
    stop(&v);
}

static void review_keeps(void **state)
{
    struct verifier v;
    start(&v, "node", node_info);
    fake_always(v.fake, DETOKENIZE, 200, "{\"text\":\"ab\"}");
    script_score(&v, "-0.1,-0.1,-9,-0.3", "0,0,8,0");
    review(&v);
    expect_verdict(&v, VERDICT_CORRECT, REVIEW_LIKELIHOOD);
    assert_int_equal(v.r.n_kept, 2);
    assert_string_equal(v.kept, "ab");
    assert_null(v.r.correction);
    assert_string_equal(fake_body(v.fake, DETOKENIZE, 0), "{\"tokens\":[10,11]}");
    stop(&v);

    /* the one before was doubted as well, though it would have passed */
    start(&v, "node", node_info);
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":\"a\"}");
    script_score(&v, "-0.1,-1,-9,-0.3", "0,1,8,0");
    review(&v);
    expect_verdict(&v, VERDICT_CORRECT, REVIEW_LIKELIHOOD);
    assert_int_equal(v.r.n_kept, 1);
    /* less than the share that is worth it, and nothing at all */
    v.o.keep_share = 0.5;
    script_score(&v, "-0.1,-1,-9,-0.3", "0,1,8,0");
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_LIKELIHOOD);
    v.o.keep_share = 0;
    script_score(&v, "-9,-0.1,-0.1,-0.3", "8,0,0,0");
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_LIKELIHOOD);
    /* another threshold */
    v.o.min_token_probability = 1e-5;
    script_score(&v, "-9,-0.1,-0.1,-0.3", "8,0,0,0");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_LIKELIHOOD);
    stop(&v);
}

/* What is kept is the agent's text, in whole characters. */
static void review_kept_text(void **state)
{
    struct verifier v;
    start(&v, "node", node_info);
    v.o.text = "\xc3\xa9";
    v.o.len = 2;
    /* the second token is the first half of a character */
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":[195]}");
    script_score(&v, "-0.1,-9,-0.1,-0.3", "0,8,0,0");
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_LIKELIHOOD);
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":[195,169,195]}");
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":[195,169]}");
    v.o.text = "\xc3\xa9\xc3\xa8";
    v.o.len = 4;
    script_score(&v, "-0.1,-0.1,-9,-0.3", "0,0,8,0");
    review(&v);
    expect_verdict(&v, VERDICT_CORRECT, REVIEW_LIKELIHOOD);
    assert_int_equal(v.r.n_kept, 1);
    assert_string_equal(v.kept, "\xc3\xa9");
    /* a tokenizer that puts a blank first */
    v.o.text = "abc";
    v.o.len = 3;
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":\" ab\"}");
    script_score(&v, "-0.1,-0.1,-9,-0.3", "0,0,8,0");
    review(&v);
    expect_verdict(&v, VERDICT_CORRECT, REVIEW_LIKELIHOOD);
    assert_string_equal(v.kept, "ab");
    /* tokens that are another text */
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":\"aB\"}");
    script_score(&v, "-0.1,-0.1,-9,-0.3", "0,0,8,0");
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_LIKELIHOOD);
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":\"abcd\"}");
    script_score(&v, "-0.1,-0.1,-9,-0.3", "0,0,8,0");
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_LIKELIHOOD);
    stop(&v);
}

/* The end: any token that ends a generation will do; an improbable one leaves all of the text. */
static void review_ends(void **state)
{
    struct verifier v;
    start(&v, "node", node_info);
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":\"abc\"}");
    script_score(&v, "-0.1,-0.1,-0.1,-9", "0,0,0,8");
    review(&v);
    expect_verdict(&v, VERDICT_CORRECT, REVIEW_LIKELIHOOD);
    assert_int_equal(v.r.n_kept, 3);
    assert_string_equal(v.kept, "abc");
    assert_int_equal(v.r.lowest_at, 3);
    assert_int_equal(fake_count(v.fake, VERIFY), 0);
    stop(&v);

    start(&v, "node", two_ends);
    script_score(&v, "-0.1,-0.1,-0.1,-9", "0,0,0,8");
    fake_reply(v.fake, VERIFY, 200,
               "{\"accepted\":0,\"next\":639,\"eog\":true,\"text\":[\"\"],\"logprobs\":[{\"logprob\":-0.5,\"top\":"
               "[[639,-0.5,\"\"],[638,-9,\"\"],[3,-3,\"c\"]]}]}");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_LIKELIHOOD);
    assert_int_equal(v.r.passes, 2);
    assert_non_null(strstr(fake_body(v.fake, VERIFY, 0), "\"draft\":[],\"logprobs\":20"));
    script_score(&v, "-0.1,-0.1,-0.1,-9", "0,0,0,8");
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":\"abc\"}");
    fake_reply(v.fake, VERIFY, 200,
               "{\"accepted\":0,\"next\":3,\"text\":[\"c\"],\"logprobs\":[{\"logprob\":-0.1,\"top\":"
               "[[3,-0.1,\"c\"],[638,-9,\"\"]]}]}");
    review(&v);
    expect_verdict(&v, VERDICT_CORRECT, REVIEW_LIKELIHOOD);
    assert_int_equal(v.r.n_kept, 3);
    /* the token that ended a turn in the prompt is the one to expect */
    fake_reply(v.fake, SESSION, 200, "{\"session\":1,\"tokens\":[638,5,639,7]}");
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[10]}");
    fake_reply(v.fake, SCORE, 200, "{\"logprobs\":[-0.1,-0.1],\"gaps\":[0,0]}");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_LIKELIHOOD);
    assert_non_null(strstr(fake_body(v.fake, SCORE, 2), "[638,5,639,7,10,639]"));
    stop(&v);
}

/* ---- by prompt ---- */

static void review_asked(void **state)
{
    struct verifier v;
    start(&v, "node", node_info);
    v.o.kind = REVIEW_PROMPT;
    for (int i = 0; i < 2; i++) {
        script_question(&v);
        fake_reply(v.fake, VERIFY, 200,
                   "{\"accepted\":2,\"next\":638,\"eog\":true,\"text\":[\"APP\",\"ROVE\",\"\"],\"margin\":1}");
        review(&v);
        expect_verdict(&v, VERDICT_APPROVE, REVIEW_PROMPT);
        assert_int_equal(v.r.passes, 1);
        assert_int_equal(v.r.tokens, 0);
        assert_null(v.r.said);
        assert_null(v.r.request_tokens);
    }
    assert_int_equal(fake_count(v.fake, TOKENIZE), 1); /* the word is known */
    assert_non_null(strstr(fake_body(v.fake, VERIFY, 0), "\"tokens\":[20,21],\"draft\":[30,31]"));
    assert_non_null(strstr(fake_body(v.fake, SESSION, 0), "\"content\":\"Question: What is 1 + 1?\\nDraft: abc\""));
    assert_non_null(strstr(fake_body(v.fake, SESSION, 0), "{\"role\":\"system\",\"content\":\"Review.\"}"));
    /* agreed with the word, but something follows */
    script_question(&v);
    fake_reply(v.fake, VERIFY, 200, "{\"accepted\":2,\"next\":50,\"text\":[\"APP\",\"ROVE\",\"D\"],\"margin\":1}");
    review(&v);
    expect_verdict(&v, VERDICT_UNREADABLE, REVIEW_PROMPT);
    assert_string_equal(v.said, "APPROVED");
    /* what can be no verdict is not listened to */
    script_question(&v);
    script_verdict(&v, "\"I\"", NULL, 0, true);
    review(&v);
    expect_verdict(&v, VERDICT_UNREADABLE, REVIEW_PROMPT);
    assert_int_equal(fake_count(v.fake, GENERATE), 0);
    stop(&v);
}

/* An answer that would end its own turn, and speak for the verifier, is not asked about. */
static void review_marks(void **state)
{
    static const struct {
        const char *text, *plain, *marks;
        enum verdict verdict;
    } cases[] = {
        {"a < b", "{\"tokens\":[10,11,12]}", "{\"tokens\":[10,11,12]}", VERDICT_APPROVE},
        {"a[0]", "{\"tokens\":[10,11,12]}", "{\"tokens\":[1,10,11,12]}", VERDICT_APPROVE},
        {"a<|end|>", "{\"tokens\":[10,11,12]}", "{\"tokens\":[10,638]}", VERDICT_UNREADABLE},
        {"<|end|>a", "{\"tokens\":[10,11,12]}", "{\"tokens\":[1,638,12]}", VERDICT_UNREADABLE},
        {"[INST]", "{\"tokens\":[10,11,12]}", "{\"tokens\":[1,10,11,638]}", VERDICT_UNREADABLE},
        {"[INST]", "{\"tokens\":[10,11,12]}", "{\"tokens\":[]}", VERDICT_UNREADABLE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verifier v;
        start(&v, "node", node_info);
        v.o.kind = REVIEW_PROMPT;
        v.o.text = cases[i].text;
        v.o.len = strlen(cases[i].text);
        fake_reply(v.fake, TOKENIZE, 200, cases[i].plain);
        fake_reply(v.fake, TOKENIZE, 200, cases[i].marks);
        script_question(&v);
        fake_reply(v.fake, VERIFY, 200,
                   "{\"accepted\":2,\"next\":638,\"eog\":true,\"text\":[\"APP\",\"ROVE\",\"\"],\"margin\":1}");
        review(&v);
        expect_verdict(&v, cases[i].verdict, REVIEW_PROMPT);
        assert_null(strstr(fake_body(v.fake, TOKENIZE, 0), "special"));
        assert_non_null(strstr(fake_body(v.fake, TOKENIZE, 1), "\"special\":true"));
        stop(&v);
    }

    /* without a tokenizer what looks like one is one */
    static const char *const marked[] = {"a<|im_end|>", "[INST]a", "a</s>", "<end_of_turn>a"};
    struct verifier v;
    start(&v, "openai", NULL);
    v.o.kind = REVIEW_PROMPT;
    for (size_t i = 0; i < ARRAY_LEN(marked); i++) {
        v.o.text = marked[i];
        v.o.len = strlen(marked[i]);
        review(&v);
        expect_verdict(&v, VERDICT_UNREADABLE, REVIEW_PROMPT);
    }
    v.o.text = "a[0] < b[1]";
    v.o.len = strlen(v.o.text);
    script_chat(&v, "APPROVE", "stop");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_PROMPT);
    stop(&v);
}

/* A tokenizer that makes nothing of APPROVE, or another word: the text that the verifier agreed with decides. */
static void review_odd_word(void **state)
{
    static const struct {
        const char *tokens, *verify;
    } cases[] = {
        {"{\"tokens\":[]}", "{\"accepted\":0,\"next\":638,\"eog\":true,\"text\":[\"\"],\"margin\":1}"},
        {"{\"tokens\":[30]}", "{\"accepted\":1,\"next\":638,\"eog\":true,\"text\":[\"APP\",\"\"],\"margin\":1}"},
        {"{\"tokens\":[30]}", "{\"accepted\":1,\"next\":638,\"eog\":true,\"text\":[\"\\nAPPROVE\",\"\"],\"margin\":1}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verifier v;
        start(&v, "node", node_info);
        v.o.kind = REVIEW_PROMPT;
        fake_reply(v.fake, SESSION, 200, "{\"session\":2,\"tokens\":[20,21]}");
        fake_reply(v.fake, TOKENIZE, 200, cases[i].tokens);
        fake_reply(v.fake, VERIFY, 200, cases[i].verify);
        review(&v);
        expect_verdict(&v, VERDICT_UNREADABLE, REVIEW_PROMPT);
        stop(&v);
    }
}

static void review_verdicts(void **state)
{
    static const struct {
        const char *first, *more[2];
        bool ends;
        enum verdict verdict;
        const char *correction;
    } cases[] = {
        {"\"CORR\"", {"\"ECT: a\"", "\"bd\""}, true, VERDICT_CORRECT, "abd"},
        {"\"CORR\"", {"\"ECT: a\"", "\"bd\""}, false, VERDICT_UNREADABLE, ""}, /* cut: who knows what was to come */
        {"\"CORR\"", {"\"ECT: a\"", "\"bc\""}, true, VERDICT_APPROVE, ""},
        {"\"CORR\"", {"\"ECT:\"", "\"  \""}, true, VERDICT_UNREADABLE, ""},
        {"\"REJ\"", {"\"ECT\"", "\"\""}, true, VERDICT_REJECT, ""},
        {"\"AP\"", {"\"PRO\"", "\"VE\""}, true, VERDICT_APPROVE, ""},
        {"\"AP\"", {"\"PRO\"", "\"VE\""}, false, VERDICT_UNREADABLE, ""},
        {"\"AP\"", {"\"PROVE\"", "\" not\""}, true, VERDICT_UNREADABLE, ""},
        {"\"APPROVE.\"", {"\"\\n\"", "\"REJECT\""}, true, VERDICT_UNREADABLE, ""},
        {"\"CORRECT: \"", {"[195]", "[40]"}, true, VERDICT_UNREADABLE, ""}, /* no UTF-8 */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct verifier v;
        start(&v, "node", node_info);
        v.o.kind = REVIEW_PROMPT;
        script_question(&v);
        script_verdict(&v, cases[i].first, cases[i].more, 2, cases[i].ends);
        review(&v);
        expect_verdict(&v, cases[i].verdict, REVIEW_PROMPT);
        assert_string_equal(v.correction, cases[i].correction);
        assert_null(v.r.kept);
        assert_true(v.r.tokens > 0);
        stop(&v);
    }
}

static void review_both(void **state)
{
    struct verifier v;
    start(&v, "node", node_info);
    v.o.kind = REVIEW_AUTO; /* which is both here */
    script_score(&v, "-0.1,-0.1,-0.1,-0.1", "0,0,0,0");
    script_question(&v);
    fake_reply(v.fake, VERIFY, 200,
               "{\"accepted\":2,\"next\":638,\"eog\":true,\"text\":[\"APP\",\"ROVE\",\"\"],\"margin\":1}");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_BOTH);
    assert_int_equal(v.r.passes, 2);
    assert_int_equal(v.first_request_token, 5);
    /* the prompt does not: its own first choices stay, and the correction is not written out */
    script_score(&v, "-0.1,-0.1,-1,-0.1", "0,0,0.5,0");
    script_question(&v);
    script_correction(&v, "{\"accepted\":2,\"next\":44,\"text\":[\"CORRECT\",\": \",\"x\"],\"margin\":1}");
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":\"ab\"}");
    review(&v);
    expect_verdict(&v, VERDICT_CORRECT, REVIEW_PROMPT);
    assert_string_equal(v.kept, "ab");
    assert_null(v.r.correction);
    assert_string_equal(v.said, "CORRECT: x");
    assert_int_equal(v.r.passes, 3);
    assert_int_equal(v.r.tokens, 2);
    assert_non_null(strstr(fake_body(v.fake, TOKENIZE, 3), "\"CORRECT: abc\""));
    assert_non_null(strstr(fake_body(v.fake, VERIFY, 2), "\"draft\":[40,43]"));
    /* a correction that is the answer itself */
    script_score(&v, "-0.1,-0.1,-1,-0.1", "0,0,0.5,0");
    script_question(&v);
    script_correction(&v,
                      "{\"accepted\":2,\"next\":638,\"eog\":true,\"text\":[\"CORRECT: \",\"abc\",\"\"],\"margin\":1}");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_BOTH);
    assert_int_equal(fake_count(v.fake, GENERATE), 0);
    stop(&v);

    /* and when there are none, it answers itself */
    start(&v, "node", node_info);
    v.o.kind = REVIEW_BOTH;
    script_score(&v, "-1,-0.1,-0.1,-0.1", "0.5,0,0,0");
    script_question(&v);
    script_verdict(&v, "\"REJECT\"", NULL, 0, true);
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_PROMPT);
    /* what likelihood does not approve is not asked about */
    size_t n = fake_count(v.fake, VERIFY);
    script_score(&v, "-9,-0.1,-0.1,-0.1", "8,0,0,0");
    review(&v);
    expect_verdict(&v, VERDICT_REJECT, REVIEW_LIKELIHOOD);
    assert_int_equal(fake_count(v.fake, VERIFY), n);
    stop(&v);
}

/* ---- a server that only chats ---- */

static void review_chat(void **state)
{
    static const struct {
        const char *text, *finish;
        enum verdict verdict;
    } cases[] = {
        {"APPROVE", "stop", VERDICT_APPROVE},
        {"APPROVE\\n", "stop", VERDICT_APPROVE},
        {"APPROVE", "length", VERDICT_UNREADABLE},
        {"I cannot approve this", "stop", VERDICT_UNREADABLE},
        {"```\\nAPPROVE\\n```", "stop", VERDICT_UNREADABLE},
        {"", "stop", VERDICT_UNREADABLE},
        {"CORRECT: abd", "stop", VERDICT_CORRECT},
        {"CORRECT: abd", "length", VERDICT_UNREADABLE},
        {"CORRECT:  abc ", "stop", VERDICT_APPROVE},
        {"REJECT", "stop", VERDICT_REJECT},
        {"REJECT: because", "length", VERDICT_REJECT},
    };
    struct verifier v;
    start(&v, "openai", NULL);
    v.o.kind = REVIEW_AUTO; /* which is by prompt here */
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        script_chat(&v, cases[i].text, cases[i].finish);
        review(&v);
        expect_verdict(&v, cases[i].verdict, REVIEW_PROMPT);
        assert_int_equal(v.r.passes, 1);
        if (cases[i].verdict == VERDICT_CORRECT)
            assert_string_equal(v.correction, "abd");
    }
    assert_int_equal(v.r.tokens, -1); /* of what is broken off nobody knows */
    assert_non_null(strstr(fake_body(v.fake, CHAT, 0), "\"temperature\":0"));
    assert_non_null(strstr(fake_body(v.fake, CHAT, 0), "\"max_tokens\":65"));
    assert_non_null(strstr(fake_body(v.fake, CHAT, 0), "Question: What is 1 + 1?\\nDraft: abc"));
    /* it can be asked in no other way */
    v.o.kind = REVIEW_LIKELIHOOD;
    assert_non_null(review_cannot(v.m, REVIEW_LIKELIHOOD));
    assert_non_null(review_cannot(v.m, REVIEW_BOTH));
    assert_null(review_cannot(v.m, REVIEW_AUTO));
    review(&v);
    expect_verdict(&v, VERDICT_UNREADABLE, REVIEW_LIKELIHOOD);
    stop(&v);
}

/* ---- a verifier that fails ---- */

static void review_fails(void **state)
{
    struct verifier v;
    start(&v, "node", node_info);
    /* no verdict where another try may bring one; the member is marked by then */
    fake_reply(v.fake, SESSION, 200, "{\"session\":1,\"tokens\":[5,6,7]}");
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[10,11,12]}");
    fake_reply(v.fake, SCORE, 500, "{\"error\":{\"message\":\"broken\"}}");
    review(&v);
    assert_int_equal(v.r.error, BACKEND_BROKEN);
    assert_int_equal(v.m->failures, 1);
    loop_until(v.base, &v.up);
    /* cancelled by the one who hears of it: no callback */
    fake_reply(v.fake, SESSION, 200, "{\"session\":1,\"tokens\":[5,6,7]}");
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[10,11,12]}");
    fake_reply(v.fake, SCORE, 500, "{\"error\":{\"message\":\"broken\"}}");
    go(&v);
    v.cancel_when_marked = v.review;
    while (v.cancel_when_marked != NULL)
        loop_for(v.base, 5);
    loop_for(v.base, 20);
    assert_false(v.done);
    loop_until(v.base, &v.up);
    /* a verdict, and a closed one, where it is the answer that cannot be reviewed */
    static const char *const refusals[] = {
        "{\"error\":{\"message\":\"too long\",\"code\":\"context_full\"}}",
        "{\"error\":{\"message\":\"no\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        uint64_t failures = v.m->failures;
        fake_reply(v.fake, SESSION, 200, "{\"session\":1,\"tokens\":[5,6,7]}");
        fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[10,11,12]}");
        fake_reply(v.fake, SCORE, 400, refusals[i]);
        review(&v);
        expect_verdict(&v, VERDICT_UNREADABLE, REVIEW_LIKELIHOOD);
        assert_int_equal(v.m->failures, failures);
    }
    /* longer than its context: it is not even asked */
    char body[1024] = "{\"session\":1,\"tokens\":[5";
    for (int i = 0; i < 62; i++)
        strcat(body, ",5");
    strcat(body, "]}");
    size_t n = fake_count(v.fake, SCORE);
    fake_reply(v.fake, SESSION, 200, body);
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[10,11,12]}");
    review(&v);
    expect_verdict(&v, VERDICT_UNREADABLE, REVIEW_LIKELIHOOD);
    assert_int_equal(fake_count(v.fake, SCORE), n);
    v.o.kind = REVIEW_PROMPT;
    fake_reply(v.fake, SESSION, 200, body);
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[30,31]}");
    review(&v);
    expect_verdict(&v, VERDICT_UNREADABLE, REVIEW_PROMPT);
    assert_int_equal(fake_count(v.fake, VERIFY), 0);
    stop(&v);
}

/* Given up at each step: nothing is heard of it, and nothing is lost (the sanitizers look). */
static void review_cancelled(void **state)
{
    static const char *const hangs[] = {SESSION, TOKENIZE, SCORE, VERIFY, GENERATE, DETOKENIZE, NULL};
    for (size_t i = 0; i < ARRAY_LEN(hangs); i++) {
        struct verifier v;
        start(&v, "node", node_info);
        v.o.kind = hangs[i] != NULL && strcmp(hangs[i], GENERATE) == 0 ? REVIEW_PROMPT : REVIEW_BOTH;
        if (hangs[i] != NULL)
            fake_hang(v.fake, hangs[i]);
        if (v.o.kind == REVIEW_BOTH)
            script_score(&v, "-0.1,-0.1,-1,-0.1", "0,0,0.5,0");
        script_question(&v);
        if (v.o.kind == REVIEW_BOTH)
            script_correction(&v, "{\"accepted\":0,\"next\":44,\"text\":[\"x\"],\"margin\":1}");
        else
            script_verdict(&v, "\"CORRECT: \"", (const char *const[]){"\"x\""}, 1, true);
        go(&v);
        if (hangs[i] != NULL)
            while (fake_count(v.fake, hangs[i]) == 0)
                loop_for(v.base, 2);
        review_cancel(v.review);
        loop_for(v.base, 10);
        assert_false(v.done);
        stop(&v);
    }
    review_cancel(NULL);
}

/* ---- what is asked ---- */

static void expect_question(struct verifier *v, bool chat, const char *request, const char *text, const char *want)
{
    set_request(v, chat, request);
    json_t *messages = review_messages(&v->o, text);
    assert_non_null(messages);
    assert_int_equal(json_array_size(messages), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 0), "content")), "Review.");
    assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 1), "content")), want);
    json_decref(messages);
}

static void review_question(void **state)
{
    struct verifier v;
    start(&v, "node", node_info);
    expect_question(&v, true, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", NULL,
                    "Question: Hi\nDraft: abc");
    expect_question(
        &v, true,
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":"
        "\"1 + 1?\"},{\"role\":\"assistant\",\"content\":\"2\"},{\"role\":\"user\",\"content\":\"And 2?\"}]}",
        NULL, "Conversation:\nsystem: Be brief.\nuser: 1 + 1?\nassistant: 2\nQuestion: And 2?\nDraft: abc");
    expect_question(&v, true, "{\"messages\":[{\"role\":\"system\",\"content\":\"Write.\"}]}", NULL,
                    "Question: Write.\nDraft: abc");
    expect_question(&v, false, "{\"prompt\":\"Once upon\"}", NULL, "Question: Once upon\nDraft: abc");
    expect_question(&v, false, "{\"prompt\":[1,2]}", "Once", "Question: Once\nDraft: abc");
    v.o.text = "\xff\xff\xff";
    assert_null(review_messages(&v.o, NULL));
    /* a prompt of tokens: read as they are by likelihood, as text by prompt */
    v.o.text = "abc";
    set_request(&v, false, "{\"prompt\":[5,6,7]}");
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[10,11,12]}");
    fake_always(v.fake, SESSION, 200, "{\"session\":1,\"tokens\":[20,21]}");
    fake_reply(v.fake, SCORE, 200, "{\"logprobs\":[-0.1,-0.1,-0.1,-0.1],\"gaps\":[0,0,0,0]}");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_LIKELIHOOD);
    assert_non_null(strstr(fake_body(v.fake, SCORE, 0), "[5,6,7,10,11,12,638]"));
    v.o.kind = REVIEW_PROMPT;
    fake_reply(v.fake, DETOKENIZE, 200, "{\"text\":\"Once\"}");
    fake_reply(v.fake, TOKENIZE, 200, "{\"tokens\":[30,31]}");
    fake_reply(v.fake, VERIFY, 200,
               "{\"accepted\":2,\"next\":638,\"eog\":true,\"text\":[\"APP\",\"ROVE\",\"\"],\"margin\":1}");
    review(&v);
    expect_verdict(&v, VERDICT_APPROVE, REVIEW_PROMPT);
    assert_non_null(strstr(fake_body(v.fake, SESSION, 1), "Question: Once\\nDraft: abc"));
    stop(&v);
}

static void review_kinds(void **state)
{
    static const char *const names[] = {"auto", "prompt", "likelihood", "both"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(review_kind_name(review_kind_by_name(names[i])), names[i]);
    assert_int_equal(review_kind_by_name(NULL), REVIEW_AUTO);
    assert_int_equal(review_kind_by_name("x"), REVIEW_AUTO);
}

const struct CMUnitTest review_tests[] = {
    cmocka_unit_test(review_likely),   cmocka_unit_test(review_keeps),    cmocka_unit_test(review_kept_text),
    cmocka_unit_test(review_ends),     cmocka_unit_test(review_asked),    cmocka_unit_test(review_marks),
    cmocka_unit_test(review_odd_word), cmocka_unit_test(review_verdicts), cmocka_unit_test(review_both),
    cmocka_unit_test(review_chat),     cmocka_unit_test(review_fails),    cmocka_unit_test(review_cancelled),
    cmocka_unit_test(review_question), cmocka_unit_test(review_kinds),
};
const size_t review_test_count = ARRAY_LEN(review_tests);
