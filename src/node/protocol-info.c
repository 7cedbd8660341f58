/* GET /v1/node and /v1/node/vocab: what the node is, can and did. */
#include "node/protocol.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* A file's name or a model's own words may be no UTF-8. */
static json_t *words(const char *text)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    (void)utf8_add_repaired(&b, text, strlen(text));
    json_t *o = json_string(b.data);
    buf_finish(&b);
    return o;
}

static void merge(json_t *o, json_t *more)
{
    json_object_update(o, more);
    json_decref(more);
}

static json_t *selftest_json(const struct node_selftest *t)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < t->rows; i++) {
        const struct node_selftest_row *row = &t->row[i];
        json_t *o = json_pack("{s:s}", "name", row->name);
        if (row->skipped)
            json_object_set_new(o, "skipped", json_true());
        else
            merge(o, json_pack("{s:i,s:i,s:i,s:o}", "positions", row->positions, "differing", row->differing, "flipped",
                               row->flipped, "difference", number((double)row->difference)));
        json_array_append_new(rows, o);
    }
    return json_pack("{s:I,s:o}", "ms", (json_int_t)(t->elapsed_us / 1000), "rows", rows);
}

static json_t *counters_json(struct server *s)
{
    struct node_core_counters n;
    struct httpd_counters http;
    node_core_counters(s->core, &n);
    httpd_get_counters(s->httpd, &http);
    const struct {
        const char *name;
        uint64_t value;
    } list[] = {
        {"decodes", n.decodes},
        {"tokens", n.tokens},
        {"batches", n.batches},
        {"jobs", n.jobs},
        {"jobs_shared", n.jobs_shared},
        {"drafted", n.drafted},
        {"branched", n.branched},
        {"copies", n.copies},
        {"branches", n.branches},
        {"branches_taken", n.branches_taken},
        {"trips", n.trips},
        {"trips_saved", n.trips_saved},
        {"padded", n.padded},
        {"shapes", n.shapes},
        {"verified", n.verified},
        {"accepted", n.accepted},
        {"generated", n.generated},
        {"scored", n.scored},
        {"sessions", n.sessions},
        {"evictions", n.evictions},
        {"restored", n.restored},
        {"decode_us", n.decode_us},
        {"requests", http.requests},
        {"bytes_in", http.bytes_in},
        {"bytes_out", http.bytes_out},
    };
    json_t *o = json_object();
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        json_object_set_new(o, list[i].name, json_integer((json_int_t)list[i].value));
    return o;
}

static json_t *devices_json(const struct node_model *m)
{
    json_t *list = json_array();
    for (char **name = m->devices; name != NULL && *name != NULL; name++)
        json_array_append_new(list, words(*name));
    return list;
}

static json_t *rpc_json(const char *rpc)
{
    json_t *list = json_array();
    char *copy = xstrdup(rpc != NULL ? rpc : ""), *rest = copy;
    for (char *address; (address = strsep(&rest, ",")) != NULL;) {
        if (*address != '\0')
            json_array_append_new(list, words(address));
    }
    free(copy);
    return list;
}

static json_t *model_json(struct server *s, const struct node_model *m)
{
    return json_pack("{s:i,s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:i,s:i,s:I,s:o,s:i,s:b,s:b,s:o,s:o}", "protocol",
                     PROTOCOL_VERSION, "version", TIGHTWAD_VERSION, "llama", llama_version(), "model", words(s->model),
                     "path", words(m->path), "architecture", words(m->architecture), "description",
                     words(m->description), "fingerprint", m->fingerprint, "n_vocab", m->n_vocab, "n_ctx_train",
                     m->n_ctx_train, "size", (json_int_t)m->size, "eog", json_tokens(m->eog, m->n_eog), "bos", m->bos,
                     "add_bos", m->add_bos, "chat_template", m->chat_template, "devices", devices_json(m), "rpc",
                     rpc_json(s->rpc));
}

void protocol_on_info(struct server *s, struct httpd_request *r)
{
    const struct node_core_info *i = node_core_info(s->core);
    struct node_core_counters now;
    node_core_counters(s->core, &now);
    json_t *o = model_json(s, node_core_model(s->core));
    json_t *rest = json_pack(
        "{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:b,s:o,s:o,s:i,s:i,s:i,s:o,s:I,s:I}", "n_ctx", i->n_ctx, "slots", i->slots,
        "branches", i->branches, "threads", i->threads, "threads_batch", i->threads_batch, "batch", i->batch, "ubatch",
        i->ubatch, "rollback", node_rollback_name(i->rollback), "batch_invariant", i->batch_invariant, "noise",
        number(i->noise), "selftest", selftest_json(&i->selftest), "slots_busy", now.slots_busy, "sessions_now",
        now.sessions_now, "jobs_waiting", now.jobs_waiting, "counters", counters_json(s), "load_ms",
        (json_int_t)(i->load_us / 1000), "uptime_ms", (json_int_t)((clock_us() - s->started_us) / 1000));
    merge(o, rest);
    json_object_set_new(o, "pass",
                        json_pack("{s:o,s:o,s:o}", "first_us", number(now.first_us), "token_us", number(now.token_us),
                                  "step_us", number(now.step_us)));
    httpd_reply_json(r, 200, o);
}

void protocol_on_vocab(struct server *s, struct httpd_request *r)
{
    const struct node_model *m = node_core_model(s->core);
    const char *text = httpd_query(r, "n");
    char *end = NULL, hex[NODE_FINGERPRINT_SIZE];
    errno = 0;
    long n = text != NULL && *text != '\0' ? strtol(text, &end, 10) : 0;
    if (errno != 0 || end == NULL || *end != '\0' || n < 1 || n > m->n_vocab) {
        httpd_reply_error(r, 400, "n", NULL, "n: expected a number of tokens from 1 to %d", m->n_vocab);
        return;
    }
    node_model_fingerprint(m, (int32_t)n, hex);
    httpd_reply_json(r, 200, json_pack("{s:i,s:s}", "n", (int)n, "fingerprint", hex));
}
