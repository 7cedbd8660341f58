#include "cmd/swarm-show.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/bar.h"
#include "cmd/show-machine.h"

enum {
    COLUMNS = 80,
    BAR = 40,           /* columns of the bar and of the map, on 80 */
    CALM_US = 10000000, /* between two lines that tell nothing new but figures */
    EVENT_US = 1000000,
};

void swarm_show_init(struct swarm_show *s, bool json)
{
    struct winsize w;
    const char *term = getenv("TERM");
    *s = (struct swarm_show){.json = json, .columns = COLUMNS, .state = SWARM_FAILED};
    s->terminal = !json && isatty(STDOUT_FILENO) && (term == NULL || strcmp(term, "dumb") != 0);
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        s->columns = w.ws_col;
    if (setlocale(LC_CTYPE, "") != NULL)
        s->utf8 = strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;
    setlocale(LC_CTYPE, "C");
    log_set_level(LOG_WARN);
    log_set_stderr(!s->terminal); /* lines of the log would tear what is drawn in place */
}

void swarm_show_clear(struct swarm_show *s)
{
    if (s->drawn)
        printf("\r\033[K\033[1A\033[K");
    s->drawn = false;
}

void swarm_show_event(const char *name, json_t *fields)
{
    json_t *o = json_pack("{s:s}", "event", name);
    if (fields != NULL)
        json_object_update_missing(o, fields);
    json_decref(fields);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}

char *swarm_show_rate(double bytes_a_second)
{
    if (!isfinite(bytes_a_second))
        return xstrdup("–");
    char *size = show_bytes((int64_t)bytes_a_second);
    char *rate = xasprintf("%s/s", size);
    free(size);
    return rate;
}

void swarm_show_map(char *out, const struct swarm_view_model *m, int columns, bool utf8)
{
    static const char *const shades[] = {" ", "░", "▒", "▓", "█"}, *const letters[] = {" ", ".", ":", "+", "#"};
    size_t n = m->n_map, wide = (size_t)columns;
    out[0] = '\0';
    for (size_t c = 0; c < wide && n > 0; c++) {
        size_t from = c * n / wide, to = (c + 1) * n / wide, had = 0, wanted = 0;
        for (size_t i = from; i < (to > from ? to : from + 1); i++) {
            if (m->map[i].had <= 100) {
                wanted++;
                had += m->map[i].had;
            }
        }
        size_t level = wanted == 0 ? 0 : had == 100 * wanted ? 4 : (had + 33 * wanted - 1) / (33 * wanted);
        level = wanted > 0 && had < 100 * wanted && level > 3 ? 3 : level;
        strcat(out, wanted == 0 ? "-" : utf8 ? shades[level] : letters[level]);
    }
}

static double share_of(const struct swarm_view_model *m)
{
    return m->wanted > 0 ? (double)m->have / (double)m->wanted : NAN;
}

/* "112 MiB/s  0:31 left  3 peers" */
static char *figures(const struct swarm_view_model *m)
{
    char left[BAR_WORD];
    char *rate = swarm_show_rate(m->down);
    bar_time(left, m->eta);
    char *text =
        xasprintf("%s%s%s%s  %" PRIu32 " peer%s", rate, isfinite(m->eta) ? "  " : "", isfinite(m->eta) ? left : "",
                  isfinite(m->eta) ? " left" : "", m->peers, m->peers == 1 ? "" : "s");
    free(rate);
    return text;
}

/* Cut to so many columns (characters, as all that is written here is one column wide). */
static void cut(char *text, int columns)
{
    int n = 0;
    for (char *c = text; *c != '\0'; c++) {
        if (((unsigned char)*c & 0xc0) != 0x80 && n++ == columns) {
            *c = '\0';
            return;
        }
    }
}

