#include "swarm/find.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

enum { FORMAT = 1 };

/* Lower-case hex digits, exactly so many. */
static int read_hex(char *to, const char *from, size_t digits)
{
    if (from == NULL || strlen(from) != digits || strspn(from, "0123456789abcdef") != digits)
        return -1;
    memcpy(to, from, digits + 1);
    return 0;
}

static int read_ids(struct find_message *m, const json_t *ids)
{
    if (ids == NULL)
        return 0;
    if (!json_is_array(ids) || json_array_size(ids) > FIND_IDS)
        return -1;
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (read_hex(m->id[m->n_ids++], json_string_value(json_array_get(ids, i)), FIND_ID) != 0)
            return -1;
    return 0;
}

static int read_message(struct find_message *m, const json_t *o)
{
    int64_t format = 0, port = 0;
    bool asks = false;
    const char *peer = NULL;
    if (json_get_int(o, "tightwad", FORMAT, FORMAT, &format, NULL) != 1 ||
        json_get_string(o, "peer", &peer, NULL) != 1 || read_hex(m->peer, peer, FIND_PEER) != 0 ||
        json_get_int(o, "port", 0, 65535, &port, NULL) < 0 || json_get_bool(o, "ask", &asks, NULL) < 0)
        return -1;
    m->port = (int)port;
    m->asks = asks;
    if (port == 0 && !asks)
        return -1;
    return read_ids(m, json_object_get(o, "ids"));
}

int find_parse(struct find_message *m, const char *data, size_t len)
{
    *m = (struct find_message){.port = 0};
    json_t *o = len <= FIND_BYTES ? json_parse_object(data, len, NULL) : NULL;
    int rc = o != NULL ? read_message(m, o) : -1;
    json_decref(o);
    return rc;
}

char *find_text(const struct find_message *m, size_t *len)
{
    json_t *o = json_object(), *ids = json_array();
    json_object_set_new(o, "tightwad", json_integer(FORMAT));
    json_object_set_new(o, "peer", json_string(m->peer));
    json_object_set_new(o, "port", json_integer(m->port));
    if (m->asks)
        json_object_set_new(o, "ask", json_true());
    for (size_t i = 0; i < m->n_ids && i < FIND_IDS; i++)
        json_array_append_new(ids, json_string(m->id[i]));
    json_object_set_new(o, "ids", ids);
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    *len = text != NULL ? strlen(text) : 0;
    return text;
}
