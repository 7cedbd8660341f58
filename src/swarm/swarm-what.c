#include "swarm/swarm-what.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cause.h"
#include "base/mem.h"
#include "probe/scan-place.h"

enum { WHAT_MAX = 2048 }; /* bytes of what a user writes */

#define CALL "/v1/swarm/"

static bool ends_in(const char *text, size_t len, const char *end)
{
    size_t n = strlen(end);
    return len > n && strncasecmp(text + len - n, end, n) == 0;
}

static bool is_plain_http(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0;
}

static bool is_url(const char *text)
{
    return is_plain_http(text) || strncasecmp(text, "https://", 8) == 0;
}

int swarm_peer_read(const char *text, char out[SWARM_ADDRESS], char **cause)
{
    char *host = NULL, *why = NULL;
    int port = 0;
    if (strncasecmp(text, "https://", 8) == 0)
        return cause_set(cause, "peer %s: peers talk plain http: HOST, HOST:PORT or http://HOST:PORT", text);
    const char *from = is_plain_http(text) ? text + 7 : text;
    char *place = xstrndup(from, strcspn(from, "/?#"));
    int rc = scan_host_parse(place, &host, &port, &why);
    if (rc != 0)
        cause_set(cause, "peer %s: %s", text, why);
    else if (strlen(host) + strlen("[]:65535") >= SWARM_ADDRESS)
        rc = cause_set(cause, "peer %s: the name is too long (%d bytes at most)", text, SWARM_ADDRESS - 9);
    else
        snprintf(out, SWARM_ADDRESS, strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d", host,
                 port != 0 ? port : SWARM_PORT);
    free(place);
    free(host);
    free(why);
    return rc;
}

static int hex_of(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* A path's last part with %XX decoded; NULL where that is no text.  Owned by the caller. */
static char *decoded(const char *s, size_t len)
{
    char *out = xmalloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (c == '%' && i + 2 < len && hex_of(s[i + 1]) >= 0 && hex_of(s[i + 2]) >= 0) {
            c = (char)(hex_of(s[i + 1]) << 4 | hex_of(s[i + 2]));
            i += 2;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    if (strlen(out) == n)
        return out;
    free(out);
    return NULL;
}

/* http://PEER/v1/swarm/ID with or without more: 1; something else: 0. */
static int read_peer_call(struct swarm_what *w, const char *text, const char *path, char **cause)
{
    char id[MANIFEST_ID + 1];
    if (!is_plain_http(text) || strncmp(path, CALL, strlen(CALL)) != 0)
        return 0;
    snprintf(id, sizeof(id), "%.*s", (int)strcspn(path + strlen(CALL), "/?#"), path + strlen(CALL));
    if (!manifest_id_read(id, w->id))
        return 0;
    w->kind = WHAT_ID;
    return swarm_peer_read(text, w->peer, cause) == 0 ? 1 : -1;
}

static int read_url(struct swarm_what *w, const char *text, char **cause)
{
    size_t scheme = is_plain_http(text) ? 7 : 8, host = strcspn(text + scheme, "/?#");
    const char *path = text + scheme + host;
    size_t len = strcspn(path, "?#");
    if (host == 0)
        return cause_set(cause, "%s names no host", text);
    int call = read_peer_call(w, text, path, cause);
    if (call != 0)
        return call < 0 ? -1 : 0;
    if (len <= 1)
        return cause_set(cause, "%s names no model: http://HOST:PORT/NAME, or the URL of a .gguf file", text);
    if (ends_in(path, len, MANIFEST_SUFFIX)) {
        w->kind = WHAT_MANIFEST_URL;
        free(w->text);
        w->text = xstrndup(text, scheme + host + len - strlen(MANIFEST_SUFFIX));
        return 0;
    }
    bool model = ends_in(path, len, ".gguf"), alone = memchr(path + 1, '/', len - 1) == NULL && path[len] == '\0';
    if (is_plain_http(text) && alone) {
        char *name = decoded(path + 1, len - 1);
        if (name == NULL || swarm_peer_read(text, w->peer, cause) != 0) {
            free(name);
            return name == NULL ? cause_set(cause, "%s: the name is no text", text) : -1;
        }
        w->kind = WHAT_NAME;
        w->url = model ? xstrdup(text) : NULL;
        free(w->text);
        w->text = name;
        return 0;
    }
    w->kind = WHAT_URL;
    return model ? 0
                 : cause_set(cause, "%s is the URL of no model: it would end in .gguf, or in .gguf%s", text,
                             MANIFEST_SUFFIX);
}

int swarm_what_read(struct swarm_what *w, const char *text, char **cause)
{
    *w = (struct swarm_what){.kind = WHAT_NAME, .text = xstrdup(text)};
    size_t len = strlen(text);
    int rc = 0;
    if (len == 0 || len > WHAT_MAX)
        rc = cause_set(cause, "nothing can be pulled by a name of %zu bytes", len);
    else if (manifest_id_read(text, w->id))
        w->kind = WHAT_ID;
    else if (is_url(text))
        rc = read_url(w, text, cause);
    else if (ends_in(text, len, MANIFEST_SUFFIX))
        w->kind = WHAT_MANIFEST;
    else if (text[0] == '/' || text[0] == '.')
        rc = cause_set(cause, "%s is no name, id or URL of a model, and no manifest (*.gguf" MANIFEST_SUFFIX ")", text);
    if (rc != 0)
        swarm_what_finish(w);
    return rc;
}

void swarm_what_finish(struct swarm_what *w)
{
    free(w->text);
    free(w->url);
    w->text = w->url = NULL;
}

bool swarm_what_is(const char *what, const char *filename, const char *model)
{
    size_t len = strlen(what), stem = strlen(filename);
    if (strcasecmp(what, filename) == 0 || (model != NULL && strcasecmp(what, model) == 0))
        return true;
    stem = ends_in(filename, stem, ".gguf") ? stem - strlen(".gguf") : stem;
    return len == stem && strncasecmp(what, filename, stem) == 0;
}
