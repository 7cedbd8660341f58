#include "cmd/prompts.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "base/cause.h"
#include "base/mem.h"

enum { MAX_PROMPTS = 100000 };

static void add(struct prompts *p, char *text)
{
    p->list = xreallocarray(p->list, p->n + 1, sizeof(*p->list));
    p->list[p->n++] = text;
}

static void add_line(struct prompts *p, char *line)
{
    char *tab = strchr(line, '\t');
    if (tab != NULL)
        *tab = '\0';
    add(p, xstrdup(line));
    p->answer = xreallocarray(p->answer, p->n, sizeof(*p->answer));
    p->answer[p->n - 1] = tab != NULL && tab[1] != '\0' ? xstrdup(tab + 1) : NULL;
}

int prompts_load(struct prompts *p, const char *path, char **cause)
{
    *p = (struct prompts){0};
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (f == NULL)
        return cause_set(cause, "%s cannot be read: %s", path, strerror(errno));
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    while (p->n < MAX_PROMPTS && (len = getline(&line, &size, f)) >= 0) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            line[--len] = '\0';
        if (line[0] != '\0' && line[0] != '\t' && line[0] != '#')
            add_line(p, line);
    }
    free(line);
    if (f != stdin)
        fclose(f);
    if (p->n == 0)
        return cause_set(cause, "%s has no prompts: one a line is wanted", path);
    return 0;
}

void prompts_limit(struct prompts *p, size_t n)
{
    for (size_t i = n; i < p->n; i++) {
        free(p->list[i]);
        if (p->answer != NULL)
            free(p->answer[i]);
    }
    p->n = p->n < n ? p->n : n;
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && isspace((unsigned char)(*text)[0])) {
        *text += 1;
        *len -= 1;
    }
    while (*len > 0 && isspace((unsigned char)(*text)[*len - 1]))
        *len -= 1;
}

/* Part of a word: letters, digits, and whatever is not ASCII. */
static bool in_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static bool has_words(const char *text, size_t len, const char *words, size_t n)
{
    for (size_t i = 0; i + n <= len; i++) {
        bool begins = i == 0 || !in_word(text[i - 1]) || !in_word(words[0]);
        bool ends = i + n == len || !in_word(text[i + n]) || !in_word(words[n - 1]);
        if (begins && ends && strncasecmp(text + i, words, n) == 0)
            return true;
    }
    return false;
}

bool prompts_right(const struct prompts *p, size_t i, const char *text, size_t len)
{
    const char *want = p->answer != NULL ? p->answer[i] : NULL;
    size_t n = want != NULL ? strlen(want) : 0;
    trim(&want, &n);
    trim(&text, &len);
    if (n == 0)
        return false;
    if (strchr(".!?", want[n - 1]) != NULL)
        return len == n && memcmp(text, want, n) == 0;
    return has_words(text, len, want, n);
}

/* splitmix64: small, and the same everywhere. */
static uint64_t draw(uint64_t *state, uint64_t below)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

static const char *const animals[] = {"fox",   "bear", "owl",  "cat",  "dog",  "mouse", "frog",    "rabbit",
                                      "horse", "duck", "wolf", "crow", "goat", "otter", "hedgehog"};
static const char *const things[] = {"a silver key", "an old map",  "a blue stone",  "a broken lamp",
                                     "a paper boat", "a tiny door", "a lost letter", "a clay jar"};
static const char *const words[] = {"tree",    "river", "bread", "garden", "winter", "golden", "machine",
                                    "cluster", "model", "table", "forest", "window", "token",  "morning"};
static const char *const countries[] = {"France", "Italy",  "Norway", "Japan",  "Kenya", "Peru",
                                        "Canada", "Greece", "Turkey", "Poland", "Ghana", "Cuba"};
static const char *const topics[] = {"speculative decoding", "a draft model", "a token",       "the acceptance rate",
                                     "a pool of machines",   "the swarm",     "a quality gate"};

#define PICK(state, list) (list)[draw(state, ARRAY_LEN(list))]

