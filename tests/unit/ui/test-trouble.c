/* What is wrong and what to do, in words: the worst first, and nothing where nothing is wrong. */
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fixture.h"
#include "ui/trouble.h"

struct found {
    struct feed_picture picture;
    struct trouble trouble[TROUBLES];
    size_t n;
};

static struct found *make(bool trouble)
{
    struct found *f = xcalloc(1, sizeof(*f));
    (trouble ? fixture_trouble : fixture_picture)(&f->picture);
    return f;
}

static bool says(struct found *f, const char *text)
{
    f->n = trouble_find(&f->picture, false, f->trouble);
    for (size_t i = 0; i < f->n; i++) {
        if (strstr(f->trouble[i].text, text) != NULL)
            return true;
    }
    return false;
}

static void nothing_is_wrong(void **state)
{
    struct found *f = make(false);
    (void)state;
    assert_int_equal(trouble_find(&f->picture, false, f->trouble), 0);
    free(f);
}

static void the_worst_comes_first(void **state)
{
    struct found *f = make(true);
    (void)state;
    assert_true(says(f, "Requests wait for it: start it there"));
    assert_true(strstr(f->trouble[0].text, "target target is down") != NULL);
    assert_int_equal(f->trouble[0].role, THEME_BAD);
    for (size_t i = 1; i < f->n; i++)
        assert_int_equal(f->trouble[i].role, THEME_WARN);
    assert_true(says(f, "The target goes on without it: is the machine on"));
    assert_true(says(f, "the last swap failed: llama3:70b needs 40 GiB"));
    assert_false(says(f, "no speculation")); /* it follows from the others */
    free(f);
}

static void each_has_its_remedy(void **state)
{
    struct found *f = make(false);
    struct snapshot *s = &f->picture.snapshot;
    (void)state;
    s->backend[1].health = HEALTH_DOWN;
    snprintf(s->backend[1].reason, sizeof(s->backend[1].reason), "Could not connect: Connection refused");
    assert_true(says(f, "OLLAMA_HOST=0.0.0.0 ollama serve"));
    snprintf(s->backend[1].reason, sizeof(s->backend[1].reason), "Could not resolve host: attic");
    assert_true(says(f, "give its address"));
    s->backend[1].paused = true; /* by somebody's will: nothing is wrong */
    assert_false(says(f, "small"));
    s->backend[1].paused = false;
    s->backend[1].health = HEALTH_UP;
    snprintf(s->backend[1].reason, sizeof(s->backend[1].reason), "another vocabulary");
    assert_true(says(f, "drafter small: another vocabulary"));
    s->backend[1].reason[0] = '\0';
    s->backend[1].drafted = 10000;
    s->backend[1].accepted = 300;
    assert_true(says(f, "only 3 %"));
    s->backend[1].accepted = 3000;
    assert_true(says(f, "its quantisation or fine-tune differs"));
    s->backend[1].accepted = 9000;
    assert_false(says(f, "only"));
    s->queued = s->max_queue;
    assert_true(says(f, "requests are turned away"));
    free(f);
}

static void pool_and_connection(void **state)
{
    struct found *f = make(false);
    struct snapshot *s = &f->picture.snapshot;
    (void)state;
    s->pool.up = false;
    snprintf(s->pool.state, sizeof(s->pool.state), "backoff");
    snprintf(s->pool.why, sizeof(s->pool.why), "worker attic:50052 does not answer");
    s->pool.retry_ms = 5400;
    assert_true(says(f, "pool: worker attic:50052 does not answer (tried again in 5.0 s)"));
    snprintf(s->pool.state, sizeof(s->pool.state), "preflight");
    assert_true(says(f, "pool, preflight: worker attic:50052 does not answer"));
    s->backend[0].health = HEALTH_DOWN; /* the pool is the target */
    assert_false(says(f, "target target"));
    s->speculating = false;
    snprintf(s->why_not, sizeof(s->why_not), "no drafter is configured");
    s->pool.up = true;
    snprintf(s->pool.state, sizeof(s->pool.state), "up");
    s->pool.why[0] = '\0';
    s->backend[0].health = HEALTH_UP;
    assert_true(says(f, "no speculation: no drafter is configured"));
    f->picture.connected = false;
    snprintf(f->picture.connection, sizeof(f->picture.connection), "no answer from :8088");
    assert_true(says(f, "no answer from :8088"));
    assert_int_equal(f->trouble[0].role, THEME_BAD);
    f->picture.have = false;
    assert_int_equal(trouble_find(&f->picture, true, f->trouble), 1);
    free(f);
}

