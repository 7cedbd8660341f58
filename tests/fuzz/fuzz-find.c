/* An announcement on the local network: what is taken from it is well-formed, and is written back as it was. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "swarm/find.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct find_message m, again;
    size_t len;
    if (find_parse(&m, (const char *)data, size) != 0)
        return 0;
    if (strlen(m.peer) != FIND_PEER || m.port < 0 || m.port > 65535 || (m.port == 0 && !m.asks) || m.n_ids > FIND_IDS)
        abort();
    char *text = find_text(&m, &len);
    if (text == NULL || len > FIND_BYTES || find_parse(&again, text, len) != 0)
        abort();
    if (again.port != m.port || !again.asks != !m.asks || strcmp(again.peer, m.peer) != 0 || again.n_ids != m.n_ids ||
        memcmp(again.id, m.id, sizeof(m.id)) != 0)
        abort();
    free(text);
    return 0;
}
