#include "cmd/serve-lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log-writer.h"
#include "base/mem.h"
#include "cmd/measure.h"
#include "cmd/term.h"

enum { STATE_MAX = 64 * 1024 };

static void add_line(struct buf *out, bool colour, bool good, const char *what, const char *text)
{
    buf_printf(out, "%s%s%s %-9s %s\n", term_escape(colour, good ? TERM_GOOD : TERM_BAD), good ? "✓" : "✗",
               term_escape(colour, TERM_PLAIN), what, text);
}

void serve_print_line(FILE *to, bool good, const char *what, const char *text)
{
    struct buf out;
    buf_init(&out, STATE_MAX);
    add_line(&out, term_colour(to), good, what, text);
    fputs(out.data, to);
    buf_finish(&out);
}

/* On stdout, by the thread that writes the log: a terminal that is held must not hold up what serves. */
static void print(const char *text, size_t len)
{
    if (log_writer_put(STDOUT_FILENO, text, len))
        return;
    fwrite(text, 1, len, stdout);
    fflush(stdout);
}

static void add_backend(struct buf *out, bool colour, const struct snapshot_backend *b)
{
    bool target = b->role == ROLE_TARGET;
    char *text, ms[32];
    if (b->url[0] == '\0')
        text = xasprintf("%s (%s%s%s)", b->model, b->name, b->reason[0] != '\0' ? ": " : "", b->reason);
    else if (b->health == HEALTH_UP && b->reason[0] == '\0')
        text = xasprintf("%s at %s (%s, %s ms away)", b->model[0] != '\0' ? b->model : b->name, b->url,
                         b->version[0] != '\0' ? b->version : b->kind,
                         measure_format(ms, sizeof(ms), b->rtt_us >= 0 ? (double)b->rtt_us / 1000 : NAN));
    else if (b->health == HEALTH_UP)
        text = xasprintf("%s at %s: %s", b->model[0] != '\0' ? b->model : b->name, b->url, b->reason);
    else
        text = xasprintf(
            "%s: %s\n            %s", b->url, b->reason[0] != '\0' ? b->reason : "no answer yet",
            target ? "requests wait for it; start it, or correct proxy.target.url (`tightwad doctor` says more)"
                   : "the target answers alone until it is there (`tightwad doctor` says more)");
    add_line(out, colour, b->health == HEALTH_UP && b->reason[0] == '\0', target ? "target" : "drafter", text);
    free(text);
}

static void add_agent(struct buf *out, bool colour, const struct snapshot_agent *a)
{
    bool up = a->health == HEALTH_UP && a->reason[0] == '\0';
    char *text = up ? xasprintf("%s at %s (%s)", a->model[0] != '\0' ? a->model : a->name, a->url, a->kind)
                    : xasprintf("%s: %s", a->url, a->reason[0] != '\0' ? a->reason : "no answer yet");
    add_line(out, colour, up, "agent", text);
    free(text);
}

/* How the plain model name is served, for the line with the address.  Owned by the caller. */
static char *promise(const struct snapshot *s)
{
    if (strcmp(s->mode, "gate") == 0)
        return xasprintf("approximate: by the quality gate; %s@exact is the target's own", s->model);
    if (strcmp(s->mode, "consensus") == 0 && s->consensus.why[0] == '\0')
        return xasprintf("approximate: by consensus, %s; %s@exact is the target's own", s->consensus.mode, s->model);
    if (s->speculating)
        return xasprintf("speculating; answers are the target's %s", s->exactness);
    return xasprintf("no speculation: %s", s->why_not);
}

static void add_pool(struct buf *out, bool colour, const struct snapshot_pool *p)
{
    bool up = strcmp(p->state, "up") == 0;
    char *text = up ? xasprintf("%s, loaded in %.1f s by %s", p->model, p->load_ms / 1000, p->server)
                    : xasprintf("%s: %s\n            it is tried again in a while, at an edit of the configuration, "
                                "and by `tightwad load`",
                                p->model, p->why);
    add_line(out, colour, up, "pool", text);
    free(text);
}

void serve_print_state(const struct snapshot *snap, const char *url)
{
    struct buf out;
    bool colour = term_colour(stdout);
    buf_init(&out, STATE_MAX);
    if (snap->pool.configured)
        add_pool(&out, colour, &snap->pool);
    for (size_t i = 1; i < snap->n_backends; i++)
        add_backend(&out, colour, &snap->backend[i]);
    for (size_t i = 0; i < snap->gate.n_agents; i++)
        add_agent(&out, colour, &snap->gate.agent[i]);
    if (snap->n_backends <= 1 && !snap->gate.configured)
        add_line(&out, colour, false, "drafter",
                 "none is configured: the target answers alone (name one under proxy.draft)");
    if (snap->n_backends > 0)
        add_backend(&out, colour, &snap->backend[0]);
    char *how = promise(snap), *text = xasprintf("%s/v1 (%s)", url, how);
    free(how);
    add_line(&out, colour, true, "listening", text);
    free(text);
    print(out.data, out.len);
    buf_finish(&out);
}

int serve_print_progress(const struct snapshot_pool *p, int before)
{
    int percent = isnan(p->progress) ? 0 : (int)(p->progress * 100);
    if (!isatty(STDOUT_FILENO) || percent == before)
        return before;
    char *text = xasprintf("\rloading %s: %d %%\033[K\r", p->model, percent);
    print(text, strlen(text));
    free(text);
    return percent;
}
