/* What a model said of another's answer, read strictly: an answer passes only on the one word that lets it pass.
 *
 * The whole text is one of these, which begins in its first line (blanks and tabs may stand before it, no line feed)
 * and may be followed by white space (blank, tab, line feed, carriage return):
 *
 *   APPROVE          the answer is right.  One full stop may follow, and nothing else.
 *   CORRECT: TEXT    TEXT, which may have several lines, is the right answer.  It is not empty, is valid UTF-8 without
 *                    NUL bytes, and does not begin with another verdict.
 *   REJECT           the answer is useless.  What follows the word on its line and on further lines is its reason,
 *                    provided that the word ends there (no letter, digit, '_' or byte above 127 behind it).
 *
 * Upper case only: "approve" in a sentence is no verdict, and models that were told the words write them as told.
 * Blank lines before it, quotes, bold, code fences, a byte order mark, look-alike letters and NUL bytes make a verdict
 * unreadable.  Unreadable counts as a rejection everywhere: the one mistake that must not be made is to let an answer
 * pass that nobody approved. */
#ifndef TIGHTWAD_ENGINES_VERDICT_H
#define TIGHTWAD_ENGINES_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

enum verdict {
    VERDICT_APPROVE,
    VERDICT_CORRECT,
    VERDICT_REJECT,
    VERDICT_UNREADABLE, /* to be treated as VERDICT_REJECT, but counted by itself */
};

/* text: len bytes, of any kind.  VERDICT_CORRECT: *correction_at and *correction_len (each may be NULL) say where the
 * right answer stands in it, without white space around it; otherwise they are 0. */
enum verdict verdict_parse(const char *text, size_t len, size_t *correction_at, size_t *correction_len);

/* Whether text, the beginning of a verdict, can still become one that approves or corrects: there is no need to hear
 * the rest of one that cannot.  (Of a rejection the whole word is waited for.) */
bool verdict_open(const char *text, size_t len);

/* "approve", "correct", "reject", "unreadable" */
const char *verdict_name(enum verdict v);

#endif
