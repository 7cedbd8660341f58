#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/control.h"

static const char pause_command[] = "{\"command\":\"pause\"}";

static void reopen_with_token(struct fixture *fx, const char *token)
{
    fixture_close(fx);
    fx->cfg.proxy.auth_token = (char *)token;
    fixture_open(fx);
}

static int status_of(struct fixture *fx, const char *path, const char *body, const char *header)
{
    const char *const headers[] = {header, NULL};
    struct reply r = call(fx, path, body, header ? headers : NULL);
    int status = r.status;
    if (status >= 400)
        assert_true(json_is_string(json_object_get(json_object_get(r.json, "error"), "message")));
    reply_finish(&r);
    return status;
}

static void the_token_guards_all_but_health(void **state)
{
    struct fixture *fx = *state;
    static const char *const guarded[] = {"/v1/models",           "/v1/tightwad/status",   "/v1/tightwad/events",
                                          "/v1/tightwad/history", "/v1/tightwad/commands", "/metrics"};
    reopen_with_token(fx, "s3cret");
    for (size_t i = 0; i < sizeof(guarded) / sizeof(*guarded); i++) {
        assert_int_equal(status_of(fx, guarded[i], NULL, NULL), 401);
        assert_int_equal(status_of(fx, guarded[i], NULL, "Authorization: Bearer s3cre"), 401);
        assert_int_equal(status_of(fx, guarded[i], NULL, "Authorization: Bearer s3crets"), 401);
    }
    assert_int_equal(status_of(fx, "/v1/chat/completions", "{}", NULL), 401);
    assert_int_equal(status_of(fx, "/v1/completions", "{}", NULL), 401);
    assert_int_equal(status_of(fx, "/v1/tightwad/command", pause_command, NULL), 401);
    assert_int_equal(status_of(fx, "/health", NULL, NULL), 200);
    assert_int_equal(status_of(fx, "/v1/models", NULL, "Authorization: Bearer s3cret"), 200);
    assert_int_equal(status_of(fx, "/v1/tightwad/command", pause_command, "Authorization: Bearer s3cret"), 200);
    struct reply r = call_unix(fx, "/v1/tightwad/status", NULL); /* the directory's mode guards the socket */
    assert_int_equal(r.status, 200);
    reply_finish(&r);
}

