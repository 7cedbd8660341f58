#include "tests.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const struct {
    const struct CMUnitTest *tests;
    const size_t *count;
} groups[] = {
    {branches_tests, &branches_count},     {registry_tests, &registry_count},
    {ngram_tests, &ngram_count},           {node_tests, &node_count},
    {stream_tests, &stream_count},         {chat_tests, &chat_count},
    {llamacpp_tests, &llamacpp_count},     {llamacpp_slots_tests, &llamacpp_slots_count},
    {ollama_tests, &ollama_count},         {openai_tests, &openai_count},
    {real_llama_tests, &real_llama_count}, {real_node_tests, &real_node_count},
    {score_tests, &score_count},
};

int main(void)
{
    struct CMUnitTest *all = NULL;
    size_t n = 0;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        all = xreallocarray(all, n + *groups[i].count, sizeof(*all));
        memcpy(all + n, groups[i].tests, *groups[i].count * sizeof(*all));
        n += *groups[i].count;
    }
    int failed = _cmocka_run_group_tests("backends", all, n, NULL, NULL);
    free(all);
    return failed > 0 ? 1 : 0;
}