static void consensus_and_the_gate(void **state)
{
    struct found *f = make(false);
    struct snapshot *s = &f->picture.snapshot;
    (void)state;
    fixture_modes(&f->picture);
    assert_true(says(f, "agent attic is down: no answer within 2000 ms. Others write in its place: is the machine on"));
    assert_int_equal(f->n, 1);
    s->gate.agent[3].health = HEALTH_UP;
    assert_true(says(f, "agent attic: no answer"));
    snprintf(s->gate.why, sizeof(s->gate.why), "the verifier can't score tokens");
    assert_true(says(f, "gate: the verifier"));
    s->gate.on = false; /* nothing is asked of it */
    assert_int_equal(trouble_find(&f->picture, false, f->trouble), 0);
    s->consensus.suspended = true;
    snprintf(s->consensus.why, sizeof(s->consensus.why), "suspended: 3.1 %% are wrong");
    assert_true(says(f, "consensus: suspended: 3.1 % are wrong; answers are exact until it is chosen anew (C)"));
    s->consensus.suspended = false;
    snprintf(s->consensus.why, sizeof(s->consensus.why), "one drafter can draft now: a vote needs 2");
    assert_true(says(f, "consensus: one drafter can draft now: a vote needs 2; answers are exact"));
    free(f);
}

/* One that is seldom right is no trouble where it is right when the others are not. */
static void a_drafter_that_earns_its_place(void **state)
{
    struct found *f = make(false);
    struct snapshot_backend *b = &f->picture.snapshot.backend[1];
    (void)state;
    b->drafted = 10000;
    b->accepted = 900;
    b->offered = 1000;
    b->wins = 60;
    assert_false(says(f, "only"));
    b->wins = 2;
    assert_true(says(f, "only 9 %"));
    b->resting = true; /* it is not asked any more */
    assert_false(says(f, "only"));
    b->resting = false;
    f->picture.snapshot.n_backends = 2; /* alone */
    b->wins = 1000;
    assert_true(says(f, "only 9 %"));
    free(f);
}

/* However much is wrong, the list is long enough or ends. */
static void many_at_once(void **state)
{
    struct found *f = make(true);
    struct snapshot *s = &f->picture.snapshot;
    (void)state;
    for (s->n_backends = 1; s->n_backends < SNAPSHOT_BACKENDS; s->n_backends++)
        s->backend[s->n_backends] = s->backend[1];
    for (s->pool.n_devices = 0; s->pool.n_devices < SNAPSHOT_DEVICES; s->pool.n_devices++)
        snprintf(s->pool.device[s->pool.n_devices].reason, 128, "gone");
    assert_int_equal(trouble_find(&f->picture, false, f->trouble), TROUBLES);
    assert_int_equal(f->trouble[0].role, THEME_BAD);
    free(f);
}

const struct CMUnitTest trouble_tests[] = {
    cmocka_unit_test(nothing_is_wrong),
    cmocka_unit_test(the_worst_comes_first),
    cmocka_unit_test(each_has_its_remedy),
    cmocka_unit_test(pool_and_connection),
    cmocka_unit_test(many_at_once),
    cmocka_unit_test(consensus_and_the_gate),
    cmocka_unit_test(a_drafter_that_earns_its_place),
};
const size_t trouble_count = ARRAY_LEN(trouble_tests);
