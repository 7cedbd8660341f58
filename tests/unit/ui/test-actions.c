/* Each key sends the right row of the command table, and tells what came of it. */
#include "tests.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "keys-rig.h"
#include "ui/dialog.h"
#include "ui/screen.h"

static const char models[] =
    "{\"pool\":true,\"models\":["
    "{\"name\":\"big\",\"bytes\":40000000000,\"fits\":true,\"resident\":true,\"default\":true,\"reason\":\"\","
    "\"tokens_per_second\":12.5,\"rate\":\"measured\"},"
    "{\"name\":\"middle\",\"bytes\":20000000000,\"fits\":true,\"resident\":false,\"default\":false,\"reason\":\"it "
    "fits\",\"where\":\"7900 XTX\",\"tokens_per_second\":25,\"rate\":\"estimate\"},"
    "{\"name\":\"huge\",\"bytes\":400000000000,\"fits\":false,\"missing\":100000000000,\"resident\":false,"
    "\"default\":false,\"reason\":\"100 GiB are missing\",\"tokens_per_second\":null,\"rate\":null}]}";

static void a_model_is_swapped_in_by_four_keys(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_pool(&r, "big", "up");
    rig_type(&r, "m");
    rig_wants(&r, "{\"command\":\"models\"}");
    assert_string_equal(rig_dialog(&r), "waiting");
    rig_answer(&r, models);
    assert_string_equal(rig_dialog(&r), "models");
    rig_type(&r, "\n"); /* the first one that is not loaded */
    assert_string_equal(rig_dialog(&r), "middle");
    rig_type(&r, "\n");
    rig_wants(&r, "{\"command\":\"swap\",\"model\":\"middle\"}");
    rig_answer(&r, "{\"ok\":true}");
    assert_string_equal(rig_dialog(&r), "loading");
    struct snapshot_pool *p = &r.ui->picture.snapshot.pool;
    snprintf(p->next, sizeof(p->next), "middle");
    for (int i = 0; i < 5; i++)
        rig_picture(&r);
    assert_string_equal(rig_dialog(&r), "loading");
    rig_add_pool(&r, "middle", "starting");
    rig_picture(&r);
    rig_add_pool(&r, "middle", "up");
    p->next[0] = '\0';
    p->swaps++;
    p->load_ms = 1500;
    rig_picture(&r);
    assert_string_equal(rig_dialog(&r), "");
    assert_non_null(strstr(r.ui->notice, "middle is loaded"));
    rig_wants(&r, NULL);
    rig_stop(&r);
}

static void a_swap_that_fails_says_why(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_pool(&r, "big", "up");
    rig_type(&r, "m");
    rig_wants(&r, "{\"command\":\"models\"}");
    rig_answer(&r, models);
    rig_type(&r, "midd\n"); /* by its name */
    rig_type(&r, "s");
    rig_wants(&r, "{\"command\":\"swap\",\"model\":\"middle\"}");
    rig_answer(&r, "{\"ok\":true}");
    rig_press(&r, SCREEN_ESCAPE); /* nobody looks at the bar */
    assert_string_equal(rig_dialog(&r), "");
    snprintf(r.ui->picture.snapshot.pool.swap_error, 100, "the file is broken");
    for (int i = 0; i < 4; i++)
        rig_picture(&r);
    assert_string_equal(rig_dialog(&r), "middle");
    rig_press(&r, SCREEN_ESCAPE);
    rig_type(&r, "m");
    rig_wants(&r, "{\"command\":\"models\"}");
    rig_fail(&r, "no thread is to be had");
    assert_string_equal(rig_dialog(&r), "models");
    rig_stop(&r);
}

static void models_that_do_not_fit_are_explained(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_pool(&r, "big", "up");
    rig_type(&r, "m");
    rig_wants(&r, "{\"command\":\"models\"}");
    rig_answer(&r, models);
    rig_press(&r, KEY_END);
    rig_type(&r, "\n");
    assert_string_equal(rig_dialog(&r), "huge");
    rig_type(&r, "\n");
    rig_wants(&r, NULL);
    assert_string_equal(rig_dialog(&r), "");
    rig_stop(&r);
}

static void the_default_is_saved(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_pool(&r, "big", "up");
    rig_type(&r, "m");
    rig_wants(&r, "{\"command\":\"models\"}");
    rig_answer(&r, models);
    rig_type(&r, "\n");
    rig_type(&r, "b");
    rig_wants(&r, "{\"command\":\"swap\",\"model\":\"middle\"}");
    rig_wants(&r, "{\"command\":\"model-default\",\"model\":\"middle\"}");
    rig_stop(&r);
}

