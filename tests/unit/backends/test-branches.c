/* Branches: what a drafter tells as it grows them, what is asked of a node that verifies them, and nonsense in either.
 */
#include "got.h"
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const int32_t path[] = {5, 6, 7};

/* All that a streamed draft has told, in words. */
struct told {
    struct got g; /* got_done needs it first */
    char text[1024];
    struct backend_call *cancel; /* at the first line; NULL: never */
    bool cancelled;
};

static void on_drafted(void *arg, const struct backend_drafted *d)
{
    struct told *t = arg;
    size_t len = strlen(t->text);
    len +=
        (size_t)snprintf(t->text + len, sizeof(t->text) - len, "%lld@%zu+%zu:", (long long)d->branch, d->at, d->index);
    for (size_t i = 0; i < d->n; i++)
        len += (size_t)snprintf(t->text + len, sizeof(t->text) - len, "%d/%.2f,", d->tokens[i], (double)d->probs[i]);
    snprintf(t->text + len, sizeof(t->text) - len, " ");
    if (t->cancel != NULL) {
        t->cancelled = true;
        backend_cancel(t->cancel);
    }
}

static void setup(struct bench *t, bool able)
{
    struct got g;
    char *info = xasprintf("{\"protocol\":1,\"model\":\"tiny\",\"n_vocab\":640,\"n_ctx\":512,\"slots\":4%s}",
                           able ? ",\"branches\":3" : "");
    bench_init(t, "node", NULL, NULL);
    fake_always(t->fake, "GET /v1/node", 200, info);
    fake_always(t->fake, "POST /v1/node/session", 200, "{\"session\":1}");
    bench_probe(t, t->b, &g);
    assert_int_equal(t->b->info.caps.draft_branches, able);
    assert_int_equal(t->b->info.caps.verify_branches, able);
    free(info);
}

static struct backend_session *open_session(struct bench *t)
{
    struct sampler_params p;
    sampler_params_init(&p);
    struct backend_session *s = backend_session_open(t->b, &p, 3);
    sampler_params_finish(&p);
    return s;
}

static const struct backend_draft_ask ask = {.n = 8, .from = 9, .first = 4, .branches = 6, .depth = 5};

static void branches_drafted(void **state)
{
    static const char *const parts[] = {
        "{\"t\":[1],\"p\":[0.5]}\n{\"b\":3,\"at\":4,\"t\":[9],\"p\":[0.25]}\n{\"t\":[2,3],\"p\":[1,",
        "0.75]}\n{\"b\":3,\"at\":4,\"t\":[8,7],\"p\":[1,1]}\n",
        "{\"done\":true,\"n\":3,\"reason\":\"n\"}\n",
    };
    struct bench t;
    struct told told = {0};
    setup(&t, true);
    fake_stream(t.fake, "POST /v1/node/draft", "application/x-ndjson", parts, ARRAY_LEN(parts), true);
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":3,\"text\":[\"c\"]}");
    struct backend_session *s = open_session(&t);
    backend_draft_stream(s, path, 3, &ask, 1000, on_drafted, got_done, &told);
    loop_until(t.base, &told.g.done);
    assert_got_error(&told.g, BACKEND_OK);
    assert_string_equal(told.text, "0@0+0:1/0.50, 3@4+0:9/0.25, 0@0+1:2/1.00,3/0.75, 3@4+1:8/1.00,7/1.00, ");
    assert_string_equal(fake_body(t.fake, "POST /v1/node/draft", 0),
                        "{\"session\":1,\"keep\":0,\"tokens\":[5,6,7],\"n\":8,\"epoch\":1,\"stream\":true,"
                        "\"from\":3,\"first\":4,\"branches\":6,\"depth\":5}");
    /* The line is the session's; the branch is not, though the node knows it. */
    struct got g = {0};
    backend_verify(s, (int32_t[]){5, 6, 7, 1, 9, 8}, 6, NULL, 0, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_contains(fake_body(t.fake, "POST /v1/node/verify", 0), "\"keep\":4,\"tokens\":[9,8]");
    backend_session_close(s);
    bench_finish(&t);
}

/* A node that has none is not asked for any. */
static void branches_unknown(void **state)
{
    static const char *const parts[] = {"{\"t\":[1],\"p\":[0.5]}\n{\"done\":true,\"n\":1,\"reason\":\"n\"}\n"};
    struct bench t;
    struct told told = {0};
    struct got g = {0};
    setup(&t, false);
    fake_stream(t.fake, "POST /v1/node/draft", "application/x-ndjson", parts, 1, true);
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":3,\"text\":[\"c\"]}");
    struct backend_session *s = open_session(&t);
    backend_draft_stream(s, path, 3, &ask, 1000, on_drafted, got_done, &told);
    loop_until(t.base, &told.g.done);
    assert_got_error(&told.g, BACKEND_OK);
    assert_null(strstr(fake_body(t.fake, "POST /v1/node/draft", 0), "branches"));
    struct backend_branch b = {.at = 0, .tokens = (int32_t[]){4}, .n = 1};
    struct backend_tree tree = {.draft = (int32_t[]){1, 2}, .n_draft = 2, .branches = &b, .n_branches = 1};
    backend_verify_tree(s, path, 3, &tree, -1, 1000, got_verify, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_null(strstr(fake_body(t.fake, "POST /v1/node/verify", 0), "branches"));
    backend_session_close(s);
    bench_finish(&t);
}

