/* What a model's name tells: family, size, quantisation, whether it is a mixture of experts.
 *
 * Names come as Ollama writes them ("qwen3:32b-q4_K_M", "hf.co/org/Qwen3-32B-GGUF:Q4_K_M") and as files are called
 * ("Meta-Llama-3.1-70B-Instruct-Q4_K_M.gguf").  Sizes are in parameters; -1 unknown. */
#ifndef TIGHTWAD_ADVISE_FAMILY_H
#define TIGHTWAD_ADVISE_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

/* Models of one family have one vocabulary, or nearly: only they can speculate together by token ids. */
struct family {
    const char *id;           /* "qwen3" */
    const char *words;        /* "Qwen 3" */
    const char *vocabulary;   /* what it shares with other families: "qwen2"; equal ones are worth a try */
    const char *patterns;     /* beginnings of words in a name, with spaces between; "a+b" wants both */
    const char *architecture; /* as GGUF files have it, where it tells the family by itself; NULL: it does not */
};

enum family_match {
    FAMILY_SAME,    /* the same fingerprint or the same family */
    FAMILY_LIKELY,  /* another name, but the vocabularies are known to be near, or nothing but the architecture is known
                     */
    FAMILY_OTHER,   /* different: about 3 % of what is drafted would be accepted */
    FAMILY_UNKNOWN, /* nothing is known of one of them */
};

/* NULL: none of the known ones.  Either may be NULL or "". */
const struct family *family_of(const char *name, const char *architecture);

/* A model as far as it matters here; texts may be NULL or "". */
struct family_model {
    const char *name, *architecture, *vocab;
    const struct family *family; /* what family_of says, where looked_up */
    bool looked_up;              /* false: it is looked up at every comparison */
};
const struct family *family_of_model(const struct family_model *m);
enum family_match family_compare(const struct family_model *a, const struct family_model *b);

int64_t family_parameters(const char *name); /* in all: "32b", "0.6B", "8x7b", "135M" */
/* Those that one token passes through: "30b-a3b" 3e9, "8x7b" two of eight experts; of a dense model all. */
int64_t family_active(const char *name, int64_t parameters);
bool family_is_moe(const char *name, const char *architecture);

/* "q4_k_m" as the name has it, at most size - 1 bytes; false and "": it does not say. */
bool family_quantisation(const char *name, char *out, int size);
/* Bits of a weight: 4.85 for Q4_K_M; what Ollama and most files take, that, where it is not known.  known may be NULL.
 */
double family_bits(const char *quantisation, bool *known);

const char *family_match_name(enum family_match m); /* "same", "likely", "other", "unknown" */

#endif