static void a_list_that_was_left_does_not_come_back(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_type(&r, "m");
    rig_wants(&r, "{\"command\":\"models\"}");
    rig_press(&r, SCREEN_ESCAPE);
    rig_type(&r, "?");
    rig_answer(&r, models);
    assert_string_equal(rig_dialog(&r), "keys");
    keys_answer(r.ui, 999, json_object(), NULL); /* nobody asked */
    rig_stop(&r);
}

static void drafters_are_paused_and_resumed(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_drafter(&r, "one", false);
    rig_type(&r, "p"); /* there is only one */
    rig_wants(&r, "{\"command\":\"drafter-pause\",\"name\":\"one\"}");
    rig_answer(&r, "{\"ok\":true}");
    assert_non_null(strstr(r.ui->notice, "pausing one: done"));
    rig_type(&r, "p"); /* no picture has come since */
    rig_wants(&r, "{\"command\":\"drafter-resume\",\"name\":\"one\"}");
    rig_type(&r, "p"); /* nor an answer */
    rig_wants(&r, "{\"command\":\"drafter-pause\",\"name\":\"one\"}");
    rig_answer(&r, "{\"ok\":true}");
    r.ui->picture.snapshot.backend[1].paused = true;
    for (int i = 0; i < 3; i++)
        rig_picture(&r);
    rig_type(&r, "p");
    rig_wants(&r, "{\"command\":\"drafter-resume\",\"name\":\"one\"}");
    rig_fail(&r, "it is gone");
    assert_string_equal(rig_dialog(&r), "resuming one");
    rig_type(&r, "\n");
    rig_add_drafter(&r, "two", false);
    rig_type(&r, "p");
    rig_press(&r, KEY_DOWN);
    rig_type(&r, "\n");
    rig_wants(&r, "{\"command\":\"drafter-pause\",\"name\":\"two\"}");
    rig_type(&r, "ppause all\n"); /* filtered */
    rig_wants(&r, "{\"command\":\"drafter-pause\"}");
    rig_type(&r, "presume\n");
    rig_wants(&r, "{\"command\":\"drafter-resume\"}");
    rig_stop(&r);
}

static void a_drafter_is_added_and_removed(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_type(&r, "a\n");
    assert_string_equal(rig_dialog(&r), "add a drafter"); /* nothing is no address */
    rig_type(&r, "gpu box\n");
    assert_string_equal(rig_dialog(&r), "add a drafter");
    static const char *const unfinished[] = {"box", "box:", ":8081", "box:80a"};
    for (size_t i = 0; i < ARRAY_LEN(unfinished); i++) {
        rig_press(&r, 21);
        rig_type(&r, unfinished[i]);
        rig_type(&r, "\n");
        assert_string_equal(rig_dialog(&r), "add a drafter");
    }
    rig_press(&r, 21);
    rig_type(&r, "10.0.0.7:8081\n");
    rig_wants(&r, "{\"command\":\"drafter-add\",\"save\":true,\"url\":\"http://10.0.0.7:8081\"}");
    rig_type(&r, "angram\n");
    rig_wants(&r, "{\"command\":\"drafter-add\",\"save\":true,\"type\":\"ngram\"}");
    r.ui->picture.snapshot.config[0] = '\0';
    rig_type(&r, "a");
    rig_press(&r, KEY_UP);
    rig_press(&r, KEY_UP);
    rig_type(&r, "\n"); /* from the history */
    rig_wants(&r, "{\"command\":\"drafter-add\",\"url\":\"http://10.0.0.7:8081\"}");
    rig_add_drafter(&r, "one", false);
    rig_type(&r, "xk");
    rig_wants(&r, NULL);
    rig_type(&r, "xr");
    rig_wants(&r, "{\"command\":\"drafter-remove\",\"name\":\"one\"}");
    rig_add_drafter(&r, "two", false);
    snprintf(r.ui->picture.snapshot.config, 10, "/x");
    rig_type(&r, "xtwo\n\n");
    rig_wants(&r, "{\"command\":\"drafter-remove\",\"name\":\"two\",\"save\":true}");
    rig_stop(&r);
}

