/* The pages that are made from the option table, and the examples: they can't drift from the program. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/options.h"

/* A file of the project; path from its root.  Owned by the caller. */
static char *project_path(const char *path)
{
    const char *data = getenv("TIGHTWAD_TEST_DATA");
    assert_non_null(data);
    return xasprintf("%s/../../../%s", data, path);
}

static char *project_file(const char *path)
{
    char *full = project_path(path), *cause = NULL;
    struct buf b;
    if (file_read(full, 1 << 20, &b, &cause) != 0)
        fail_msg("%s: %s", full, cause);
    free(full);
    return buf_steal(&b);
}

static void reference_page_is_up_to_date(void **state)
{
    char *page = NULL, *doc = project_file("doc/configuration.md");
    size_t len = 0;
    FILE *to = open_memstream(&page, &len);
    config_reference(to);
    fclose(to);
    if (strcmp(page, doc) != 0)
        fail_msg("doc/configuration.md differs from the option table: "
                 "build/tightwad config reference > doc/configuration.md");
    free(page);
    free(doc);
}

static void manual_page_names_every_option(void **state)
{
    char *man = project_file("doc/cluster.yaml.5");
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        char *entry = xasprintf(".TP\n.B %s\n", option_leaf(o));
        if (!strstr(man, entry))
            fail_msg("doc/cluster.yaml.5 does not name %s", o->key);
        free(entry);
        if (o->env && !strstr(man, o->env + 1))
            fail_msg("doc/cluster.yaml.5 does not name %s", o->env);
    }
    free(man);
}

static void every_option_is_whole(void **state)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        assert_non_null(o->help);
        assert_true(option_find(o->key) == o); /* no key twice */
        assert_int_equal(o->type == OPTION_ENUM, o->names != NULL);
        size_t sections = 0;
        for (size_t k = 0; k < option_section_count; k++)
            sections += option_in_section(o, option_sections[k].key);
        assert_int_equal(sections, 1);
        for (size_t k = 0; k < i; k++)
            assert_true(!o->env || !option_table[k].env || strcmp(o->env, option_table[k].env) != 0);
    }
}

static void examples_load(void **state)
{
    static const char *const names[] = {"two-machines", "cpu-draft-gpu-target", "ollama-both", "pool",
                                        "consensus",    "quality-gate",         "swarm"};
    setenv("SWARM_TOKEN", "s", 1);
    setenv("AGENTS_TOKEN", "a", 1);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *rel = xasprintf("configs/%s.yaml", names[i]), *path = project_path(rel);
        struct config_findings f = {0};
        struct config *c = config_load(path, &f);
        config_findings_print(&f, stderr);
        assert_non_null(c);
        assert_int_equal(f.n, 0);
        assert_true(c->proxy.target.url || config_has_pool(c));
        assert_true(c->proxy.n_drafters > 0 || c->gate.configured || c->swarm.enabled);
        config_findings_finish(&f);
        config_destroy(c);
        free(path);
        free(rel);
    }
    unsetenv("SWARM_TOKEN");
    unsetenv("AGENTS_TOKEN");
}

const struct CMUnitTest examples_tests[] = {
    cmocka_unit_test(reference_page_is_up_to_date),
    cmocka_unit_test(manual_page_names_every_option),
    cmocka_unit_test(every_option_is_whole),
    cmocka_unit_test(examples_load),
};
const size_t examples_count = ARRAY_LEN(examples_tests);
