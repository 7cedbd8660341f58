#include "engines/verdict.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_white(char c)
{
    return is_blank(c) || c == '\n' || c == '\r';
}

/* Whether the text at s begins with this word; *rest is what follows it. */
static bool begins(const char *s, const char *end, const char *word, const char **rest)
{
    size_t n = strlen(word);
    if ((size_t)(end - s) < n || memcmp(s, word, n) != 0)
        return false;
    *rest = s + n;
    return true;
}

/* Nothing here goes on with the word: no letter, digit, underscore or part of another script. */
static bool word_ends(const char *s, const char *end)
{
    if (s == end)
        return true;
    unsigned char c = (unsigned char)*s;
    return !(c >= 0x80 || c == '_' || c == '\0' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
             (c >= 'a' && c <= 'z'));
}

/* A text that may go to a client in the place of an answer; another verdict is none. */
static bool is_answer(const char *s, const char *end)
{
    const char *rest;
    if (s == end || memchr(s, '\0', (size_t)(end - s)) != NULL || !utf8_valid(s, (size_t)(end - s)))
        return false;
    if (begins(s, end, "APPROVE", &rest) || begins(s, end, "REJECT", &rest))
        return !word_ends(rest, end);
    return !begins(s, end, "CORRECT:", &rest);
}

enum verdict verdict_parse(const char *text, size_t len, size_t *correction_at, size_t *correction_len)
{
    const char *s = text, *end = text + len, *rest;
    if (correction_at != NULL)
        *correction_at = 0;
    if (correction_len != NULL)
        *correction_len = 0;
    while (s < end && is_blank(*s))
        s++;
    while (end > s && is_white(end[-1]))
        end--;
    if (begins(s, end, "APPROVE", &rest))
        return rest == end || (*rest == '.' && rest + 1 == end) ? VERDICT_APPROVE : VERDICT_UNREADABLE;
    if (begins(s, end, "REJECT", &rest))
        return word_ends(rest, end) ? VERDICT_REJECT : VERDICT_UNREADABLE;
    if (!begins(s, end, "CORRECT:", &rest))
        return VERDICT_UNREADABLE;
    while (rest < end && is_white(*rest))
        rest++;
    if (!is_answer(rest, end))
        return VERDICT_UNREADABLE;
    if (correction_at != NULL)
        *correction_at = (size_t)(rest - text);
    if (correction_len != NULL)
        *correction_len = (size_t)(end - rest);
    return VERDICT_CORRECT;
}

bool verdict_open(const char *text, size_t len)
{
    static const char *const words[] = {"APPROVE", "CORRECT:", "REJECT"};
    const char *s = text, *end = text + len, *rest;
    while (s < end && is_blank(*s))
        s++;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if ((size_t)(end - s) < strlen(words[i]) && memcmp(s, words[i], (size_t)(end - s)) == 0)
            return true;
    if (begins(s, end, "CORRECT:", &rest))
        return true;
    if (!begins(s, end, "APPROVE", &rest))
        return false;
    if (rest < end && *rest == '.')
        rest++;
    while (rest < end && is_white(*rest))
        rest++;
    return rest == end;
}

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {
        [VERDICT_APPROVE] = "approve",
        [VERDICT_CORRECT] = "correct",
        [VERDICT_REJECT] = "reject",
        [VERDICT_UNREADABLE] = "unreadable",
    };
    return (size_t)v < ARRAY_LEN(names) ? names[v] : "?";
}
