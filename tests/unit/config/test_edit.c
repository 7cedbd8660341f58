/* Adding and removing a drafter changes those lines of the user's file and no other byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"

static char dir[64], path[128];

static int set_up(void **state)
{
    strcpy(dir, "/tmp/tightwad-test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/cluster.yaml", dir);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    return rmdir(dir); /* fails if something was left behind */
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *file_text(void)
{
    struct buf b;
    assert_int_equal(file_read(path, 1 << 20, &b, NULL), 0);
    return buf_steal(&b);
}

static void file_is(const char *want)
{
    char *now = file_text();
    if (strcmp(now, want) != 0)
        fail_msg("wanted:\n%s\ngot:\n%s", want, now);
    free(now);
}

static const struct config_server new_one = {
    .url = (char *)"http://n:1", .model_name = (char *)"m x", .backend = (char *)"ollama"};

static void adds(const char *before, const char *after)
{
    char *cause = NULL;
    write_file(before);
    if (config_file_add_drafter(path, &new_one, &cause) != 0)
        fail_msg("%s\nin:\n%s", cause, before);
    file_is(after);
}

#define LINES(in) in "- url: http://n:1\n" in "  model_name: \"m x\"\n" in "  backend: ollama\n"
#define FLOW "{url: \"http://n:1\", model_name: \"m x\", backend: \"ollama\"}"

static void adds_to_a_list(void **state)
{
    adds("# top\nproxy:\n  drafters: # mine\n    # one\n    - url: http://a:1 # first\n      name: \"a\"  # its name\n"
         "    # a last word\n\n  port: 9 # after\n# end\n",
         "# top\nproxy:\n  drafters: # mine\n    # one\n    - url: http://a:1 # first\n      name: \"a\"  # its "
         "name\n" LINES("    ") "    # a last word\n\n  port: 9 # after\n# end\n");
    adds("proxy:\n  drafters:\n  - url: http://a:1\n  - {url: 'http://b:1'}", /* no newline at the end */
         "proxy:\n  drafters:\n  - url: http://a:1\n  - {url: 'http://b:1'}\n" LINES("  "));
    adds("proxy:\n  drafters: []  # none yet\n", "proxy:\n  drafters: [" FLOW "]  # none yet\n");
    adds("proxy:\n  drafters: [{url: 'http://a:1'}] # x\n",
         "proxy:\n  drafters: [{url: 'http://a:1'}, " FLOW "] # x\n");
    adds("proxy:\n  drafters:   # to come\n  port: 1\n", "proxy:\n  drafters: [" FLOW "]   # to come\n  port: 1\n");
}

static void adds_beside_a_single_drafter(void **state)
{
    adds("proxy:\n  draft: # small\n    # where\n    url: http://a:1 # here\n\n    # who\n    model_name: x\n  port: "
         "1\n",
         "proxy:\n  drafters: # small\n    # where\n    - url: http://a:1 # here\n\n      # who\n      model_name: "
         "x\n" LINES("    ") "  port: 1\n");
    adds("proxy:\n  draft: {url: 'http://a:1'} # x\n", "proxy:\n  drafters: [{url: 'http://a:1'}, " FLOW "] # x\n");
    adds("proxy:\n  draft:\n", "proxy:\n  drafters: [" FLOW "]\n");
}

static void adds_the_section(void **state)
{
    adds("proxy:\n    port: 9 # é ü €\n    target:\n        url: http://t:1 # big\n\nlog:\n    level: info\n",
         "proxy:\n    port: 9 # é ü €\n    target:\n        url: http://t:1 # big\n    drafters:\n" LINES(
             "      ") "\nlog:\n    level: info\n");
    adds("log:\n  level: info # x\n# end\n", "log:\n  level: info # x\nproxy:\n  drafters:\n" LINES("    ") "# end\n");
    adds("proxy: # soon\nlog: {level: info}\n", "proxy: # soon\n  drafters:\n" LINES("    ") "log: {level: info}\n");
    adds("# nothing but words\n", "# nothing but words\nproxy:\n  drafters:\n" LINES("    "));
    adds("proxy: {port: 1}\n", "proxy: {port: 1, drafters: [" FLOW "]}\n");
    adds("", "proxy:\n  drafters:\n" LINES("    "));
}

static void keeps_other_line_ends(void **state)
{
    adds("proxy:\r\n  drafters:\r\n    - url: http://a:1\r\n",
         "proxy:\r\n  drafters:\r\n    - url: http://a:1\r\n    - url: http://n:1\r\n      model_name: \"m x\"\r\n"
         "      backend: ollama\r\n");
    adds("\xef\xbb\xbfproxy:\n  drafters:\n    - url: http://a:1\n",
         "\xef\xbb\xbfproxy:\n  drafters:\n    - url: http://a:1\n" LINES("    "));
}

static void makes_a_file_that_is_not_there(void **state)
{
    char *cause = NULL;
    assert_int_equal(config_file_add_drafter(path, &new_one, &cause), 0);
    file_is("proxy:\n  drafters:\n" LINES("    "));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void keeps_mode_and_links(void **state)
{
    char *link = xasprintf("%s/link.yaml", dir), *cause = NULL;
    write_file("proxy:\n  port: 1\n");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("cluster.yaml", link), 0);
    assert_int_equal(config_file_add_drafter(link, &new_one, &cause), 0);
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    file_is("proxy:\n  port: 1\n  drafters:\n" LINES("    "));
    unlink(link);
    free(link);
}

static void refused(const char *before, const char *want)
{
    char *cause = NULL;
    write_file(before);
    assert_int_equal(config_file_add_drafter(path, &new_one, &cause), -1);
    if (!strstr(cause, want))
        fail_msg("wanted \"%s\", got \"%s\"", want, cause);
    free(cause);
    file_is(before);
}

