/* What a scan tries and in which order, and what it makes of answers from strangers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "probe/scan-answer.h"
#include "probe/scan-net.h"
#include "probe/scan-place.h"

static uint32_t ip(const char *text)
{
    struct in_addr in;
    assert_int_equal(inet_pton(AF_INET, text, &in), 1);
    return ntohl(in.s_addr);
}

static void test_networks(void **state)
{
    static const struct {
        const char *text, *first;
        uint32_t count;
    } rows[] = {
        {"192.168.1.0/24", "192.168.1.1", 254},
        {"192.168.1.77/24", "192.168.1.1", 254},
        {"10.0.0.0/8", "10.0.0.1", 16777214},
        {"10.1.2.3/30", "10.1.2.1", 2},
        {"10.1.2.3/31", "10.1.2.2", 2},
        {"10.1.2.3/32", "10.1.2.3", 1},
        {"10.1.2.3", "10.1.2.3", 1},
        {"255.255.255.255/32", "255.255.255.255", 1},
        {"0.0.0.0/0", "0.0.0.1", UINT32_MAX - 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scan_net net;
        assert_int_equal(scan_net_parse(&net, rows[i].text, NULL), 0);
        assert_int_equal(net.first, ip(rows[i].first));
        assert_int_equal(net.count, rows[i].count);
        assert_true(scan_net_has(&net, net.first));
        assert_true(scan_net_has(&net, net.first + (net.count - 1)));
        assert_false(scan_net_has(&net, net.first - 1));
    }
}

static void test_no_networks(void **state)
{
    static const char *const rows[] = {"",         "192.168.1", "192.168.1.0/33", "192.168.1.0/", "192.168.1.0/-1",
                                       "box",      "fd00::/8",  "1.2.3.4/24x",    "1.2.3.4/ 24",  "1.2.3.4.5/24",
                                       "1.2.3.4 ", "/24",       "1.2.3.400/24",   "0x7f000001/24"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scan_net net;
        char *cause = NULL;
        assert_int_equal(scan_net_parse(&net, rows[i], &cause), -1);
        assert_non_null(strstr(cause, "192.168.1.0/24"));
        free(cause);
    }
}

static void test_private(void **state)
{
    static const char *const yes[] = {"10.0.0.1",    "10.255.255.255", "172.16.0.1", "172.31.255.255",
                                      "192.168.0.1", "169.254.1.1",    "100.64.0.1", "100.127.255.255"};
    static const char *const no[] = {"9.255.255.255", "11.0.0.1",      "172.15.255.255", "172.32.0.1",
                                     "192.167.0.1",   "192.169.0.1",   "100.63.255.255", "100.128.0.1",
                                     "8.8.8.8",       "169.253.255.1", "127.0.0.1"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        assert_true(scan_net_is_private(ip(yes[i])));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_false(scan_net_is_private(ip(no[i])));
}

static void test_arp(void **state)
{
    static const char table[] = "IP address       HW type     Flags       HW address            Mask     Device\n"
                                "192.168.1.1      0x1         0x2         aa:bb:cc:dd:ee:ff     *        eth0\n"
                                "192.168.1.7      0x1         0x0         00:00:00:00:00:00     *        eth0\n"
                                "192.168.1.71     0x1         0x6         aa:bb:cc:dd:ee:01     *        eth0\n";
    (void)state;
    assert_true(scan_arp_is_nobody(table, ip("192.168.1.7")));
    assert_false(scan_arp_is_nobody(table, ip("192.168.1.1")));
    assert_false(scan_arp_is_nobody(table, ip("192.168.1.71")));
    assert_false(scan_arp_is_nobody(table, ip("192.168.1.8")));
    assert_false(scan_arp_is_nobody("", ip("192.168.1.7")));
    assert_false(scan_arp_is_nobody("192.168.1.7 0x", ip("192.168.1.7")));
}

static void add(struct scan_places *p, const char *address, int port, bool named)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip(address))};
    scan_places_add(p, (struct sockaddr *)&at, sizeof(at), NULL, port, named);
}

static void test_limit(void **state)
{
    struct scan_places p;
    struct scan_net net;
    (void)state;
    scan_places_init(&p, 100);
    assert_int_equal(scan_net_parse(&net, "198.51.100.0/24", NULL), 0);
    scan_places_add_net(&p, &net);
    assert_int_equal(p.n, 100);
    assert_int_equal(p.left_out, 154);
    add(&p, "198.51.100.50", 0, true); /* it is there */
    assert_int_equal(p.n, 100);
    add(&p, "203.0.113.9", 0, true); /* named ones always have room */
    assert_int_equal(p.n, 101);
    add(&p, "203.0.113.10", 0, false);
    assert_int_equal(p.n, 101);
    assert_int_equal(p.left_out, 155);
    scan_places_finish(&p);
    /* A network beyond all bounds costs nothing. */
    scan_places_init(&p, 10);
    assert_int_equal(scan_net_parse(&net, "0.0.0.0/0", NULL), 0);
    scan_places_add_net(&p, &net);
    assert_int_equal(p.n, 10);
    scan_places_finish(&p);
}

