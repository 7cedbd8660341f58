/* The groups of tests of this layer, run by main.c as one. */
#ifndef TIGHTWAD_TESTS_BACKENDS_H
#define TIGHTWAD_TESTS_BACKENDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest node_tests[], stream_tests[];
extern const size_t node_count, stream_count;

#endif
