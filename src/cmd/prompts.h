/* The prompts of bench, bench exact, doctor and demo: from a file, or made up here. */
#ifndef TIGHTWAD_CMD_PROMPTS_H
#define TIGHTWAD_CMD_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct prompts {
    char **list;   /* owned */
    char **answer; /* what is right, for each; NULL: not known; NULL itself: none is.  Owned */
    size_t n;
};

enum { PROMPTS_LONG = 16 /* that prompts_long knows */, PROMPTS_MIXED = 100 };

/* One prompt a line, and perhaps, behind a tab, its known answer; empty lines and lines that start with # are skipped.
 * "-" is stdin.  0, or -1 and a cause. */
int prompts_load(struct prompts *p, const char *path, char **cause);
/* Keeps the first n. */
void prompts_limit(struct prompts *p, size_t n);
/* Whether text is the known answer i: one that ends like a sentence is the whole text, white space around it left out;
 * another one (a name, a number) stands somewhere in it as whole words, upper and lower case alike. */
bool prompts_right(const struct prompts *p, size_t i, const char *text, size_t len);
/* n different questions of several kinds (sums, stories, counting, copying, facts), the same ones for the same seed. */
void prompts_make(struct prompts *p, size_t n, uint64_t seed);
/* At most n prompts that ask for long answers: of the demo target, 100 tokens and more.  Always the same ones. */
void prompts_long(struct prompts *p, size_t n);
/* n prompts, at most PROMPTS_MIXED, about half of them to be answered in numbers and half in words, in turn, all at
 * some length: for drafters that know one of the two. */
void prompts_mixed(struct prompts *p, size_t n);
/* n prompts whose answer is their own text: "Repeat: …". */
void prompts_repeat(struct prompts *p, size_t n, uint64_t seed);
void prompts_finish(struct prompts *p);

/* [{"role":"user","content":prompt}], with a system message before it when system is given.  New reference. */
json_t *prompts_messages(const char *system, const char *prompt);

#endif
