#include "engines/pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct piece {
    char *text; /* NULL: none, or not known */
    uint32_t len;
    uint32_t kind;
};

struct pieces {
    char vocab[256]; /* what tells this vocabulary from others */
    struct piece *list;
    size_t n;
};

struct pieces *pieces_create(void)
{
    return xcalloc(1, sizeof(struct pieces));
}

static void forget(struct pieces *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->list[i].text);
    free(p->list);
    p->list = NULL;
    p->n = 0;
}

void pieces_destroy(struct pieces *p)
{
    if (p == NULL)
        return;
    forget(p);
    free(p);
}

void pieces_set(struct pieces *p, const struct backend_info *info)
{
    char vocab[sizeof(p->vocab)];
    if (!info->known) /* it is away: what comes back will say what it is */
        return;
    snprintf(vocab, sizeof(vocab), "%d %s", (int)info->n_vocab,
             info->fingerprint[0] != '\0' ? info->fingerprint : info->model);
    if (strcmp(vocab, p->vocab) == 0)
        return;
    forget(p);
    memcpy(p->vocab, vocab, sizeof(vocab));
    p->n = info->n_vocab > 0 ? (size_t)info->n_vocab : 0;
    p->list = xcalloc(p->n + 1, sizeof(*p->list));
}

enum piece_kind pieces_get(const struct pieces *p, int32_t token, const char **text, size_t *len)
{
    *text = "";
    *len = 0;
    if (token < 0 || (size_t)token >= p->n)
        return PIECE_UNKNOWN;
    const struct piece *e = &p->list[token];
    if (e->text != NULL)
        *text = e->text;
    *len = e->len;
    return (enum piece_kind)e->kind;
}

size_t pieces_learn(struct pieces *p, const struct backend_token *tokens, size_t n)
{
    size_t learnt = 0;
    for (size_t i = 0; i < n; i++) {
        const struct backend_token *t = &tokens[i];
        if (t->id < 0 || (size_t)t->id >= p->n || p->list[t->id].kind != PIECE_UNKNOWN)
            continue;
        struct piece *e = &p->list[t->id];
        e->kind = t->end ? PIECE_END : PIECE_TEXT;
        e->len = t->end ? 0 : (uint32_t)t->len;
        e->text = e->len > 0 ? xmemdup(t->piece, e->len) : NULL;
        learnt++;
    }
    return learnt;
}
