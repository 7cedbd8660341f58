/* The names of models in several files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "probe/parts.h"

static void names(void **state)
{
    static const struct {
        const char *path;
        int part, of;
    } cases[] = {
        {"/m/x-00001-of-00003.gguf", 1, 3}, {"x-00003-of-00003.gguf", 3, 3},   {"x-00004-of-00003.gguf", 1, 1},
        {"x-00000-of-00003.gguf", 1, 1},    {"x--0001-of-00003.gguf", 1, 1},   {"x-00001-of-00001.gguf", 1, 1},
        {"x-0001-of-0003.gguf", 1, 1},      {"-00001-of-00003.gguf", 1, 1},    {"x.gguf", 1, 1},
        {"x-00001-of-99999.gguf", 1, 1},    {"x-00001-of-00003.gguf.x", 1, 1}, {"", 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int part = 0;
        assert_int_equal(parts_of(cases[i].path, &part), cases[i].of);
        assert_int_equal(part, cases[i].part);
    }
    char *second = parts_path("/m/x-00001-of-00003.gguf", 2), *same = parts_path("x.gguf", 1);
    assert_string_equal(second, "/m/x-00002-of-00003.gguf");
    assert_string_equal(same, "x.gguf");
    free(second);
    free(same);
}

const struct CMUnitTest parts_tests[] = {cmocka_unit_test(names)};
const size_t parts_count = ARRAY_LEN(parts_tests);
