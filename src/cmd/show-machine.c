#include "cmd/show-machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/term.h"

enum { LINE_MAX_BYTES = 8192, MODELS_SHOWN = 40 };

char *show_bytes(int64_t n)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t u = 0;
    if (n < 0)
        return xstrdup("–");
    for (; v >= 1024 && u + 1 < ARRAY_LEN(units); u++)
        v /= 1024;
    return xasprintf(u < 3 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

static void line(FILE *to, const char *what, const char *text)
{
    char *clean = utf8_printable(text, strlen(text));
    fprintf(to, "  %-11s %s\n", what, clean);
    free(clean);
}

/* Appends ", TEXT" (or TEXT when it is the first). */
static void add(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    if (text[0] != '\0')
        buf_printf(b, "%s%s", b->len > 0 ? ", " : "", text);
    free(text);
}

static void add_bytes(struct buf *b, int64_t n, const char *before, const char *behind)
{
    if (n < 0)
        return;
    char *size = show_bytes(n);
    add(b, "%s%s%s", before, size, behind);
    free(size);
}

static void end_line(FILE *to, const char *what, struct buf *b)
{
    line(to, what, b->len > 0 ? b->data : "–");
    buf_clear(b);
}

static void show_processor(const struct machine *m, FILE *to, struct buf *b)
{
    const struct machine_cpu *c = &m->cpu;
    add(b, "%s", c->model);
    if (c->packages > 1)
        add(b, "%d packages", c->packages);
    if (c->cores >= 0)
        add(b, "%d core%s", c->cores, c->cores == 1 ? "" : "s");
    if (c->fast_cores >= 0 && c->slow_cores >= 0)
        add(b, "%d fast and %d slow", c->fast_cores, c->slow_cores);
    if (c->threads >= 0 && c->threads != c->cores)
        add(b, "%d threads", c->threads);
    if (c->numa_nodes > 1)
        add(b, "%d NUMA nodes", c->numa_nodes);
    add_bytes(b, c->l2, "L2 ", "");
    add_bytes(b, c->l3, "L3 ", "");
    end_line(to, "processor", b);
}

static void show_gpu(const struct machine *m, size_t i, FILE *to, struct buf *b)
{
    const struct machine_gpu *g = &m->gpu[i];
    char *what = xasprintf("GPU %zu", i);
    add(b, "%s", g->name[0] != '\0' ? g->name : "no name");
    if (g->memory < 0)
        add(b, "memory unknown");
    else
        add_bytes(b, g->memory, "", g->unified ? ", the machine's own" : "");
    add_bytes(b, g->memory_used, "", " used");
    if (!isnan(g->utilisation))
        add(b, "%.0f %% busy", g->utilisation * 100);
    if (!isnan(g->temperature))
        add(b, "%.0f °C", g->temperature);
    if (!isnan(g->power))
        add(b, "%.0f W", g->power);
    if (g->driver[0] != '\0')
        add(b, "driver %s", g->driver);
    end_line(to, what, b);
    free(what);
}

static void show_service(const struct machine_service *s, FILE *to, struct buf *b)
{
    char *what = xasprintf("%s %s:%d", service_kind_name(s->kind), s->host, s->port);
    add(b, "%s", what);
    add(b, "%s", s->version);
    add(b, "%s", s->model);
    if (s->rtt_us >= 0)
        add(b, "%.1f ms", (double)s->rtt_us / 1000);
    if (s->busy)
        add(b, "busy");
    if (s->needs_secret)
        add(b, "wants a token or key");
    end_line(to, "service", b);
    free(what);
}

static void show_model(const struct machine_model *m, FILE *to, struct buf *b)
{
    add(b, "%s", m->name != NULL ? m->name : "–");
    if (m->parameters >= 1000000000)
        add(b, "%.1f B", (double)m->parameters / 1e9);
    else if (m->parameters >= 0)
        add(b, "%.0f M", (double)m->parameters / 1e6);
    add(b, "%s", m->quantisation);
    add_bytes(b, m->bytes, "", "");
    if (m->path != NULL && m->from != NULL && strcmp(m->from, "file") == 0)
        add(b, "%s", m->path);
    else if (m->from != NULL)
        add(b, "%s", m->from);
    end_line(to, "model", b);
}

static void show_lists(const struct machine *m, FILE *to, struct buf *b)
{
    for (size_t i = 0; i < m->n_gpus; i++)
        show_gpu(m, i, to, b);
    if (m->n_gpus == 0 && m->origin != MACHINE_SEEN)
        line(to, "GPU", "none found");
    for (size_t i = 0; i < m->n_disks; i++) {
        const struct machine_disk *d = &m->disk[i];
        add(b, "%s", d->path != NULL ? d->path : "–");
        char *room = show_bytes(d->free_), *all = show_bytes(d->size);
        add(b, "%s free of %s", room, all);
        free(room);
        free(all);
        end_line(to, "disk", b);
    }
    for (size_t i = 0; i < m->n_tools; i++) {
        const struct machine_tool *t = &m->tool[i];
        add(b, "%s", t->name);
        add(b, "%s", t->version);
        add(b, "%s", t->path != NULL ? t->path : "");
        end_line(to, "program", b);
    }
    for (size_t i = 0; i < m->n_services; i++)
        show_service(&m->service[i], to, b);
    for (size_t i = 0; i < m->n_models && i < MODELS_SHOWN; i++)
        show_model(&m->model[i], to, b);
    if (m->n_models > MODELS_SHOWN) {
        add(b, "and %zu more (--json lists them)", m->n_models - MODELS_SHOWN);
        end_line(to, "model", b);
    }
    for (size_t i = 0; i < m->n_notes; i++)
        line(to, "note", m->note[i]);
}

void show_machine(const struct machine *m, FILE *to, bool colour)
{
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES);
    add(&b, "%s", m->name[0] != '\0' ? m->name : m->address[0] != '\0' ? m->address : "–");
    if (m->origin == MACHINE_HERE)
        add(&b, "this machine");
    else if (m->address[0] != '\0' && strcmp(m->address, m->name) != 0)
        add(&b, "%s", m->address);
    if (m->rtt_us >= 0)
        add(&b, "%.1f ms away", (double)m->rtt_us / 1000);
    char *head = utf8_printable(b.data, b.len);
    fprintf(to, "%s%s%s\n", term_escape(colour, TERM_BOLD), head, term_escape(colour, TERM_PLAIN));
    free(head);
    buf_clear(&b);
    if (m->origin != MACHINE_SEEN || m->os[0] != '\0') {
        add(&b, "%s", m->os);
        add(&b, "%s", m->arch);
        end_line(to, "system", &b);
    }
    if (m->origin != MACHINE_SEEN || m->cpu.cores >= 0)
        show_processor(m, to, &b);
    if (m->origin != MACHINE_SEEN || m->memory >= 0) {
        add_bytes(&b, m->memory, "", "");
        add_bytes(&b, m->memory_available, "", " available");
        end_line(to, "memory", &b);
    }
    show_lists(m, to, &b);
    buf_finish(&b);
}
