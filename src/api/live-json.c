#include "api/live-json.h"

#include <string.h>

#include "base/fields.h"
#include "base/mem.h"

#define ROW(kind_, member)                                                                                             \
    {                                                                                                                  \
        .key = #member, .kind = kind_, .offset = offsetof(struct live_round, member),                                  \
        .size = sizeof(((struct live_round *)0)->member)                                                               \
    }
static const struct field round_rows[] = {
    ROW(AS_U64, request),   ROW(AS_U64, round),      ROW(AS_U8, drafter),         ROW(AS_U16, drafted),
    ROW(AS_U16, accepted),  ROW(AS_U16, emitted),    ROW(AS_FLOAT, draft_ms),     ROW(AS_FLOAT, verify_ms),
    ROW(AS_FLOAT, wait_ms), ROW(AS_FLOAT, round_ms), ROW(AS_FLOAT, predicted_ms),
};
static const struct field_table round_fields = {round_rows, ARRAY_LEN(round_rows), sizeof(struct live_round)};

static const char *const writers[] = {
    [LIVE_TARGET] = "target", [LIVE_DRAFTER] = "drafter", [LIVE_QUOTE] = "quote", [LIVE_AGENT] = "agent"};

/* The pieces of the last n bytes. */
static json_t *pieces_json(const struct live *l, size_t n)
{
    json_t *list = json_array();
    size_t skip = l->n_text - n;
    for (size_t i = 0; i < l->n_pieces; i++) {
        const struct live_piece *p = &l->piece[i];
        size_t gone = p->length < skip ? p->length : skip;
        skip -= gone;
        if (gone < p->length)
            json_array_append_new(list,
                                  json_pack("[i, s, i]", (int)(p->length - gone), writers[p->writer], (int)p->drafter));
    }
    return list;
}

static json_t *rounds_json(const struct live *l, uint64_t known)
{
    json_t *list = json_array();
    uint64_t fresh = l->rounds_seen > known ? l->rounds_seen - known : 0;
    size_t n = fresh < l->n_rounds ? (size_t)fresh : l->n_rounds;
    for (size_t i = l->n_rounds - n; i < l->n_rounds; i++)
        json_array_append_new(list, fields_to_json(&round_fields, &l->round[i]));
    return list;
}

json_t *live_news_json(const struct live *l, struct live_place *place)
{
    bool another = l->request != place->request;
    uint64_t had = another ? 0 : place->text, fresh = l->text_seen - had;
    if (!another && fresh == 0 && l->rounds_seen == place->rounds)
        return NULL;
    size_t n = fresh < l->n_text ? (size_t)fresh : l->n_text;
    json_t *o =
        json_pack("{s:I, s:I, s:s%, s:o, s:I, s:o}", "request", (json_int_t)l->request, "from",
                  (json_int_t)(l->text_seen - n), "text", l->text + l->n_text - n, n, "pieces", pieces_json(l, n),
                  "rounds_seen", (json_int_t)l->rounds_seen, "rounds", rounds_json(l, place->rounds));
    *place = (struct live_place){.request = l->request, .text = l->text_seen, .rounds = l->rounds_seen};
    return o;
}

static enum live_writer writer_of(const json_t *word)
{
    const char *s = json_string_value(word);
    for (size_t i = 0; s && i < ARRAY_LEN(writers); i++) {
        if (strcmp(writers[i], s) == 0)
            return (enum live_writer)i;
    }
    return LIVE_TARGET;
}

static void take_text(struct live *l, const json_t *news)
{
    const char *text = json_string_value(json_object_get(news, "text"));
    size_t left = text ? strlen(text) : 0, i;
    json_t *piece;
    json_array_foreach(json_object_get(news, "pieces"), i, piece)
    {
        json_int_t n = json_integer_value(json_array_get(piece, 0));
        json_int_t drafter = json_integer_value(json_array_get(piece, 2));
        size_t len = n > 0 && (uint64_t)n < left ? (size_t)n : n > 0 ? left : 0;
        live_add_text(l, text, len, writer_of(json_array_get(piece, 1)),
                      (uint8_t)(drafter > 0 && drafter <= UINT8_MAX ? drafter : 0));
        text += len;
        left -= len;
    }
    if (left > 0)
        live_add_text(l, text, left, LIVE_TARGET, 0);
}

void live_take_json(struct live *l, const json_t *news)
{
    uint64_t request = (uint64_t)json_integer_value(json_object_get(news, "request"));
    uint64_t from = (uint64_t)json_integer_value(json_object_get(news, "from"));
    size_t i;
    json_t *round;
    if (request != l->request || from != l->text_seen) { /* another answer, or something was missed */
        live_restart(l, request);
        l->text_seen = from;
    }
    take_text(l, news);
    json_array_foreach(json_object_get(news, "rounds"), i, round)
    {
        struct live_round r;
        fields_from_json(&round_fields, &r, round);
        live_add_round(l, &r);
    }
    l->rounds_seen = (uint64_t)json_integer_value(json_object_get(news, "rounds_seen"));
}
