/* The review of one whole answer by the verifier: is it what it should be, can its beginning be kept, or is it of no
 * use?  Two ways, which may be combined:
 *
 * likelihood: the verifier reads the request and the answer as if it had written the answer itself, in one pass, and
 *   the probability of each of its tokens is looked at (of the raw distribution, whatever the request's temperature).
 *   Approved when none is below min_token_probability, the end included where the agent ended by itself.  Else what
 *   stands before the first such token is kept and the verifier is to write on from there (correct); when that is less
 *   than keep_share of the answer, it is rejected.  Nothing is generated.
 *   A mistake is often made a token or two before it shows, where the verifier already doubted: of the tokens just
 *   before the improbable one those from the first doubted one on (below one half) are not kept either.
 *   White space at the ends of a chat's answer is not judged; it passes with the rest, and is not kept.
 *   The answer's text is what is judged, in the verifier's own tokens: which ones the agent used does not matter.
 *   An agent that one of the request's stop strings stopped did not end by itself, and its end is often improbable:
 *   then the text is kept, and the verifier writes the few tokens up to the stop string.
 *
 * prompt: the verifier is asked, with the verification prompt as system message, and as the user's
 *       Question: …
 *       Draft: …
 *   The question is the last message of the user's; whatever else the request has (other turns, a system message)
 *   stands above it, each message as "ROLE: …" under the line "Conversation:".  A verifier that can verify is given
 *   APPROVE as a draft: if it agrees, that is one pass and nothing is generated; if not, it writes on from there.
 *   Others are asked as in any chat.  The verdict must be whole (the verifier ended by itself); verdict.h reads it.  A
 *   correction that is the agent's own text is an approval.
 *   An answer that has the marks of turns in its text (<|im_end|> …) could end its own turn and speak for others, even
 *   for the verifier.  It is not asked about: unreadable.  The verifier's tokenizer tells them; of servers that are no
 * node their looks do as well.
 *
 * both: likelihood first; only what it approves is asked about by prompt, so a good answer costs two passes.  Where
 *   likelihood approves and the prompt does not, the verifier answers itself, but need not write again what it would
 *   have written itself: the tokens at the beginning of the answer that are all its own first choice are kept, under
 *   the same keep_share (correct; else reject).
 */
#ifndef TIGHTWAD_ENGINES_REVIEW_H
#define TIGHTWAD_ENGINES_REVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "base/answer.h"
#include "engines/member.h"
#include "engines/verdict.h"
#include "http/openai.h"

struct review;

enum review_kind {
    REVIEW_AUTO, /* both where the verifier can score tokens, else by prompt */
    REVIEW_PROMPT,
    REVIEW_LIKELIHOOD,
    REVIEW_BOTH,
};

/* The word "APPROVE" in a verifier's tokens: asked once, and again when the model behind the verifier has changed.  One
 * for each verifier, all zero at first, longer-lived than its reviews. */
struct review_words {
    char *model;
    int32_t *approve;
    size_t n_approve;
};
void review_words_finish(struct review_words *w);

struct review_opts {
    struct member *verifier;
    struct review_words *words;
    const struct oai_request *request; /* messages, prompt or prompt tokens; must hold until the end of the review */
    const char *text;                  /* the agent's answer, valid UTF-8; copied */
    size_t len;
    enum answer_finish finish; /* ANSWER_STOP: the agent ended by itself; ANSWER_LENGTH: it was cut */
    enum review_kind kind;
    const char *prompt;           /* the verification prompt; copied */
    double min_token_probability; /* 0..1 */
    double keep_share;            /* 0..1 */
};

/* Everything in it holds during the callback only. */
struct review_result {
    /* BACKEND_OK: there is a verdict.  Otherwise the verifier was lost, or has no room now (BACKEND_OVERLOADED), and
     * nothing is known of the answer: the review may be started again when the verifier is back.  The verifier has been
     * marked by then (member_failed), so nobody needs to do that. */
    enum backend_error error;
    const char *message; /* of the error; or why a verdict is what it is, in words for the log */
    enum verdict verdict;
    enum review_kind by; /* who decided: REVIEW_LIKELIHOOD, REVIEW_PROMPT, or REVIEW_BOTH for what both approved */

    /* by likelihood; all unknown where the review was by prompt only */
    const int32_t *request_tokens; /* the request's prompt in the verifier's tokens, for speculate_from; NULL unknown */
    size_t n_request_tokens;
    size_t n_tokens;       /* of the answer, without its end; 0 where not known */
    double lowest;         /* smallest probability of a token; NAN unknown */
    size_t lowest_at;      /* which one: n_tokens is the end */
    const int32_t *kept;   /* VERDICT_CORRECT: the beginning of the answer that stays; NULL where correction is given */
    size_t n_kept;         /* whole characters of UTF-8: text is their text */
    const char *kept_text; /* the beginning of the agent's text (of a chat: behind its white space), byte for byte */
    size_t kept_len;

    /* by prompt */
    const char *correction; /* VERDICT_CORRECT without kept: the answer that takes the agent's place; else NULL */
    size_t correction_len;
    const char *said; /* the verifier's words, NULL: it was not asked, or agreed with APPROVE in one pass */
    size_t said_len;

    unsigned passes; /* of the verifier over given tokens (score, verify), or chats */
    int64_t tokens;  /* that the verifier generated; 0 for what it approves in one pass; -1 unknown */
    int64_t read;    /* tokens that it was given to read, prompt and answer of each pass; -1 unknown */
    int64_t elapsed_us;
};

/* Called once, from the loop, never from inside review_start and never after review_cancel.  The review is freed when
 * it returns. */
typedef void review_done_cb(void *arg, const struct review_result *result);

/* Deadlines are those of the verifier's record.  What the verifier can't do at all (a kind of review that it is not
 * able to, a text too long for its context, a request that it refuses) is VERDICT_UNREADABLE, with the reason as
 * message. */
struct review *review_start(const struct review_opts *o, review_done_cb *cb, void *arg);
/* Stops its work upstream.  NULL is fine.  To be called before the verifier is destroyed. */
void review_cancel(struct review *r);

/* What `auto` means for this verifier, as it is known now; other kinds are themselves. */
enum review_kind review_kind_for(const struct member *verifier, enum review_kind kind);
/* NULL when the verifier, which is up, can review like that; else why not, in words (static). */
const char *review_cannot(const struct member *verifier, enum review_kind kind);
/* "auto", "prompt", "likelihood", "both"; the other way round: REVIEW_AUTO for NULL or another word. */
const char *review_kind_name(enum review_kind kind);
enum review_kind review_kind_by_name(const char *name);

/* text without white space at either end; *len bytes: a chat's answers differ in it by program. */
const char *review_trim(const char *text, size_t *len);

#endif
