#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rig.h"

/* ---- the rig ---- */

static void on_start(void *arg, int64_t prompt_tokens)
{
    (void)arg;
    assert_true(prompt_tokens > 0);
}

static bool on_text(void *arg, const char *text, size_t len, const struct oai_token *tokens, const bool *drafted,
                    size_t n)
{
    struct client *c = arg;
    assert_false(c->over);
    buf_add(&c->text, text, len);
    for (size_t i = 0; i < n; i++) {
        c->tokens[c->n_tokens++] = tokens[i].id;
        c->n_drafted += drafted[i];
    }
    c->calls++;
    if (c->cancel_after_first) {
        proxy_answer_cancel(c->answer);
        c->over = true;
        c->rig->open--;
    }
    return c->pause_after == 0 || c->calls != c->pause_after;
}

static void over(struct client *c)
{
    assert_false(c->over);
    c->over = true;
    c->answer = NULL;
    c->rig->open--;
}

static void on_done(void *arg, enum answer_finish finish, const struct oai_usage *usage)
{
    struct client *c = arg;
    c->finish = finish;
    c->usage = *usage;
    over(c);
}

static void on_error(void *arg, int status, const char *type, const char *code, const char *message)
{
    (void)type;
    (void)code;
    struct client *c = arg;
    assert_non_null(message);
    c->status = status;
    over(c);
}

static const struct proxy_ops ops = {on_start, on_text, on_done, on_error, NULL};

static void probed(void *arg)
{
    event_base_loopbreak(arg);
}

void rig_start(struct rig *r, uint32_t seed, int64_t cap)
{
    memset(r, 0, sizeof(*r));
    r->base = event_base_new();
    r->http = httpc_create(r->base);
    fake_node_start(&r->target, r->base, seed);
    r->target.branches = 3;
    fake_node_start(&r->draft, r->base, seed + 1);
    snprintf(r->target_url, sizeof(r->target_url), "http://127.0.0.1:%d", r->target.port);
    snprintf(r->draft_url, sizeof(r->draft_url), "http://127.0.0.1:%d", r->draft.port);
    r->drafter = (struct config_server){.name = "d", .url = r->draft_url, .backend = "node"};
    r->cfg.proxy = (struct config_proxy){
        .max_draft_tokens = cap,
        .fallback_on_draft_failure = true,
        .default_mode = "auto",
        .consensus_mode = "off",
        .max_tokens_limit = 16384,
        .target_wait_ms = 5000,
        .max_queue = 256,
        .draft_timeout_ms = 300,
        .verify_branches = CONFIG_AUTO,
        .drafters = &r->drafter,
        .n_drafters = 1,
        .target = {.name = "t", .url = r->target_url, .backend = "node"},
    };
    char *cause = NULL;
    r->proxy = proxy_create(r->base, r->http, &r->cfg, &cause);
    assert_non_null(r->proxy);
    proxy_when_probed(r->proxy, probed, r->base);
    event_base_dispatch(r->base);
}

void rig_stop(struct rig *r)
{
    proxy_destroy(r->proxy);
    httpc_destroy(r->http);
    fake_node_stop(&r->target);
    fake_node_stop(&r->draft);
    event_base_free(r->base);
}

void rig_run(struct rig *r)
{
    int64_t end = clock_us() + 30 * 1000 * 1000;
    while (r->open > 0) {
        assert_true(clock_us() < end);
        event_base_loop(r->base, EVLOOP_ONCE);
    }
}

void rig_ask(struct rig *r, struct client *c, const char *text, const char *json)
{
    memset(c, 0, sizeof(*c));
    c->rig = r;
    buf_init(&c->text, 1 << 20);
    char *body =
        xasprintf("{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s%s}", text, json[0] ? "," : "", json);
    struct oai_request q;
    struct oai_error err = {0};
    struct oai_limits limits = {.max_tokens = 16384};
    assert_int_equal(oai_request_parse(&q, true, body, strlen(body), &limits, &err), 0);
    free(body);
    c->answer = proxy_submit(r->proxy, &q, &ops, c, &err);
    oai_request_finish(&q);
    if (c->answer == NULL) {
        c->status = err.status;
        c->over = true;
        oai_error_finish(&err);
    } else {
        r->open++;
    }
}

