/* What a user wants to pull is read as it was meant: ids, names, URLs of peers and of web servers, manifests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "swarm/swarm-what.h"

extern const struct CMUnitTest what_tests[];
extern const size_t what_count;

#define ID "90db0c67ed1ffee3149ac06d5648ba20ad7eba8eecc17c1630855b174d00f5f0"

static void what_is_written_is_read(void **state)
{
    static const struct {
        const char *given;
        enum swarm_what_kind kind;
        const char *text, *peer, *url; /* NULL: "", none */
    } rows[] = {
        {"qwen3-8b", WHAT_NAME, "qwen3-8b", NULL, NULL},
        {"Qwen/Qwen3 8B", WHAT_NAME, "Qwen/Qwen3 8B", NULL, NULL},
        {ID, WHAT_ID, ID, NULL, NULL},
        {"SHA256:90DB0C67ED1FFEE3149AC06D5648BA20AD7EBA8EECC17C1630855B174D00F5F0", WHAT_ID, NULL, NULL, NULL},
        {"x.gguf.tightwad.manifest", WHAT_MANIFEST, "x.gguf.tightwad.manifest", NULL, NULL},
        {"/a/x.gguf.tightwad.manifest", WHAT_MANIFEST, "/a/x.gguf.tightwad.manifest", NULL, NULL},
        {"http://box:9192/x", WHAT_NAME, "x", "box:9192", NULL},
        {"http://box/a%20b", WHAT_NAME, "a b", "box:9192", NULL},
        {"http://10.0.0.2:80/x.gguf", WHAT_NAME, "x.gguf", "10.0.0.2:80", "http://10.0.0.2:80/x.gguf"},
        {"http://[::1]:9192/v1/swarm/" ID, WHAT_ID, NULL, "[::1]:9192", NULL},
        {"http://box:9192/v1/swarm/" ID "/file", WHAT_ID, NULL, "box:9192", NULL},
        {"https://h/a/x.gguf", WHAT_URL, "https://h/a/x.gguf", NULL, NULL},
        {"https://h/x.gguf?download=true", WHAT_URL, "https://h/x.gguf?download=true", NULL, NULL},
        {"http://h/a/x.gguf", WHAT_URL, "http://h/a/x.gguf", NULL, NULL},
        {"https://h/a/x.gguf.tightwad.manifest", WHAT_MANIFEST_URL, "https://h/a/x.gguf", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct swarm_what w;
        char *cause = NULL;
        if (swarm_what_read(&w, rows[i].given, &cause) != 0)
            fail_msg("%s: %s", rows[i].given, cause);
        assert_int_equal(w.kind, rows[i].kind);
        if (rows[i].text != NULL)
            assert_string_equal(w.text, rows[i].text);
        if (w.kind == WHAT_ID)
            assert_string_equal(w.id, ID);
        assert_string_equal(w.peer, rows[i].peer != NULL ? rows[i].peer : "");
        if (rows[i].url != NULL)
            assert_string_equal(w.url, rows[i].url);
        else
            assert_null(w.url);
        swarm_what_finish(&w);
    }
}

static void what_is_nothing_is_refused(void **state)
{
    char *longest = xcalloc(1, 4096);
    memset(longest, 'x', 4000);
    const char *const bad[] = {"",
                               "/etc/passwd",
                               "./x.gguf",
                               "http://",
                               "http:///x",
                               "http://box",
                               "http://box/",
                               "https://h/x.zip",
                               "http://a b/x",
                               "http://box:0/x",
                               "http://box:99999/x",
                               "http://box/a%00b/../c.zip",
                               "http://box/%00",
                               longest};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct swarm_what w;
        char *cause = NULL;
        if (swarm_what_read(&w, bad[i], &cause) == 0)
            fail_msg("\"%s\" is taken", bad[i]);
        assert_non_null(cause);
        free(cause);
    }
    free(longest);
}

static void peers_are_addresses(void **state)
{
    static const char *const good[][2] = {{"box", "box:9192"},
                                          {"box:1", "box:1"},
                                          {"http://box", "box:9192"},
                                          {"http://box:80/", "box:80"},
                                          {"http://10.1.2.3:80/any?x", "10.1.2.3:80"},
                                          {"[fe80::1]:9192", "[fe80::1]:9192"},
                                          {"::1", "[::1]:9192"}};
    static const char *const bad[] = {"",
                                      "https://box",
                                      "box:",
                                      "box:x",
                                      "box:70000",
                                      "a b",
                                      "a-name-that-is-longer-than-any-address-of-a-peer-in-this-protocol.example"};
    char out[SWARM_ADDRESS];
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char *cause = NULL;
        if (swarm_peer_read(good[i][0], out, &cause) != 0)
            fail_msg("%s: %s", good[i][0], cause);
        assert_string_equal(out, good[i][1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char *cause = NULL;
        if (swarm_peer_read(bad[i], out, &cause) == 0)
            fail_msg("\"%s\" is taken", bad[i]);
        free(cause);
    }
}

static void names_mean_files_and_models(void **state)
{
    assert_true(swarm_what_is("a-q4.gguf", "a-q4.gguf", NULL));
    assert_true(swarm_what_is("A-Q4", "a-q4.gguf", NULL));
    assert_true(swarm_what_is("Model A", "a-q4.gguf", "model a"));
    assert_false(swarm_what_is("a-q", "a-q4.gguf", "model a"));
    assert_false(swarm_what_is("a-q4.ggu", "a-q4.gguf", NULL));
    assert_false(swarm_what_is("", "a-q4.gguf", NULL));
}

const struct CMUnitTest what_tests[] = {
    cmocka_unit_test(what_is_written_is_read),
    cmocka_unit_test(what_is_nothing_is_refused),
    cmocka_unit_test(peers_are_addresses),
    cmocka_unit_test(names_mean_files_and_models),
};
const size_t what_count = ARRAY_LEN(what_tests);
