/* What is written as JSON and read back is the same: the dashboard of `--attach` shows what the instance has. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/live-json.h"
#include "api/snapshot-json.h"
#include "base/mem.h"

static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 24) % below;
}

static void fill_text(char *at, size_t size)
{
    static const char *const parts[] = {"a", "\"", "\\", "é", "€", "\xf0\x9f\xa6\x80", "\n", " ", "7"};
    size_t len = 0, most = draw(size);
    for (;;) {
        const char *part = parts[draw(ARRAY_LEN(parts))];
        if (len + strlen(part) > most)
            return;
        memcpy(at + len, part, strlen(part));
        len += strlen(part);
    }
}

static void fill(const struct field_table *t, void *into, char *covered);

static void fill_value(const struct field *f, void *into)
{
    char *at = (char *)into + f->offset;
    void *to = at;
    bool unknown = draw(4) == 0;
    switch (f->kind) {
    case AS_TEXT:
    case AS_NAME:
        fill_text(at, f->size);
        break;
    case AS_BOOL:
        *(bool *)to = draw(2);
        break;
    case AS_U8:
        *(uint8_t *)to = (uint8_t)draw(256);
        break;
    case AS_U16:
        *(uint16_t *)to = (uint16_t)draw(65536);
        break;
    case AS_U32:
        *(uint32_t *)to = (uint32_t)draw(1 << 30);
        break;
    case AS_U64:
    case AS_PID:
        *(int64_t *)to = (int64_t)draw(UINT64_C(1) << 39);
        break;
    case AS_I64:
        *(int64_t *)to = (int64_t)draw(1000) - 500;
        break;
    case AS_COUNT:
        *(int64_t *)to = unknown ? -1 : (int64_t)draw(UINT64_C(1) << 39);
        break;
    case AS_COUNT32:
        *(int32_t *)to = unknown ? -1 : (int32_t)draw(1 << 30);
        break;
    case AS_CAP:
        *(int64_t *)to = unknown ? CONFIG_AUTO : (int64_t)draw(1000);
        break;
    case AS_NUMBER:
        *(double *)to = unknown ? (double)NAN : (double)draw(1 << 30) / 977;
        break;
    case AS_FLOAT:
        *(float *)to = unknown ? NAN : (float)draw(1 << 20) / 977;
        break;
    case AS_WORD:
        *(int *)to = (int)draw((uint64_t)f->n_words);
        break;
    case AS_LIST: {
        size_t n = f->size / f->of->size, have = draw(n + 1);
        for (size_t i = 0; i < n; i++) {
            if (i < have)
                fill(f->of, at + i * f->of->size, NULL);
        }
        *(size_t *)(void *)((char *)into + f->count) = have;
        break;
    }
    case AS_OBJECT:
        fill(f->of, at, NULL);
        *(bool *)(void *)(at + f->count) = true;
        break;
    }
}

static void fill(const struct field_table *t, void *into, char *covered)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct field *f = &t->row[i];
        fill_value(f, into);
        if (covered) {
            memset(covered + f->offset, 1, f->size);
            if (f->kind == AS_LIST)
                memset(covered + f->count, 1, sizeof(size_t));
        }
    }
    for (size_t i = 0; i < t->n; i++) { /* what such an element does not have */
        if (t->row[i].has && !t->row[i].has(into))
            memset((char *)into + t->row[i].offset, 0, t->row[i].size);
    }
}

static void a_snapshot_comes_back_as_it_was(void **state)
{
    struct snapshot *s = xcalloc(1, sizeof(*s)), *back = xcalloc(1, sizeof(*back));
    for (int i = 0; i < 200; i++) {
        memset(s, 0, sizeof(*s));
        fill(&snapshot_fields, s, NULL);
        memset(back, 0xa5, sizeof(*back));
        json_t *o = snapshot_to_json(s);
        char *text = json_dumps(o, JSON_COMPACT);
        json_decref(o);
        assert_non_null(o = json_loads(text, 0, NULL));
        assert_true(snapshot_from_json(back, o));
        json_t *again = snapshot_to_json(back);
        assert_true(json_equal(o, again));
        for (size_t k = 0; k < sizeof(*s); k++) {
            if (((char *)s)[k] != ((char *)back)[k])
                fail_msg("round %d: byte %zu of the snapshot differs", i, k);
        }
        json_decref(again);
        json_decref(o);
        free(text);
    }
    free(s);
    free(back);
}