static void test_order(void **state)
{
    struct scan_places p;
    struct scan_port port;
    size_t place, skipped, n = 0;
    (void)state;
    scan_places_init(&p, 100);
    add(&p, "198.51.100.1", 0, false);
    add(&p, "198.51.100.2", 0, false);
    add(&p, "198.51.100.3", 7777, true);
    size_t total = scan_places_total(&p);
    /* The first port of all comes before the second of any. */
    for (size_t i = 0; i < 2; i++) {
        assert_true(scan_places_next(&p, &place, &port, &skipped));
        assert_int_equal(place, i);
        assert_int_equal(port.port, 11434);
        assert_int_equal(port.likely, SERVICE_OLLAMA);
        n++;
    }
    assert_true(scan_places_next(&p, &place, &port, &skipped));
    assert_int_equal(port.port, 7777);
    n++;
    p.list[0].nobody = true; /* is left out from now on */
    size_t passed = 0;
    add(&p, "198.51.100.4", 0, true); /* comes late, and has all its turns */
    total = scan_places_total(&p);
    size_t late = 0;
    while (scan_places_next(&p, &place, &port, &skipped)) {
        assert_int_not_equal(place, 0);
        assert_true(place != 2);
        n++;
        passed += skipped;
        late += place == 3;
    }
    passed += skipped;
    assert_int_equal(late, scan_n_ports);
    assert_int_equal(n + passed, total);
    assert_true(passed > 0);
    scan_places_finish(&p);
}

static void test_same_machine(void **state)
{
    struct scan_places p;
    (void)state;
    scan_places_init(&p, 100);
    add(&p, "127.0.0.1", 0, true);
    add(&p, "198.51.100.1", 8081, true);
    add(&p, "198.51.100.1", 8085, true);
    add(&p, "127.0.0.1", 7000, true); /* all of its ports but the usual ones are not tried yet: but it is there */
    add(&p, "127.0.0.2", 7000, true);
    assert_int_equal(scan_places_machine(&p, 2), 1);
    assert_int_equal(scan_places_machine(&p, p.n - 1), 0);
    assert_true(p.list[p.n - 1].here);
    assert_false(p.list[1].here);
    scan_places_finish(&p);
}

