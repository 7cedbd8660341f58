/* Which tensors and pieces a share of a model's layers needs, also while the head is not wholly here. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/mem.h"
#include "model-file.h"
#include "swarm/needed.h"

static void text_is_read(void **state)
{
    static const struct {
        const char *text;
        struct needed want;
    } good[] = {{"0-0", {0, 0, false}},
                {"3-17", {3, 17, false}},
                {"5", {5, 5, false}},
                {"30-31,output", {30, 31, true}},
                {"output", {0, -1, true}}};
    static const char *const bad[] = {"",       "-",    "3-",     "3-2", "-3", "1-2,",    "1-2,out",
                                      "1-2 ",   " 1-2", "1-4096", "1,2", "a",  ",output", "99999999999999999999",
                                      "outputs"};
    struct needed n;
    char *cause = NULL;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(needed_read(&n, good[i].text, &cause), 0);
        assert_int_equal(n.first, good[i].want.first);
        assert_int_equal(n.last, good[i].want.last);
        assert_int_equal(n.output, good[i].want.output);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(needed_read(&n, bad[i], &cause), -1);
        assert_non_null(strstr(cause, "expected"));
    }
    free(cause);
}

static struct gguf_tensor tensors[] = {
    {.name = "token_embd.weight", .offset = 100, .size = 50}, {.name = "blk.0.a", .offset = 150, .size = 50},
    {.name = "blk.1.a", .offset = 200, .size = 50},           {.name = "blk.10.a", .offset = 250, .size = 50},
    {.name = "rope_freqs.weight", .offset = 300, .size = 50}, {.name = "output_norm.weight", .offset = 350, .size = 50},
    {.name = "output.weight", .offset = 400, .size = 50},     {.name = "blk.x", .offset = 450, .size = 50},
};

/* "1" for each tensor that is needed. */
static void check(size_t n_tensors, struct needed n, const char *want)
{
    struct gguf g = {.tensors = tensors, .n_tensors = n_tensors, .n_layers = 11, .data_start = 100};
    for (size_t i = 0; i < n_tensors; i++)
        assert_int_equal(needed_tensor(&g, &tensors[i], &n), want[i] == '1');
}

static void tensors_of_layers(void **state)
{
    (void)state;
    check(8, (struct needed){0, 0, false}, "01001000");
    check(8, (struct needed){1, 9, false}, "00101000");
    check(8, (struct needed){0, 10, true}, "01111110");
    check(8, (struct needed){0, -1, true}, "00000110");
    check(6, (struct needed){10, 10, true}, "100111"); /* the table is the output matrix as well */
    check(6, (struct needed){10, 10, false}, "000110");
}

static struct manifest *fixed_pieces(uint64_t size, uint64_t piece)
{
    struct manifest *m = xcalloc(1, sizeof(*m));
    *m = (struct manifest){.total_size = size, .piece_size = piece, .n_pieces = (size_t)((size + piece - 1) / piece)};
    m->piece = xcalloc(m->n_pieces, sizeof(*m->piece));
    for (size_t i = 0; i < m->n_pieces; i++) {
        m->piece[i].offset = i * piece;
        m->piece[i].size = size - i * piece < piece ? size - i * piece : piece;
    }
    return m;
}

static void pieces_of_layers(void **state)
{
    struct gguf g = {.tensors = tensors, .n_tensors = 8, .n_layers = 11, .data_start = 100};
    struct manifest *m = fixed_pieces(500, 40);
    struct bits want;
    (void)state;
    bits_init(&want, m->n_pieces);
    needed_pieces(m, &g, &(struct needed){1, 1, false}, &want);
    /* head 0–99: pieces 0, 1, 2; tensor 200–249: 5, 6; rope 300–349: 7, 8 */
    assert_int_equal(want.count, 7);
    assert_int_equal(want.byte[0], 0xe7);
    assert_int_equal(want.byte[1], 0x80);
    bits_finish(&want);
    manifest_destroy(m);
}

