/* What a node says of its model, and what it does with files that are none. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <llama.h>

#include "base/mem.h"

static void test_vocabulary(void **state)
{
    struct rig target, draft;
    rig_open(&target, "target", 1, 64, 128, 1);
    rig_open(&draft, "draft", 1, 64, 128, 1);
    assert_string_equal(target.model->fingerprint, draft.model->fingerprint);
    char part[NODE_FINGERPRINT_SIZE];
    node_model_fingerprint(target.model, 639, part);
    assert_string_not_equal(part, target.model->fingerprint);
    assert_int_equal(strlen(part), 64);
    assert_string_equal(target.model->architecture, "llama");
    assert_string_equal(target.model->description, "llama 2.15M Q8_0");
    assert_string_equal(target.model->devices[0], "CPU");

    const char *text = "Caf\xc3\xa9: <|im_start|>";
    int32_t *plain = NULL, *special = NULL;
    size_t n_plain, n_special, len;
    assert_int_equal(node_model_tokenize(target.model, text, strlen(text), false, false, &plain, &n_plain, NULL), 0);
    assert_int_equal(node_model_tokenize(target.model, text, strlen(text), true, false, &special, &n_special, NULL), 0);
    assert_true(n_special < n_plain);
    char *back = node_model_detokenize(target.model, plain, n_plain, false, &len);
    assert_string_equal(back, text);
    free(back);
    back = node_model_detokenize(target.model, special, n_special, false, &len);
    assert_string_equal(back, "Caf\xc3\xa9: "); /* a control token is no text of an answer */
    free(back);
    back = node_model_detokenize(target.model, special, n_special, true, &len);
    assert_string_equal(back, text);
    free(back);
    (void)node_model_piece(target.model, -1, true, &len);
    assert_int_equal(len, 0);
    free(plain);
    free(special);
    rig_close(&target);
    rig_close(&draft);
}

static void test_template(void **state)
{
    struct rig r;
    rig_open(&r, "target", 1, 64, 128, 1);
    struct node_message m[] = {{"system", "Be brief."}, {"user", "Hi"}};
    char *text = node_model_template(r.model, m, 2, NULL);
    assert_string_equal(text, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                              "<|im_start|>assistant\n");
    free(text);
    rig_close(&r);
}

static void test_self_test(void **state)
{
    static const struct {
        const char *model;
        enum node_rollback rollback;
    } cases[] = {
        {"target", NODE_ROLLBACK_TRUNCATE}, {"recurrent", NODE_ROLLBACK_SNAPSHOT}, {"hybrid", NODE_ROLLBACK_SNAPSHOT}};
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct node_core_options o;
        char *cause = NULL, *path = rig_model_path(cases[c].model);
        node_core_options_init(&o);
        o.model.path = path;
        o.batch = 128;
        o.ctx = 512;
        o.threads = 1;
        struct node_core *core = node_core_load(&o, NULL, NULL, &cause);
        assert_non_null(core);
        const struct node_core_info *info = node_core_info(core);
        assert_int_equal(info->rollback, cases[c].rollback);
        assert_true(info->batch_invariant && info->noise == 0);
        assert_int_equal(info->selftest.rows, 6);
        for (size_t i = 0; i < 6; i++)
            assert_true(!info->selftest.row[i].skipped && info->selftest.row[i].positions > 0);
        node_core_destroy(core);
        rig_model_done(path);
    }
}

/* K-quants take other paths through ggml than Q8_0, by the size of the batch. */
static void test_k_quants(void **state)
{
    static const enum llama_ftype types[] = {LLAMA_FTYPE_MOSTLY_Q4_K_M, LLAMA_FTYPE_MOSTLY_Q6_K,
                                             LLAMA_FTYPE_MOSTLY_IQ4_XS, LLAMA_FTYPE_MOSTLY_Q4_0};
    char *path = rig_model_path("target"), *out = xasprintf("/tmp/tightwad-unit-%d-quantized.gguf", (int)getpid());
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        llama_model_quantize_params q = llama_model_quantize_default_params();
        q.ftype = types[i];
        q.allow_requantize = true;
        q.nthread = 1;
        assert_int_equal(llama_model_quantize(path, out, &q), 0);
        struct node_core_options o;
        char *cause = NULL;
        node_core_options_init(&o);
        o.model.path = out;
        o.threads = 1 + (int32_t)i % 2;
        struct node_core *core = node_core_load(&o, NULL, NULL, &cause);
        assert_non_null(core);
        assert_true(node_core_info(core)->batch_invariant);
        node_core_destroy(core);
    }
    unlink(out);
    free(out);
    free(path);
}

/* The self-test can fail: flash attention with two threads gives other bits for batches here. */
static void test_self_test_finds_noise(void **state)
{
    struct node_core_options o;
    char *cause = NULL, *path = rig_model_path("target");
    node_core_options_init(&o);
    o.model.path = path;
    o.flash = NODE_FLASH_ON;
    o.ubatch = o.batch; /* else fewer tokens at once are tried */
    o.threads = 2;
    struct node_core *core = node_core_load(&o, NULL, NULL, &cause);
    assert_non_null(core);
    assert_false(node_core_info(core)->batch_invariant);
    assert_true(node_core_info(core)->noise > 0);
    node_core_destroy(core);
    free(path);
}

static bool stop_at_once(double fraction, void *arg)
{
    return false;
}

static void test_load_refused(void **state)
{
    struct node_core_options o;
    char *cause = NULL, *path = rig_model_path("target"), *dir = xstrdup(path);
    *strrchr(dir, '/') = '\0';
    char *readme = xasprintf("%s/README.md", dir);
    node_core_options_init(&o);
    o.model.path = "/none.gguf";
    assert_null(node_core_load(&o, NULL, NULL, &cause));
    assert_string_equal(cause, "/none.gguf: No such file or directory");
    o.model.path = readme;
    assert_null(node_core_load(&o, NULL, NULL, &cause));
    assert_non_null(strstr(cause, "llama.cpp can't load it"));
    o.model.path = path;
    o.model.device = "GPU77";
    assert_null(node_core_load(&o, NULL, NULL, &cause));
    assert_non_null(strstr(cause, "no device is called \"GPU77\""));
    o.model.device = NULL;
    o.model.tensor_split = "3,x";
    assert_null(node_core_load(&o, NULL, NULL, &cause));
    assert_non_null(strstr(cause, "tensor split"));
    o.model.tensor_split = NULL;
    assert_null(node_core_load(&o, stop_at_once, NULL, &cause));
    assert_non_null(strstr(cause, "stopped"));
    free(cause);
    free(path);
    free(dir);
    free(readme);
}

const struct CMUnitTest model_tests[] = {
    cmocka_unit_test(test_vocabulary),
    cmocka_unit_test(test_template),
    cmocka_unit_test(test_self_test),
    cmocka_unit_test(test_k_quants),
    cmocka_unit_test(test_self_test_finds_noise),
    cmocka_unit_test(test_load_refused),
};
const size_t model_count = sizeof(model_tests) / sizeof(model_tests[0]);
