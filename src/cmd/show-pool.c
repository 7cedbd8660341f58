#include "cmd/show-pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cmd/term.h"

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static bool known(const json_t *o, const char *key)
{
    return json_is_number(json_object_get(o, key));
}

static void mark(bool good, bool colour)
{
    printf("%s%s%s ", term_escape(colour, good ? TERM_GOOD : TERM_BAD), good ? "✓" : "✗",
           term_escape(colour, TERM_PLAIN));
}

static void show_device(const json_t *d, bool colour)
{
    const char *reason = json_text(d, "reason"), *at = json_text(d, "address");
    printf("  ");
    mark(reason[0] == '\0', colour);
    printf("%-16s %s%s%s", json_text(d, "machine"), json_text(d, "name"), at[0] != '\0' ? " " : "", at);
    if (known(d, "layers") && number(d, "layers") > 0)
        printf("  layers %.0f-%.0f", number(d, "first_layer"), number(d, "first_layer") + number(d, "layers") - 1);
    if (known(d, "bytes") && known(d, "memory"))
        printf("  %.2f of %.2f GiB", number(d, "bytes") / (1 << 30), number(d, "memory") / (1 << 30));
    printf("%s%s\n", reason[0] != '\0' ? "\n                     " : "", reason);
}

void show_pool(const json_t *pool, bool colour)
{
    size_t i;
    json_t *d;
    if (!json_is_object(pool))
        return;
    const char *state = json_text(pool, "state"), *why = json_text(pool, "why");
    bool up = strcmp(state, "up") == 0;
    mark(up, colour);
    printf("pool     %s: %s", state, json_text(pool, "model"));
    if (json_text(pool, "draft")[0] != '\0')
        printf(", drafter %s", json_text(pool, "draft"));
    if (json_text(pool, "next")[0] != '\0')
        printf(", %s is coming", json_text(pool, "next"));
    if (json_text(pool, "server")[0] != '\0')
        printf("  (%s)", json_text(pool, "server"));
    if (known(pool, "progress"))
        printf("  %.0f %%", 100 * number(pool, "progress"));
    if (known(pool, "load_ms"))
        printf("  loaded in %.1f s", number(pool, "load_ms") / 1000);
    if (number(pool, "restarts") > 0)
        printf("  %.0f restarts", number(pool, "restarts"));
    if (known(pool, "pause_ms"))
        printf(", last pause %.1f s", number(pool, "pause_ms") / 1000);
    printf("\n");
    if (why[0] != '\0')
        printf("           %s\n", why);
    if (known(pool, "retry_ms"))
        printf("           tried again in %.0f s, and by `tightwad load`\n", number(pool, "retry_ms") / 1000);
    if (json_text(pool, "swap_error")[0] != '\0')
        printf("           the last swap failed: %s\n", json_text(pool, "swap_error"));
    json_array_foreach(json_object_get(pool, "devices"), i, d) show_device(d, colour);
}
