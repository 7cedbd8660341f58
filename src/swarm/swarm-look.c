/* The first step of a pull: its manifest, from wherever the user has named. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "swarm/swarm-pull.h"

static void take(struct swarm_pull *p, struct manifest *m)
{
    p->m = m;
    pull_then(p, pull_open);
}

static void on_file(void *arg, struct manifest *m, const char *why)
{
    struct swarm_pull *p = arg;
    p->parse = NULL;
    if (m != NULL)
        take(p, m);
    else
        pull_end(p, false, NULL, why);
}

/* The file has landed: from now on it is given out like any other that lies here. */
static void on_web_done(void *arg, struct manifest *m, const char *path, const char *why)
{
    struct swarm_pull *p = arg;
    struct swarm_view_model v = {0};
    web_fill(p->web, &v);
    p->fetched += v.fetched;
    if (m != NULL) {
        swarm_share(p->swarm, path, NULL, NULL, NULL);
        manifest_destroy(p->m);
        p->m = m;
    }
    pull_end(p, m != NULL, path, m != NULL ? "" : why);
}

void pull_download(struct swarm_pull *p)
{
    struct swarm *s = p->swarm;
    if (p->only_estimate) {
        pull_end(p, false, NULL,
                 "there is no manifest beside that URL, so what it would take can't be told before it is fetched");
        return;
    }
    web_cancel(p->web);
    p->phase = PULL_WEB;
    if (p->dir == NULL) {
        p->web = NULL;
        pull_end(p, false, NULL, "there is no home to put models in: name a folder");
        return;
    }
    p->web = web_download(s->base, s->http, s->crew, p->web_url, p->dir, on_web_done, p);
    if (p->m != NULL)
        web_expect(p->web, p->m);
    web_set_limit(p->web, swarm_pull_limit(s));
}

static void on_web_manifest(void *arg, struct manifest *m, const char *why)
{
    struct swarm_pull *p = arg;
    if (m != NULL)
        take(p, m);
    else if (why[0] == '\0' && p->what.kind != WHAT_MANIFEST_URL && !p->layers)
        pull_then(p, pull_download);
    else if (why[0] == '\0' && p->layers)
        pull_end(p, false, NULL, "layers can be picked by a manifest alone, and there is none beside that URL");
    else
        pull_end(p, false, NULL, why[0] != '\0' ? why : "there is no manifest at that URL");
}

static void look_at_url(struct swarm_pull *p)
{
    if (p->web_url == NULL)
        p->web_url = xstrdup(p->what.url != NULL ? p->what.url : p->what.text);
    p->web = web_manifest(p->swarm->http, p->swarm->crew, p->web_url, on_web_manifest, p);
}

static void on_asked(void *arg, struct manifest *m, const char *why)
{
    struct swarm_pull *p = arg;
    if (m != NULL)
        take(p, m);
    else if (p->what.url != NULL && !ask_answered(p->ask))
        pull_then(p, look_at_url);
    else
        pull_end(p, false, NULL, why);
}

static void ask_known(struct swarm_pull *p)
{
    const struct swarm *s = p->swarm;
    int64_t now = clock_us() / 1000;
    for (size_t i = 0; i < SWARM_KNOWN_MAX; i++) {
        if (s->known[i].seen_ms > 0 && now - s->known[i].seen_ms < SWARM_KNOWN_MS)
            ask_add(p->ask, s->known[i].address, false);
    }
}

/* A URL that names a peer means that peer's word for a name; an id is the same whoever has it. */
static void ask_peers(struct swarm_pull *p)
{
    struct swarm *s = p->swarm;
    bool id = p->what.kind == WHAT_ID, all = id || p->what.peer[0] == '\0';
    const struct ask_opts o = {.base = s->base,
                               .http = s->http,
                               .crew = s->crew,
                               .token = s->token,
                               .self = s->id,
                               .id = id ? p->what.id : NULL,
                               .name = p->what.text,
                               .listen = all && s->find != NULL};
    p->ask = ask_create(&o, on_asked, p);
    if (p->what.peer[0] != '\0')
        ask_add(p->ask, p->what.peer, true);
    for (size_t i = 0; i < p->n_peers && all; i++)
        ask_add(p->ask, p->peer[i], true);
    if (all)
        ask_known(p);
    if (o.listen)
        find_ask(s->find);
}

void pull_look(struct swarm_pull *p)
{
    const struct swarm_item *item = p->what.kind == WHAT_ID ? swarm_item_of(p->swarm, p->what.id) : NULL;
    if (item != NULL && item->pull == NULL)
        take(p, manifest_keep(item->share->manifest));
    else if (p->what.kind == WHAT_ID || p->what.kind == WHAT_NAME)
        ask_peers(p);
    else if (p->what.kind == WHAT_MANIFEST)
        p->parse = swarm_parse_file(p->swarm->crew, p->what.text, on_file, p);
    else
        look_at_url(p);
}