static void leaves_what_it_can_not_edit(void **state)
{
    refused("proxy: [\n", "not YAML");
    refused("- a\n", "not a configuration");
    refused("proxy: 7\n", "it has errors");
    refused("proxy:\n  drafters: 7\n", "it has errors");
    refused("proxy:\n  drafters:\n  draft:\n    url: http://a:1\n", "it has errors");
    refused("{log: {level: info}}\n", "by hand");
    refused("proxy:\n  drafters:\n    - {url: 'http://n:1/v1', model_name: m x}\n", "there already, in line 3");
}

static void refuses_a_wrong_server(void **state)
{
    static const struct {
        struct config_server server;
        const char *want;
    } wrong[] = {
        {{.url = (char *)"n:1"}, "url: \"n:1\" has no scheme: did you mean http://n:1?"},
        {{.url = (char *)"http://n:1", .backend = (char *)"olama"}, "backend: \"olama\" is not one of"},
        {{.url = (char *)"http://n:1", .name = (char *)"a\n  - b"}, "name: "},
        {{.model_name = (char *)"x"}, "url: http://HOST:PORT is expected"},
    };
    write_file("");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char *cause = NULL;
        assert_int_equal(config_file_add_drafter(path, &wrong[i].server, &cause), -1);
        if (!strstr(cause, wrong[i].want))
            fail_msg("wanted \"%s\", got \"%s\"", wrong[i].want, cause);
        free(cause);
    }
    file_is("");
    struct config_server s, given = {.url = (char *)"http://n:1/v1/", .name = (char *)"n:1"};
    assert_int_equal(config_server_init(&s, &given, NULL), 0);
    assert_string_equal(s.url, "http://n:1");
    assert_string_equal(s.backend, "auto");
    assert_int_equal(config_file_add_drafter(path, &s, NULL), 0);
    file_is("proxy:\n  drafters:\n    - url: http://n:1\n");
    config_server_finish(&s);
}

static void removes(const char *before, const char *name, const char *after)
{
    char *cause = NULL;
    write_file(before);
    int rc = config_file_remove_drafter(path, name, &cause);
    if ((rc == 0) != (after != NULL))
        fail_msg("%s\nin:\n%s", cause, before);
    free(cause);
    file_is(after ? after : before);
}

static void removes_one(void **state)
{
    static const char two[] =
        "proxy:\n  port: 1\n  drafters: # all\n    # a\n    - url: http://a:1 # A\n      name: one\n"
        "    - url: http://b:1 # B\n# end\n";
    removes(two, "one", "proxy:\n  port: 1\n  drafters: # all\n    # a\n    - url: http://b:1 # B\n# end\n");
    removes(two, "b:1",
            "proxy:\n  port: 1\n  drafters: # all\n    # a\n    - url: http://a:1 # A\n      name: one\n# end\n");
    removes(two, "http://b:1",
            "proxy:\n  port: 1\n  drafters: # all\n    # a\n    - url: http://a:1 # A\n      name: one\n"
            "# end\n");
    removes(two, "a:1", NULL); /* it has a name of its own */
    removes("proxy:\n  draft:\n    url: http://a:1\n  port: 1\n", "a:1", "proxy:\n  port: 1\n");
    removes("proxy:\n  drafters:\n    - url: http://a:1\n", "a:1", "proxy:\n  drafters: []\n");
    removes("proxy:\n  drafters: [{url: 'http://a:1'}]\n", "a:1", NULL);
}

static void add_then_remove_is_nothing(void **state)
{
    static const char text[] = "proxy:\n  drafters:\n    - url: http://a:1\n      # note\n      backend: node\n";
    char *cause = NULL;
    write_file(text);
    assert_int_equal(config_file_add_drafter(path, &new_one, &cause), 0);
    assert_int_equal(config_file_remove_drafter(path, "n:1", &cause), 0);
    file_is(text);
}

static void adds_a_drafter_without_a_server(void **state)
{
    static const char text[] = "proxy:\n  drafters:\n    - url: http://a:1\n";
    static const struct config_server by_type = {.type = (char *)"ngram"}, by_backend = {.backend = (char *)"ngram"};
    char *cause = NULL;
    write_file(text);
    assert_int_equal(config_file_add_drafter(path, &by_backend, &cause), 0);
    file_is("proxy:\n  drafters:\n    - url: http://a:1\n    - type: ngram\n");
    assert_int_equal(config_file_add_drafter(path, &by_type, &cause), -1);
    assert_non_null(strstr(cause, "line 4"));
    free(cause);
    cause = NULL;
    assert_int_equal(config_file_remove_drafter(path, "ngram", &cause), 0);
    file_is(text);
    write_file("proxy:\n  drafters: []\n");
    assert_int_equal(config_file_add_drafter(path, &by_type, &cause), 0);
    file_is("proxy:\n  drafters: [{type: \"ngram\"}]\n");
}

#define EDIT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
const struct CMUnitTest edit_tests[] = {
    EDIT_TEST(adds_to_a_list),
    EDIT_TEST(adds_beside_a_single_drafter),
    EDIT_TEST(adds_the_section),
    EDIT_TEST(keeps_other_line_ends),
    EDIT_TEST(makes_a_file_that_is_not_there),
    EDIT_TEST(keeps_mode_and_links),
    EDIT_TEST(leaves_what_it_can_not_edit),
    EDIT_TEST(refuses_a_wrong_server),
    EDIT_TEST(removes_one),
    EDIT_TEST(add_then_remove_is_nothing),
    EDIT_TEST(adds_a_drafter_without_a_server),
};
const size_t edit_count = ARRAY_LEN(edit_tests);
