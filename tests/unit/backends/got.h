/* What a call of a backend brought, kept for the test to look at; and the bench that a test stands on. */
#ifndef TIGHTWAD_TESTS_GOT_H
#define TIGHTWAD_TESTS_GOT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/backend.h"
#include "base/buf.h"
#include "fake.h"

enum { GOT_MAX = 64 };

struct got {
    bool done;
    int calls; /* of the last callback: 1 is right */
    enum backend_error error;
    char message[512];
    int32_t tokens[512];
    size_t n;
    float probs[GOT_MAX];
    bool has_probs;
    float gaps[GOT_MAX]; /* of scored tokens, whose log probabilities are probs */
    char text[1024];
    size_t text_len;
    size_t accepted;
    float margin;
    char piece[512][16];
    bool end; /* of the last token */
    bool has_logprob;
    float logprob; /* of the last token */
    int32_t top_id;
    char top_piece[16];
    size_t n_top;
    char finish[16];
    int64_t prompt_tokens, completion_tokens;
    uint64_t bytes_out, bytes_in;
    int64_t elapsed_us;
    enum backend_vocab_match match;
    struct backend_session *session;
    int stream_calls;
    int pause_at;                       /* the stream callback of this number answers false, 0: none */
    void (*in_callback)(struct got *g); /* called in the stream callback and in the last one */
    struct backend_call *call;
    void *extra;
};

backend_probe_cb got_probe;
backend_tokens_cb got_tokens;
backend_text_cb got_text;
backend_start_cb got_start;
backend_draft_cb got_draft;
backend_verify_cb got_verify;
backend_score_cb got_score;
backend_stream_cb got_stream;
backend_done_cb got_done;
backend_chat_text_cb got_chat_text;
backend_chat_done_cb got_chat_done;
backend_vocab_cb got_vocab;

struct bench {
    struct event_base *base;
    struct httpc *http;
    struct fake *fake;
    struct backend *b;
};

/* A fake server and a backend of this kind for it. */
void bench_init(struct bench *t, const char *kind, const char *model, const char *api_key);
void bench_finish(struct bench *t);
struct backend *bench_backend(struct bench *t, const char *kind, const char *url, const char *model);
/* Probes; the call must succeed. */
void bench_probe(struct bench *t, struct backend *b, struct got *g);

#define assert_got_error(g, e)                                                                                         \
    do {                                                                                                               \
        if ((g)->error != (e))                                                                                         \
            print_message("# got %s: %s\n", backend_error_name((g)->error), (g)->message);                             \
        assert_int_equal((g)->calls, 1);                                                                               \
        assert_int_equal((g)->error, (e));                                                                             \
    } while (0)
#define assert_got(g, ...) assert_got_tokens((g), (int32_t[]){__VA_ARGS__}, sizeof((int32_t[]){__VA_ARGS__}) / 4)
void assert_got_tokens(const struct got *g, const int32_t *tokens, size_t n);
#define assert_contains(text, part) assert_has((text), (part), __FILE__, __LINE__)
void assert_has(const char *text, const char *part, const char *file, int line);

#endif
