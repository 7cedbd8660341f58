/* Loading: every mistake at once with its line, what is only a warning, the environment, and what goes together. */
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

#include "base/mem.h"
#include "config/config.h"
#include "rig.h"

static struct config *good(const char *yaml)
{
    return rig_good("t.yaml", yaml);
}

static void defaults(void **state)
{
    struct config *c = good("");
    assert_string_equal(c->proxy.host, "127.0.0.1");
    assert_int_equal(c->proxy.port, 8088);
    assert_int_equal(c->proxy.max_draft_tokens, 32);
    assert_true(c->proxy.fallback_on_draft_failure);
    assert_null(c->proxy.auth_token);
    assert_int_equal(c->proxy.max_tokens_limit, 16384);
    assert_int_equal(c->proxy.max_body_size, 10 << 20);
    assert_int_equal(c->proxy.target_wait_ms, 30000);
    assert_int_equal(c->proxy.max_queue, 256);
    assert_int_equal(c->proxy.n_drafters, 0);
    assert_null(c->proxy.target.url);
    assert_string_equal(c->proxy.target.backend, "auto");
    assert_string_equal(c->log_level, "info");
    assert_string_equal(c->log_format, "text");
    config_destroy(c);
}

static void everything_set(void **state)
{
    setenv("CONFIG_TEST_KEY", "k-1", 1);
    struct config *c = good("proxy:\n  host: 0.0.0.0\n  port: 9000\n  max_draft_tokens: auto\n"
                            "  fallback_on_draft_failure: no\n  auth_token: ${CONFIG_TEST_KEY}\n"
                            "  max_tokens_limit: 100\n  max_body_size: 1MiB\n  target_wait: 1m\n  max_queue: 0\n"
                            "  draft_timeout: 100ms\n"
                            "  target: {url: 'https://api.example.com/v1', model_name: big, backend: openai, "
                            "api_key: '${CONFIG_TEST_KEY}'}\n"
                            "  draft:\n    url: http://b:2/\n    backend: llamacpp\n    name: bee\n"
                            "log:\n  level: debug\n  format: json\n");
    unsetenv("CONFIG_TEST_KEY");
    assert_string_equal(c->path, "t.yaml");
    assert_string_equal(c->proxy.host, "0.0.0.0");
    assert_int_equal(c->proxy.max_draft_tokens, CONFIG_AUTO);
    assert_false(c->proxy.fallback_on_draft_failure);
    assert_string_equal(c->proxy.auth_token, "k-1");
    assert_int_equal(c->proxy.draft_timeout_ms, 100);
    assert_string_equal(c->proxy.target.url, "https://api.example.com");
    assert_string_equal(c->proxy.target.name, "api.example.com:443");
    assert_string_equal(c->proxy.target.api_key, "k-1");
    assert_int_equal(c->proxy.n_drafters, 1);
    assert_string_equal(c->proxy.drafters[0].url, "http://b:2");
    assert_string_equal(c->proxy.drafters[0].name, "bee");
    assert_string_equal(c->proxy.drafters[0].backend, "llamacpp");
    assert_string_equal(c->log_format, "json");
    config_destroy(c);
}

static void all_errors_at_once_with_lines(void **state)
{
    rig_finds(
        "proxy:\n"
        "  prot: 9\n"
        "  port: 99999\n"
        "  host: [a]\n"
        "  auth_token: ${CONFIG_TEST_UNSET}\n"
        "  target:\n"
        "    url: 192.168.1.2:8081\n"
        "    backend: lamacpp\n"
        "  drafters:\n"
        "    - url: http://a:1\n"
        "      modelname: x\n"
        "    - backend: node\n"
        "    - http://b:2\n"
        "port: 12\n"
        "port: 13\n"
        "log: loud\n",
        false,
        "t.yaml:2: error: unknown key \"prot\" in proxy; did you mean port?\n"
        "t.yaml:3: error: proxy.port: \"99999\" is out of range: 0 to 65535\n"
        "t.yaml:4: error: proxy.host: one value is expected here, not a list\n"
        "t.yaml:5: error: proxy.auth_token: ${CONFIG_TEST_UNSET}: the environment variable CONFIG_TEST_UNSET is not "
        "set\n"
        "t.yaml:7: error: proxy.target.url: \"192.168.1.2:8081\" has no scheme: did you mean "
        "http://192.168.1.2:8081?\n"
        "t.yaml:8: error: proxy.target.backend: \"lamacpp\" is not one of auto, node, llamacpp, ollama, openai; did "
        "you mean llamacpp?\n"
        "t.yaml:11: error: unknown key \"modelname\" in proxy.drafters[]; did you mean model_name?\n"
        "t.yaml:13: error: proxy.drafters: an entry is a section with a url in it: - url: …\n"
        "t.yaml:14: error: unknown key \"port\"; did you mean proxy.port?\n"
        "t.yaml:15: error: \"port\" is given twice: also in line 14\n"
        "t.yaml:16: error: log: a section is expected (keys, indented below it)\n"
        "t.yaml:12: error: proxy.drafters[] has no url\n");
    rig_finds("proxy.port: 1\nproxy.draft.api_key: x\nproxy.drafters[]: x\nproxy:\n  drafters[].url: x\n", false,
              "t.yaml:1: error: \"proxy.port\" is not one key: its parts go below each other\n"
              "t.yaml:2: error: \"proxy.draft.api_key\" is not one key: its parts go below each other\n"
              "t.yaml:3: error: unknown key \"proxy.drafters[]\"\n"
              "t.yaml:5: error: \"proxy.drafters[].url\" is not one key: its parts go below each other\n");
    rig_finds("- a\n", false, "t.yaml:1: error: a configuration begins with a section such as proxy:\n");
    rig_finds("proxy:\n  target:\n    model_name: x\n", false, "t.yaml:2: error: proxy.target has no url\n");
    rig_finds("proxy:\n  drafters: {url: 'http://a:1'}\n", false,
              "t.yaml:2: error: proxy.drafters: a list is expected (an entry begins with \"- \")\n");
}

