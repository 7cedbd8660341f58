/* Answers that begin with what somebody else has written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engines/engine.h"
#include "rig.h"

enum { KEPT = 20 };

struct kept {
    int32_t prompt[64], tokens[KEPT];
    size_t n_prompt;
    struct buf text;
};

/* Tokens that the target would not have written. */
static void make_kept(struct kept *k, const char *prompt)
{
    memset(k, 0, sizeof(*k));
    for (; prompt[k->n_prompt] != '\0'; k->n_prompt++)
        k->prompt[k->n_prompt] = 3 + (unsigned char)prompt[k->n_prompt];
    buf_init(&k->text, 4096);
    for (int i = 0; i < KEPT; i++) {
        k->tokens[i] = 100 + i; /* 107 and 108 make one character */
        buf_adds(&k->text, fake_piece(k->tokens[i]));
    }
}

/* The request is taken from its runner as the gate does, and goes on behind n kept tokens. */
static void go_on(struct rig *r, struct client *c, const struct kept *k, size_t n, const char *json)
{
    rig_ask(r, c, "kept", json);
    while (c->answer != NULL && c->answer->run == NULL)
        event_base_loop(r->base, EVLOOP_ONCE);
    c->answer->runner->stop(c->answer);
    speculate_from(c->answer, k->prompt, k->n_prompt, k->tokens, n, n > 0 ? k->text.data : "", n > 0 ? k->text.len : 0);
}

/* The tokens that the target writes behind n kept ones, with its end token; returns how many. */
static size_t right(const struct rig *r, const struct kept *k, size_t n, size_t most, int32_t *out)
{
    int32_t path[1024];
    size_t at = k->n_prompt + n, made = 0;
    memcpy(path, k->prompt, k->n_prompt * sizeof(*path));
    memcpy(path + k->n_prompt, k->tokens, n * sizeof(*path));
    while (made < most) {
        out[made] = path[at] = fake_next(&r->target, path, at);
        at++;
        if (out[made++] == FAKE_EOG)
            break;
    }
    return made;
}

static void goes_on_behind_what_is_kept(void **state)
{
    (void)state;
    static const size_t kept[] = {0, 1, KEPT};
    struct kept k;
    make_kept(&k, "kept");
    for (size_t i = 0; i < 2 * ARRAY_LEN(kept); i++) {
        struct rig r;
        struct client c;
        int32_t want[256];
        size_t n = kept[i / 2];
        rig_start(&r, 5 + (uint32_t)i, 8);
        rig_govern(&r, i % 2, i % 2);
        r.draft.agreement = 80;
        /* The text of one kept token is that of all: nobody asks which byte is whose. */
        go_on(&r, &c, &k, n, "\"max_tokens\":100");
        rig_run(&r);
        size_t made = right(&r, &k, n, 100 - n, want);
        bool ends = want[made - 1] == FAKE_EOG;
        assert_int_equal(c.status, 0);
        assert_int_equal(c.usage.completion_tokens, n + made);
        assert_int_equal(c.finish, ends ? ANSWER_STOP : ANSWER_LENGTH);
        assert_int_equal(c.n_tokens, made - ends);
        assert_memory_equal(c.tokens, want, c.n_tokens * sizeof(*want));
        if (n > 0)
            assert_memory_equal(c.text.data, k.text.data, k.text.len);
        buf_finish(&c.text);
        rig_stop(&r);
    }
    buf_finish(&k.text);
}

static void limits_hold_for_what_is_kept(void **state)
{
    (void)state;
    struct rig r;
    struct client c;
    struct kept k;
    int32_t want[64];
    make_kept(&k, "kept");
    rig_start(&r, 3, 8);
    go_on(&r, &c, &k, KEPT, "\"max_tokens\":60,\"stop\":[\" t105\"]");
    assert_true(c.over);
    assert_int_equal(c.finish, ANSWER_STOP);
    assert_memory_equal(c.text.data, " t100 t101 t102 t103 t104", c.text.len);
    buf_finish(&c.text);
    go_on(&r, &c, &k, KEPT, "\"max_tokens\":20");
    assert_true(c.over);
    assert_int_equal(c.finish, ANSWER_LENGTH);
    assert_int_equal(c.usage.completion_tokens, KEPT);
    assert_int_equal(c.text.len, k.text.len);
    buf_finish(&c.text);
    /* More than the answer may have: the target writes all of it. */
    go_on(&r, &c, &k, KEPT, "\"max_tokens\":10");
    rig_run(&r);
    size_t made = right(&r, &k, 0, 10, want);
    assert_int_equal(c.usage.completion_tokens, made);
    assert_memory_equal(c.tokens, want, c.n_tokens * sizeof(*want));
    buf_finish(&c.text);
    buf_finish(&k.text);
    rig_stop(&r);
}

/* What is kept is told at once; the target that is gone meanwhile is waited for, and fails the answer in its time. */
static void the_target_may_be_gone(void **state)
{
    (void)state;
    struct rig r;
    struct client c;
    struct kept k;
    char *cause = NULL;
    make_kept(&k, "kept");
    rig_start(&r, 3, 8);
    r.cfg.proxy.target_wait_ms = 400;
    assert_int_equal(proxy_reload(r.proxy, &r.cfg, &cause), 0);
    fake_node_stop(&r.target);
    rig_ask(&r, &c, "kept", "");
    while (!c.over && (c.answer->run == NULL || member_up(c.answer->target)))
        event_base_loop(r.base, EVLOOP_ONCE);
    assert_false(c.over);
    c.answer->runner->stop(c.answer);
    speculate_from(c.answer, k.prompt, k.n_prompt, k.tokens, KEPT, k.text.data, k.text.len);
    assert_int_equal(c.text.len, k.text.len);
    assert_false(c.over);
    rig_run(&r);
    assert_int_equal(c.status, 503);
    buf_finish(&c.text);
    buf_finish(&k.text);
    rig_stop(&r);
}

const struct CMUnitTest speculate_tests[] = {
    cmocka_unit_test(goes_on_behind_what_is_kept),
    cmocka_unit_test(limits_hold_for_what_is_kept),
    cmocka_unit_test(the_target_may_be_gone),
};
const size_t speculate_test_count = ARRAY_LEN(speculate_tests);