static char *second_line(const struct swarm_show *s, const struct swarm_view_model *m, int wide)
{
    char map[3 * 200 + 1];
    if (m->why[0] != '\0' && m->state != SWARM_FETCHING) {
        char *why = utf8_printable(m->why, strlen(m->why));
        char *text = xasprintf("      %s: %s", swarm_state_name(m->state), why);
        free(why);
        return text;
    }
    swarm_show_map(map, m, wide, s->utf8);
    char *up = m->sent > 0 ? show_bytes((int64_t)m->sent) : NULL;
    char *text = xasprintf("      [%s] %" PRIu32 " of %" PRIu32 " pieces%s%s%s", map, m->pieces_have, m->pieces,
                           up != NULL ? ", " : "", up != NULL ? up : "", up != NULL ? " given" : "");
    free(up);
    return text;
}

static void draw(struct swarm_show *s, const struct swarm_view_model *m)
{
    char bar[256], percent[16] = "  – ";
    double share = share_of(m);
    int wide = s->columns >= COLUMNS ? BAR : s->columns - BAR > 8 ? s->columns - BAR : 8;
    if (isfinite(share))
        snprintf(percent, sizeof(percent), "%3.0f %%", floor(100 * share));
    bar_draw(bar, sizeof(bar), share, wide + 2);
    char *words = figures(m), *below = second_line(s, m, wide);
    char *above = xasprintf("%s %s %s", percent, bar, words);
    cut(above, s->columns - 1);
    cut(below, s->columns - 1);
    swarm_show_clear(s);
    printf("%s\n%s", above, below);
    fflush(stdout);
    s->drawn = true;
    free(above);
    free(below);
    free(words);
}

/* A line when something is new, else now and then. */
static void tell(struct swarm_show *s, const struct swarm_view_model *m, bool news)
{
    double share = share_of(m);
    char *words = figures(m), *why = utf8_one_line(m->why);
    if (m->state != SWARM_FETCHING)
        printf("%s%s%s\n", swarm_state_name(m->state), why[0] != '\0' ? ": " : "", why);
    else if (isfinite(share))
        printf("%s %.0f %%  %s  %" PRIu32 " of %" PRIu32 " pieces\n", swarm_state_name(m->state), floor(100 * share),
               words, m->pieces_have, m->pieces);
    fflush(stdout);
    free(words);
    free(why);
}

void swarm_show_pull(struct swarm_show *s, const struct swarm_view_model *m)
{
    int64_t now = clock_us();
    bool news = m->state != s->state || (m->state != SWARM_FINDING && strcmp(m->why, s->why) != 0);
    s->state = m->state;
    snprintf(s->why, sizeof(s->why), "%s", m->why);
    if (s->terminal) {
        draw(s, m);
        return;
    }
    if (!news && now - s->told_us < (s->json ? EVENT_US : CALM_US))
        return;
    s->told_us = now;
    if (!s->json) {
        tell(s, m, news);
        return;
    }
    json_t *o = fields_to_json(&swarm_view_model_fields, m);
    json_object_del(o, "map");
    swarm_show_event("progress", o);
}

void swarm_show_given(struct swarm_show *s, const struct swarm_view *v)
{
    int64_t now = clock_us();
    const struct swarm_view_model *hashing = NULL;
    for (size_t i = 0; i < v->n_models && hashing == NULL; i++)
        hashing = v->model[i].state == SWARM_HASHING ? &v->model[i] : NULL;
    bool news = (double)v->sent != s->sent;
    int64_t pause = s->json ? EVENT_US : CALM_US;
    if (!s->terminal && (!news || now - s->told_us < pause))
        return;
    s->told_us = now;
    s->sent = (double)v->sent;
    if (s->json) {
        swarm_show_event("given", json_pack("{s:I, s:f, s:i, s:i}", "sent", (json_int_t)v->sent, "up", v->up, "uploads",
                                            (int)v->uploads, "waiting", (int)v->waiting));
        return;
    }
    char *sent = show_bytes((int64_t)v->sent), *rate = swarm_show_rate(v->up);
    char *text = xasprintf("%s given, %s now, %" PRIu32 " piece%s on the way, %" PRIu32 " waiting", sent, rate,
                           v->uploads, v->uploads == 1 ? "" : "s", v->waiting);
    char *below = hashing == NULL ? xstrdup("")
                                  : xasprintf("hashing %s  %.0f %%", hashing->file,
                                              hashing->wanted > 0 ? floor(100 * share_of(hashing)) : 0);
    swarm_show_clear(s);
    cut(text, s->columns - 1);
    cut(below, s->columns - 1);
    printf(s->terminal ? "%s\n%s" : "%s\n", text, below);
    s->drawn = s->terminal;
    fflush(stdout);
    free(text);
    free(below);
    free(sent);
    free(rate);
}

