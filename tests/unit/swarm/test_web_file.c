/* The disk's side of a download without a manifest: what its map says always holds of the .part, and what is of
 * something else is left alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "swarm/web-file.h"

#define URL "http://a.example/m.gguf"
#define OTHER "http://b.example/m.gguf"
enum { TOTAL = 64 << 10, CAME = 8 << 10 };

struct rig {
    char dir[64], part[96], map[104], beside[112];
    char data[CAME];
    char *why;
    struct web_file f;
};

static void set_up(struct rig *x)
{
    *x = (struct rig){.dir = "/tmp/tightwad-web-file-XXXXXX"};
    assert_non_null(mkdtemp(x->dir));
    snprintf(x->part, sizeof(x->part), "%s/m.gguf.part", x->dir);
    snprintf(x->map, sizeof(x->map), "%s.map", x->part);
    snprintf(x->beside, sizeof(x->beside), "%s.new", x->map);
    for (size_t i = 0; i < CAME; i++)
        x->data[i] = (char)(i * 7);
    memcpy(x->data, "GGUF", 4);
}

static void tear_down(struct rig *x)
{
    char command[128];

    web_file_finish(&x->f);
    free(x->why);
    snprintf(command, sizeof(command), "rm -r %s", x->dir);
    assert_int_equal(system(command), 0);
}

/* Another process, which goes on with what is there. */
static enum store_result start(struct rig *x, const char *url)
{
    web_file_finish(&x->f);
    free(x->why);
    x->why = NULL;
    web_file_init(&x->f, x->dir, "m.gguf", url);
    return web_file_open(&x->f, &x->why);
}

static void some_comes(struct rig *x)
{
    assert_int_equal(start(x, URL), STORE_OK);
    assert_int_equal(web_file_begin(&x->f, "\"one\"", TOTAL, &x->why), STORE_OK);
    assert_int_equal(web_file_write(&x->f, x->data, CAME, &x->why), STORE_OK);
}

static void assert_kept(const struct rig *x)
{
    struct buf text;

    assert_int_equal(file_read(x->part, 1 << 20, &text, NULL), 0);
    assert_int_equal(text.len, TOTAL);
    assert_memory_equal(text.data, x->data, CAME);
    buf_finish(&text);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void a_map_that_can_not_be_written(void **state)
{
    struct rig x;

    (void)state;
    set_up(&x);
    some_comes(&x);
    assert_int_equal(mkdir(x.beside, 0700), 0);
    /* The server has another file: as long as the map can't say that, nothing is emptied. */
    assert_int_equal(web_file_begin(&x.f, "\"two\"", TOTAL, &x.why), STORE_FAILED);
    assert_non_null(strstr(x.why, "map"));
    assert_kept(&x);
    assert_int_equal(start(&x, URL), STORE_FAILED);
    assert_int_equal(rmdir(x.beside), 0);
    assert_int_equal(start(&x, URL), STORE_OK);
    assert_int_equal(x.f.written, CAME);
    assert_string_equal(x.f.validator, "\"one\"");
    assert_int_equal(web_file_begin(&x.f, "\"two\"", TOTAL, &x.why), STORE_OK);
    assert_int_equal(start(&x, URL), STORE_OK);
    assert_int_equal(x.f.written, 0);
    assert_string_equal(x.f.validator, "\"two\"");
    assert_int_not_equal(access(x.beside, F_OK), 0);
    tear_down(&x);
}

static void a_map_that_is_cut_off(void **state)
{
    static const char *const left[] = {"", "tightwad down", "tightwad download 1\n", "tightwad download 1\nurl http"};
    struct rig x;

    (void)state;
    set_up(&x);
    for (size_t i = 0; i < ARRAY_LEN(left); i++) {
        some_comes(&x);
        web_file_finish(&x.f);
        put(x.map, left[i]);
        put(x.beside, "tightwad"); /* of a process that was killed */
        assert_int_equal(start(&x, URL), STORE_OK);
        assert_int_equal(x.f.written, 0);
    }
    tear_down(&x);
}

static void what_is_of_something_else(void **state)
{
    struct rig x;

    (void)state;
    set_up(&x);
    some_comes(&x);
    web_file_finish(&x.f);
    put(x.map, "tightwad part 1\n"); /* of the swarm's store */
    assert_int_equal(start(&x, URL), STORE_FAILED);
    assert_non_null(strstr(x.why, "not of a download"));
    assert_kept(&x);
    assert_int_equal(unlink(x.map), 0);
    assert_int_equal(start(&x, URL), STORE_FAILED);
    assert_kept(&x);
    put(x.map, "");
    put(x.part, "something else");
    assert_int_equal(start(&x, URL), STORE_FAILED);
    tear_down(&x);
}

static void another_url(void **state)
{
    struct rig x;

    (void)state;
    set_up(&x);
    some_comes(&x);
    assert_int_equal(start(&x, OTHER), STORE_FAILED);
    assert_non_null(strstr(x.why, URL));
    assert_kept(&x);
    assert_int_equal(start(&x, URL "?key=2"), STORE_OK); /* the same */
    assert_int_equal(x.f.written, CAME);
    assert_int_equal(web_file_begin(&x.f, "\"two\"", TOTAL, &x.why), STORE_OK);
    assert_int_equal(start(&x, OTHER), STORE_OK); /* nothing would be lost */
    assert_int_equal(x.f.written, 0);
    tear_down(&x);
}

const struct CMUnitTest web_file_tests[] = {
    cmocka_unit_test(a_map_that_can_not_be_written),
    cmocka_unit_test(a_map_that_is_cut_off),
    cmocka_unit_test(what_is_of_something_else),
    cmocka_unit_test(another_url),
};
const size_t web_file_count = ARRAY_LEN(web_file_tests);