static void test_hosts(void **state)
{
    static const struct {
        const char *text, *name;
        int port;
    } rows[] = {{"box", "box", 0},
                {"box.lan:8081", "box.lan", 8081},
                {"10.0.0.7:1", "10.0.0.7", 1},
                {"[fd00::7]:8081", "fd00::7", 8081},
                {"fd00::7", "fd00::7", 0},
                {"[::1]", "::1", 0}};
    static const char *const wrong[] = {"",           ":8081",  "box:",        "box:0", "box:65536", "box:80a",
                                        "[fd00::7",   "a/b",    "http://a:80", "a b",   "a@b",       "a\nb",
                                        "[fd00::7]x", "a?b:80", "[]:80",       "box:-1"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *name = NULL;
        int port = -1;
        assert_int_equal(scan_host_parse(rows[i].text, &name, &port, NULL), 0);
        assert_string_equal(name, rows[i].name);
        assert_int_equal(port, rows[i].port);
        free(name);
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char *name = NULL, *cause = NULL;
        int port;
        assert_int_equal(scan_host_parse(wrong[i], &name, &port, &cause), -1);
        assert_null(name);
        assert_non_null(cause);
        free(cause);
    }
}

/* ---- answers ---- */

static json_t *parse(const char *text)
{
    json_t *o = json_parse_object(text, strlen(text), NULL);
    assert_non_null(o);
    return o;
}

static void begin(struct machine *m, enum service_kind kind)
{
    machine_init(m, MACHINE_SEEN);
    machine_add_service(m)->kind = kind;
}

typedef void reader(struct machine *m, const json_t *o);

static void read_text(struct machine *m, reader *fn, const char *text)
{
    json_t *o = parse(text);
    fn(m, o);
    json_decref(o);
}

static void test_node(void **state)
{
    static const char text[] =
        "{\"protocol\":1,\"version\":\"0.1.0\",\"model\":\"qwen3\",\"path\":\"/m/q.gguf\",\"architecture\":\"qwen3\","
        "\"description\":\"qwen3 8B Q4_K - Medium\",\"fingerprint\":\"ab\",\"size\":5000000000}";
    struct machine m;
    (void)state;
    json_t *o = parse(text);
    assert_true(scan_answer_is_node(o));
    assert_false(scan_answer_is_llamacpp(o) || scan_answer_is_ollama(o) || scan_answer_is_agent(o));
    json_decref(o);
    begin(&m, SERVICE_NODE);
    read_text(&m, scan_answer_node, text);
    assert_string_equal(m.service[0].version, "0.1.0");
    assert_string_equal(m.service[0].model, "qwen3");
    assert_int_equal(m.n_models, 1);
    assert_string_equal(m.model[0].path, "/m/q.gguf");
    assert_string_equal(m.model[0].from, "node");
    assert_string_equal(m.model[0].quantisation, "Q4_K - Medium");
    assert_string_equal(m.model[0].vocab, "ab");
    assert_int_equal(m.model[0].parameters, 8000000000);
    assert_int_equal(m.model[0].bytes, 5000000000);
    machine_finish(&m);
}

static void test_llamacpp(void **state)
{
    struct machine m;
    (void)state;
    begin(&m, SERVICE_LLAMACPP);
    read_text(
        &m, scan_answer_props,
        "{\"default_generation_settings\":{},\"model_path\":\"C:\\\\models\\\\big.gguf\",\"build_info\":\"b1-x\"}");
    read_text(&m, scan_answer_models,
              "{\"data\":[{\"id\":\"C:\\\\models\\\\big.gguf\",\"meta\":{\"size\":7,\"n_params\":9}}]}");
    assert_string_equal(m.service[0].version, "b1-x");
    assert_string_equal(m.service[0].model, "big.gguf");
    assert_int_equal(m.n_models, 1);
    assert_string_equal(m.model[0].name, "big.gguf");
    assert_int_equal(m.model[0].bytes, 7);
    assert_int_equal(m.model[0].parameters, 9);
    machine_finish(&m);
    /* Its own list of models under Ollama's path makes it no Ollama. */
    json_t *o = parse("{\"models\":[],\"object\":\"list\",\"data\":[]}");
    assert_false(scan_answer_is_ollama(o));
    json_decref(o);
}

