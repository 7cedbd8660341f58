#include "swarm/message.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"

enum {
    PIECES_A_LINE = 8192, /* indices of at most five digits with their commas stay under SWARM_LINE_MAX */
    FETCHING_MAX = 4096,  /* of them in a hello, beside a set of MANIFEST_PIECES_MAX pieces; the rest are not told */
};

const char message_alive[] = "{\"alive\":true}\n", message_bye[] = "{\"bye\":true}\n";

static const char *const keys[] = {"hello", "have", "fetching", "dropped", "peers", "alive", "bye"};

bool message_address(const char *text, char out[SWARM_ADDRESS])
{
    bool six = text[0] == '[';
    const char *start = text + six, *end = six ? strchr(start, ']') : strchr(start, ':');
    if (end == NULL || (six && end[1] != ':') || end - start >= INET6_ADDRSTRLEN)
        return false;
    char host[INET6_ADDRSTRLEN] = "";
    memcpy(host, start, (size_t)(end - start));
    const char *digits = end + 1 + six;
    size_t n_digits = strspn(digits, "0123456789");
    long port = n_digits >= 1 && n_digits <= 5 ? strtol(digits, NULL, 10) : 0;
    if (digits[n_digits] != '\0' || port < 1 || port > 65535)
        return false;
    struct in_addr v4;
    struct in6_addr v6;
    if (six && inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_V4MAPPED(&v6)) {
        memcpy(&v4, v6.s6_addr + 12, sizeof(v4));
        six = false;
    } else if (inet_pton(six ? AF_INET6 : AF_INET, host, six ? (void *)&v6 : (void *)&v4) != 1) {
        return false;
    }
    /* Nobody answers at "any", and a group or a broadcast is not one peer. */
    if (six ? IN6_IS_ADDR_UNSPECIFIED(&v6) || IN6_IS_ADDR_MULTICAST(&v6)
            : v4.s_addr == 0 || ntohl(v4.s_addr) >> 28 >= 14)
        return false;
    inet_ntop(six ? AF_INET6 : AF_INET, six ? (void *)&v6 : (void *)&v4, host, sizeof(host));
    snprintf(out, SWARM_ADDRESS, six ? "[%s]:%ld" : "%s:%ld", host, port);
    return true;
}

/* A list of indices below n_pieces, each of them once at most in what is kept. */
static int read_pieces(struct message *m, const char *key, const json_t *list, size_t n_pieces, char **cause)
{
    if (!json_is_array(list))
        return cause_set(cause, "%s: expected a list of pieces", key);
    size_t n = json_array_size(list);
    if (n > n_pieces)
        return cause_set(cause, "%s: %zu pieces of a model that has %zu", key, n, n_pieces);
    m->piece = xcalloc(n + 1, sizeof(*m->piece));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        json_int_t value = json_integer_value(item);
        if (!json_is_integer(item) || value < 0 || (uint64_t)value >= n_pieces)
            return cause_set(cause, "%s[%zu]: expected a piece from 0 to %zu", key, i, n_pieces - 1);
        m->piece[m->n_pieces++] = (uint32_t)value;
    }
    return 0;
}

static bool peer_id_ok(const char *id)
{
    return id != NULL && strlen(id) == SWARM_PEER_ID && strspn(id, "0123456789abcdef") == SWARM_PEER_ID;
}

static int read_hello(struct message *m, const json_t *hello, size_t n_pieces, char **cause)
{
    const json_t *protocol = json_object_get(hello, "protocol"), *pieces = json_object_get(hello, "pieces");
    const char *peer = json_string_value(json_object_get(hello, "peer"));
    const char *have = json_string_value(json_object_get(hello, "have"));
    const json_t *fetching = json_object_get(hello, "fetching");
    if (!json_is_object(hello))
        return cause_set(cause, "hello: expected an object");
    if (!json_is_integer(protocol) || json_integer_value(protocol) != SWARM_PROTOCOL)
        return cause_set(cause, "hello.protocol: it speaks another version than %d", SWARM_PROTOCOL);
    if (!peer_id_ok(peer))
        return cause_set(cause, "hello.peer: expected %d hex digits", SWARM_PEER_ID);
    if (!json_is_integer(pieces) || json_integer_value(pieces) != (json_int_t)n_pieces)
        return cause_set(cause, "hello.pieces: the model has %zu", n_pieces);
    if (have == NULL)
        return cause_set(cause, "hello.have: expected base64");
    memcpy(m->peer, peer, SWARM_PEER_ID + 1);
    bits_init(&m->have, n_pieces);
    if (bits_from_text(&m->have, have, cause) != 0)
        return cause_prefix(cause, "hello.have");
    return fetching != NULL ? read_pieces(m, "hello.fetching", fetching, n_pieces, cause) : 0;
}

