#include "swarm/swarm-ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "swarm/message.h"
#include "swarm/swarm-parse.h"
#include "swarm/swarm-what.h"

enum asked_state {
    ASKED_NOT,     /* its turn comes */
    ASKED_WAITING, /* for its answer */
    ASKED_HAS,     /* what is looked for, or something of that name */
    ASKED_HAS_NOT,
    ASKED_SILENT, /* no answer of a peer: why */
    ASKED_USELESS /* has it, but its manifest was none: why */
};

struct asked {
    struct ask *ask;
    char address[SWARM_ADDRESS];
    bool given;
    enum asked_state state;
    struct httpc_call *call; /* NULL: none under way */
    char *why;
    char id[MANIFEST_ID + 1]; /* HAS: of what; the first, where it has several of that name */
    char *file;
    uint64_t size;
};

/* A further model of that name at one peer. */
struct ask_more {
    char id[MANIFEST_ID + 1];
    size_t peer;
    char *file;
    uint64_t size;
};

enum { ASK_MORE_MAX = 64, ASK_OTHERS = 8 };

struct ask {
    struct ask_opts o;
    ask_done_cb *done;
    void *arg;
    struct asked peer[ASK_MAX];
    size_t n, under_way;
    struct ask_more more[ASK_MORE_MAX];
    size_t n_more;
    char *other[ASK_OTHERS]; /* names of what peers have instead */
    size_t n_other;
    struct event *over, *later; /* listening is over; something is to be decided */
    bool listening, ended;
    struct asked *source; /* whose manifest is being fetched */
    struct swarm_parse *parse;
    char id[MANIFEST_ID + 1]; /* of what is fetched */
};

static void ask_next(struct ask *a);

static void finish(struct ask *a, struct manifest *m, const char *why)
{
    a->ended = true;
    a->done(a->arg, m, why);
}

/* Something that the peer has. */
static void take_share(struct ask *a, struct asked *p, const json_t *share)
{
    char id[MANIFEST_ID + 1];
    const char *file = json_text(share, "filename"), *model = json_text(share, "model");
    double size = json_number(share, "size");
    if (!manifest_id_read(json_text(share, "id"), id) || !manifest_name_ok(file))
        return;
    bool is = a->o.id != NULL ? strcmp(id, a->o.id) == 0 : swarm_what_is(a->o.name, file, model);
    if (!is && a->n_other < ASK_OTHERS) {
        bool known = false;
        for (size_t i = 0; i < a->n_other; i++)
            known = known || strcmp(a->other[i], file) == 0;
        if (!known)
            a->other[a->n_other++] = utf8_printable(file, strlen(file));
    }
    if (!is || (p->state == ASKED_HAS && strcmp(p->id, id) == 0))
        return;
    uint64_t bytes = size > 0 && size < 1e18 ? (uint64_t)size : 0;
    if (p->state != ASKED_HAS) {
        p->state = ASKED_HAS;
        memcpy(p->id, id, sizeof(id));
        p->file = utf8_printable(file, strlen(file));
        p->size = bytes;
    } else if (a->n_more < ASK_MORE_MAX) {
        struct ask_more *m = &a->more[a->n_more++];
        *m =
            (struct ask_more){.peer = (size_t)(p - a->peer), .file = utf8_printable(file, strlen(file)), .size = bytes};
        memcpy(m->id, id, sizeof(id));
    }
}

static char *why_silent(const struct httpc_result *r)
{
    if (r->error != HTTPC_OK)
        return xasprintf("does not answer: %s", r->message);
    if (r->status == 401)
        return xstrdup("wants a token, or another one");
    if (r->status == 403)
        return xstrdup("does not serve this machine's network");
    return xasprintf("is no peer (HTTP status %d)", r->status);
}

static void on_answer(void *arg, const struct httpc_result *r)
{
    struct asked *p = arg;
    struct ask *a = p->ask;
    json_t *shares = NULL;
    json_t *o = r->error == HTTPC_OK && r->status == 200 ? json_parse_object(r->body, r->len, NULL) : NULL;
    p->call = NULL;
    a->under_way--;
    if (o == NULL || !json_is_array(shares = json_object_get(o, "shares"))) {
        p->state = ASKED_SILENT;
        p->why =
            r->error == HTTPC_OK && r->status == 200 ? xstrdup("is no peer: it answers something else") : why_silent(r);
    } else {
        size_t i;
        json_t *share;
        bool self = a->o.self != NULL && strcmp(json_text(o, "peer"), a->o.self) == 0;
        p->state = ASKED_HAS_NOT;
        json_array_foreach(shares, i, share)
        {
            if (!self)
                take_share(a, p, share);
        }
    }
    json_decref(o);
    ask_next(a);
}

static void ask_one(struct asked *p)
{
    char *url = xasprintf("http://%s/v1/swarm", p->address);
    const struct httpc_opts o = {.url = url,
                                 .bearer = p->ask->o.token,
                                 .timeout_ms = ASK_TIMEOUT_MS,
                                 .max_reply = ASK_REPLY,
                                 .on_done = on_answer,
                                 .arg = p};
    p->state = ASKED_WAITING;
    p->ask->under_way++;
    p->call = httpc_start(p->ask->o.http, &o);
    free(url);
}

