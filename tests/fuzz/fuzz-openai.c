/* The bodies of /v1/chat/completions and /v1/completions: each is either taken whole or refused with a reason. */
#include "fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "http/openai.h"

static void check(const struct oai_request *r)
{
    if (r->logprobs < -1 || r->logprobs > 20 || r->max_tokens < -1 || r->max_tokens > 4096 || r->n_stops > 16)
        abort();
    if (!(r->sampling.temperature >= 0 && r->sampling.temperature <= 2) || !(r->sampling.top_p <= 1))
        abort();
    if (r->chat ? json_array_size(r->messages) == 0 : !r->prompt && r->n_prompt_tokens == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct oai_limits limits = {.max_tokens = 4096};

    for (int chat = 0; chat < 2; chat++) {
        struct oai_request r;
        struct oai_error e;

        if (oai_request_parse(&r, chat, (const char *)data, size, &limits, &e) == 0) {
            struct oai_reply reply;

            check(&r);
            oai_reply_init(&reply, &r, r.model ? r.model : "m");
            free(oai_stream_chunk(&reply, (const char *)data, size, NULL, 0)); /* any bytes are made text */
            oai_reply_finish(&reply);
            oai_request_finish(&r);
        } else {
            if (e.status != 400 || !e.message || !*e.message)
                abort();
            oai_error_finish(&e);
        }
    }
    return 0;
}
