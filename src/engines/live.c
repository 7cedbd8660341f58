#include "engines/live.h"

#include <string.h>

static bool continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

void live_restart(struct live *l, uint64_t request)
{
    l->request = request;
    l->n_text = l->n_pieces = 0;
    l->text_seen = 0;
}

/* Drops the oldest n bytes, and those that then begin in the middle of a character. */
static void drop_text(struct live *l, size_t n)
{
    while (n < l->n_text && continues(l->text[n]))
        n++;
    size_t gone = 0, left = n;
    while (gone < l->n_pieces && l->piece[gone].length <= left)
        left -= l->piece[gone++].length;
    if (gone < l->n_pieces)
        l->piece[gone].length = (uint16_t)(l->piece[gone].length - left);
    l->n_text -= n;
    l->n_pieces -= gone;
    memmove(l->text, l->text + n, l->n_text);
    memmove(l->piece, l->piece + gone, l->n_pieces * sizeof(*l->piece));
}

/* A quarter at a time: moving what is kept for every token would cost more than the token. */
static void make_room(struct live *l, size_t len)
{
    size_t n = l->n_text + len > LIVE_TEXT ? LIVE_TEXT / 4 : 0;
    if (n < len && n > 0)
        n = len < l->n_text ? len : l->n_text;
    if (l->n_pieces == LIVE_PIECES) {
        size_t bytes = 0;
        for (size_t i = 0; i < LIVE_PIECES / 4; i++)
            bytes += l->piece[i].length;
        n = bytes > n ? bytes : n;
    }
    if (n > 0)
        drop_text(l, n);
}

void live_add_text(struct live *l, const char *text, size_t len, enum live_writer writer, uint8_t drafter)
{
    l->text_seen += len;
    if (len > LIVE_TEXT) {
        size_t skip = len - LIVE_TEXT;
        while (skip < len && continues(text[skip]))
            skip++;
        text += skip;
        len -= skip;
        l->n_text = l->n_pieces = 0;
    }
    if (len == 0)
        return;
    make_room(l, len);
    memcpy(l->text + l->n_text, text, len);
    l->n_text += len;
    struct live_piece *last = l->n_pieces > 0 ? &l->piece[l->n_pieces - 1] : NULL;
    if (last != NULL && last->writer == writer && last->drafter == drafter)
        last->length = (uint16_t)(last->length + len);
    else
        l->piece[l->n_pieces++] =
            (struct live_piece){.length = (uint16_t)len, .writer = (uint8_t)writer, .drafter = drafter};
}

void live_add_round(struct live *l, const struct live_round *r)
{
    if (l->n_rounds == LIVE_ROUNDS) {
        l->n_rounds -= LIVE_ROUNDS / 4;
        memmove(l->round, l->round + LIVE_ROUNDS / 4, l->n_rounds * sizeof(*l->round));
    }
    l->round[l->n_rounds++] = *r;
    l->rounds_seen++;
}

static uint8_t without(uint8_t drafter, uint8_t gone)
{
    return (uint8_t)(drafter == gone ? 0 : drafter > gone ? drafter - 1 : drafter);
}

void live_drop_drafter(struct live *l, uint8_t drafter)
{
    for (size_t i = 0; i < l->n_pieces; i++)
        l->piece[i].drafter = without(l->piece[i].drafter, drafter);
    for (size_t i = 0; i < l->n_rounds; i++)
        l->round[i].drafter = without(l->round[i].drafter, drafter);
}

/* ---- the recorder ---- */

bool live_recorder_wants(struct live_recorder *r, uint64_t request, int64_t now_us)
{
    if (request == r->live.request)
        return true;
    if (request < r->live.request && (r->ended_us == 0 || now_us - r->ended_us < LIVE_REST_US))
        return false;
    live_restart(&r->live, request);
    r->n_due = 0;
    r->ended_us = 0;
    return true;
}

void live_recorder_token(struct live_recorder *r, size_t len, enum live_writer writer, uint8_t drafter)
{
    struct live_piece *last = r->n_due > 0 ? &r->due[r->n_due - 1] : NULL;
    bool same = last != NULL && last->writer == writer && last->drafter == drafter;
    if (len == 0)
        return;
    if (last != NULL && (same || r->n_due == LIVE_DUE) && last->length + len <= UINT16_MAX)
        last->length = (uint16_t)(last->length + len);
    else if (r->n_due < LIVE_DUE && len <= UINT16_MAX)
        r->due[r->n_due++] =
            (struct live_piece){.length = (uint16_t)len, .writer = (uint8_t)writer, .drafter = drafter};
}

/* The whole characters that begin in the first n bytes.  A character that two wrote is the first one's. */
static size_t whole(const char *text, size_t len, size_t n)
{
    while (n < len && continues(text[n]))
        n++;
    return n < len ? n : len;
}

void live_recorder_text(struct live_recorder *r, const char *text, size_t len, enum live_writer writer, uint8_t drafter)
{
    size_t used = 0, spent = 0, i = 0; /* bytes that are added; bytes that tokens were charged with */
    while (i < r->n_due && spent < len) {
        struct live_piece *p = &r->due[i];
        size_t left = len - spent, charge = p->length < left ? p->length : left;
        size_t to = whole(text, len, spent + charge);
        if (to > used) {
            live_add_text(&r->live, text + used, to - used, p->writer, p->drafter);
            used = to;
        }
        spent += charge;
        p->length = (uint16_t)(p->length - charge);
        i += p->length == 0;
    }
    r->n_due -= i;
    memmove(r->due, r->due + i, r->n_due * sizeof(*r->due));
    if (used < len)
        live_add_text(&r->live, text + used, len - used, writer, drafter);
}

void live_recorder_end(struct live_recorder *r, uint64_t request, int64_t now_us)
{
    if (request == r->live.request)
        r->ended_us = now_us;
}
