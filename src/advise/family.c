#include "advise/family.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* The first row that fits is taken, so derived models stand before what they derive from. */
/* clang-format off */
static const struct family families[] = {
    {"deepseek-qwen", "DeepSeek distilled into Qwen", "qwen2", "deepseek+qwen", NULL},
    {"deepseek-llama", "DeepSeek distilled into Llama", "llama3", "deepseek+llama", NULL},
    {"deepseek", "DeepSeek", "deepseek", "deepseek", "deepseek2"},
    {"tinyllama", "TinyLlama", "llama2", "tinyllama", NULL},
    {"codellama", "Code Llama", "llama2", "codellama", NULL},
    {"qwen3.5", "Qwen 3.5", "qwen3.5", "qwen3.5 qwen35", "qwen35"},
    {"qwen3", "Qwen 3", "qwen2", "qwen3", "qwen3"},
    {"qwen2.5", "Qwen 2.5", "qwen2", "qwen2.5 qwen25 qwq", NULL},
    {"qwen2", "Qwen 2", "qwen2", "qwen2", "qwen2"},
    {"llama4", "Llama 4", "llama4", "llama4 llama-4", "llama4"},
    {"llama3", "Llama 3", "llama3", "llama3 llama-3", NULL},
    {"llama2", "Llama 2", "llama2", "llama2 llama-2 vicuna", NULL},
    {"mistral-nemo", "Mistral with the Tekken vocabulary", "tekken",
     "mistral-nemo mistral-small ministral devstral magistral nemo", NULL},
    {"mixtral", "Mixtral", "mistral", "mixtral", NULL},
    {"mistral", "Mistral", "mistral", "mistral codestral mathstral", NULL},
    {"gemma3", "Gemma 3", "gemma3", "gemma3 gemma-3", "gemma3"},
    {"gemma2", "Gemma 2", "gemma", "gemma2 gemma-2", "gemma2"},
    {"gemma", "Gemma", "gemma", "gemma", "gemma"},
    {"phi4", "Phi 4", "phi4", "phi4 phi-4", NULL},
    {"phi3", "Phi 3", "llama2", "phi3 phi-3", "phi3"},
    {"phi", "Phi", "phi", "phi", "phi2"},
    {"smollm3", "SmolLM 3", "llama3", "smollm3", "smollm3"},
    {"smollm", "SmolLM", "smollm", "smollm", NULL},
    {"granite", "Granite", "granite", "granite", "granite"},
    {"gpt-oss", "gpt-oss", "gpt-oss", "gpt-oss gptoss", "gpt-oss"},
    {"glm4", "GLM 4", "glm4", "glm4 glm-4", "glm4"},
    {"command-r", "Command R", "command-r", "command-r command-a c4ai", "command-r"},
    {"olmo2", "OLMo 2", "olmo2", "olmo2 olmo-2", "olmo2"},
    {"falcon3", "Falcon 3", "falcon3", "falcon3 falcon-3", NULL},
    {"exaone", "EXAONE", "exaone", "exaone", "exaone"},
    {"yi", "Yi", "yi", "yi", NULL},
};
/* clang-format on */

/* The part of a name that says what the model is: without folders, and without what Ollama puts before it. */
static const char *base_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? slash + 1 : name;
}

/* Whether a word of the name begins with the n bytes of the pattern: "yi:34b" and "yi34" with "yi", "yields" does not.
 */
static bool has_word(const char *name, const char *pattern, size_t n)
{
    for (const char *at = name; *at; at++) {
        if (at != name && isalnum((unsigned char)at[-1]))
            continue;
        if (strncasecmp(at, pattern, n) != 0)
            continue;
        bool number = isdigit((unsigned char)pattern[n - 1]);
        unsigned char next = (unsigned char)at[n];
        bool more = number ? isdigit(next) : isalpha(next);
        if (!more)
            return true;
    }
    return false;
}

