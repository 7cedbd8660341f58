/* The table of verbs is sorted and whole, and the manual page knows every verb and option in it. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/cmd.h"
#include "unit.h"

extern const struct CMUnitTest table_tests[];
extern const size_t table_count;

static void check_table(const struct cmd *const *table)
{
    for (size_t i = 0; table[i] != NULL; i++) {
        const struct cmd *c = table[i];
        if (i > 0 && strcmp(table[i - 1]->name, c->name) >= 0)
            fail_msg("%s stands after %s", c->name, table[i - 1]->name);
        assert_non_null(c->usage);
        assert_true(islower((unsigned char)c->summary[0]) && strlen(c->summary) < 90);
        assert_true(c->run != NULL || c->subs != NULL);
        for (const struct cmd_option *o = c->options; o != NULL && o->name != NULL; o++) {
            if (o->letter == 'c' || o->letter == 'h' || strcmp(o->name, "help") == 0 || strcmp(o->name, "config") == 0)
                fail_msg("%s: -%c --%s is every verb's", c->name, o->letter, o->name);
            for (const struct cmd_option *p = c->options; p != o; p++) {
                assert_string_not_equal(p->name, o->name);
                assert_true(o->letter == 0 || p->letter != o->letter);
            }
        }
        if (c->subs != NULL)
            check_table(c->subs);
    }
}

static void the_table_is_sorted_and_whole(void **state)
{
    check_table(cmd_table);
}

/* The page of the verbs, and behind it that of those which have one of their own. */
static char *read_pages(void)
{
    static const char *const names[] = {"tightwad.1", "tightwad-swarm.1"};
    char *text = xcalloc(1, 200000), *to = text;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *path = xasprintf("%s/../../../doc/%s", getenv("TIGHTWAD_TEST_DATA"), names[i]);
        FILE *f = fopen(path, "re");
        if (f == NULL)
            fail_msg("%s is not there", path);
        free(path);
        int c;
        while ((c = fgetc(f)) != EOF && to - text < 199990) {
            if (c != '\\') /* troff writes - as \- */
                *to++ = (char)c;
        }
        fclose(f);
    }
    return text;
}

static void check_page(const char *page, const char *path, const struct cmd *const *table)
{
    for (size_t i = 0; table[i] != NULL; i++) {
        const struct cmd *c = table[i];
        if (c->hidden)
            continue;
        char *name = xasprintf("%s%s%s", path, path[0] != '\0' ? " " : "", c->name);
        char *heading = xasprintf("\n.SS %s", name);
        const char *section = strstr(page, heading);
        if (section == NULL) {
            fail_msg("the manual page has no section \"%s\"", name);
            return;
        }
        const char *next = strstr(section + 1, "\n.S");
        size_t len = next != NULL ? (size_t)(next - section) : strlen(section);
        char *body = xstrndup(section, len);
        for (const struct cmd_option *o = c->options; o != NULL && o->name != NULL; o++) {
            char *option = xasprintf("--%s", o->name);
            if (strstr(body, option) == NULL)
                fail_msg("the manual page's section \"%s\" does not name %s", name, option);
            free(option);
        }
        if (c->subs != NULL)
            check_page(page, name, c->subs);
        free(body);
        free(heading);
        free(name);
    }
}

static void the_manual_page_knows_everything(void **state)
{
    char *page = read_pages();
    check_page(page, "", cmd_table);
    free(page);
}

const struct CMUnitTest table_tests[] = {
    cmocka_unit_test(the_table_is_sorted_and_whole),
    cmocka_unit_test(the_manual_page_knows_everything),
};
const size_t table_count = ARRAY_LEN(table_tests);
