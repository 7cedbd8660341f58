#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/options.h"
#include "config/url.h"
#include "config/value.h"

/* Servers outside a file have the rules of the drafters in one. */
static const char section[] = "proxy.drafters[]";

int config_server_init(struct config_server *out, const struct config_server *given, char **cause)
{
    *out = (struct config_server){0};
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &option_table[i];
        if (o->place != OPTION_IN_DRAFTERS)
            continue;
        const char *text = *(char *const *)((const char *)given + o->offset);
        char *why = NULL;
        if (!text || !*text)
            text = o->def;
        if (text && value_parse(o, text, (char *)out + o->offset, &why) != 0) {
            cause_set(cause, "%s", why + sizeof(section)); /* the key without the section, which means nothing here */
            free(why);
            config_server_finish(out);
            return -1;
        }
    }
    bool ngram = strcmp(out->type, "ngram") == 0 || strcmp(out->backend, "ngram") == 0;
    if (ngram) {
        char *name = out->name ? xstrdup(out->name) : xstrdup("ngram");
        config_server_finish(out);
        *out = (struct config_server){.name = name, .backend = xstrdup("ngram"), .type = xstrdup("ngram")};
        return 0;
    }
    if (!out->url) {
        config_server_finish(out);
        return cause_set(cause, "url: http://HOST:PORT is expected");
    }
    if (!out->name)
        out->name = url_host_port(out->url);
    return 0;
}

void config_server_finish(struct config_server *s)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].place == OPTION_IN_DRAFTERS)
            value_clear(&option_table[i], (char *)s + option_table[i].offset);
    }
    *s = (struct config_server){0};
}