static void test_ollama(void **state)
{
    struct machine m;
    (void)state;
    begin(&m, SERVICE_OLLAMA);
    read_text(
        &m, scan_answer_tags,
        "{\"models\":[{\"name\":\"qwen3:8b\",\"size\":5,\"details\":{\"family\":\"qwen3\",\"parameter_size\":"
        "\"8.2B\",\"quantization_level\":\"Q4_K_M\"}},{\"size\":1},7,{\"name\":\"x\",\"size\":-4,\"details\":[]}]}");
    read_text(&m, scan_answer_version, "{\"version\":\"0.9.0\"}");
    read_text(&m, scan_answer_ps, "{\"models\":[{\"name\":\"qwen3:8b\"}]}");
    assert_int_equal(m.n_models, 2);
    assert_string_equal(m.model[0].name, "qwen3:8b");
    assert_int_equal(m.model[0].parameters, 8200000000);
    assert_string_equal(m.model[0].quantisation, "Q4_K_M");
    assert_int_equal(m.model[1].bytes, -1);
    assert_int_equal(m.model[1].parameters, -1);
    assert_string_equal(m.service[0].version, "0.9.0");
    assert_string_equal(m.service[0].model, "qwen3:8b");
    machine_finish(&m);
}

/* Nothing that a stranger says may break out of its field. */
static void test_hostile(void **state)
{
    static reader *const readers[] = {scan_answer_node, scan_answer_props,   scan_answer_models,
                                      scan_answer_tags, scan_answer_version, scan_answer_ps};
    static const char *const texts[] = {
        "{}",
        "{\"model\":7,\"path\":[],\"version\":{},\"size\":\"x\",\"description\":1}",
        "{\"models\":{},\"data\":\"x\",\"model_path\":3}",
        "{\"models\":[[],{},null,{\"name\":{}}],\"data\":[[]]}",
        "{\"model\":\"a\",\"description\":\"\",\"size\":-1}",
        "{\"model\":\"a\",\"description\":\"a\",\"size\":1e300}",
        "{\"model\":\"a\",\"description\":\"a 1e999B \"}",
        "{\"model_path\":\"////\",\"build_info\":\"\\u001b[31mred\\u009b2J\\u202e\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        for (size_t j = 0; j < ARRAY_LEN(texts); j++) {
            struct machine m;
            begin(&m, SERVICE_NODE);
            read_text(&m, readers[i], texts[j]);
            assert_null(strpbrk(m.service[0].version, "\x1b\x9b\n"));
            machine_finish(&m);
        }
    }
    char *long_text = xmalloc(100001);
    memset(long_text, 'x', 100000);
    long_text[100000] = '\0';
    struct machine m;
    json_t *o = json_pack("{s:s,s:s,s:s,s:s}", "model", long_text, "path", long_text, "version", long_text,
                          "architecture", long_text);
    begin(&m, SERVICE_NODE);
    scan_answer_node(&m, o);
    assert_true(strlen(m.model[0].name) < 2000 && strlen(m.model[0].path) < 5000);
    machine_finish(&m);
    json_decref(o);
    free(long_text);
}

static void test_many_models(void **state)
{
    json_t *list = json_array(), *o = json_pack("{s:o}", "models", list);
    struct machine m;
    (void)state;
    for (int i = 0; i < 5000; i++)
        json_array_append_new(list, json_pack("{s:s}", "name", "m"));
    begin(&m, SERVICE_OLLAMA);
    scan_answer_tags(&m, o);
    assert_int_equal(m.n_models, 256);
    machine_finish(&m);
    json_decref(o);
}