static void show_model(const struct swarm_view_model *m, FILE *to)
{
    char left[BAR_WORD], percent[16] = "";
    char *size = m->size > 0 ? show_bytes((int64_t)m->size) : xstrdup("–");
    char *name = utf8_printable(m->file[0] != '\0' ? m->file : m->name, strlen(m->file[0] != '\0' ? m->file : m->name));
    char *why = utf8_one_line(m->why);
    if (m->state != SWARM_SEEDING && isfinite(share_of(m)))
        snprintf(percent, sizeof(percent), "%.0f %%", floor(100 * share_of(m)));
    fprintf(to, "  %-9s %5s  %s  %s", swarm_state_name(m->state), percent, name, size);
    bar_time(left, m->eta);
    char *down = swarm_show_rate(m->down), *sent = show_bytes((int64_t)m->sent);
    if (m->state == SWARM_FETCHING)
        fprintf(to, "  %s%s%s%s", down, isfinite(m->eta) ? "  " : "", isfinite(m->eta) ? left : "",
                isfinite(m->eta) ? " left" : "");
    if (m->sent > 0)
        fprintf(to, "  %s given", sent);
    fprintf(to, "\n");
    if (m->id[0] != '\0')
        fprintf(to, "                   %s\n", m->id);
    if (m->why[0] != '\0')
        fprintf(to, "                   %s\n", why);
    free(why);
    free(size);
    free(name);
    free(down);
    free(sent);
}

void swarm_show_status(const struct swarm_view *v, long pid, FILE *to)
{
    char *down = swarm_show_rate(v->down), *up = swarm_show_rate(v->up);
    char *fetched = show_bytes((int64_t)v->fetched), *sent = show_bytes((int64_t)v->sent);
    fprintf(to, "process %ld at %s: %s in (%s), %s out (%s)\n", pid, v->listen, down, fetched, up, sent);
    if (v->why[0] != '\0')
        fprintf(to, "  %s\n", v->why);
    for (size_t i = 0; i < v->n_models; i++)
        show_model(&v->model[i], to);
    if (v->models_in_all > v->n_models)
        fprintf(to, "  … and %" PRIu64 " more\n", v->models_in_all - v->n_models);
    if (v->n_models == 0)
        fprintf(to, "  nothing is given out or pulled\n");
    free(down);
    free(up);
    free(fetched);
    free(sent);
}

void swarm_show_peers(const struct swarm_view *v, FILE *to)
{
    for (size_t i = 0; i < v->n_peers; i++) {
        const struct swarm_view_peer *p = &v->peer[i];
        char percent[16] = "–";
        char *down = swarm_show_rate(p->down), *got = show_bytes((int64_t)p->fetched);
        char *model = utf8_printable(p->model, strlen(p->model)), *why = utf8_printable(p->why, strlen(p->why));
        if (isfinite(p->share))
            snprintf(percent, sizeof(percent), "%.0f %%", floor(100 * p->share));
        fprintf(to, "  %-10s %-22s %6s of %s  %s (%s)%s%s\n", swarm_peer_state_name(p->state), p->address, percent,
                model, down, got, why[0] != '\0' ? "\n             " : "", why);
        free(down);
        free(got);
        free(model);
        free(why);
    }
    if (v->peers_in_all > v->n_peers)
        fprintf(to, "  … and %" PRIu64 " more\n", v->peers_in_all - v->n_peers);
}
