/* A store that meets the .part of another model of the same file name: one of the two is there, whatever happens. */
#include "store-rig.h"

#include <sys/stat.h>
#include <unistd.h>

/* The .part of another version under the same name: what is of use of it is kept, then it is replaced. */
static void another_part_is_taken_over(void **state)
{
    struct fixture *f = *state;
    unsigned char *changed = xmemdup(f->data, TOTAL);
    struct manifest *m;

    memset(changed, 1, 100); /* the head is another one */
    m = manifest_of(changed, "m.gguf");
    assert_int_equal(open_again(f), STORE_OK);
    fill(f, 0);
    fill(f, 2);
    fill(f, 3);
    put_file(f, "m.gguf.part.new", "killed while it took over", 20);
    assert_int_equal(open_want(f, m, NULL), STORE_OK);
    assert_int_equal(have(f), 2);
    assert_int_equal(settle(f), STORE_OK);
    assert_false(there(f, "m.gguf.part.new"));
    assert_string_equal(store_share(f->s)->path, path_of(f, "m.gguf.part"));
    assert_int_equal(write_bytes(f, 0, 0, changed, PIECE), STORE_OK);
    assert_int_equal(check(f, 0), STORE_OK);
    put_file(f, "m.gguf.part.new", "killed while it took over", 20);
    assert_int_equal(open_want(f, m, NULL), STORE_OK);
    assert_int_equal(have(f), 3);
    assert_int_equal(settle(f), STORE_OK); /* nothing to do */
    assert_false(there(f, "m.gguf.part.new"));
    fill(f, 1);
    fill(f, 4);
    fill(f, 5);
    assert_int_equal(land(f), STORE_OK);
    assert_file(f, "m.gguf", changed, TOTAL);
    store_destroy(f->s);
    f->s = NULL;
    manifest_destroy(m);
    free(changed);
}

static void copy(const struct fixture *f, const char *from, const char *to)
{
    char *command = xasprintf("cd %s && cp --sparse=always %s %s", f->dir, from, to);

    assert_int_equal(system(command), 0);
    free(command);
}

static bool same(const struct fixture *f, const char *a, const char *b)
{
    char *command = xasprintf("cd %s && cmp -s %s %s", f->dir, a, b);
    int status = system(command);

    free(command);
    return status == 0;
}

/* The .part of f->m with three pieces, and another model of that file name that shares two of them. */
static struct manifest *two_models(struct fixture *f, unsigned char **changed)
{
    *changed = xmemdup(f->data, TOTAL);
    memset(*changed, 1, 100);
    assert_int_equal(open_again(f), STORE_OK);
    fill(f, 0);
    fill(f, 2);
    fill(f, 3);
    store_destroy(f->s);
    f->s = NULL;
    copy(f, "m.gguf.part", "a.part");
    copy(f, "m.gguf.part.map", "a.map");
    return manifest_of(*changed, "m.gguf");
}

static void assert_untouched(const struct fixture *f)
{
    assert_true(same(f, "m.gguf.part", "a.part"));
    assert_true(same(f, "m.gguf.part.map", "a.map"));
    assert_false(there(f, "m.gguf.part.new"));
    assert_false(there(f, "m.gguf.part.map.new"));
}

/* An estimate, a pull that is refused, one that has no room: the other model's .part is as it was, and locked
 * meanwhile.
 */
static void another_part_stays_until_that_is_settled(void **state)
{
    struct fixture *f = *state;
    struct fixture second = {.base = f->base, .crew = f->crew, .m = f->m};
    unsigned char *changed;
    struct manifest *m = two_models(f, &changed);

    strcpy(second.dir, f->dir);
    for (int discarded = 0; discarded < 2; discarded++) {
        assert_int_equal(open_want(f, m, NULL), STORE_OK);
        assert_int_equal(have(f), 2);
        assert_int_equal(write_bytes(f, 0, 0, changed, PIECE), STORE_OK); /* it can be filled already */
        assert_int_equal(check(f, 0), STORE_OK);
        assert_int_equal(land(f), STORE_FAILED);
        assert_int_equal(open_again(&second), STORE_FAILED);
        assert_non_null(strstr(second.why, "is working on it"));
        if (discarded)
            store_discard(f->s, false);
        store_destroy(f->s);
        f->s = NULL;
        assert_untouched(f);
    }
    store_destroy(second.s);
    f->s = store_open(f->base, f->crew, m, &(struct store_opts){.dir = f->dir}, ended, f);
    store_destroy(f->s); /* in the midst of it */
    f->s = NULL;
    while (crew_waiting(f->crew) > 0)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    assert_untouched(f);
    limit_files(PIECE);
    assert_int_equal(open_want(f, m, NULL), STORE_FAILED);
    limit_files(RLIM_INFINITY);
    store_destroy(f->s);
    f->s = NULL;
    assert_untouched(f);
    assert_int_equal(open_again(f), STORE_OK);
    assert_int_equal(have(f), 3);
    manifest_destroy(m);
    free(changed);
}