static void the_pools_own_drafter_is_not_removed(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_pool(&r, "big", "up");
    snprintf(r.ui->picture.snapshot.pool.draft, 10, "own");
    rig_add_drafter(&r, "own", false);
    rig_type(&r, "x");
    assert_non_null(strstr(r.ui->notice, "run by the pool"));
    assert_string_equal(rig_dialog(&r), "");
    rig_add_drafter(&r, "other", false);
    rig_type(&r, "xr");
    rig_wants(&r, "{\"command\":\"drafter-remove\",\"name\":\"other\",\"save\":true}");
    rig_stop(&r);
}

static void the_cap_is_a_number_or_auto(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_type(&r, "d\n"); /* as it is */
    rig_wants(&r, "{\"command\":\"max-draft-tokens\",\"n\":\"32\",\"save\":true}");
    rig_type(&r, "d0\n");
    rig_wants(&r, "{\"command\":\"max-draft-tokens\",\"n\":\"320\",\"save\":true}");
    rig_type(&r, "d00\n");
    assert_string_equal(rig_dialog(&r), "max draft tokens"); /* 3200 is too many */
    rig_press(&r, 21);
    rig_type(&r, "auto\n");
    rig_wants(&r, "{\"command\":\"max-draft-tokens\",\"n\":\"auto\",\"save\":true}");
    rig_stop(&r);
}

static void engines_are_started_and_stopped(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_picture(&r);
    rig_type(&r, "s\n");
    rig_wants(&r, "{\"command\":\"max-draft-tokens\",\"n\":0}");
    r.ui->picture.snapshot.max_draft_tokens = 0;
    rig_picture(&r);
    rig_type(&r, "s\n"); /* back to what it was */
    rig_wants(&r, "{\"command\":\"max-draft-tokens\",\"n\":32}");
    rig_add_pool(&r, "big", "up");
    rig_type(&r, "s\n");
    rig_wants(&r, "{\"command\":\"pool-stop\"}");
    rig_add_pool(&r, "big", "off");
    rig_type(&r, "s\n");
    rig_wants(&r, "{\"command\":\"pool-start\"}");
    rig_answer(&r, "{\"ok\":true}");
    assert_string_equal(rig_dialog(&r), "loading");
    rig_stop(&r);
}

static void what_examines_is_read(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_type(&r, "D");
    rig_wants(&r, "{\"command\":\"doctor\"}");
    rig_answer(&r, "{\"findings\":[{\"level\":\"error\",\"what\":\"w\",\"cause\":\"c\",\"fix\":\"f\"}]}");
    assert_string_equal(rig_dialog(&r), "doctor");
    rig_type(&r, "q");
    rig_type(&r, "T");
    rig_wants(&r, "{\"command\":\"tune\"}");
    rig_answer(&r, "{\"findings\":[{\"good\":false,\"what\":\"swap\",\"text\":\"none\",\"fix\":null}]}");
    assert_non_null(strstr(rig_dialog(&r), "tune"));
    rig_stop(&r);
}

static void the_rest_of_the_orders(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_pool(&r, "big", "up");
    rig_type(&r, "t\n");
    rig_wants(&r, "{\"command\":\"test-prompt\"}");
    rig_answer(&r, "{\"ok\":true,\"request\":17}");
    assert_non_null(strstr(r.ui->notice, "17"));
    assert_int_equal(r.ui->focus, PANE_STREAM);
    rig_type(&r, "thello, you\n");
    rig_wants(&r, "{\"command\":\"test-prompt\",\"prompt\":\"hello, you\"}");
    rig_type(&r, "lw");
    rig_wants(&r, "{\"command\":\"log-level\",\"level\":\"warn\",\"save\":true}");
    rig_type(&r, "r");
    rig_wants(&r, "{\"command\":\"reload\"}");
    rig_type(&r, "c");
    rig_wants(&r, "{\"command\":\"reclaim\"}");
    rig_answer(&r, "{\"ok\":true}");
    r.ui->picture.snapshot.pool.reclaims++;
    snprintf(r.ui->picture.snapshot.pool.reclaim_note, 100, "3 GiB are free again");
    rig_picture(&r);
    assert_string_equal(r.ui->notice, "3 GiB are free again");
    rig_wants(&r, NULL);
    rig_stop(&r);
}

static void the_filter_follows_the_typing(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_type(&r, "/err");
    assert_string_equal(r.ui->filter, "err");
    rig_press(&r, SCREEN_ESCAPE);
    assert_string_equal(r.ui->filter, "");
    rig_type(&r, "/or\n");
    assert_string_equal(r.ui->filter, "or");
    rig_press(&r, SCREEN_ESCAPE);
    assert_string_equal(r.ui->filter, "");
    rig_type(&r, "z");
    assert_true(r.ui->zoomed);
    rig_press(&r, SCREEN_ESCAPE);
    assert_false(r.ui->zoomed);
    rig_wants(&r, NULL);
    rig_stop(&r);
}

