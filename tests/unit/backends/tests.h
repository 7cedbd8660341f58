/* The groups of tests of this layer, run by main.c as one. */
#ifndef TIGHTWAD_TESTS_BACKENDS_H
#define TIGHTWAD_TESTS_BACKENDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest branches_tests[], registry_tests[], ngram_tests[], node_tests[], stream_tests[],
    chat_tests[], llamacpp_tests[], llamacpp_slots_tests[], ollama_tests[], openai_tests[], real_llama_tests[],
    real_node_tests[], score_tests[];
extern const size_t branches_count, registry_count, ngram_count, node_count, stream_count, chat_count, llamacpp_count,
    llamacpp_slots_count, ollama_count, openai_count, real_llama_count, real_node_count, score_count;

#endif