static int read_peers(struct message *m, const json_t *list, char **cause)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n > SWARM_MESSAGE_PEERS)
        return cause_set(cause, "peers: expected a list of at most %d", SWARM_MESSAGE_PEERS);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || !message_address(text, m->address[i]))
            return cause_set(cause, "peers[%zu]: expected \"ADDRESS:PORT\"", i);
        m->n_addresses++;
    }
    return 0;
}

static int read_object(struct message *m, const json_t *object, size_t n_pieces, char **cause)
{
    const json_t *value = NULL;
    const char *key = NULL;
    m->kind = MESSAGE_ALIVE;
    if (!json_is_object(object))
        return cause_set(cause, "expected an object");
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const json_t *found = json_object_get(object, keys[i]);
        if (found == NULL)
            continue;
        if (value != NULL)
            return cause_set(cause, "one line says %s and %s", key, keys[i]);
        value = found;
        key = keys[i];
        m->kind = (enum message_kind)i;
    }
    switch (m->kind) {
    case MESSAGE_HELLO:
        return read_hello(m, value, n_pieces, cause);
    case MESSAGE_HAVE:
    case MESSAGE_FETCHING:
    case MESSAGE_DROPPED:
        return read_pieces(m, key, value, n_pieces, cause);
    case MESSAGE_PEERS:
        return read_peers(m, value, cause);
    case MESSAGE_ALIVE:
    case MESSAGE_BYE:
        break;
    }
    return 0;
}

int message_parse(struct message *m, const char *line, size_t len, size_t n_pieces, char **cause)
{
    json_error_t error;
    *m = (struct message){.kind = MESSAGE_ALIVE};
    if (len > SWARM_LINE_MAX)
        return cause_set(cause, "a line of %zu bytes, over the %d that are taken", len, SWARM_LINE_MAX);
    json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        return cause_set(cause, "a line that is not JSON: %s", error.text);
    int rc = read_object(m, object, n_pieces, cause);
    json_decref(object);
    if (rc != 0)
        message_finish(m);
    return rc;
}

void message_finish(struct message *m)
{
    bits_finish(&m->have);
    free(m->piece);
    m->piece = NULL;
    m->n_pieces = m->n_addresses = 0;
}

static void add_index(struct buf *b, bool first, size_t piece)
{
    buf_printf(b, first ? "%zu" : ",%zu", piece);
}

char *message_hello(const char *peer, const struct bits *have, const struct bits *fetching)
{
    struct buf b;
    char *text = bits_to_text(have);
    buf_init(&b, SIZE_MAX);
    buf_printf(&b, "{\"hello\":{\"protocol\":%d,\"peer\":\"%s\",\"pieces\":%zu,\"have\":\"%s\",\"fetching\":[",
               SWARM_PROTOCOL, peer, have->n, text);
    free(text);
    for (size_t i = 0, n = 0; n < fetching->count && n < FETCHING_MAX && i < fetching->n; i++) {
        if (bits_has(fetching, i))
            add_index(&b, n++ == 0, i);
    }
    buf_adds(&b, "]}}\n");
    return buf_steal(&b);
}

char *message_pieces(enum message_kind kind, const uint32_t *piece, size_t n)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    for (size_t i = 0; i < n; i++) {
        bool first = i % PIECES_A_LINE == 0, last = i + 1 == n || (i + 1) % PIECES_A_LINE == 0;
        if (first)
            buf_printf(&b, "{\"%s\":[", keys[kind]);
        add_index(&b, first, piece[i]);
        if (last)
            buf_adds(&b, "]}\n");
    }
    return buf_steal(&b);
}

char *message_peers(const char (*address)[SWARM_ADDRESS], size_t n)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    buf_adds(&b, "{\"peers\":[");
    for (size_t i = 0; i < n && i < SWARM_MESSAGE_PEERS; i++)
        buf_printf(&b, "%s\"%s\"", i == 0 ? "" : ",", address[i]);
    buf_adds(&b, "]}\n");
    return buf_steal(&b);
}