static void quitting_asks(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_type(&r, "qn");
    assert_int_equal(r.quits, 0);
    rig_press(&r, SCREEN_CTRL_C);
    assert_string_equal(rig_dialog(&r), "quit");
    rig_press(&r, SCREEN_CTRL_C);
    assert_string_equal(rig_dialog(&r), "");
    rig_type(&r, "ql");
    assert_int_equal(r.quits, 1);
    assert_false(r.stops);
    rig_stop(&r);
    rig_start(&r);
    rig_type(&r, "q\n");
    assert_int_equal(r.quits, 1);
    assert_true(r.stops);
    rig_type(&r, "q");
    assert_string_equal(rig_dialog(&r), "");
    assert_non_null(strstr(r.ui->notice, "it is ending"));
    rig_stop(&r);
    rig_start(&r);
    r.ui->attached = true;
    rig_type(&r, "q\n");
    assert_int_equal(r.quits, 1);
    assert_false(r.stops);
    rig_stop(&r);
    rig_start(&r);
    r.ui->attached = true;
    r.ui->picture.connected = false; /* also when nobody is there */
    rig_type(&r, "qs");
    assert_true(r.stops);
    rig_stop(&r);
}

/* No order is lost or doubled when more are given than can wait. */
static void too_many_orders_are_refused(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    for (int i = 0; i < FEED_ORDERS; i++)
        keys_handle(r.ui, 'r');
    keys_handle(r.ui, 'r');
    assert_string_equal(rig_dialog(&r), "reading the configuration again");
    rig_press(&r, SCREEN_ESCAPE);
    assert_int_equal(r.n_orders, FEED_ORDERS);
    rig_stop(&r);
}

static void the_gate_is_switched(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_gate(&r, true);
    rig_type(&r, "g");
    assert_string_equal(rig_dialog(&r), "quality gate");
    rig_type(&r, "s");
    rig_wants(&r, "{\"command\":\"gate\",\"on\":false}");
    rig_answer(&r, "{\"ok\":true}");
    assert_non_null(strstr(r.ui->notice, "quality gate: off"));
    rig_add_gate(&r, false);
    rig_type(&r, "gf");
    rig_wants(&r, "{\"command\":\"gate\",\"on\":true,\"save\":true}");
    rig_type(&r, "gn");
    r.ui->picture.snapshot.config[0] = '\0'; /* nothing to save to: the line for it is not there */
    rig_type(&r, "gf");
    assert_string_equal(rig_dialog(&r), "quality gate");
    rig_type(&r, "n");
    rig_wants(&r, NULL);
    rig_stop(&r);
}

static void a_vote_is_chosen(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_drafter(&r, "one", false);
    rig_add_drafter(&r, "two", false);
    struct snapshot_consensus *c = &r.ui->picture.snapshot.consensus;
    snprintf(c->mode, sizeof(c->mode), "strict");
    rig_type(&r, "C\n"); /* the present one is chosen at first */
    rig_wants(&r, "{\"command\":\"consensus\",\"mode\":\"strict\",\"save\":true}");
    rig_type(&r, "Cm");
    rig_wants(&r, "{\"command\":\"consensus\",\"mode\":\"majority\",\"save\":true}");
    r.ui->picture.snapshot.config[0] = '\0';
    rig_type(&r, "Co");
    rig_wants(&r, "{\"command\":\"consensus\",\"mode\":\"off\"}");
    rig_fail(&r, "it is not so");
    rig_press(&r, SCREEN_ESCAPE);
    rig_type(&r, "Ca");
    rig_wants(&r, "{\"command\":\"consensus\",\"mode\":\"any_disagree\"}");
    rig_stop(&r);
}

static void the_plain_name_gets_a_meaning(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_add_gate(&r, true);
    rig_type(&r, "Me");
    rig_wants(&r, "{\"command\":\"mode\",\"mode\":\"exact\",\"save\":true}");
    rig_type(&r, "Mu");
    rig_wants(&r, "{\"command\":\"mode\",\"mode\":\"auto\",\"save\":true}");
    rig_stop(&r);
}