static void test_refusals(void **state)
{
    static const struct {
        int status;
        const char *text;
        enum scan_refusal want;
    } rows[] = {
        {401, "{\"error\":{\"code\":\"invalid_api_key\",\"type\":\"authentication_error\"}}", SCAN_REFUSED_NODE},
        {503, "{\"error\":{\"code\":\"loading\",\"type\":\"server_error\"}}", SCAN_REFUSED_NODE},
        {401, "{\"error\":{\"code\":401,\"message\":\"Invalid API Key\",\"type\":\"authentication_error\"}}",
         SCAN_REFUSED_LLAMACPP},
        {503, "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
         SCAN_REFUSED_LLAMACPP},
        {404, "{\"error\":{\"code\":404,\"message\":\"File Not Found\",\"type\":\"not_found_error\"}}",
         SCAN_NO_REFUSAL},
        {404, "{\"error\":{\"code\":\"unknown_url\",\"type\":\"invalid_request_error\"}}", SCAN_NO_REFUSAL},
        {401, "{\"error\":\"unauthorized\"}", SCAN_NO_REFUSAL},
        {401, "{}", SCAN_NO_REFUSAL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *o = parse(rows[i].text);
        assert_int_equal(scan_answer_refusal(rows[i].status, o), rows[i].want);
        json_decref(o);
    }
    assert_int_equal(scan_answer_refusal(401, NULL), SCAN_NO_REFUSAL);
}

static void test_merge(void **state)
{
    struct machine seen, other, told;
    char *cause = NULL;
    (void)state;
    begin(&seen, SERVICE_OLLAMA);
    strcpy(seen.address, "192.168.1.7");
    seen.rtt_us = 900;
    read_text(&seen, scan_answer_tags, "{\"models\":[{\"name\":\"qwen3:8b\"}]}");
    begin(&other, SERVICE_NODE);
    other.service[0].port = 8081;
    other.rtt_us = 400;
    read_text(&other, scan_answer_node, "{\"model\":\"q\",\"path\":\"/m/q.gguf\"}");
    scan_answer_merge(&seen, &other);
    assert_int_equal(seen.n_services, 2);
    assert_int_equal(seen.n_models, 2);
    assert_int_equal(seen.rtt_us, 400);

    json_t *o =
        parse("{\"protocol\":1,\"machine\":{\"name\":\"gpu-box\",\"address\":\"evil\",\"memory\":64,\"services\":"
              "[{\"kind\":\"ollama\",\"host\":\"evil\",\"port\":1}],\"models\":[{\"name\":\"qwen3:8b\",\"from\":"
              "\"ollama\",\"path\":\"/o/blob\"}]}}");
    assert_int_equal(scan_answer_agent(&told, o, &cause), 0);
    json_decref(o);
    scan_answer_merge(&seen, &told);
    assert_int_equal(seen.origin, MACHINE_AGENT);
    assert_string_equal(seen.name, "gpu-box");
    assert_string_equal(seen.address, "192.168.1.7");
    assert_int_equal(seen.memory, 64);
    assert_int_equal(seen.n_services, 2);
    assert_int_equal(seen.n_models, 2);
    assert_string_equal(seen.model[0].path, "/o/blob");
    assert_int_equal(seen.rtt_us, 400);
    machine_finish(&seen);

    o = parse("{\"status\":\"ok\",\"service\":\"tightwad-agent\"}");
    assert_true(scan_answer_is_agent(o));
    json_decref(o);
    o = parse("{\"protocol\":1,\"machine\":[]}");
    assert_false(scan_answer_is_agent(o));
    assert_int_equal(scan_answer_agent(&told, o, &cause), -1);
    json_decref(o);
    free(cause);
}

const struct CMUnitTest scan_tests[] = {
    cmocka_unit_test(test_networks),     cmocka_unit_test(test_no_networks), cmocka_unit_test(test_private),
    cmocka_unit_test(test_arp),          cmocka_unit_test(test_limit),       cmocka_unit_test(test_order),
    cmocka_unit_test(test_same_machine), cmocka_unit_test(test_hosts),       cmocka_unit_test(test_node),
    cmocka_unit_test(test_llamacpp),     cmocka_unit_test(test_ollama),      cmocka_unit_test(test_hostile),
    cmocka_unit_test(test_many_models),  cmocka_unit_test(test_refusals),    cmocka_unit_test(test_merge),
};
const size_t scan_count = ARRAY_LEN(scan_tests);