static bool has_pattern(const char *name, const char *pattern, size_t n)
{
    const char *plus = memchr(pattern, '+', n);
    if (!plus)
        return has_word(name, pattern, n);
    size_t first = (size_t)(plus - pattern);
    return has_word(name, pattern, first) && has_pattern(name, plus + 1, n - first - 1);
}

static bool named(const struct family *f, const char *name)
{
    for (const char *p = f->patterns; *p;) {
        size_t n = strcspn(p, " ");
        if (has_pattern(name, p, n))
            return true;
        p += n;
        p += strspn(p, " ");
    }
    return false;
}

const struct family *family_of(const char *name, const char *architecture)
{
    for (size_t i = 0; name && *name && i < ARRAY_LEN(families); i++) {
        if (named(&families[i], base_name(name)))
            return &families[i];
    }
    for (size_t i = 0; architecture && *architecture && i < ARRAY_LEN(families); i++) {
        const char *a = families[i].architecture;
        /* Mixtures have an architecture of their own: qwen3moe. */
        if (a && strncasecmp(architecture, a, strlen(a)) == 0 &&
            (architecture[strlen(a)] == '\0' || strcasecmp(architecture + strlen(a), "moe") == 0))
            return &families[i];
    }
    return NULL;
}

const struct family *family_of_model(const struct family_model *m)
{
    return m->looked_up ? m->family : family_of(m->name, m->architecture);
}

static bool has(const char *s)
{
    return s && *s;
}

enum family_match family_compare(const struct family_model *a, const struct family_model *b)
{
    if (has(a->vocab) && has(b->vocab) && strcmp(a->vocab, b->vocab) == 0)
        return FAMILY_SAME;
    const struct family *fa = family_of_model(a), *fb = family_of_model(b);
    if (fa && fa == fb)
        return FAMILY_SAME; /* fingerprints of one family differ in padding */
    if (has(a->vocab) && has(b->vocab) && !(fa && fb && strcmp(fa->vocabulary, fb->vocabulary) == 0))
        return FAMILY_OTHER;
    if (fa && fb)
        return strcmp(fa->vocabulary, fb->vocabulary) == 0 ? FAMILY_LIKELY : FAMILY_OTHER;
    if (has(a->architecture) && has(b->architecture))
        return strcasecmp(a->architecture, b->architecture) == 0 ? FAMILY_LIKELY : FAMILY_OTHER;
    return FAMILY_UNKNOWN;
}

/* ---- sizes ---- */

/* A number with "b" or "m" behind it that is a word of its own, from *at on: its value in parameters and what stands
 * before it; false: there is none.  "8x7b" is taken at the 7, and *times is 8. */
static bool next_size(const char **at, double *value, int *times, char *before)
{
    for (const char *p = *at; *p; p++) {
        if (!isdigit((unsigned char)*p) || (p != *at && (isdigit((unsigned char)p[-1]) || p[-1] == '.')))
            continue;
        char *end = NULL;
        double v = strtod(p, &end);
        int n = 1;
        if (*end == 'x' && isdigit((unsigned char)end[1])) {
            n = (int)v;
            v = strtod(end + 1, &end);
        }
        char unit = (char)tolower((unsigned char)*end);
        if ((unit == 'b' || unit == 'm') && !isalnum((unsigned char)end[1])) {
            *before = p == *at ? '\0' : (char)tolower((unsigned char)p[-1]);
            *value = v * (unit == 'b' ? 1e9 : 1e6);
            *times = n;
            *at = end + 1;
            return v > 0 && v < 1e5;
        }
        p = end - 1;
    }
    return false;
}

/* Of n experts of so many parameters each, what is shared counts once: of Mixtral 8x7B 46.7 of 56. */
#define EXPERTS_SHARE 0.84
/* Two of eight are used for a token: 12.9 of 14 for 8x7B. */
#define EXPERTS_USED 2 * 0.9

int64_t family_parameters(const char *name)
{
    const char *at = base_name(name);
    double v = 0;
    int times = 1;
    char before = '\0';
    while (next_size(&at, &v, &times, &before)) {
        if (before == 'a') /* active ones: the whole stands elsewhere */
            continue;
        return (int64_t)(times > 1 ? times * v * EXPERTS_SHARE : v);
    }
    return -1;
}

