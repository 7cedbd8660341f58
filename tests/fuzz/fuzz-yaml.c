/* Any text as a configuration: loaded, shown and told about without a crash, and bounded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "fuzz.h"

static FILE *nowhere;

static void load_again(const struct config *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    config_show(c, to);
    fclose(to);
    /* What is shown must be a configuration again. */
    struct config_findings f = {0};
    struct config *again = config_load_text("shown.yaml", text, len, &f);
    if (!again) {
        config_findings_print(&f, stderr);
        fputs(text, stderr);
        abort();
    }
    free(config_restart_needed(c, again));
    config_destroy(again);
    config_findings_finish(&f);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    struct config_findings f = {0};
    struct config *c = config_load_text("fuzz.yaml", (const char *)data, size, &f);
    config_findings_print(&f, nowhere);
    config_findings_finish(&f);
    if (c)
        load_again(c);
    config_destroy(c);
    return 0;
}