static void branches_cancelled(void **state)
{
    static const char *const parts[] = {"{\"t\":[1],\"p\":[0.5]}\n{\"b\":3,\"at\":4,\"t\":[9],\"p\":[0.25]}\n"};
    struct bench t;
    struct told told = {0};
    setup(&t, true);
    fake_stream(t.fake, "POST /v1/node/draft", "application/x-ndjson", parts, 1, false);
    struct backend_session *s = open_session(&t);
    told.cancel = backend_draft_stream(s, path, 3, &ask, 1000, on_drafted, got_done, &told);
    loop_until(t.base, &told.cancelled);
    assert_string_equal(told.text, "0@0+0:1/0.50, ");
    assert_false(told.g.done);
    backend_session_close(s);
    bench_finish(&t);
}

static void branches_nonsense(void **state)
{
    static const char *const lines[] = {
        "{\"b\":0,\"at\":4,\"t\":[9],\"p\":[1]}\n",
        "{\"b\":-1,\"at\":4,\"t\":[9],\"p\":[1]}\n",
        "{\"b\":\"x\",\"at\":4,\"t\":[9],\"p\":[1]}\n",
        "{\"b\":1,\"at\":-4,\"t\":[9],\"p\":[1]}\n",
        "{\"b\":1,\"at\":4,\"t\":[640],\"p\":[1]}\n",
        "{\"b\":1,\"at\":4,\"t\":[9],\"p\":[]}\n",
        "{\"b\":1,\"at\":4}\n",
    };
    static const char *const verdicts[] = {
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"branch\":2}",
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"branch\":-1}",
        "{\"accepted\":0,\"next\":1,\"text\":[\"a\"],\"branches\":3}",
        "{\"accepted\":4,\"next\":1,\"text\":[\"a\",\"b\",\"c\",\"d\",\"e\"],\"branch\":0}",
    };
    struct bench t;
    setup(&t, true);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct told told = {0};
        fake_stream(t.fake, "POST /v1/node/draft", "application/x-ndjson", &lines[i], 1, true);
        struct backend_session *s = open_session(&t);
        backend_draft_stream(s, path, 3, &ask, 1000, on_drafted, got_done, &told);
        loop_until(t.base, &told.g.done);
        assert_got_error(&told.g, BACKEND_BROKEN);
        backend_session_close(s);
    }
    struct backend_branch b[] = {{.at = 1, .tokens = (int32_t[]){4, 5}, .n = 2},
                                 {.at = 0, .tokens = (int32_t[]){4}, .n = 1}};
    struct backend_tree tree = {.draft = (int32_t[]){1, 2}, .n_draft = 2, .branches = b, .n_branches = 2};
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        struct got g = {0};
        fake_reply(t.fake, "POST /v1/node/verify", 200, verdicts[i]);
        struct backend_session *s = open_session(&t);
        backend_verify_tree(s, path, 3, &tree, -1, 1000, got_verify, &g);
        loop_until(t.base, &g.done);
        assert_got_error(&g, BACKEND_BROKEN);
        backend_session_close(s);
    }
    bench_finish(&t);
}

static size_t branch_taken, branches_used;

static void on_verdict(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    branch_taken = v->branch;
    branches_used = v->branches;
    got_verify(arg, st, v);
}

/* The tokens are those of the branch; one that can't be right is left out, and the places stay the caller's. */
static void branches_verified(void **state)
{
    struct bench t;
    struct got g = {0};
    setup(&t, true);
    fake_reply(t.fake, "POST /v1/node/verify", 200,
               "{\"accepted\":3,\"next\":3,\"text\":[\"a\",\"x\",\"y\",\"c\"],\"branch\":1,\"branches\":2}");
    fake_reply(t.fake, "POST /v1/node/verify", 200, "{\"accepted\":0,\"next\":3,\"text\":[\"c\"]}");
    struct backend_session *s = open_session(&t);
    struct backend_branch b[] = {{.at = 0, .tokens = (int32_t[]){4}, .n = 1},
                                 {.at = 0, .tokens = (int32_t[]){700}, .n = 1},
                                 {.at = 2, .tokens = (int32_t[]){4}, .n = 1},
                                 {.at = 1, .tokens = (int32_t[]){24, 25, 800}, .n = 3}};
    struct backend_tree tree = {.draft = (int32_t[]){1, 2, 900}, .n_draft = 3, .branches = b, .n_branches = 4};
    backend_verify_tree(s, path, 3, &tree, -1, 1000, on_verdict, &g);
    loop_until(t.base, &g.done);
    assert_got_error(&g, BACKEND_OK);
    assert_string_equal(fake_body(t.fake, "POST /v1/node/verify", 0),
                        "{\"session\":1,\"keep\":0,\"tokens\":[5,6,7],\"draft\":[1,2],"
                        "\"branches\":[{\"at\":0,\"t\":[4]},{\"at\":1,\"t\":[24,25]}]}");
    assert_got(&g, 1, 24, 25, 3);
    assert_int_equal(branch_taken, 4);
    assert_int_equal(branches_used, 2);
    memset(&g, 0, sizeof(g));
    backend_verify(s, (int32_t[]){5, 6, 7, 1, 24, 25, 3}, 7, NULL, 0, -1, 1000, on_verdict, &g);
    loop_until(t.base, &g.done);
    assert_contains(fake_body(t.fake, "POST /v1/node/verify", 1), "\"keep\":6,\"tokens\":[3]");
    assert_int_equal(branch_taken, 0);
    backend_session_close(s);
    bench_finish(&t);
}

const struct CMUnitTest branches_tests[] = {
    cmocka_unit_test(branches_drafted),  cmocka_unit_test(branches_unknown),  cmocka_unit_test(branches_cancelled),
    cmocka_unit_test(branches_nonsense), cmocka_unit_test(branches_verified),
};
const size_t branches_count = ARRAY_LEN(branches_tests);