static void old_keys(void **state)
{
    rig_finds(
        "proxy:\n  peer: x\n  draft:\n    url: http://a:1\n    ssh_user: me\n", true,
        "t.yaml:2: warning: \"peer\" is a key of the older Python Tightwad; it means nothing here and is ignored\n"
        "t.yaml:5: warning: \"ssh_user\" is a key of the older Python Tightwad; it means nothing here and is "
        "ignored\n");
}

static void drafters_go_together(void **state)
{
    rig_finds(
        "proxy:\n  draft:\n    url: http://a:1\n  drafters:\n    - url: http://b:1\n", false,
        "t.yaml:4: error: proxy.draft and proxy.drafters are both given: keep one (drafters may have one entry)\n");
    rig_finds("proxy:\n  drafters:\n    - url: http://a:1\n    - url: http://a:1/v1\n", false,
              "t.yaml:4: error: proxy.drafters[] is the same server and model as proxy.drafters[] in line 3\n");
    rig_finds("proxy:\n  drafters:\n    - {url: 'http://a:1', name: x}\n    - {url: 'http://a:2', name: x}\n", false,
              "t.yaml:4: error: the name \"x\" is taken by the one in line 3\n");
    rig_finds(
        "proxy:\n  target:\n    url: http://big\n", true,
        "t.yaml:3: warning: proxy.target.url: http without a port means port 80; a node listens on 8081, llama-server "
        "on 8080 or 9931, Ollama on 11434\n");
    struct config *c = good("proxy:\n  drafters:\n    - {url: 'http://a:1', model_name: x}\n"
                            "    - {url: 'http://a:1', model_name: y}\n");
    assert_string_equal(c->proxy.drafters[0].name, "a:1");
    assert_string_equal(c->proxy.drafters[1].name, "a:1#2");
    config_destroy(c);

    char many[4096] = "proxy:\n  drafters:\n";
    for (int i = 0; i < 17; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "    - url: http://a:%d\n", i + 1);
    rig_finds(many, false, "t.yaml:19: error: proxy.drafters: more than 16 drafters\n");
}

static void environment_goes_first(void **state)
{
    setenv("TIGHTWAD_TARGET_URL", "http://t:1", 1);
    setenv("TIGHTWAD_TARGET_API_KEY", "tk", 1);
    setenv("TIGHTWAD_DRAFT_URL", "http://d:1", 1);
    setenv("TIGHTWAD_DRAFT_BACKEND", "ollama", 1);
    setenv("TIGHTWAD_DRAFT_MODEL", "m", 1);
    setenv("TIGHTWAD_PORT", "1234", 1);
    setenv("TIGHTWAD_HOST", "", 1); /* empty: not set */
    setenv("TIGHTWAD_MAX_DRAFT_TOKENS", "7", 1);
    setenv("TIGHTWAD_LOG_LEVEL", "warn", 1);
    struct config *c = good("proxy:\n  port: 1\n  host: ::1\n  draft:\n    url: http://x:1\n    api_key: kept\n");
    assert_int_equal(c->proxy.port, 1234);
    assert_string_equal(c->proxy.host, "::1");
    assert_int_equal(c->proxy.max_draft_tokens, 7);
    assert_string_equal(c->proxy.target.url, "http://t:1");
    assert_string_equal(c->proxy.target.api_key, "tk");
    assert_int_equal(c->proxy.n_drafters, 1);
    assert_string_equal(c->proxy.drafters[0].url, "http://d:1");
    assert_string_equal(c->proxy.drafters[0].backend, "ollama");
    assert_string_equal(c->proxy.drafters[0].model_name, "m");
    assert_string_equal(c->proxy.drafters[0].api_key, "kept");
    assert_string_equal(c->log_level, "warn");
    config_destroy(c);

    struct config_findings f = {0};
    c = config_load(NULL, &f); /* enough without a file */
    assert_non_null(c);
    assert_string_equal(c->proxy.target.url, "http://t:1");
    assert_string_equal(c->proxy.drafters[0].name, "d:1");
    config_destroy(c);
    config_findings_finish(&f);

    unsetenv("TIGHTWAD_DRAFT_URL");
    setenv("TIGHTWAD_PORT", "x", 1);
    setenv("TIGHTWAD_PROT", "1", 1);
    rig_finds("", false,
              "$TIGHTWAD_PORT: error: proxy.port: \"x\" is not a whole number\n"
              "environment: warning: TIGHTWAD_PROT means nothing; did you mean TIGHTWAD_PORT?\n"
              "environment: error: TIGHTWAD_DRAFT_… variables are set, but not TIGHTWAD_DRAFT_URL\n");
    static const char *const all[] = {
        "TIGHTWAD_TARGET_URL", "TIGHTWAD_TARGET_API_KEY", "TIGHTWAD_DRAFT_BACKEND", "TIGHTWAD_DRAFT_MODEL",
        "TIGHTWAD_PORT",       "TIGHTWAD_HOST",           "TIGHTWAD_PROT",          "TIGHTWAD_MAX_DRAFT_TOKENS",
        "TIGHTWAD_LOG_LEVEL"};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        unsetenv(all[i]);
}

