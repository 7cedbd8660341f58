#include "engines/gate-cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct entry {
    struct entry *newer, *older; /* by use */
    struct entry *chain;         /* of the same bucket */
    uint64_t hash;
    size_t bytes;
    char *key, *text, *agent;
    struct gate_cached what;
};

struct gate_cache {
    size_t most, most_bytes;
    size_t n, bytes, n_buckets; /* n_buckets: a power of two */
    struct entry **bucket;
    struct entry *newest, *oldest;
};

/* FNV-1a, 64 bits.  It chooses the bucket only: keys are compared whole. */
static uint64_t hash_of(const char *key)
{
    uint64_t h = 14695981039346656037ULL;
    for (const unsigned char *c = (const unsigned char *)key; *c != '\0'; c++)
        h = (h ^ *c) * 1099511628211ULL;
    return h;
}

struct gate_cache *gate_cache_create(size_t most, size_t bytes)
{
    struct gate_cache *c = xcalloc(1, sizeof(*c));
    c->most = most;
    c->most_bytes = bytes;
    c->n_buckets = 1;
    while (c->n_buckets < most)
        c->n_buckets *= 2;
    c->bucket = xcalloc(c->n_buckets, sizeof(struct entry *));
    return c;
}

static struct entry **place_of(struct gate_cache *c, uint64_t hash, const char *key)
{
    struct entry **at = &c->bucket[hash & (c->n_buckets - 1)];
    while (*at != NULL && ((*at)->hash != hash || strcmp((*at)->key, key) != 0))
        at = &(*at)->chain;
    return at;
}

static void unlink_entry(struct gate_cache *c, struct entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &c->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct gate_cache *c, struct entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void drop(struct gate_cache *c, struct entry *e)
{
    struct entry **at = place_of(c, e->hash, e->key);
    *at = e->chain;
    unlink_entry(c, e);
    c->n--;
    c->bytes -= e->bytes;
    free(e->key);
    free(e->text);
    free(e->agent);
    free(e);
}

void gate_cache_clear(struct gate_cache *c)
{
    while (c->oldest != NULL)
        drop(c, c->oldest);
}

void gate_cache_destroy(struct gate_cache *c)
{
    if (c == NULL)
        return;
    gate_cache_clear(c);
    free(c->bucket);
    free(c);
}

size_t gate_cache_count(const struct gate_cache *c)
{
    return c->n;
}

size_t gate_cache_bytes(const struct gate_cache *c)
{
    return c->bytes;
}

const struct gate_cached *gate_cache_find(struct gate_cache *c, const char *key)
{
    struct entry *e = *place_of(c, hash_of(key), key);
    if (e == NULL)
        return NULL;
    unlink_entry(c, e);
    link_newest(c, e);
    return &e->what;
}

void gate_cache_add(struct gate_cache *c, const char *key, const struct gate_cached *what)
{
    uint64_t hash = hash_of(key);
    size_t bytes = strlen(key) + what->len;
    struct entry **at = place_of(c, hash, key);
    if (bytes > c->most_bytes || c->most == 0)
        return;
    if (*at != NULL)
        drop(c, *at);
    while (c->n >= c->most || c->bytes + bytes > c->most_bytes)
        drop(c, c->oldest);
    struct entry *e = xcalloc(1, sizeof(*e));
    e->hash = hash;
    e->bytes = bytes;
    e->key = xstrdup(key);
    e->text = xstrndup(what->text, what->len);
    e->agent = xstrdup(what->agent);
    e->what = *what;
    e->what.text = e->text;
    e->what.agent = e->agent;
    at = place_of(c, hash, key); /* what was dropped may have stood in the same bucket */
    *at = e;
    link_newest(c, e);
    c->n++;
    c->bytes += bytes;
}
