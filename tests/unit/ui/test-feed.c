/* The door between the loop and the drawing thread: the newest picture only, orders and answers in their order. */
#include "tests.h"

#include <stdlib.h>

#include "base/mem.h"
#include "ui/feed.h"

struct heard {
    uint64_t ids[FEED_ORDERS + 1];
    size_t n;
    int quits;
    bool stop;
};

static void on_order(void *arg, uint64_t id, json_t *request)
{
    struct heard *h = arg;
    h->ids[h->n++] = id;
    json_decref(request);
}

static void on_quit(void *arg, bool stop)
{
    struct heard *h = arg;
    h->quits++;
    h->stop = stop;
}

static struct feed *make(struct event_base *base, struct heard *h)
{
    struct feed_hooks hooks = {.order = on_order, .quit = on_quit, .arg = h};
    *h = (struct heard){0};
    return feed_create(base, &hooks);
}

static void newest_picture_wins(void **state)
{
    (void)state;
    struct heard h;
    struct event_base *base = event_base_new();
    struct feed *f = make(base, &h);
    struct feed_picture *p = xcalloc(1, sizeof(*p));
    struct snapshot *s = xcalloc(1, sizeof(*s));
    assert_false(feed_take(f, p));
    for (uint64_t tick = 1; tick <= 3; tick++) {
        s->tick = tick;
        feed_publish(f, s, NULL);
    }
    assert_true(feed_take(f, p));
    assert_true(p->have);
    assert_int_equal(p->snapshot.tick, 3);
    assert_false(feed_take(f, p));
    feed_connection(f, false, "gone");
    assert_true(feed_take(f, p));
    assert_int_equal(p->snapshot.tick, 3);
    assert_false(p->connected);
    assert_string_equal(p->connection, "gone");
    free(s);
    free(p);
    feed_destroy(f);
    event_base_free(base);
}

static void orders_are_capped_and_kept_in_order(void **state)
{
    (void)state;
    struct heard h;
    struct event_base *base = event_base_new();
    struct feed *f = make(base, &h);
    for (uint64_t i = 1; i <= FEED_ORDERS; i++)
        assert_int_equal(feed_order(f, json_object()), i);
    assert_int_equal(feed_order(f, json_object()), 0);
    assert_int_equal(h.n, 0);
    event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(h.n, FEED_ORDERS);
    assert_int_equal(h.ids[0], 1);
    assert_int_equal(h.ids[FEED_ORDERS - 1], FEED_ORDERS);
    assert_int_equal(feed_order(f, json_object()), FEED_ORDERS + 1);
    feed_quit(f, true);
    feed_quit(f, true);
    event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(h.n, FEED_ORDERS + 1);
    assert_int_equal(h.quits, 1);
    assert_true(h.stop);
    feed_order(f, json_object()); /* nobody takes it: freed with the feed */
    feed_destroy(f);
    event_base_free(base);
}

static void answers_come_in_order(void **state)
{
    (void)state;
    struct heard h;
    struct event_base *base = event_base_new();
    struct feed *f = make(base, &h);
    uint64_t id;
    json_t *reply;
    char *why;
    assert_false(feed_take_answer(f, &id, &reply, &why));
    feed_answer(f, 7, json_true(), NULL);
    feed_answer(f, 8, NULL, "there is no such model");
    assert_true(feed_take_answer(f, &id, &reply, &why));
    assert_int_equal(id, 7);
    assert_non_null(reply);
    assert_null(why);
    json_decref(reply);
    assert_true(feed_take_answer(f, &id, &reply, &why));
    assert_int_equal(id, 8);
    assert_null(reply);
    assert_string_equal(why, "there is no such model");
    free(why);
    assert_false(feed_take_answer(f, &id, &reply, &why));
    feed_answer(f, 9, NULL, "not taken"); /* freed with the feed */
    assert_false(feed_closed(f));
    feed_close(f);
    assert_true(feed_closed(f));
    feed_destroy(f);
    event_base_free(base);
}

const struct CMUnitTest feed_tests[] = {
    cmocka_unit_test(newest_picture_wins),
    cmocka_unit_test(orders_are_capped_and_kept_in_order),
    cmocka_unit_test(answers_come_in_order),
};
const size_t feed_count = ARRAY_LEN(feed_tests);
