/* Ollama's models on disk: names, the order of the folders, and causes that say where it looked and what is there. */
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
#include "probe/ollama-store.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char root[64];

/* Makes a file below root and the folders that it needs. */
static void make(const char *path, const char *text)
{
    char *full = xasprintf("%s/%s", root, path);
    for (char *p = strchr(full + strlen(root) + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(full);
}

#define MODEL_LAYER "{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:" HEX "\"}"

static int set_up(void **state)
{
    strcpy(root, "/tmp/tightwad-test-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    char *models = xasprintf("%s/env", root), *home = xasprintf("%s/home", root);
    setenv("OLLAMA_MODELS", models, 1);
    setenv("HOME", home, 1);
    free(models);
    free(home);
    make("env/manifests/registry.ollama.ai/library/qwen3/0.6b",
         "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.license\",\"digest\":\"sha256:00\"}," MODEL_LAYER
         "]}");
    make("env/blobs/sha256-" HEX, "GGUF");
    make("home/.ollama/models/manifests/registry.ollama.ai/library/llama3/latest", "{\"layers\":[" MODEL_LAYER "]}");
    make("home/.ollama/models/manifests/registry.ollama.ai/me/own/latest", "{\"layers\":[" MODEL_LAYER "]}");
    make("home/.ollama/models/manifests/hf.co/some/model-GGUF/Q4_K_M", "{\"layers\":[" MODEL_LAYER "]}");
    make("home/.ollama/models/blobs/sha256-" HEX, "GGUF");
    return 0;
}

static int tear_down(void **state)
{
    char *command = xasprintf("rm -rf '%s'", root);
    int rc = system(command);
    free(command);
    unsetenv("OLLAMA_MODELS");
    return rc;
}

static void found(const char *name, const char *store)
{
    char *cause = NULL, *want = xasprintf("%s/%s/blobs/sha256-" HEX, root, store);
    char *path = ollama_store_find(name, &cause);
    if (!path)
        fail_msg("%s", cause);
    assert_string_equal(path, want);
    free(path);
    free(want);
}

static void missing(const char *name, const char *want)
{
    char *cause = NULL;
    assert_null(ollama_store_find(name, &cause));
    if (!strstr(cause, want))
        fail_msg("wanted \"%s\", got \"%s\"", want, cause);
    free(cause);
}

static void finds_by_every_spelling(void **state)
{
    found("qwen3:0.6b", "env");
    found("library/qwen3:0.6b", "env");
    found("registry.ollama.ai/library/qwen3:0.6b", "env");
    found("llama3", "home/.ollama/models");
    found("llama3:latest", "home/.ollama/models");
    found("me/own", "home/.ollama/models");
    found("hf.co/some/model-GGUF:Q4_K_M", "home/.ollama/models");
}

static void says_where_it_looked_and_what_is_there(void **state)
{
    missing("qwen3", "ollama:qwen3: no such model");
    missing("qwen3", "/env, ");
    missing("qwen3", "/usr/share/ollama/.ollama/models");
    missing("qwen3", "qwen3:0.6b");
    missing("qwen3", "me/own:latest");
    missing("qwen3", "hf.co/some/model-GGUF:Q4_K_M");
    setenv("OLLAMA_MODELS", "/nonexistent", 1);
    missing("qwen3:0.6b", "/nonexistent (not there)");
}

static void refuses_names_that_lead_elsewhere(void **state)
{
    static const char *const names[] = {"",    ":",     "a:",        "../x",    "a/../b:c", "a/b/c/d", "/etc/passwd",
                                        "a b", "a:b:c", "a:../../x", ".hidden", "a//b"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        missing(names[i], "NAME[:TAG] is expected");
}

static void tells_what_is_wrong_with_a_manifest(void **state)
{
    make("env/manifests/registry.ollama.ai/library/bad/latest", "{not json");
    missing("bad", "is not a manifest");
    make("env/manifests/registry.ollama.ai/library/bad/cloud", "{\"layers\":[]}");
    missing("bad:cloud", "names no model layer");
    make("env/manifests/registry.ollama.ai/library/bad/odd", "{\"layers\":7}");
    missing("bad:odd", "names no model layer");
    make("env/manifests/registry.ollama.ai/library/bad/path",
         "{\"layers\":[{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:../../../etc/"
         "passwd\"}]}");
    missing("bad:path", "none of SHA-256");
    make("env/manifests/registry.ollama.ai/library/bad/lora",
         "{\"layers\":[" MODEL_LAYER
         ",{\"mediaType\":\"application/vnd.ollama.image.adapter\",\"digest\":\"sha256:1\"}]}");
    missing("bad:lora", "adapter");
    char *blob = xasprintf("%s/env/blobs/sha256-" HEX, root);
    unlink(blob);
    free(blob);
    missing("qwen3:0.6b", "pull it again");
}

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
const struct CMUnitTest ollama_store_tests[] = {
    STORE_TEST(finds_by_every_spelling),
    STORE_TEST(says_where_it_looked_and_what_is_there),
    STORE_TEST(refuses_names_that_lead_elsewhere),
    STORE_TEST(tells_what_is_wrong_with_a_manifest),
};
const size_t ollama_store_count = ARRAY_LEN(ollama_store_tests);
