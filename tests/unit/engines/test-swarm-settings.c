/* The swarm's options as the configuration has them: its peers are those named, and every machine with an agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engines/swarm-settings.h"

static const char yaml[] = "swarm:\n  host: 0.0.0.0\n  port: 0\n  token: sesame\n  allow: [10.0.0.0/8, 'fd00::/8']\n"
                           "  folder: /m\n  folders: [/a, /b]\n  peers: [one, 'two:7', 'http://three:9']\n"
                           "  discovery: false\n  upload_limit: 1MiB\n  download_limit: 2MiB\n  upload_slots: 3\n"
                           "agents:\n  hosts: ['four:9191', one, '[fd00::4]:9']\n"
                           "workers: [{host: four}, {host: five}]\n"
                           "models: {x: {path: /x.gguf}}\n";

static void what_the_configuration_says(void **state)
{
    static const char *const peers[] = {"one", "two:7", "http://three:9", "four", "[fd00::4]", "five"};
    struct config_findings f = {0};
    struct config *c = config_load_text("t.yaml", yaml, strlen(yaml), &f);
    struct swarm_settings s;
    (void)state;
    assert_non_null(c);
    swarm_settings_init(&s, c);
    const struct swarm_opts *o = &s.opts;
    assert_string_equal(o->host, "0.0.0.0");
    assert_int_equal(o->port, -1);
    assert_string_equal(o->token, "sesame");
    assert_string_equal(o->allow, "10.0.0.0/8,fd00::/8");
    assert_string_equal(o->dir, "/m");
    assert_int_equal(o->n_folders, 2);
    assert_string_equal(o->folders[1], "/b");
    assert_int_equal(o->n_peers, ARRAY_LEN(peers));
    for (size_t i = 0; i < ARRAY_LEN(peers); i++)
        assert_string_equal(o->peers[i], peers[i]);
    assert_false(o->discovery);
    assert_int_equal(o->upload_limit, 1 << 20);
    assert_int_equal(o->download_limit, 2 << 20);
    assert_int_equal(o->upload_slots, 3);
    assert_null(o->socket);
    swarm_settings_finish(&s);
    config_destroy(c);
    config_findings_finish(&f);
}

const struct CMUnitTest swarm_settings_tests[] = {cmocka_unit_test(what_the_configuration_says)};
const size_t swarm_settings_count = ARRAY_LEN(swarm_settings_tests);
