/* A line of a peer's stream: whatever it says, all that is taken from it lies within the model, and is written back as
 * it was. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "swarm/message.h"

static void check_pieces(const struct message *m, size_t n_pieces)
{
    if (m->n_pieces > n_pieces)
        abort();
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (m->piece[i] >= n_pieces)
            abort();
    }
}

static char *write_again(const struct message *m)
{
    struct bits fetching;
    char *text;
    switch (m->kind) {
    case MESSAGE_HELLO:
        bits_init(&fetching, m->have.n);
        for (size_t i = 0; i < m->n_pieces; i++)
            bits_set(&fetching, m->piece[i], true);
        text = message_hello(m->peer, &m->have, &fetching);
        bits_finish(&fetching);
        return text;
    case MESSAGE_PEERS:
        return message_peers(m->address, m->n_addresses);
    case MESSAGE_HAVE:
    case MESSAGE_FETCHING:
    case MESSAGE_DROPPED:
        return m->n_pieces > 0 && m->n_pieces <= 1000 ? message_pieces(m->kind, m->piece, m->n_pieces) : NULL;
    case MESSAGE_ALIVE:
    case MESSAGE_BYE:
        break;
    }
    return NULL;
}

static void check_again(const struct message *m, size_t n_pieces)
{
    struct message again;
    char *text = write_again(m);
    if (text == NULL)
        return;
    if (message_parse(&again, text, strlen(text), n_pieces, NULL) != 0 || again.kind != m->kind)
        abort();
    if (m->kind == MESSAGE_HELLO &&
        (again.have.count != m->have.count || memcmp(again.have.byte, m->have.byte, (n_pieces + 7) / 8) != 0))
        abort();
    if (m->kind != MESSAGE_HELLO && again.n_pieces != m->n_pieces)
        abort();
    if (again.n_addresses != m->n_addresses || memcmp(again.address, m->address, sizeof(again.address)) != 0)
        abort();
    message_finish(&again);
    free(text);
}

/* The first byte says how many pieces the model has. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t pieces[] = {1, 3, 8, 9, 64, 1000, 65535, 65536};
    struct message m;
    char *cause = NULL;
    if (size == 0)
        return 0;
    size_t n_pieces = pieces[data[0] % 8];
    if (message_parse(&m, (const char *)data + 1, size - 1, n_pieces, &cause) != 0) {
        if (cause == NULL)
            abort();
        free(cause);
        return 0;
    }
    if (m.kind == MESSAGE_HELLO && (m.have.n != n_pieces || m.have.count > n_pieces || strlen(m.peer) != SWARM_PEER_ID))
        abort();
    check_pieces(&m, n_pieces);
    check_again(&m, n_pieces);
    message_finish(&m);
    return 0;
}
