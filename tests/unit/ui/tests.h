/* The test tables of this binary. */
#ifndef TIGHTWAD_TESTS_UI_TESTS_H
#define TIGHTWAD_TESTS_UI_TESTS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest actions_tests[];
extern const size_t actions_count;
extern const struct CMUnitTest dashboard_tests[];
extern const size_t dashboard_count;
extern const struct CMUnitTest feed_tests[];
extern const size_t feed_count;
extern const struct CMUnitTest field_tests[];
extern const size_t field_count;
extern const struct CMUnitTest frame_tests[];
extern const size_t frame_count;
extern const struct CMUnitTest graph_tests[];
extern const size_t graph_count;
extern const struct CMUnitTest input_tests[];
extern const size_t input_count;
extern const struct CMUnitTest keys_tests[];
extern const size_t keys_count;
extern const struct CMUnitTest layout_tests[];
extern const size_t layout_count;
extern const struct CMUnitTest menu_tests[];
extern const size_t menu_count;
extern const struct CMUnitTest modes_tests[];
extern const size_t modes_count;
extern const struct CMUnitTest page_tests[];
extern const size_t page_count;
extern const struct CMUnitTest swarm_tests[];
extern const size_t swarm_count;
extern const struct CMUnitTest text_tests[];
extern const size_t text_count;
extern const struct CMUnitTest theme_tests[];
extern const size_t theme_count;
extern const struct CMUnitTest view_tests[];
extern const size_t view_count;
extern const struct CMUnitTest trouble_tests[];
extern const size_t trouble_count;
extern const struct CMUnitTest wizard_tests[];
extern const size_t wizard_count;

#endif