size_t rig_right(const struct rig *r, const char *text, size_t max_tokens, int32_t *out)
{
    int32_t path[4096];
    size_t n = 0, made = 0;
    for (; *text != '\0'; text++)
        path[n++] = 3 + (unsigned char)*text;
    while (made < max_tokens && n < (size_t)r->target.n_ctx) {
        out[made] = path[n] = fake_next(&r->target, path, n);
        n++;
        if (out[made++] == FAKE_EOG)
            break;
    }
    return made;
}

void rig_govern(struct rig *r, bool governor, bool ahead)
{
    char *cause = NULL;
    r->cfg.proxy.governor = governor;
    r->cfg.proxy.draft_ahead = ahead;
    assert_int_equal(proxy_reload(r->proxy, &r->cfg, &cause), 0);
}

static void check_right(struct rig *r, struct client *c, const char *text, size_t max_tokens)
{
    int32_t right[4096];
    size_t n = rig_right(r, text, max_tokens, right);
    bool ends = n > 0 && right[n - 1] == FAKE_EOG;
    assert_int_equal(c->status, 0);
    assert_int_equal(c->usage.completion_tokens, n);
    assert_int_equal(c->finish, ends ? ANSWER_STOP : ANSWER_LENGTH);
    assert_int_equal(c->n_tokens, n - ends);
    assert_memory_equal(c->tokens, right, c->n_tokens * sizeof(*right));
}

static void finish_client(struct client *c)
{
    buf_finish(&c->text);
}

/* ---- tests ---- */

/* Whatever the drafter is worth, the answer is the target's. */
static void any_drafter(void **state)
{
    (void)state;
    static const unsigned agreement[] = {0, 50, 90, 100};
    static const int64_t caps[] = {0, 1, 8, 32, CONFIG_AUTO};
    for (size_t i = 0; i < ARRAY_LEN(agreement); i++) {
        for (size_t k = 0; k < ARRAY_LEN(caps); k++) {
            struct rig r;
            rig_start(&r, 7, caps[k]);
            rig_govern(&r, (i + k) % 2, (i + k) % 3 > 0);
            r.draft.agreement = agreement[i];
            struct client c;
            for (int q = 0; q < 6; q++) {
                char text[32];
                snprintf(text, sizeof(text), "prompt %d", q);
                rig_ask(&r, &c, text, "\"max_tokens\":120");
                rig_run(&r);
                check_right(&r, &c, text, 120);
                finish_client(&c);
            }
            if (caps[k] == 0)
                assert_int_equal(r.target.verifies, 0);
            if (caps[k] == 8 && agreement[i] == 100 && (i + k) % 2 == 0)
                assert_true(r.target.accepted > r.target.drafted * 9 / 10);
            rig_stop(&r);
        }
    }
}

/* What the snapshot calls accepted is what the target accepted. */
static void counts_are_the_wire(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 11, 8);
    r.draft.agreement = 70;
    struct client c[8];
    for (int i = 0; i < 8; i++) {
        char text[32];
        snprintf(text, sizeof(text), "count %d", i);
        rig_ask(&r, &c[i], text, "\"max_tokens\":100");
    }
    rig_run(&r);
    event_base_loop(r.base, EVLOOP_ONCE);
    uint64_t tick = proxy_snapshot(r.proxy)->tick;
    while (proxy_snapshot(r.proxy)->tick < tick + 2)
        event_base_loop(r.base, EVLOOP_ONCE);
    const struct snapshot *s = proxy_snapshot(r.proxy);
    assert_true(s->drafted > 100);
    assert_int_equal(s->drafted, r.target.drafted);
    assert_int_equal(s->accepted, r.target.accepted);
    assert_int_equal(s->backend[1].drafted, r.target.drafted);
    assert_int_equal(s->requests_ok, 8);
    assert_true(s->speculating);
    for (int i = 0; i < 8; i++)
        finish_client(&c[i]);
    rig_stop(&r);
}