/* What a kill leaves at any moment of the replacing: the .part that is there keeps all its pieces. */
static void a_kill_while_one_is_replaced_loses_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned char *changed;
    struct manifest *m = two_models(f, &changed);

    assert_int_equal(open_want(f, m, NULL), STORE_OK);
    assert_int_equal(settle(f), STORE_OK);
    assert_int_equal(write_bytes(f, 0, 0, changed, PIECE), STORE_OK);
    assert_int_equal(check(f, 0), STORE_OK);
    fill(f, 5);
    store_destroy(f->s);
    f->s = NULL;
    copy(f, "m.gguf.part", "b.part");
    copy(f, "m.gguf.part.map", "b.map");

    static const struct {
        const char *part, *part_new, *map, *map_new;
        size_t half; /* bytes of the new map */
        bool a;
    } kills[] = {
        {"a.part", "b.part", "a.map", "b.map", 200, true}, /* while the new map is written */
        {"a.part", "b.part", "a.map", "b.map", 0, true},   /* before the .part is replaced */
        {"b.part", NULL, "a.map", "b.map", 0, false},      /* after that */
        {"b.part", NULL, "b.map", NULL, 0, false},         /* at the end */
        {"a.part", NULL, "a.map", "a.map", 200, true},     /* a map that is written anew at the beginning of a pull */
    };
    for (size_t i = 0; i < ARRAY_LEN(kills); i++) {
        for (int other = 0; other < 2; other++) {
            store_destroy(f->s);
            f->s = NULL;
            copy(f, kills[i].part, "m.gguf.part");
            copy(f, kills[i].map, "m.gguf.part.map");
            if (kills[i].part_new)
                copy(f, kills[i].part_new, "m.gguf.part.new");
            if (kills[i].map_new)
                copy(f, kills[i].map_new, "m.gguf.part.map.new");
            if (kills[i].half > 0)
                assert_int_equal(truncate(path_of(f, "m.gguf.part.map.new"), (off_t)kills[i].half), 0);
            assert_int_equal(open_want(f, kills[i].a == !other ? f->m : m, NULL), STORE_OK);
            assert_int_equal(have(f), (kills[i].a ? 3 : 4) - other);
            assert_false(there(f, "m.gguf.part.map.new"));
        }
    }
    manifest_destroy(m);
    free(changed);
}

/* A map whose .part is gone is of no model: nothing of it is left once the pull is not wanted. */
static void a_map_alone_is_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned char *changed;
    struct manifest *m = two_models(f, &changed);

    assert_int_equal(unlink(path_of(f, "m.gguf.part")), 0);
    assert_int_equal(open_want(f, m, NULL), STORE_OK);
    assert_int_equal(have(f), 0);
    store_discard(f->s, false);
    store_destroy(f->s);
    f->s = NULL;
    assert_false(there(f, "m.gguf.part"));
    assert_false(there(f, "m.gguf.part.map"));
    assert_false(there(f, "m.gguf.part.new"));
    manifest_destroy(m);
    free(changed);
}

const struct CMUnitTest store_replace_tests[] = {
    TEST(another_part_is_taken_over),
    TEST(another_part_stays_until_that_is_settled),
    TEST(a_kill_while_one_is_replaced_loses_nothing),
    TEST(a_map_alone_is_nothing),
};
const size_t store_replace_count = ARRAY_LEN(store_replace_tests);
