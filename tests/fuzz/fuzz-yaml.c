/* Any text as a configuration: loaded, shown and told about without a crash, and bounded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/config.h"
#include "config/edit.h"
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

static struct config *load(const char *text, size_t len)
{
    struct config_findings f = {0};
    struct config *c = config_load_text("fuzz.yaml", text, len, &f);
    config_findings_print(&f, c ? nowhere : stderr);
    config_findings_finish(&f);
    if (!c) {
        fwrite(text, 1, len, stderr);
        abort();
    }
    return c;
}

/* A drafter more, and taken out again: either refused, or exactly that and a configuration still. */
static void edit_it(const struct config *c, const char *text, size_t len)
{
    const struct config_server s = {.url = (char *)"http://new.example:1", .backend = (char *)"node"};
    struct buf more, less;
    char *cause = NULL;
    size_t n = c->proxy.n_drafters;
    buf_init(&more, 2 << 20);
    buf_init(&less, 2 << 20);
    if (n < 16 && edit_add_drafter(text, len, &s, &more, &cause) == 0) {
        struct config *now = load(more.data, more.len);
        if (now->proxy.n_drafters != n + 1 || strcmp(now->proxy.drafters[n].url, s.url) != 0)
            abort();
        for (size_t i = 0; i < n; i++) {
            const char *was = c->proxy.drafters[i].url, *is = now->proxy.drafters[i].url; /* ngram has none */
            if (strcmp(was ? was : "", is ? is : "") != 0)
                abort();
        }
        if (now->proxy.port != c->proxy.port)
            abort();
        config_destroy(now);
        if (edit_remove_drafter(more.data, more.len, "new.example:1", &less, &cause) == 0) {
            now = load(less.data, less.len);
            if (now->proxy.n_drafters != n)
                abort();
            config_destroy(now);
        }
    }
    free(cause);
    buf_finish(&more);
    buf_finish(&less);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    struct config_findings f = {0};
    struct config *c = config_load_text("fuzz.yaml", (const char *)data, size, &f);
    config_findings_print(&f, nowhere);
    config_findings_finish(&f);
    if (c) {
        load_again(c);
        edit_it(c, (const char *)data, size);
    }
    config_destroy(c);
    return 0;
}