static void reload_changes_the_token(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(status_of(fx, "/v1/models", NULL, NULL), 200);
    fx->cfg.proxy.auth_token = (char *)"new";
    api_reload(fx->api, &fx->cfg);
    assert_int_equal(status_of(fx, "/v1/models", NULL, NULL), 401);
    assert_int_equal(status_of(fx, "/v1/models", NULL, "Authorization: Bearer new"), 200);
    fx->cfg.proxy.auth_token = NULL;
    fx->cfg.proxy.max_tokens_limit = 10;
    api_reload(fx->api, &fx->cfg);
    assert_int_equal(status_of(fx, "/v1/models", NULL, NULL), 200);
    assert_int_equal(status_of(fx, "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":11}", NULL), 400);
}

static void commands_run(void **state)
{
    struct fixture *fx = *state;
    struct reply r = call_unix(fx, "/v1/tightwad/command", pause_command);
    assert_int_equal(r.status, 200);
    assert_true(json_is_true(json_object_get(r.json, "paused")));
    reply_finish(&r);
    r = call_unix(fx, "/v1/tightwad/command", "{\"command\":\"puase\"}");
    assert_int_equal(r.status, 400);
    assert_non_null(strstr(r.body, "did you mean pause?"));
    reply_finish(&r);
    r = call_unix(fx, "/v1/tightwad/command", "[");
    assert_int_equal(r.status, 400);
    reply_finish(&r);
    r = call(fx, "/v1/tightwad/commands", NULL, NULL);
    assert_int_equal(r.status, 200);
    json_t *first = json_array_get(json_object_get(r.json, "commands"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "pause");
    reply_finish(&r);
}

static bool one_waits(void *arg)
{
    return fake_command_waits();
}

/* What takes its time is answered when it is done; a client that has gone and an end of the server are no trouble. */
static void commands_may_take_their_time(void **state)
{
    struct fixture *fx = *state;
    char *text = raw_post("/v1/tightwad/command", "{\"command\":\"wait\"}");
    struct raw *r = raw_open(fx, text);
    run_until(fx, one_waits, NULL);
    assert_true(fake_command_end());
    raw_expect(r, "waited");
    raw_close(r);
    r = raw_open(fx, text);
    run_until(fx, one_waits, NULL);
    raw_close(r);
    run_for(fx, 20);
    assert_true(fake_command_end());
    r = raw_open(fx, text);
    run_until(fx, one_waits, NULL);
    fixture_close(fx);
    assert_false(fake_command_end());
    raw_close(r);
    fixture_open(fx);
    free(text);
}

static void web_pages_may_not_command(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(status_of(fx, "/v1/tightwad/command", pause_command, NULL), 200);
    assert_int_equal(status_of(fx, "/v1/tightwad/command", pause_command, "Origin: http://evil.example"), 403);
}

static void the_socket_is_private_and_named_by_port(void **state)
{
    struct fixture *fx = *state;
    char *dir = control_dir(), *path = control_path(api_port(fx->api));
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_string_equal(path, api_control_path(fx->api));
    assert_true(control_alive(path));
    size_t n;
    char **list = control_list(&n);
    assert_int_equal(n, 1);
    assert_string_equal(list[0], path);
    free(list[0]);
    free(list);
    fixture_close(fx);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_false(control_alive(path));
    free(path);
    free(dir);
}

static int bound_socket(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void stale_sockets_are_replaced_and_live_ones_left(void **state)
{
    struct fixture *fx = *state;
    int port = api_port(fx->api);
    char *path = control_path(port);
    fixture_close(fx);
    fx->cfg.proxy.port = port;
    close(bound_socket(path)); /* what a killed instance leaves */
    fixture_open(fx);
    assert_string_equal(api_control_path(fx->api), path);
    fixture_close(fx);

    int live = bound_socket(path);
    assert_int_equal(listen(live, 1), 0);
    fixture_open(fx);
    assert_null(api_control_path(fx->api));
    fixture_close(fx);
    assert_int_equal(access(path, F_OK), 0);
    close(live);
    unlink(path);
    free(path);
    fixture_open(fx);
}

static void a_directory_that_others_may_enter_is_refused(void **state)
{
    struct fixture *fx = *state;
    fixture_close(fx);
    char *dir = control_dir(), *cause = NULL;
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(control_dir_make(&cause), -1);
    assert_non_null(strstr(cause, "0755"));
    fixture_open(fx); /* works, without the socket */
    assert_null(api_control_path(fx->api));
    assert_int_equal(status_of(fx, "/health", NULL, NULL), 200);
    free(cause);
    free(dir);
}

static void an_address_in_use_is_a_cause(void **state)
{
    struct fixture *fx = *state;
    char *cause = NULL;
    fx->cfg.proxy.port = api_port(fx->api);
    assert_null(api_create(fx->base, &fx->cfg, &(struct engines){.proxy = fx->proxy}, &cause));
    assert_non_null(cause);
    free(cause);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

const struct CMUnitTest control_tests[] = {
    TEST(the_token_guards_all_but_health),
    TEST(reload_changes_the_token),
    TEST(commands_run),
    TEST(commands_may_take_their_time),
    TEST(web_pages_may_not_command),
    TEST(the_socket_is_private_and_named_by_port),
    TEST(stale_sockets_are_replaced_and_live_ones_left),
    TEST(a_directory_that_others_may_enter_is_refused),
    TEST(an_address_in_use_is_a_cause),
};
const size_t control_count = sizeof(control_tests) / sizeof(*control_tests);
