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

enum { PROMPTS_LONG = 16 }; /* that prompts_long knows */

/* One prompt a line; empty lines and lines that start with # are skipped.  "-" is stdin.  0, or -1 and a cause. */
int prompts_load(struct prompts *p, const char *path, char **cause);
/* n different questions of several kinds (sums, stories, counting, copying, facts), the same ones for the same seed. */
void prompts_make(struct prompts *p, size_t n, uint64_t seed);
/* At most n prompts that ask for long answers: of the demo target, 100 tokens and more.  Always the same ones. */
void prompts_long(struct prompts *p, size_t n);
/* n prompts whose answer is their own text: "Repeat: …". */
void prompts_repeat(struct prompts *p, size_t n, uint64_t seed);
void prompts_finish(struct prompts *p);

/* [{"role":"user","content":prompt}], with a system message before it when system is given.  New reference. */
json_t *prompts_messages(const char *system, const char *prompt);

#endif