/* Faults of either server by chance, also lost sessions: the answer is finished, and it is the right one. */
static void faults(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 3; seed++) {
        struct rig r;
        rig_start(&r, seed, 8);
        rig_govern(&r, seed % 2, seed < 3);
        r.target.fault_percent = 5;
        r.draft.fault_percent = 20;
        struct client c[6];
        for (int i = 0; i < 6; i++) {
            char text[32];
            snprintf(text, sizeof(text), "fault %d", i);
            rig_ask(&r, &c[i], text, "\"max_tokens\":80");
        }
        rig_run(&r);
        for (int i = 0; i < 6; i++) {
            char text[32];
            snprintf(text, sizeof(text), "fault %d", i);
            check_right(&r, &c[i], text, 80);
            finish_client(&c[i]);
        }
        rig_stop(&r);
    }
}

/* A drafter that says nothing costs a pause, not the answer. */
static void mute_drafter(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 3, 8);
    r.draft.mute = true;
    struct client c;
    rig_ask(&r, &c, "silence", "\"max_tokens\":200");
    int64_t start = clock_us();
    rig_run(&r);
    assert_true(clock_us() - start < 3 * 1000 * 1000);
    check_right(&r, &c, "silence", 200);
    finish_client(&c);
    rig_stop(&r);
}

/* A drafter with another vocabulary is not used, and the snapshot says why. */
static void other_vocabulary(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 3, 8);
    rig_stop(&r);
    memset(&r, 0, sizeof(r));
    rig_start(&r, 3, 8);
    r.draft.fingerprint = FAKE_OTHER_PRINT;
    char *cause = NULL;
    assert_int_equal(proxy_remove_drafter(r.proxy, "d", &cause), 0);
    event_base_loop(r.base, EVLOOP_ONCE);
    assert_int_equal(proxy_add_drafter(r.proxy, &r.drafter, &cause), 0);
    proxy_when_probed(r.proxy, probed, r.base);
    event_base_dispatch(r.base);
    struct client c;
    rig_ask(&r, &c, "alone", "\"max_tokens\":50");
    rig_run(&r);
    check_right(&r, &c, "alone", 50);
    assert_int_equal(r.draft.drafts, 0);
    finish_client(&c);
    rig_stop(&r);
}

static void max_tokens_exact(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 5, 32);
    r.target.long_answers = r.draft.long_answers = true;
    static const int64_t counts[] = {1, 2, 31, 32, 33, 64};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        char json[40];
        struct client c;
        snprintf(json, sizeof(json), "\"max_tokens\":%d", (int)counts[i]);
        rig_ask(&r, &c, "exactly", json);
        rig_run(&r);
        assert_int_equal(c.usage.completion_tokens, counts[i]);
        check_right(&r, &c, "exactly", (size_t)counts[i]);
        finish_client(&c);
    }
    rig_stop(&r);
}

/* The context is the limit where none was asked for. */
static void context_end(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 5, 16);
    rig_stop(&r);
    rig_start(&r, 5, 16);
    r.target.long_answers = r.draft.long_answers = true;
    struct client c;
    rig_ask(&r, &c, "on and on", "");
    rig_run(&r);
    assert_int_equal(c.finish, ANSWER_LENGTH);
    assert_int_equal(c.usage.completion_tokens, r.target.n_ctx - 9);
    finish_client(&c);
    rig_stop(&r);
}