static void many_findings_are_cut(void **state)
{
    char *yaml = xmalloc(20000);
    size_t n = 0;
    for (int i = 0; i < 500; i++)
        n += (size_t)sprintf(yaml + n, "zzz%d: 1\n", i);
    struct config_findings f = {0};
    assert_null(config_load_text("t.yaml", yaml, n, &f));
    assert_int_equal(f.n, 101);
    assert_string_equal(f.list[100].text, "and more: mend these first");
    config_findings_finish(&f);
    free(yaml);
}

static void files_that_can_not_be_read(void **state)
{
    struct config_findings f = {0};
    assert_null(config_load("/nonexistent/cluster.yaml", &f));
    assert_null(config_load("/", &f));
    char *text = rig_findings_text(&f);
    assert_string_equal(text, "/nonexistent/cluster.yaml: error: there is no such file\n"
                              "/: error: it is a folder, not a file\n");
    free(text);
    config_findings_finish(&f);
}

static void search_order(void **state)
{
    char dir[] = "/tmp/tightwad-test-XXXXXX", old[4096];
    assert_non_null(mkdtemp(dir));
    assert_non_null(getcwd(old, sizeof(old)));
    assert_int_equal(chdir(dir), 0);
    setenv("XDG_CONFIG_HOME", dir, 1);
    char *mine = xasprintf("%s/tightwad/cluster.yaml", dir);
    char *p = config_find("given.yaml");
    assert_string_equal(p, "given.yaml");
    free(p);
    setenv("TIGHTWAD_CONFIG", "/named.yaml", 1);
    p = config_find(NULL);
    assert_string_equal(p, "/named.yaml");
    free(p);
    unsetenv("TIGHTWAD_CONFIG");

    static const char *const made[] = {"tightwad/cluster.yaml", "configs/cluster.yaml", "tightwad.yaml"};
    assert_int_equal(mkdir("tightwad", 0700) | mkdir("configs", 0700), 0);
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        fclose(fopen(made[i], "w"));
        p = config_find(NULL);
        const char *want = i == 0 ? mine : i == 1 ? "./configs/cluster.yaml" : "./tightwad.yaml";
        assert_string_equal(p, want);
        free(p);
    }
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        unlink(made[i]);
    rmdir("tightwad");
    rmdir("configs");
    assert_int_equal(chdir(old), 0);
    rmdir(dir);
    free(mine);
    unsetenv("XDG_CONFIG_HOME");
}

static void what_needs_a_restart(void **state)
{
    struct config *a = good("proxy:\n  target:\n    url: http://a:1\n    api_key: s1\n");
    struct config *b = good("proxy:\n  port: 9\n  max_draft_tokens: 3\n  draft: {url: 'http://d:1'}\n"
                            "  target:\n    url: http://b:1\n    api_key: s2\n");
    assert_null(config_restart_needed(a, a));
    char *text = config_restart_needed(a, b);
    assert_string_equal(text,
                        "proxy.port (8088 → 9), proxy.target.url (http://a:1 → http://b:1), proxy.target.api_key");
    free(text);
    config_destroy(a);
    config_destroy(b);
}

const struct CMUnitTest load_tests[] = {
    cmocka_unit_test(defaults),
    cmocka_unit_test(everything_set),
    cmocka_unit_test(all_errors_at_once_with_lines),
    cmocka_unit_test(old_keys),
    cmocka_unit_test(drafters_go_together),
    cmocka_unit_test(environment_goes_first),
    cmocka_unit_test(many_findings_are_cut),
    cmocka_unit_test(files_that_can_not_be_read),
    cmocka_unit_test(search_order),
    cmocka_unit_test(what_needs_a_restart),
};
const size_t load_count = ARRAY_LEN(load_tests);