/* Every byte of the struct belongs to a row or is less than what a member takes. */
static void check_cover(const struct field_table *t, const char *name, size_t flag)
{
    char *covered = xcalloc(1, t->size), *scratch = xcalloc(1, t->size);
    fill(t, scratch, covered);
    if (flag < t->size)
        covered[flag] = 1; /* says whether the object is there */
    for (size_t i = 0, run = 0; i < t->size; i++) {
        run = covered[i] ? 0 : run + 1;
        bool ends = run > 0 && (i + 1 == t->size || covered[i + 1]);
        if (run >= sizeof(uint64_t) || (ends && (i + 1) % sizeof(uint32_t) != 0))
            fail_msg("%s: the bytes from %zu on have no row in the table", name, i + 1 - run);
    }
    for (size_t i = 0; i < t->n; i++) {
        if (t->row[i].of)
            check_cover(t->row[i].of, t->row[i].key, t->row[i].kind == AS_OBJECT ? t->row[i].count : SIZE_MAX);
    }
    free(covered);
    free(scratch);
}

static void every_field_of_the_snapshot_has_a_row(void **state)
{
    check_cover(&snapshot_fields, "snapshot", SIZE_MAX);
}

static void what_is_not_told_is_unknown(void **state)
{
    struct snapshot *s = xcalloc(1, sizeof(*s));
    json_t *o = json_pack("{s:i, s:[{}, {s:s}], s:s, s:i}", "tick", 3, "backends", "rtt_us", "soon", "acceptance",
                          "high", "running", -5);
    assert_true(snapshot_from_json(s, o));
    assert_int_equal(s->tick, 3);
    assert_int_equal(s->n_backends, 2);
    assert_int_equal(s->backend[1].rtt_us, -1);
    assert_int_equal(s->backend[0].health, HEALTH_UNKNOWN);
    assert_true(isnan(s->acceptance));
    assert_int_equal(s->running, 0);
    assert_false(s->pool.configured);
    json_decref(o);
    o = json_pack("{s:s}", "error", "no snapshot");
    assert_false(snapshot_from_json(s, o));
    json_decref(o);
    free(s);
}

static void carry(const struct live *from, struct live_place *place, struct live *to)
{
    json_t *news = live_news_json(from, place);
    if (news == NULL)
        return;
    char *text = json_dumps(news, 0);
    json_t *parsed = json_loads(text, 0, NULL);
    live_take_json(to, parsed);
    json_decref(parsed);
    json_decref(news);
    free(text);
}

static void is_same(const struct live *a, const struct live *b)
{
    assert_int_equal(a->request, b->request);
    assert_int_equal(a->text_seen, b->text_seen);
    assert_int_equal(a->rounds_seen, b->rounds_seen);
    size_t n = a->n_text < b->n_text ? a->n_text : b->n_text;
    assert_true(n > 0 || a->n_text == b->n_text);
    assert_memory_equal(a->text + a->n_text - n, b->text + b->n_text - n, n);
    size_t bytes = 0;
    for (size_t i = 0; i < b->n_pieces; i++)
        bytes += b->piece[i].length;
    assert_int_equal(bytes, b->n_text);
    for (size_t i = 0; i < a->n_pieces && i < b->n_pieces; i++) {
        const struct live_piece *x = &a->piece[a->n_pieces - 1 - i], *y = &b->piece[b->n_pieces - 1 - i];
        assert_int_equal(x->writer, y->writer);
        assert_int_equal(x->drafter, y->drafter);
        if (i + 1 < a->n_pieces && i + 1 < b->n_pieces)
            assert_int_equal(x->length, y->length);
    }
}