/* A reader that pauses gets the rest when it reads again. */
static void slow_reader(void **state)
{
    (void)state;
    for (int64_t cap = 0; cap <= 8; cap += 8) {
        struct rig r;
        rig_start(&r, 9, cap);
        r.target.long_answers = r.draft.long_answers = true;
        struct client c;
        rig_ask(&r, &c, "slowly", "\"max_tokens\":3900");
        c.pause_after = 1;
        int64_t until = clock_us() + 400 * 1000;
        while (clock_us() < until)
            event_base_loop(r.base, EVLOOP_ONCE);
        assert_false(c.over);
        assert_true(c.n_tokens < 3900 && (cap == 0 || c.calls == 1));
        proxy_answer_resume(c.answer);
        rig_run(&r);
        check_right(&r, &c, "slowly", 3900);
        finish_client(&c);
        rig_stop(&r);
    }
}

static void cancelled(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 9, 8);
    r.target.long_answers = r.draft.long_answers = true;
    struct client c, d;
    rig_ask(&r, &c, "never mind", "\"max_tokens\":1000");
    c.cancel_after_first = true;
    rig_ask(&r, &d, "but this", "\"max_tokens\":40");
    rig_run(&r);
    check_right(&r, &d, "but this", 40);
    assert_true(r.target.verifies < 40);
    finish_client(&c);
    finish_client(&d);
    rig_stop(&r);
}

/* Names: the target's, NAME@target, NAME@draft; others are refused. */
static void names(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 9, 8);
    struct client c;
    rig_ask(&r, &c, "x", "\"model\":\"nonsense\"");
    assert_int_equal(c.status, 404);
    finish_client(&c);
    rig_ask(&r, &c, "x", "\"model\":\"fake@gate\"");
    assert_int_equal(c.status, 404);
    finish_client(&c);
    rig_ask(&r, &c, "alone", "\"model\":\"fake@target\",\"max_tokens\":60");
    rig_run(&r);
    check_right(&r, &c, "alone", 60);
    assert_int_equal(r.target.verifies, 0);
    assert_int_equal(r.draft.generates, 0);
    finish_client(&c);
    rig_ask(&r, &c, "alone", "\"model\":\"fake@draft\",\"max_tokens\":60");
    rig_run(&r);
    assert_int_equal(r.draft.generates, 1);
    finish_client(&c);
    rig_stop(&r);
}

static void queue_is_bounded(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 9, 8);
    static struct client c[280];
    int refused = 0;
    for (int i = 0; i < 280; i++) {
        rig_ask(&r, &c[i], "many", "\"max_tokens\":3");
        refused += c[i].status == 429;
        if (i == 2)
            event_base_loop(r.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    assert_int_equal(refused, 280 - 256 - 4);
    rig_run(&r);
    for (int i = 0; i < 280; i++) {
        if (c[i].status == 0)
            check_right(&r, &c[i], "many", 3);
        finish_client(&c[i]);
    }
    rig_stop(&r);
}

/* A target that never comes back: an error within target_wait, and the next request is served once it is there. */
static void target_gone(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 9, 8);
    r.cfg.proxy.target_wait_ms = 600;
    char *cause = NULL;
    assert_int_equal(proxy_reload(r.proxy, &r.cfg, &cause), 0);
    fake_node_stop(&r.target);
    struct client c;
    rig_ask(&r, &c, "anybody", "\"max_tokens\":30");
    rig_run(&r);
    assert_int_equal(c.status, 503);
    finish_client(&c);
    rig_stop(&r);
}

const struct CMUnitTest proxy_tests[] = {
    cmocka_unit_test(any_drafter),  cmocka_unit_test(counts_are_the_wire), cmocka_unit_test(faults),
    cmocka_unit_test(mute_drafter), cmocka_unit_test(other_vocabulary),    cmocka_unit_test(max_tokens_exact),
    cmocka_unit_test(context_end),  cmocka_unit_test(slow_reader),         cmocka_unit_test(cancelled),
    cmocka_unit_test(names),        cmocka_unit_test(queue_is_bounded),    cmocka_unit_test(target_gone),
};
const size_t proxy_count = ARRAY_LEN(proxy_tests);
