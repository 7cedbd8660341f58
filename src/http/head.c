#include "http/head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/utf8.h"

size_t head_length(const char *data, size_t len, size_t from)
{
    /* The end is an empty line, four bytes at most: some of them may have been seen before. */
    size_t i = from > 3 ? from - 3 : 0;

    while (i < len) {
        const char *lf = memchr(data + i, '\n', len - i);

        if (!lf)
            return 0;
        i = (size_t)(lf - data) + 1;
        if (i < len && data[i] == '\n')
            return i + 1;
        if (i + 1 < len && data[i] == '\r' && data[i + 1] == '\n')
            return i + 2;
    }
    return 0;
}

static bool is_token(const char *s)
{
    if (*s == '\0')
        return false;
    for (; *s; s++) {
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
              strchr("!#$%&'*+-.^_`|~", *s)))
            return false;
    }
    return true;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool head_decode(char *s, bool plus)
{
    char *to = s, *start = s;

    for (; *s; s++) {
        if (*s == '%') {
            int high = hex(s[1]), low = high < 0 ? -1 : hex(s[2]);

            if (low < 0 || (high == 0 && low == 0))
                return false;
            *to++ = (char)(high * 16 + low);
            s += 2;
        } else {
            *to++ = plus && *s == '+' ? ' ' : *s;
        }
    }
    *to = '\0';
    return utf8_valid(start, (size_t)(to - start));
}

static int parse_target(struct head *h, char *target, const char **why)
{
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        char *slash = strchr(strchr(target, ':') + 3, '/');

        if (!slash) {
            *why = "the address in the request line has no path";
            return 400;
        }
        target = slash;
    }
    if (target[0] != '/') {
        *why = "the request line does not name a path";
        return 400;
    }
    h->path = target;
    h->query = strchr(target, '?');
    if (h->query)
        *h->query++ = '\0';
    if (!head_decode(h->path, false)) {
        *why = "the path is not percent-encoded UTF-8";
        return 400;
    }
    return 0;
}

static int parse_request_line(struct head *h, char *line, const char **why)
{
    char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;

    *why = "the request line is not METHOD PATH HTTP/1.1";
    if (!version)
        return 400;
    *target++ = '\0';
    *version++ = '\0';
    if (!is_token(line))
        return 400;
    for (const char *c = target; *c; c++) {
        if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
            return 400;
    }
    if (strncmp(version, "HTTP/", 5) != 0 || strchr(version, ' '))
        return 400;
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) {
        *why = "this server speaks HTTP/1.1";
        return 505;
    }
    h->method = line;
    h->minor = version[7] - '0';
    return parse_target(h, target, why);
}

static int parse_field(struct head *h, char *line, const char **why)
{
    char *colon = strchr(line, ':'), *end;

    *why = "a header line is not NAME: VALUE";
    if (!colon)
        return 400;
    *colon++ = '\0';
    if (!is_token(line)) /* also catches continued lines and a space before the colon */
        return 400;
    while (*colon == ' ' || *colon == '\t')
        colon++;
    end = colon + strlen(colon);
    while (end > colon && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    for (const char *c = colon; *c; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) {
            *why = "a header has a control character in it";
            return 400;
        }
    }
    if (h->n_fields == HEAD_FIELDS_MAX) {
        *why = "too many headers";
        return 431;
    }
    h->fields[h->n_fields++] = (struct head_field){line, colon};
    return 0;
}

static size_t count_fields(const struct head *h, const char *name, char **value)
{
    size_t n = 0;

    for (size_t i = 0; i < h->n_fields; i++) {
        if (strcasecmp(h->fields[i].name, name) == 0 && n++ == 0)
            *value = h->fields[i].value;
    }
    return n;
}

static int parse_framing(struct head *h, const char **why)
{
    char *value = NULL, *coding = NULL;
    size_t lengths = count_fields(h, "Content-Length", &value), codings = count_fields(h, "Transfer-Encoding", &coding);

    h->content_length = -1;
    if (lengths > 1) {
        *why = "Content-Length is given more than once";
        return 400;
    }
    if (codings > 0) {
        *why = "Transfer-Encoding with Content-Length or in HTTP/1.0";
        if (lengths > 0 || h->minor == 0)
            return 400;
        *why = "the only Transfer-Encoding taken is chunked";
        if (codings > 1 || strcasecmp(coding, "chunked") != 0)
            return 501;
        h->chunked = true;
    }
    if (lengths > 0) {
        size_t digits = strspn(value, "0123456789");

        *why = "Content-Length is not a number";
        if (digits == 0 || value[digits] != '\0')
            return 400;
        *why = "Content-Length is absurd";
        if (digits > 18)
            return 413;
        h->content_length = strtoll(value, NULL, 10);
    }
    return 0;
}

/* Whether a comma-separated list has the word. */
static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);

    while (*list) {
        size_t len;

        list += strspn(list, " \t,");
        len = strcspn(list, " \t,");
        if (len == n && strncasecmp(list, word, n) == 0)
            return true;
        list += len;
    }
    return false;
}

static int parse_rest(struct head *h, const char **why)
{
    char *value = NULL;
    size_t hosts = count_fields(h, "Host", &value);
    int status = parse_framing(h, why);

    if (status != 0)
        return status;
    if (hosts > 1 || (hosts == 0 && h->minor == 1)) {
        *why = hosts > 1 ? "Host is given more than once" : "the Host header is missing";
        return 400;
    }
    h->keep_alive = h->minor == 1;
    for (size_t i = 0; i < h->n_fields; i++) {
        if (strcasecmp(h->fields[i].name, "Connection") != 0)
            continue;
        if (list_has(h->fields[i].value, "close")) {
            h->keep_alive = false;
            break;
        }
        if (list_has(h->fields[i].value, "keep-alive"))
            h->keep_alive = true;
    }
    if (count_fields(h, "Expect", &value) > 0) {
        if (strcasecmp(value, "100-continue") != 0) {
            *why = "the only Expect taken is 100-continue";
            return 417;
        }
        h->expect_continue = h->minor == 1;
    }
    if (count_fields(h, "Content-Encoding", &value) > 0 && strcasecmp(value, "identity") != 0) {
        *why = "send the body without Content-Encoding";
        return 415;
    }
    return 0;
}

int head_parse(struct head *h, const char *data, size_t len, const char **why)
{
    char *line;
    int status = 0;
    bool first = true;

    memset(h, 0, sizeof(*h));
    h->content_length = -1;
    if (memchr(data, '\0', len)) {
        *why = "the request has a NUL byte in its head";
        return 400;
    }
    h->text = xstrndup(data, len);
    for (line = h->text; status == 0 && *line;) {
        char *end = strchr(line, '\n');

        if (!end)
            break;
        *end = '\0';
        if (end > line && end[-1] == '\r')
            end[-1] = '\0';
        if (*line == '\0')
            break;
        if (strchr(line, '\r')) {
            *why = "a line has a carriage return in it";
            return 400;
        }
        status = first ? parse_request_line(h, line, why) : parse_field(h, line, why);
        first = false;
        line = end + 1;
    }
    if (first) {
        *why = "the request is empty";
        return 400;
    }
    return status != 0 ? status : parse_rest(h, why);
}

void head_finish(struct head *h)
{
    free(h->text);
    memset(h, 0, sizeof(*h));
}

const char *head_field(const struct head *h, const char *name)
{
    char *value = NULL;

    return count_fields(h, name, &value) > 0 ? value : NULL;
}
