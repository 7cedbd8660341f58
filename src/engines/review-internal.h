/* The review's own state, shared by review.c (life, kinds, what the two ways come to), review-likelihood.c and
 * review-prompt.c. */
#ifndef TIGHTWAD_ENGINES_REVIEW_INTERNAL_H
#define TIGHTWAD_ENGINES_REVIEW_INTERNAL_H

#include "base/buf.h"
#include "engines/review.h"

/* A list of tokens that grows. */
struct review_tokens {
    int32_t *list; /* owned */
    size_t n;
};

struct review {
    struct review_opts o; /* text and prompt are owned */
    review_done_cb *cb;
    void *arg;
    struct event *begin;
    int64_t started_us;
    struct backend_call *call, *beside; /* under way; two at a time at most */
    bool marking, cancelled;            /* cancelled while the verifier is marked as failed: not to be freed now */

    /* by likelihood */
    struct backend_session *session;
    struct review_tokens request, answer; /* in the verifier's tokens */
    bool has_request, has_answer;
    size_t own;    /* so many tokens at the beginning of the answer are the verifier's own first choice */
    double *probs; /* of the answer's tokens, and of its end where it has one; NULL: not known yet */
    size_t n_keep; /* tokens that shall stay */
    const char *why_keep;
    char *kept_text;
    size_t kept_len;

    /* by prompt */
    struct backend_session *asked;
    struct review_tokens question, path; /* the prompt of the question; it and what was said, as tokens */
    bool has_question;
    void (*unmarked)(struct review *r); /* goes on with an answer that has no marks of turns */
    char *asked_about;     /* the text of a prompt that came as tokens; NULL: not needed, or not known yet */
    struct buf said;       /* the verdict's text */
    size_t said_most;      /* tokens that a verdict may have */
    int64_t asked_us;      /* since when a chat is under way */
    bool said_all, scored; /* the verifier ended by itself; likelihood has approved */

    struct review_result result; /* in the making: counts, lowest */
};

/* Makes t these n tokens; adds n more. */
void review_tokens_set(struct review_tokens *t, const int32_t *list, size_t n);
void review_tokens_add(struct review_tokens *t, const int32_t *list, size_t n);

/* The last steps, each of which calls back and frees r. */
void review_conclude(struct review *r, enum verdict v, enum review_kind by, const char *why);
/* The verifier failed: no verdict where another try may bring one, else unreadable. */
void review_fail(struct review *r, enum review_kind by, const struct backend_status *st);
/* Correct, with the first n tokens of the answer, or reject where that is too little.  why: holds until the end. */
void review_keep(struct review *r, size_t n, enum review_kind by, const char *why);
/* Likelihood has no objection. */
void review_scored(struct review *r);

/* review-likelihood.c */
void review_score(struct review *r);
/* review-prompt.c */
void review_ask(struct review *r);
/* review-marks.c: goes on with unmarked, or concludes where the answer has the marks of turns in its text. */
void review_look_for_marks(struct review *r, void (*unmarked)(struct review *r));
/* review-question.c: the messages of a review by prompt; text: that of a prompt that came as tokens.  New reference,
 * NULL when the texts are not valid UTF-8. */
json_t *review_messages(const struct review_opts *o, const char *text);

#endif