static void on_parsed(void *arg, struct manifest *m, const char *why)
{
    struct ask *a = arg;
    a->parse = NULL;
    if (m != NULL && strcmp(m->id, a->id) == 0) {
        finish(a, m, "");
        return;
    }
    a->source->state = ASKED_USELESS;
    a->source->why = m == NULL ? xasprintf("sends a manifest that is none: %s", why)
                               : xstrdup("sends the manifest of something else");
    manifest_destroy(m);
    a->source = NULL;
    ask_next(a);
}

static void on_manifest(void *arg, const struct httpc_result *r)
{
    struct asked *p = arg;
    struct ask *a = p->ask;
    p->call = NULL;
    if (r->error == HTTPC_OK && r->status == 200) {
        a->parse = swarm_parse_text(a->o.crew, r->body, r->len, on_parsed, a);
        return;
    }
    p->state = ASKED_USELESS;
    p->why = why_silent(r);
    a->source = NULL;
    ask_next(a);
}

static void fetch_manifest(struct ask *a, struct asked *p)
{
    char *url = xasprintf("http://%s/v1/swarm/%s/manifest", p->address, p->id);
    const struct httpc_opts o = {.url = url,
                                 .bearer = a->o.token,
                                 .timeout_ms = ASK_MANIFEST_MS,
                                 .idle_timeout_ms = ASK_TIMEOUT_MS,
                                 .max_reply = MANIFEST_TEXT_MAX,
                                 .on_done = on_manifest,
                                 .arg = p};
    a->source = p;
    memcpy(a->id, p->id, sizeof(a->id));
    p->call = httpc_start(a->o.http, &o);
    free(url);
}

/* Whether one of those whom the user has given offers it, and whether they all have answered. */
static bool given_offer(const struct ask *a, bool *all)
{
    bool offers = false;
    *all = true;
    for (size_t i = 0; i < a->n; i++) {
        const struct asked *p = &a->peer[i];
        offers = offers || (p->given && p->state == ASKED_HAS);
        *all = *all && !(p->given && (p->state == ASKED_NOT || p->state == ASKED_WAITING));
    }
    return offers;
}

static void add_offer(struct buf *b, const char *id, const char *file, uint64_t size, const char *address)
{
    buf_printf(b, "\n  %s\n      %s, %.2f GB, of %s", id, file, (double)size / 1e9, address);
}

/* Under one name different models are offered: all of them in words.  NULL: it is one.  Owned by the caller. */
static char *different(const struct ask *a, bool given_only)
{
    const char *id = NULL;
    bool differ = false;
    struct buf b;
    buf_init(&b, 16384);
    for (size_t i = 0; i < a->n; i++) {
        const struct asked *p = &a->peer[i];
        if (p->state != ASKED_HAS || (given_only && !p->given))
            continue;
        bool known = false;
        for (size_t k = 0; k < i; k++)
            known = known || (a->peer[k].state == ASKED_HAS && strcmp(a->peer[k].id, p->id) == 0);
        differ = differ || (id != NULL && strcmp(id, p->id) != 0);
        id = p->id;
        if (!known)
            add_offer(&b, p->id, p->file, p->size, p->address);
    }
    for (size_t i = 0; i < a->n_more; i++) {
        const struct asked *p = &a->peer[a->more[i].peer];
        if (p->state != ASKED_HAS || (given_only && !p->given))
            continue;
        differ = true;
        add_offer(&b, a->more[i].id, a->more[i].file, a->more[i].size, p->address);
    }
    char *text =
        differ ? xasprintf("different models are offered as %s; pull the right one by its id:%s", a->o.name, b.data)
               : NULL;
    buf_finish(&b);
    return text;
}

static char *why_nothing(const struct ask *a)
{
    size_t answered = 0;
    struct buf b;
    buf_init(&b, 16384);
    for (size_t i = 0; i < a->n; i++)
        answered += a->peer[i].state == ASKED_HAS_NOT;
    if (a->n == 0)
        buf_printf(&b, "nobody can be asked: no peer is given%s",
                   a->o.listen ? ", and none has announced itself on the local network" : "");
    else if (answered > 0)
        buf_printf(&b, answered == 1 ? "the only peer that answers does not have it" : "no peer that answers has it");
    else
        buf_printf(&b, "no peer answers");
    for (size_t i = 0; i < a->n_other && answered > 0 && a->o.id == NULL; i++)
        buf_printf(&b, "%s%s%s", i == 0 ? "; there is " : ", ", a->other[i], i + 1 == ASK_OTHERS ? " …" : "");
    size_t told = 0;
    for (size_t i = 0; i < a->n && told < ASK_OTHERS; i++) {
        if (a->peer[i].why != NULL && (a->peer[i].given || answered == 0))
            buf_printf(&b, "%s%s %s", told++ < ASK_OTHERS ? "\n  " : "", a->peer[i].address, a->peer[i].why);
    }
    return buf_steal(&b);
}

