/* What every test file of this folder includes. */
#ifndef TIGHTWAD_TESTS_UNIT_CMD_UNIT_H
#define TIGHTWAD_TESTS_UNIT_CMD_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