static void layers_that_are_not_there(void **state)
{
    struct gguf g = {.n_layers = 11}, none = {.n_layers = -1};
    char *cause = NULL;
    (void)state;
    assert_int_equal(needed_check(&g, &(struct needed){0, 10, false}, &cause), 0);
    assert_int_equal(needed_check(&g, &(struct needed){0, -1, true}, &cause), 0);
    assert_int_equal(needed_check(&g, &(struct needed){0, 11, false}, &cause), -1);
    assert_non_null(strstr(cause, "11 layers, 0 to 10"));
    assert_int_equal(needed_check(&g, &(struct needed){-1, 3, false}, &cause), -1);
    assert_int_equal(needed_check(&g, &(struct needed){0, -1, false}, &cause), -1);
    assert_int_equal(needed_check(&none, &(struct needed){0, 0, false}, &cause), -1);
    free(cause);
}

/* ---- while pieces come ---- */

struct heard {
    struct event_base *base;
    struct bits want;
    bool more, failed;
    char why[256];
};

static void hear(void *arg, const struct bits *want, bool more, const char *why)
{
    struct heard *h = arg;
    h->more = more;
    h->failed = want == NULL;
    snprintf(h->why, sizeof(h->why), "%s", why);
    if (want != NULL)
        bits_copy(&h->want, want);
    event_base_loopbreak(h->base);
}

static void head_comes_in_pieces(void **state)
{
    static const struct model_tensor t[] = {{"blk.0.a", 400}, {"blk.1.a", 400}, {"output.weight", 400}};
    char path[] = "/tmp/tightwad-needed-XXXXXX";
    struct event_base *base = event_base_new();
    struct crew *crew = crew_create(base, 1);
    struct heard h = {.base = base};
    struct needed n = {1, 1, false};
    struct bits have;
    (void)state;
    close(mkstemp(path));
    uint64_t start = model_file_write(path, t, ARRAY_LEN(t), 2);
    struct manifest *m = fixed_pieces(start + 3 * 416, 64);
    bits_init(&have, m->n_pieces);
    needed_head(m, &have);
    assert_int_equal(have.count, 1);
    int rounds = 0;
    for (h.more = true; h.more; rounds++) {
        assert_true(rounds < 8);
        needed_find(crew, m, path, &have, &n, hear, &h);
        event_base_dispatch(base);
        assert_false(h.failed);
        if (h.more) {
            assert_true(h.want.count > have.count);
            bits_copy(&have, &h.want);
        }
    }
    assert_true(rounds > 1);
    size_t first, end;
    manifest_span(m, start + 416, 400, &first, &end);
    for (size_t i = 0; i < m->n_pieces; i++)
        assert_int_equal(bits_has(&h.want, i), (i >= first && i < end) || i * 64 < start);
    n.last = 2;
    needed_find(crew, m, path, &have, &n, hear, &h);
    event_base_dispatch(base);
    assert_true(h.failed);
    assert_non_null(strstr(h.why, "2 layers"));
    /* No head at all, and nothing more to come. */
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(truncate(path, (off_t)m->total_size), 0);
    bits_fill(&have);
    needed_find(crew, m, path, &have, &n, hear, &h);
    event_base_dispatch(base);
    assert_true(h.failed && h.why[0] != '\0');
    h.why[0] = '\0';
    needed_cancel(needed_find(crew, m, path, &have, &n, hear, &h));
    crew_destroy(crew);
    assert_string_equal(h.why, "");
    bits_finish(&have);
    bits_finish(&h.want);
    manifest_destroy(m);
    event_base_free(base);
    unlink(path);
}

const struct CMUnitTest needed_tests[] = {
    cmocka_unit_test(text_is_read),         cmocka_unit_test(tensors_of_layers),
    cmocka_unit_test(pieces_of_layers),     cmocka_unit_test(layers_that_are_not_there),
    cmocka_unit_test(head_comes_in_pieces),
};
const size_t needed_count = ARRAY_LEN(needed_tests);