int64_t family_active(const char *name, int64_t parameters)
{
    const char *at = base_name(name);
    double v = 0;
    int times = 1;
    char before = '\0';
    while (next_size(&at, &v, &times, &before)) {
        if (before == 'a')
            return (int64_t)v;
        if (times > 1)
            return (int64_t)(v * EXPERTS_USED);
    }
    return parameters;
}

bool family_is_moe(const char *name, const char *architecture)
{
    if (architecture && (strcasestr(architecture, "moe") || strcasecmp(architecture, "gpt-oss") == 0 ||
                         strcasecmp(architecture, "deepseek2") == 0 || strcasecmp(architecture, "llama4") == 0))
        return true;
    if (!name || !*name)
        return false;
    int64_t all = family_parameters(name);
    const char *base = base_name(name);
    return (all > 0 && family_active(name, all) < all) || strcasestr(base, "moe") || strcasestr(base, "mixtral") ||
           strcasestr(base, "gpt-oss");
}

/* ---- quantisation ---- */

static const struct {
    const char *name;
    double bits;
} quantisations[] = {
    {"iq1_s", 1.6},   {"iq1_m", 1.8},  {"iq2_xxs", 2.1}, {"iq2_xs", 2.3},  {"iq2_s", 2.5},  {"iq2_m", 2.7},
    {"iq3_xxs", 3.1}, {"iq3_xs", 3.3}, {"iq3_s", 3.4},   {"iq3_m", 3.7},   {"iq4_xs", 4.3}, {"iq4_nl", 4.5},
    {"q2_k", 2.8},    {"q2_k_s", 2.6}, {"q3_k_s", 3.5},  {"q3_k_m", 3.9},  {"q3_k_l", 4.2}, {"q3_k", 3.9},
    {"q4_0", 4.5},    {"q4_1", 5.0},   {"q4_k_s", 4.6},  {"q4_k_m", 4.85}, {"q4_k", 4.85},  {"q5_0", 5.5},
    {"q5_1", 6.0},    {"q5_k_s", 5.5}, {"q5_k_m", 5.7},  {"q5_k", 5.7},    {"q6_k", 6.6},   {"q8_0", 8.5},
    {"mxfp4", 4.3},   {"f16", 16},     {"fp16", 16},     {"bf16", 16},     {"f32", 32},     {"fp32", 32},
};

/* The longest known name that stands at s and ends a word there. */
static size_t quantisation_at(const char *s, double *bits)
{
    size_t best = 0;
    for (size_t i = 0; i < ARRAY_LEN(quantisations); i++) {
        size_t n = strlen(quantisations[i].name);
        unsigned char next = (unsigned char)(strncasecmp(s, quantisations[i].name, n) == 0 ? s[n] : 'x');
        if (n > best && !isalnum(next) && next != '_') {
            best = n;
            *bits = quantisations[i].bits;
        }
    }
    return best;
}

bool family_quantisation(const char *name, char *out, int size)
{
    const char *base = base_name(name);
    snprintf(out, (size_t)size, "%s", "");
    for (const char *at = base; *at; at++) {
        double bits;
        size_t n = at == base || !isalnum((unsigned char)at[-1]) ? quantisation_at(at, &bits) : 0;
        if (n > 0) {
            snprintf(out, (size_t)size, "%.*s", (int)n, at);
            for (char *c = out; *c; c++)
                *c = (char)tolower((unsigned char)*c);
            return true;
        }
    }
    return false;
}

double family_bits(const char *quantisation, bool *known)
{
    double bits = 4.85;
    bool found = quantisation && quantisation_at(quantisation, &bits) > 0;
    if (known)
        *known = found;
    return found ? bits : 4.85;
}

const char *family_match_name(enum family_match m)
{
    static const char *const names[] = {"same", "likely", "other", "unknown"};
    return names[m];
}