static char *make(uint64_t *s)
{
    int a = (int)draw(s, 90), b = (int)draw(s, 60);
    switch (draw(s, 9)) {
    case 0:
        return xasprintf("What is %d + %d?", a, b);
    case 1:
        return xasprintf("How much is %d - %d, please?", a + b, b);
    case 2:
        return xasprintf("Count from %d to %d.", b, b + 3 + a % 25);
    case 3:
        return xasprintf("Tell me a story about a %s.", PICK(s, animals));
    case 4:
        return xasprintf("Write a story about a %s and a %s with %s.", PICK(s, animals), PICK(s, animals),
                         PICK(s, things));
    case 5:
        return xasprintf("Repeat: %s %s %s %d %s", PICK(s, words), PICK(s, words), PICK(s, words), a, PICK(s, words));
    case 6:
        return xasprintf("What is the capital of %s, and how do you spell %s?", PICK(s, countries), PICK(s, words));
    case 7:
        return xasprintf("Explain %s in %d words.", PICK(s, topics), 10 + a);
    default:
        return xasprintf("Name %d things that are near %s, and what a %s would say.", 2 + a % 7, PICK(s, things),
                         PICK(s, animals));
    }
}

void prompts_make(struct prompts *p, size_t n, uint64_t seed)
{
    *p = (struct prompts){0};
    uint64_t state = seed;
    for (size_t tries = 0; p->n < n && tries < n * 20 + 100; tries++) {
        char *text = make(&state);
        size_t i = 0;
        while (i < p->n && strcmp(p->list[i], text) != 0)
            i++;
        if (i == p->n)
            add(p, text);
        else
            free(text);
    }
}

void prompts_long(struct prompts *p, size_t n)
{
    static const char *const list[PROMPTS_LONG] = {
        "Tell me a story about a fox.",        "Explain speculative decoding.",
        "Tell me a story about a horse.",      "How does the pool work?",
        "Write a short story about a rabbit.", "How does speculative decoding work?",
        "A story about a mouse, please.",      "Count from 10 to 35.",
        "Tell me a story about a bear.",       "What is speculative decoding?",
        "Write a short story about a dog.",    "Explain the pool.",
        "A story about a duck, please.",       "What is a pool?",
        "Tell me a story about an owl.",       "Write a short story about a frog.",
    };
    *p = (struct prompts){0};
    for (size_t i = 0; i < PROMPTS_LONG && i < n; i++)
        add(p, xstrdup(list[i]));
}

void prompts_mixed(struct prompts *p, size_t n)
{
    struct prompts spoken;
    prompts_long(&spoken, PROMPTS_LONG);
    *p = (struct prompts){0};
    for (size_t i = 0; i < PROMPTS_MIXED && i < n; i++) {
        int from = (int)(i * 7 % 29), to = from + 14 + (int)(i / 2 % 7);
        add(p, i % 2 == 0 ? xasprintf("Count from %d to %d.", from, to) : xstrdup(spoken.list[i / 2 % spoken.n]));
    }
    prompts_finish(&spoken);
}

void prompts_repeat(struct prompts *p, size_t n, uint64_t seed)
{
    enum { NUMBERS = 30 }; /* some 115 tokens of the demo target */
    *p = (struct prompts){0};
    uint64_t state = seed;
    for (size_t i = 0; i < n; i++) {
        char *text = xstrdup("Repeat:");
        for (int k = 0; k < NUMBERS; k++) {
            char *longer = xasprintf("%s %d%s", text, (int)draw(&state, 100), k + 1 < NUMBERS ? "," : ".");
            free(text);
            text = longer;
        }
        add(p, text);
    }
}

void prompts_finish(struct prompts *p)
{
    prompts_limit(p, 0);
    free(p->list);
    free(p->answer);
    *p = (struct prompts){0};
}

json_t *prompts_messages(const char *system, const char *prompt)
{
    json_t *list = json_array();
    if (system != NULL)
        json_array_append_new(list, json_pack("{s:s,s:s}", "role", "system", "content", system));
    json_array_append_new(list, json_pack("{s:s,s:s}", "role", "user", "content", prompt));
    return list;
}
