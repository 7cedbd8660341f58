/* The prompts of bench, bench exact, doctor and demo: from a file, or made up here. */
#ifndef TIGHTWAD_CMD_PROMPTS_H
#define TIGHTWAD_CMD_PROMPTS_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct prompts {
    char **list; /* owned */
    size_t n;
};

/* One prompt a line; empty lines and lines that start with # are skipped.  "-" is stdin.  0, or -1 and a cause. */
int prompts_load(struct prompts *p, const char *path, char **cause);
/* n different questions of several kinds (sums, stories, counting, copying, facts), the same ones for the same seed. */
void prompts_make(struct prompts *p, size_t n, uint64_t seed);
void prompts_finish(struct prompts *p);

/* [{"role":"user","content":prompt}], with a system message before it when system is given.  New reference. */
json_t *prompts_messages(const char *system, const char *prompt);

#endif
