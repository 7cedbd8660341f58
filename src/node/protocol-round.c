/* The calls of a round: draft and verify; and score. */
#include "node/protocol.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/call.h"
#include "node/core.h"

enum { REPLY_MAX = 64 << 20 };

static const char json_type[] = "application/json";

static void reply_text(struct call *c, struct buf *b)
{
    httpd_reply_text(c->request, 200, json_type, b->data, b->len);
    buf_finish(b);
}

/* session, keep and tokens.  0, or -1: an error was sent. */
static int read_place(struct server *s, struct httpd_request *r, const json_t *o, struct node_job *job)
{
    int64_t keep = 0;
    if (protocol_int(r, o, "session", true, 0, INT64_MAX, &job->session) != 0 ||
        protocol_int(r, o, "keep", true, 0, INT32_MAX, &keep) != 0 ||
        protocol_tokens(s, r, o, "tokens", true, &job->tokens, &job->n_tokens) != 0)
        return -1;
    job->keep = (size_t)keep;
    if (keep == 0 && job->n_tokens == 0) {
        httpd_reply_error(r, 400, "tokens", NULL, "tokens: expected at least one where keep is 0");
        return -1;
    }
    return 0;
}