/* Those whom the user has given first. */
static struct asked *best(struct ask *a)
{
    struct asked *p = NULL;
    for (size_t i = 0; i < a->n; i++) {
        if (a->peer[i].state == ASKED_HAS && (p == NULL || (a->peer[i].given && !p->given)))
            p = &a->peer[i];
    }
    return p;
}

static void decide(struct ask *a)
{
    bool all, given = given_offer(a, &all), open = a->under_way > 0 || a->listening;
    struct asked *p = best(a);
    char *why = NULL;
    if (a->source != NULL || a->parse != NULL)
        return;
    if (a->o.id == NULL && open && !(given && all))
        return;
    if (p == NULL && open)
        return;
    if (p != NULL && a->o.id == NULL && (why = different(a, given)) == NULL)
        fetch_manifest(a, p);
    else if (p != NULL && a->o.id != NULL)
        fetch_manifest(a, p);
    else
        finish(a, NULL, why != NULL ? why : (why = why_nothing(a)));
    free(why);
}

static void ask_next(struct ask *a)
{
    if (a->ended)
        return;
    for (size_t i = 0; i < a->n && a->under_way < ASK_AT_ONCE; i++) {
        if (a->peer[i].state == ASKED_NOT)
            ask_one(&a->peer[i]);
    }
    event_active(a->later, EV_TIMEOUT, 0);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct ask *a = arg;
    if (!a->ended)
        decide(a);
}

static void on_over(evutil_socket_t fd, short what, void *arg)
{
    struct ask *a = arg;
    a->listening = false;
    ask_next(a);
}

struct ask *ask_create(const struct ask_opts *o, ask_done_cb *done, void *arg)
{
    struct ask *a = xcalloc(1, sizeof(*a));
    a->o = *o;
    a->o.token = xstrdup(o->token);
    a->o.self = xstrdup(o->self);
    a->o.id = xstrdup(o->id);
    a->o.name = xstrdup(o->name);
    a->done = done;
    a->arg = arg;
    a->over = evtimer_new(o->base, on_over, a);
    a->later = evtimer_new(o->base, on_later, a);
    a->listening = o->listen;
    if (o->listen)
        event_add(a->over, &(struct timeval){.tv_sec = ASK_LISTEN_MS / 1000, .tv_usec = ASK_LISTEN_MS % 1000 * 1000});
    event_active(a->later, EV_TIMEOUT, 0);
    return a;
}

void ask_add(struct ask *a, const char *address, bool given)
{
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->peer[i].address, address) == 0) {
            a->peer[i].given = a->peer[i].given || given;
            return;
        }
    }
    if (a->n == ASK_MAX || a->ended)
        return;
    struct asked *p = &a->peer[a->n++];
    *p = (struct asked){.ask = a, .given = given};
    snprintf(p->address, sizeof(p->address), "%s", address);
    ask_next(a);
}

void ask_destroy(struct ask *a)
{
    if (a == NULL)
        return;
    swarm_parse_cancel(a->parse);
    for (size_t i = 0; i < a->n; i++) {
        if (a->peer[i].call != NULL)
            httpc_cancel(a->peer[i].call);
        free(a->peer[i].why);
        free(a->peer[i].file);
    }
    for (size_t i = 0; i < a->n_more; i++)
        free(a->more[i].file);
    for (size_t i = 0; i < a->n_other; i++)
        free(a->other[i]);
    event_free(a->over);
    event_free(a->later);
    free((char *)a->o.token);
    free((char *)a->o.self);
    free((char *)a->o.id);
    free((char *)a->o.name);
    free(a);
}

const char *ask_source(const struct ask *a, size_t i, bool *given)
{
    for (size_t k = 0; k < a->n; k++) {
        if (a->peer[k].state == ASKED_HAS && strcmp(a->peer[k].id, a->id) == 0 && i-- == 0) {
            *given = a->peer[k].given;
            return a->peer[k].address;
        }
    }
    return NULL;
}

bool ask_answered(const struct ask *a)
{
    for (size_t i = 0; i < a->n; i++) {
        if (a->peer[i].state == ASKED_HAS || a->peer[i].state == ASKED_HAS_NOT || a->peer[i].state == ASKED_USELESS)
            return true;
    }
    return false;
}

void ask_state(const struct ask *a, char *out, size_t size)
{
    size_t answered = 0;
    for (size_t i = 0; i < a->n; i++)
        answered += a->peer[i].state != ASKED_NOT && a->peer[i].state != ASKED_WAITING;
    if (a->source != NULL)
        snprintf(out, size, "its manifest comes from %s", a->source->address);
    else if (a->n > 0)
        snprintf(out, size, "%zu of %zu peer%s answered%s", answered, a->n, a->n == 1 ? " has" : "s have",
                 a->listening ? ", the local network is asked too" : "");
    else
        snprintf(out, size, "the local network is asked");
}
