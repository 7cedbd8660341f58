/* Several drafters at once, over fake nodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engines/proxy-internal.h"
#include "rig.h"

enum { MORE = 2, ANSWERS = 8 };

struct crowd {
    struct rig rig;
    struct fake_node more[MORE];
};

static void wait_for(struct crowd *c, bool branches)
{
    const struct proxy *p = c->rig.proxy;
    int64_t end = clock_us() + 20 * 1000 * 1000;
    for (bool ready = false; !ready;) {
        event_base_loop(c->rig.base, EVLOOP_ONCE);
        ready = p->target->backend->info.caps.verify_branches == branches;
        for (size_t i = 0; i < p->n_drafters; i++)
            ready = ready && member_can_draft(p->drafter[i], p->target);
        assert_true(clock_us() < end);
    }
}

/* Drafters d, d0 and d1, all of which can draft. */
static void start(struct crowd *c, uint32_t seed, int64_t cap, bool branches, bool governor)
{
    char *cause = NULL;
    rig_start(&c->rig, seed, cap);
    rig_govern(&c->rig, governor, governor);
    for (int i = 0; i < MORE; i++) {
        char url[64], name[8];
        fake_node_start(&c->more[i], c->rig.base, seed + 10 + (uint32_t)i);
        snprintf(url, sizeof(url), "http://127.0.0.1:%d", c->more[i].port);
        snprintf(name, sizeof(name), "d%d", i);
        struct config_server s = {.name = name, .url = url, .backend = (char *)"node"};
        assert_int_equal(proxy_add_drafter(c->rig.proxy, &s, &cause), 0);
    }
    c->rig.target.branches = branches ? 3 : 0;
    member_probe_now(c->rig.proxy->target);
    wait_for(c, branches);
}

static void stop(struct crowd *c)
{
    for (int i = 0; i < MORE; i++)
        fake_node_stop(&c->more[i]);
    rig_stop(&c->rig);
}

/* Some answers at once, each of which is what the target alone would write; returns their tokens. */
static size_t check_answers(struct crowd *c, size_t clients, size_t max_tokens)
{
    size_t tokens = 0;
    for (size_t from = 0; from < ANSWERS; from += clients) {
        struct client client[ANSWERS];
        char text[32], json[64];
        snprintf(json, sizeof(json), "\"max_tokens\":%zu", max_tokens);
        for (size_t i = 0; i < clients; i++) {
            snprintf(text, sizeof(text), "team %zu", from + i);
            rig_ask(&c->rig, &client[i], text, json);
        }
        rig_run(&c->rig);
        for (size_t i = 0; i < clients; i++) {
            int32_t right[4096];
            snprintf(text, sizeof(text), "team %zu", from + i);
            size_t n = rig_right(&c->rig, text, max_tokens, right);
            bool ends = n > 0 && right[n - 1] == FAKE_EOG;
            assert_int_equal(client[i].status, 0);
            assert_int_equal(client[i].usage.completion_tokens, n);
            assert_int_equal(client[i].n_tokens, n - ends);
            assert_memory_equal(client[i].tokens, right, client[i].n_tokens * sizeof(*right));
            buf_finish(&client[i].text);
            tokens += n;
        }
    }
    return tokens;
}

/* Whatever they are worth, whatever goes wrong with them, with branches and without, governed and not. */
static void any_drafters(void **state)
{
    (void)state;
    static const unsigned agreement[][3] = {{0, 50, 90}, {90, 90, 90}, {100, 0, 0}, {60, 95, 20}};
    for (uint32_t i = 0; i < 8; i++) {
        static struct crowd c; /* too large for a stack */
        start(&c, 20 + i, i % 3 == 0 ? CONFIG_AUTO : 16, i % 4 != 3, i % 2 == 0);
        c.rig.draft.agreement = agreement[i % 4][0];
        c.more[0].agreement = agreement[i % 4][1];
        c.more[1].agreement = agreement[i % 4][2];
        c.rig.draft.fault_percent = c.more[0].fault_percent = i < 4 ? 0 : 15;
        c.more[1].mute = i == 5;
        c.rig.target.fault_percent = i < 6 ? 0 : 3;
        check_answers(&c, 1 + i % 4, 100);
        assert_int_equal(c.rig.target.branched > 0 && i % 4 == 3, 0);
        stop(&c);
    }
}

/* Two who know every other eight tokens: with both of them a pass brings more than with either, and both win. */
static void halves(void **state)
{
    (void)state;
    size_t per_pass[3];
    for (unsigned who = 0; who < 3; who++) { /* 0, 1: one of them alone; 2: both */
        static struct crowd c;               /* too large for a stack */
        char *cause = NULL;
        start(&c, 40, 16, true, false);
        c.rig.target.long_answers = true;
        c.rig.draft.agreement = c.more[0].agreement = 100;
        c.rig.draft.half = 1;
        c.more[0].half = 2;
        assert_int_equal(proxy_remove_drafter(c.rig.proxy, "d1", &cause), 0);
        if (who < 2)
            assert_int_equal(proxy_remove_drafter(c.rig.proxy, who == 0 ? "d0" : "d", &cause), 0);
        size_t tokens = check_answers(&c, 1, 200);
        per_pass[who] = 100 * tokens / c.rig.target.verifies;
        for (size_t i = 0; i < c.rig.proxy->n_drafters; i++) {
            const struct member *m = c.rig.proxy->drafter[i];
            assert_true(m->wins > ANSWERS && m->wins <= m->offered);
            assert_true(m->accepted > 0 && m->accepted <= m->drafted);
        }
        assert_int_equal(c.rig.target.branched > 0, who == 2);
        stop(&c);
    }
    assert_true(per_pass[2] > 3 * per_pass[0] / 2 && per_pass[2] > 3 * per_pass[1] / 2);
}

/* As many tokens in a pass as one draft may have, however many drafters there are. */
static void keeps_to_the_cap(void **state)
{
    (void)state;
    static struct crowd c; /* too large for a stack */
    start(&c, 50, 12, true, false);
    c.rig.target.long_answers = true;
    c.rig.draft.agreement = c.more[0].agreement = c.more[1].agreement = 70;
    check_answers(&c, 1, 100);
    assert_true(c.rig.target.branched > 0);
    assert_true(c.rig.target.most_checked <= 12);
    stop(&c);
}

const struct CMUnitTest team_tests[] = {
    cmocka_unit_test(any_drafters),
    cmocka_unit_test(halves),
    cmocka_unit_test(keeps_to_the_cap),
};
const size_t team_test_count = ARRAY_LEN(team_tests);
