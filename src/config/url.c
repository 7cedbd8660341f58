#include "config/url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cause.h"
#include "base/mem.h"

/* The parts of scheme://host[:port][/path], as pointers into it. */
struct parts {
    const char *host; /* with the brackets of IPv6 */
    size_t host_len;
    const char *port; /* NULL: none */
    size_t port_len;
    const char *path;
};

static bool starts(const char *s, const char *with)
{
    return strncasecmp(s, with, strlen(with)) == 0;
}

static void split(const char *after_scheme, struct parts *p)
{
    const char *end = after_scheme + strcspn(after_scheme, "/?#");
    const char *bracket = *after_scheme == '[' ? memchr(after_scheme, ']', (size_t)(end - after_scheme)) : NULL;
    const char *colon =
        memchr(bracket ? bracket : after_scheme, ':', (size_t)(end - (bracket ? bracket : after_scheme)));
    p->host = after_scheme;
    p->host_len = (size_t)((colon ? colon : end) - after_scheme);
    p->port = colon ? colon + 1 : NULL;
    p->port_len = colon ? (size_t)(end - colon - 1) : 0;
    p->path = end;
}

static int check_host(const struct parts *p, const char *text, char **cause)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    if (p->port && p->host[0] != '[' && memchr(p->port, ':', p->port_len))
        return cause_set(cause, "\"%.80s\": an IPv6 address goes in [brackets]: http://[::1]:8081", text);
    if (p->host_len == 0 || p->host_len > 253)
        return cause_set(cause, "\"%.80s\" names no host: http://HOST:PORT is expected", text);
    bool v6 = p->host[0] == '[';
    size_t n = v6 ? 1 + strspn(p->host + 1, "0123456789abcdefABCDEF:.%") : strspn(p->host, name);
    if (v6 ? n + 1 != p->host_len || p->host[n] != ']' || n < 3 : n != p->host_len)
        return cause_set(cause, "\"%.*s\" is not a host name or address (IPv6 goes in [brackets])", (int)p->host_len,
                         p->host);
    return 0;
}

static int check_port(const struct parts *p, char **cause)
{
    if (!p->port)
        return 0;
    long port = 0;
    size_t i = 0;
    for (; i < p->port_len && i < 6 && p->port[i] >= '0' && p->port[i] <= '9'; i++)
        port = port * 10 + (p->port[i] - '0');
    if (i == 0 || i != p->port_len || port < 1 || port > 65535)
        return cause_set(cause, "\"%.*s\" is not a port: 1 to 65535 is expected after the host",
                         (int)(p->port_len < 20 ? p->port_len : 20), p->port);
    return 0;
}

char *url_normalise(const char *text, char **cause)
{
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f || strchr("\"<>\\^`{|}", *c)) {
            cause_set(cause, "a URL has no spaces or special characters in it: http://HOST:PORT is expected");
            return NULL;
        }
    }
    bool tls = starts(text, "https://");
    if (!tls && !starts(text, "http://")) {
        if (strstr(text, "://"))
            cause_set(cause, "\"%.80s\" does not begin with http:// or https://", text);
        else
            cause_set(cause, "\"%.80s\" has no scheme: did you mean http://%.80s?", text, text);
        return NULL;
    }
    const char *rest = text + (tls ? 8 : 7);
    struct parts p;
    split(rest, &p);
    if (memchr(rest, '@', (size_t)(p.path - rest))) {
        cause_set(cause, "a URL with a user or password in it: put the key into api_key");
        return NULL;
    }
    if (check_host(&p, text, cause) != 0 || check_port(&p, cause) != 0)
        return NULL;
    if (strpbrk(p.path, "?#")) {
        cause_set(cause, "\"%.80s\" has a query (? or #): only scheme, host, port and a path are expected", text);
        return NULL;
    }
    size_t n = strlen(p.path);
    while (n > 0 && p.path[n - 1] == '/')
        n--;
    if (n >= 3 && strncmp(p.path + n - 3, "/v1", 3) == 0)
        n -= 3;
    while (n > 0 && p.path[n - 1] == '/')
        n--;
    return xasprintf("%s%.*s%.*s", tls ? "https://" : "http://", (int)(p.path - rest), rest, (int)n, p.path);
}

char *url_host_port(const char *url)
{
    struct parts p;
    split(strstr(url, "://") + 3, &p);
    if (p.port)
        return xasprintf("%.*s:%.*s", (int)p.host_len, p.host, (int)p.port_len, p.port);
    return xasprintf("%.*s:%s", (int)p.host_len, p.host, starts(url, "https") ? "443" : "80");
}

bool url_has_port(const char *url)
{
    struct parts p;
    split(strstr(url, "://") + 3, &p);
    return p.port != NULL;
}
