#include "agent/from.h"

#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "probe/scan-place.h"

enum { TOKEN_MAX = 4096 };

/* One address as it will be asked; NULL: it is none. */
static char *address_of(const char *text, const char *sender)
{
    char *host = NULL;
    int port;
    if (text != NULL && text[0] == ':')
        return strspn(text + 1, "0123456789") == strlen(text + 1) && text[1] != '\0' && atoi(text + 1) <= 65535
                   ? xasprintf(strchr(sender, ':') != NULL ? "[%s]%s" : "%s%s", sender, text)
                   : NULL;
    if (text == NULL || scan_host_parse(text, &host, &port, NULL) != 0)
        return NULL;
    free(host);
    return xstrdup(text);
}

int agent_order_from_read(struct agent_order_from *from, const json_t *order, const char *sender, char **cause)
{
    const json_t *list = json_object_get(order, "peers");
    const char *token = NULL;
    *from = (struct agent_order_from){0};
    if (json_get_string(order, "token", &token, cause) < 0)
        return -1;
    if (token != NULL && (strlen(token) > TOKEN_MAX || strpbrk(token, "\r\n") != NULL))
        return cause_set(cause, "token: expected one line of at most %d bytes", TOKEN_MAX);
    from->token = xstrdup(token);
    if (list == NULL || json_is_null(list))
        return 0;
    if (!json_is_array(list) || json_array_size(list) > AGENT_PEERS_MAX)
        return cause_set(cause, "peers: expected a list of at most %d addresses", AGENT_PEERS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char *address = address_of(json_string_value(json_array_get(list, i)), sender);
        if (address == NULL)
            return cause_set(cause, "peers[%zu]: expected HOST, HOST:PORT or :PORT", i);
        from->list[from->n++] = address;
    }
    return 0;
}

void agent_order_from_finish(struct agent_order_from *from)
{
    for (size_t i = 0; i < from->n; i++)
        free(from->list[i]);
    free(from->token);
    *from = (struct agent_order_from){0};
}
