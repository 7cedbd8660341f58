/* The unit tests of ui as one TAP plan: what needs no terminal. */
#include "tests.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const struct {
    const struct CMUnitTest *tests;
    const size_t *n;
} suites[] = {
    {actions_tests, &actions_count}, {dashboard_tests, &dashboard_count}, {feed_tests, &feed_count},
    {field_tests, &field_count},     {frame_tests, &frame_count},         {graph_tests, &graph_count},
    {input_tests, &input_count},     {keys_tests, &keys_count},           {layout_tests, &layout_count},
    {menu_tests, &menu_count},       {modes_tests, &modes_count},         {page_tests, &page_count},
    {swarm_tests, &swarm_count},     {text_tests, &text_count},           {theme_tests, &theme_count},
    {trouble_tests, &trouble_count}, {view_tests, &view_count},           {wizard_tests, &wizard_count},
};

int main(void)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++)
        n += *suites[i].n;
    struct CMUnitTest *all = xcalloc(n, sizeof(*all));
    n = 0;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
        memcpy(all + n, suites[i].tests, *suites[i].n * sizeof(*all));
        n += *suites[i].n;
    }
    int failed = _cmocka_run_group_tests("ui", all, n, NULL, NULL);
    free(all);
    return failed;
}
