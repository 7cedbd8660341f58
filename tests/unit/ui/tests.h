/* The test tables of this binary. */
#ifndef TIGHTWAD_TESTS_UI_TESTS_H
#define TIGHTWAD_TESTS_UI_TESTS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest feed_tests[];
extern const size_t feed_count;
extern const struct CMUnitTest field_tests[];
extern const size_t field_count;
extern const struct CMUnitTest page_tests[];
extern const size_t page_count;
extern const struct CMUnitTest wizard_tests[];
extern const size_t wizard_count;

#endif