/* A reader who gets every event, one who misses some, and one who comes late show the same. */
static void the_live_picture_comes_over(void **state)
{
    struct live *l = xcalloc(4, sizeof(*l));
    struct live_place place[3] = {{0}};
    static const char *const words[] = {"alpha ", "β", "γδ ", "\xf0\x9f\xa6\x80", "x"};
    for (uint64_t i = 0; i < 5000; i++) {
        if (i % 1700 == 0)
            live_restart(&l[0], i + 1);
        const char *w = words[draw(ARRAY_LEN(words))];
        uint8_t writer = (uint8_t)draw(3);
        live_add_text(&l[0], w, strlen(w), writer, (uint8_t)(writer == LIVE_TARGET ? 0 : 1 + draw(3)));
        if (i % 7 == 0)
            live_add_round(&l[0], &(struct live_round){.request = i, .round = i, .drafted = 8, .draft_ms = NAN});
        carry(&l[0], &place[0], &l[1]);
        if (i % 411 == 0)
            carry(&l[0], &place[1], &l[2]);
    }
    carry(&l[0], &place[1], &l[2]);
    carry(&l[0], &place[2], &l[3]);
    for (int i = 1; i <= 3; i++) {
        is_same(&l[0], &l[i]);
        assert_true(l[i].n_rounds >= LIVE_ROUNDS * 3 / 4);
        assert_int_equal(l[i].round[l[i].n_rounds - 1].round, l[0].round[l[0].n_rounds - 1].round);
        assert_true(isnan(l[i].round[0].draft_ms));
    }
    assert_null(live_news_json(&l[0], &place[0]));
    free(l);
}

/* Whatever an instance tells, what is kept of it is bounded and whole. */
static void nonsense_does_no_harm(void **state)
{
    struct live *l = xcalloc(1, sizeof(*l));
    static const char *const words[] = {"", "a", "é€", "\xf0\x9f\xa6\x80\xf0\x9f\xa6\x80", "the quick brown fox"};
    for (int i = 0; i < 3000; i++) {
        json_t *pieces = json_array(), *rounds = json_array(), *text = json_string("");
        for (uint64_t k = draw(40); k > 0; k--) {
            char *longer = xasprintf("%s%s", json_string_value(text), words[draw(ARRAY_LEN(words))]);
            json_string_set(text, longer);
            free(longer);
            json_array_append_new(pieces, draw(9) == 0
                                              ? json_null()
                                              : json_pack("[I, s, I]", (json_int_t)draw(30) - 5,
                                                          draw(2) ? "drafter" : "nobody", (json_int_t)draw(600) - 200));
        }
        json_array_append_new(rounds, draw(2) ? json_null() : json_pack("{s:s, s:I}", "request", "x", "round", -3));
        json_t *news = json_pack("{s:I, s:I, s:o, s:o, s:o, s:I}", "request", (json_int_t)draw(3), "from",
                                 (json_int_t)draw(5000) - 100, "text", text, "pieces", pieces, "rounds", rounds,
                                 "rounds_seen", (json_int_t)draw(100) - 10);
        if (draw(20) == 0)
            json_object_del(news, "text");
        live_take_json(l, news);
        size_t bytes = 0;
        for (size_t k = 0; k < l->n_pieces; k++)
            bytes += l->piece[k].length;
        assert_int_equal(bytes, l->n_text);
        assert_true(l->n_text <= LIVE_TEXT && l->n_pieces <= LIVE_PIECES && l->n_rounds <= LIVE_ROUNDS);
        json_decref(news);
    }
    live_take_json(l, NULL);
    free(l);
}

const struct CMUnitTest json_tests[] = {
    cmocka_unit_test(a_snapshot_comes_back_as_it_was), cmocka_unit_test(every_field_of_the_snapshot_has_a_row),
    cmocka_unit_test(what_is_not_told_is_unknown),     cmocka_unit_test(the_live_picture_comes_over),
    cmocka_unit_test(nonsense_does_no_harm),
};
const size_t json_count = sizeof(json_tests) / sizeof(*json_tests);
