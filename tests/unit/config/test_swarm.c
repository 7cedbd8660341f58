/* The section of the swarm: defaults, lists, what is wrong with them, and what a running instance takes over. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/config.h"
#include "rig.h"

static void swarm_defaults(void **state)
{
    struct config *c = rig_good("t.yaml", "");
    assert_false(c->swarm.enabled);
    assert_string_equal(c->swarm.host, "127.0.0.1");
    assert_int_equal(c->swarm.port, 9192);
    assert_null(c->swarm.token);
    assert_null(c->swarm.folder);
    assert_true(c->swarm.discovery);
    assert_int_equal(c->swarm.upload_slots, 8);
    assert_string_equal(c->swarm.preseed, "auto");
    assert_null(config_swarm_allow(c));
    config_destroy(c);
}

static void swarm_set(void **state)
{
    setenv("HOME", "/home/me", 1);
    struct config *c =
        rig_good("/etc/x/t.yaml", "swarm:\n  enabled: true\n  host: 0.0.0.0\n  port: 0\n  token: sesame\n"
                                  "  allow: [10.0.0.0/8, 'fd00::/8']\n  folder: ~/m\n  folders: [/data, ~/n, here]\n"
                                  "  peers: [a, b:1, '[fd00::1]:2', '[fd00::1]', 'http://c:9192/']\n  discovery: off\n"
                                  "  upload_limit: 20MiB\n  download_limit: 1GiB\n  upload_slots: 2\n  preseed: off\n");
    char *allow = config_swarm_allow(c);
    assert_string_equal(allow, "10.0.0.0/8,fd00::/8");
    free(allow);
    assert_string_equal(c->swarm.folder, "/home/me/m");
    assert_int_equal(c->swarm.folders.n, 3);
    assert_string_equal(c->swarm.folders.list[0], "/data");
    assert_string_equal(c->swarm.folders.list[1], "/home/me/n");
    assert_string_equal(c->swarm.folders.list[2], "/etc/x/here");
    assert_int_equal(c->swarm.peers.n, 5);
    assert_int_equal(c->swarm.upload_limit, 20 << 20);
    assert_int_equal(c->swarm.download_limit, 1 << 30);
    assert_string_equal(c->swarm.preseed, "off");
    config_destroy(c);
}

static void swarm_wrong(void **state)
{
    rig_finds("swarm:\n  allow: [10.0.0.0/8, 10.0.0.0/40]\n", false,
              "t.yaml:2: error: swarm.allow: \"10.0.0.0/40\" is no network: expected an address, or one with its bits, "
              "such as 192.168.1.0/24 or fd00::/8\n");
    static const char *const peers[] = {"a b", "c:0", "d:", "[fd00::1", ":1", "ftp://x", "http://h/path"};
    for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
        char *yaml = xasprintf("swarm:\n  peers: ['%s']\n", peers[i]);
        char *want = xasprintf("t.yaml:2: error: swarm.peers: \"%s\" is not HOST or HOST:PORT, such as "
                               "192.168.1.20:9192 (IPv6 in [brackets])\n",
                               peers[i]);
        rig_finds(yaml, false, want);
        free(yaml);
        free(want);
    }
    rig_finds("swarm:\n  enabled: true\n  port: 8088\n", false,
              "t.yaml:3: error: swarm.port is 8088, which is also proxy.port: each listens on a port of its own\n");
    rig_finds("swarm:\n  port: 8088\n", true, "");
    rig_finds("swarm:\n  upload_slots: 0\n", false,
              "t.yaml:2: error: swarm.upload_slots: \"0\" is out of range: 1 to 256 pieces\n");
}

static void swarm_reloads(void **state)
{
    struct config *a = rig_good("t.yaml", "swarm: {enabled: true}\n");
    struct config *b = rig_good("t.yaml", "swarm: {enabled: true, upload_limit: 1MiB, upload_slots: 3}\n");
    struct config *c = rig_good("t.yaml", "swarm: {enabled: true, folders: [/data], token: x}\n");
    assert_null(config_restart_needed(a, b));
    char *why = config_restart_needed(a, c);
    assert_string_equal(why, "swarm.token, swarm.folders (none → [\"/data\"])");
    free(why);
    config_destroy(a);
    config_destroy(b);
    config_destroy(c);
}

const struct CMUnitTest swarm_tests[] = {
    cmocka_unit_test(swarm_defaults),
    cmocka_unit_test(swarm_set),
    cmocka_unit_test(swarm_wrong),
    cmocka_unit_test(swarm_reloads),
};
const size_t swarm_count = ARRAY_LEN(swarm_tests);