static void a_model_is_pulled_and_given_out(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    struct swarm_view *v = &r.ui->picture.snapshot.swarm;
    v->on = true;
    rig_type(&r, "wp");
    assert_string_equal(rig_dialog(&r), "pull a model");
    rig_type(&r, "\n"); /* nothing */
    assert_string_equal(rig_dialog(&r), "pull a model");
    rig_wants(&r, NULL);
    rig_type(&r, "qwen3 32b\n");
    rig_wants(&r, "{\"command\":\"swarm-pull\",\"what\":\"qwen3 32b\"}");
    rig_answer(&r, "{\"ok\":true}");
    assert_non_null(strstr(r.ui->notice, "pulling qwen3 32b: the pane swarm shows"));
    rig_type(&r, "wpstate at rest at attic:9192\n");
    rig_wants(&r, "{\"command\":\"swarm-pull\",\"peer\":\"attic:9192\",\"what\":\"state at rest\"}");
    rig_fail(&r, "nobody has it");
    assert_string_equal(rig_dialog(&r), "pulling state at rest");
    rig_press(&r, SCREEN_ESCAPE);
    rig_type(&r, "wpstate at rest\n");
    rig_wants(&r, "{\"command\":\"swarm-pull\",\"what\":\"state at rest\"}");
    rig_type(&r, "wg/srv/big.gguf\n");
    rig_wants(&r, "{\"command\":\"swarm-share\",\"path\":\"/srv/big.gguf\"}");
    rig_answer(&r, "{\"name\":\"big\"}");
    assert_non_null(strstr(r.ui->notice, "big is given out"));
    rig_stop(&r);
}

static void a_pull_is_stopped(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    struct swarm_view *v = &r.ui->picture.snapshot.swarm;
    v->on = true;
    v->n_models = 3;
    v->model[0] = (struct swarm_view_model){.id = "0a1b", .name = "given out", .state = SWARM_SEEDING};
    v->model[1] = (struct swarm_view_model){.id = "0c0d", .name = "coming", .state = SWARM_FETCHING};
    v->model[2] = (struct swarm_view_model){.name = "wanted", .state = SWARM_FINDING}; /* its id is not known yet */
    rig_type(&r, "ws");
    assert_string_equal(rig_dialog(&r), "stop a pull");
    v->n_models = 0; /* a new picture comes meanwhile */
    rig_type(&r, "\n");
    rig_wants(&r, "{\"command\":\"swarm-cancel\",\"what\":\"0c0d\"}");
    rig_answer(&r, "{\"ok\":true}");
    v->n_models = 3;
    rig_type(&r, "ws");
    rig_press(&r, KEY_DOWN);
    rig_type(&r, "\n");
    rig_wants(&r, "{\"command\":\"swarm-cancel\",\"what\":\"wanted\"}");
    rig_type(&r, "wsn");
    rig_wants(&r, NULL);
    v->n_models = 1; /* nothing to stop: no line for it */
    rig_type(&r, "ws");
    assert_string_equal(rig_dialog(&r), "swarm");
    rig_press(&r, SCREEN_ESCAPE);
    rig_stop(&r);
}

const struct CMUnitTest actions_tests[] = {
    cmocka_unit_test(a_model_is_pulled_and_given_out),
    cmocka_unit_test(a_pull_is_stopped),
    cmocka_unit_test(the_gate_is_switched),
    cmocka_unit_test(a_vote_is_chosen),
    cmocka_unit_test(the_plain_name_gets_a_meaning),
    cmocka_unit_test(a_model_is_swapped_in_by_four_keys),
    cmocka_unit_test(a_swap_that_fails_says_why),
    cmocka_unit_test(models_that_do_not_fit_are_explained),
    cmocka_unit_test(the_default_is_saved),
    cmocka_unit_test(a_list_that_was_left_does_not_come_back),
    cmocka_unit_test(drafters_are_paused_and_resumed),
    cmocka_unit_test(a_drafter_is_added_and_removed),
    cmocka_unit_test(the_pools_own_drafter_is_not_removed),
    cmocka_unit_test(the_cap_is_a_number_or_auto),
    cmocka_unit_test(engines_are_started_and_stopped),
    cmocka_unit_test(what_examines_is_read),
    cmocka_unit_test(the_rest_of_the_orders),
    cmocka_unit_test(the_filter_follows_the_typing),
    cmocka_unit_test(quitting_asks),
    cmocka_unit_test(too_many_orders_are_refused),
};
const size_t actions_count = ARRAY_LEN(actions_tests);
