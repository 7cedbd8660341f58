#include "fixture.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static struct snapshot_backend *add_backend(struct snapshot *s, const char *name, const char *url, const char *kind,
                                            const char *model)
{
    struct snapshot_backend *b = &s->backend[s->n_backends++];
    *b = (struct snapshot_backend){.role = s->n_backends == 1 ? ROLE_TARGET : ROLE_DRAFTER,
                                   .health = HEALTH_UP,
                                   .rtt_us = 412,
                                   .tokens_per_second = NAN,
                                   .call_ms = NAN};
    snprintf(b->name, sizeof(b->name), "%s", name);
    snprintf(b->url, sizeof(b->url), "%s", url);
    snprintf(b->kind, sizeof(b->kind), "%s", kind);
    snprintf(b->model, sizeof(b->model), "%s", model);
    return b;
}

static void add_backends(struct snapshot *s)
{
    add_backend(s, "target", "http://10.0.0.5:8081", "node", "qwen3:32b")->active = true;
    struct snapshot_backend *b = add_backend(s, "small", "http://10.0.0.7:11434", "ollama", "qwen3:1.7b");
    b->active = true;
    b->drafted = 1000;
    b->accepted = 870;
    b->tokens_per_second = 88;
    b = add_backend(s, "laptop", "http://127.0.0.1:8081", "node", "qwen3:0.6b");
    b->drafted = 100;
    b->accepted = 40;
}

static void add_machines(struct snapshot *s)
{
    struct snapshot_machine *m = &s->machine[s->n_machines++];
    *m = (struct snapshot_machine){.name = "desk",
                                   .health = HEALTH_UP,
                                   .rtt_us = -1,
                                   .memory = (int64_t)31 << 30,
                                   .memory_used = (int64_t)12 << 30,
                                   .cpu = 0.12,
                                   .cores = 16,
                                   .n_gpus = 1};
    m->gpu[0] = (struct snapshot_gpu){.name = "RTX 4090",
                                      .memory = (int64_t)24 << 30,
                                      .memory_used = (int64_t)18 << 30,
                                      .utilisation = 0.87,
                                      .temperature = 65,
                                      .power = 320};
    m = &s->machine[s->n_machines++];
    *m = (struct snapshot_machine){.name = "attic",
                                   .address = "10.0.0.7",
                                   .health = HEALTH_UP,
                                   .rtt_us = 800,
                                   .memory = -1,
                                   .memory_used = -1,
                                   .cpu = NAN,
                                   .cores = -1};
}

static void add_pool(struct snapshot_pool *p)
{
    *p = (struct snapshot_pool){.configured = true,
                                .up = true,
                                .state = "up",
                                .model = "qwen3:32b",
                                .server = "tightwad-node, pid 4711",
                                .progress = NAN,
                                .load_ms = 12345,
                                .pause_ms = NAN,
                                .retry_ms = -1,
                                .reclaimed = -1,
                                .n_devices = 2};
    for (int i = 0; i < 2; i++) {
        struct snapshot_device *d = &p->device[i];
        *d = (struct snapshot_device){.first_layer = 12 * i,
                                      .n_layers = 12,
                                      .bytes = (int64_t)7 << 30,
                                      .memory = (int64_t)12 << 30,
                                      .health = HEALTH_UP};
        snprintf(d->machine, sizeof(d->machine), "%s", i == 0 ? "desk" : "attic");
        snprintf(d->name, sizeof(d->name), "GPU%d", i);
        snprintf(d->address, sizeof(d->address), "%s", i == 0 ? "" : "10.0.0.7:50052");
    }
}

static void add_requests(struct snapshot *s)
{
    for (int i = 0; i < 20; i++) {
        struct snapshot_request *r = &s->request[s->n_requests++];
        *r = (struct snapshot_request){.id = (uint64_t)(120 - i),
                                       .state = i < 2 ? REQUEST_RUNNING : REQUEST_DONE,
                                       .model = "qwen3:32b",
                                       .started_wall_ms = 1700000000000 - i * 9000,
                                       .prompt_tokens = 40 + i,
                                       .tokens = 100 + i,
                                       .drafted = 80,
                                       .accepted = 60,
                                       .seconds = 2.5 + i,
                                       .first_token_seconds = 0.12,
                                       .tokens_per_second = 41.2 + i};
    }
    s->request[2].tokens_per_second = NAN;
    s->running = 2;
}

static void add_live(struct live *l)
{
    live_restart(l, 119);
    for (int i = 0; i < 40; i++) {
        static const char fox[] = "The quick brown füx jumps over 中文字 and the lazy dog; ";
        live_add_text(l, fox, 20, LIVE_DRAFTER, 1);
        live_add_text(l, fox + 20, sizeof(fox) - 1 - 20, i % 5 == 0 ? LIVE_QUOTE : LIVE_TARGET, 0);
        live_add_round(l, &(struct live_round){.request = 119,
                                               .round = (uint64_t)i,
                                               .drafter = 1,
                                               .drafted = 8,
                                               .accepted = (uint16_t)(i % 9),
                                               .emitted = (uint16_t)(i % 9 + 1),
                                               .draft_ms = (float)(3 + i % 3),
                                               .verify_ms = (float)(12 + i % 5),
                                               .wait_ms = (float)(i % 4),
                                               .round_ms = 17,
                                               .predicted_ms = NAN});
    }
}

void fixture_picture(struct feed_picture *p)
{
    struct snapshot *s = &p->snapshot;
    memset(p, 0, sizeof(*p));
    p->have = p->connected = true;
    snprintf(p->connection, sizeof(p->connection), "127.0.0.1:8088");
    *s = (struct snapshot){.tick = 40,
                           .wall_ms = 1700000000000,
                           .uptime_ms = 3600000,
                           .version = "0.1.0",
                           .model = "qwen3:32b",
                           .listen = "http://127.0.0.1:8088",
                           .speculating = true,
                           .exactness = "byte for byte",
                           .acceptance_source = "verified",
                           .rounds = 300,
                           .drafted = 1100,
                           .accepted = 910,
                           .acceptance = 0.87,
                           .tokens_per_second = 123.4,
                           .tokens_per_round = 3.2,
                           .governor = "drafts of 7 tokens pay",
                           .drafting_pays = true,
                           .predicted_ms = NAN,
                           .measured_ms = NAN,
                           .prediction_error = NAN,
                           .draft_ms = 4.1,
                           .verify_ms = 12.3,
                           .wait_ms = 1,
                           .drafts_wasted_ms = NAN,
                           .slots = 4,
                           .max_queue = 256};
    add_backends(s);
    s->backend[0].tokens_per_second = s->tokens_per_second;
    add_machines(s);
    add_pool(&s->pool);
    add_requests(s);
    add_live(&p->live);
    for (int i = 0; i < 12; i++) {
        struct snapshot_log *l = &s->log[s->n_log++];
        *l = (struct snapshot_log){.wall_ms = 1700000000000 + i * 1000, .level = i % 4};
        snprintf(l->text, sizeof(l->text), "line %d: drafter small is up", i);
    }
}

void fixture_trouble(struct feed_picture *p)
{
    struct snapshot *s = &p->snapshot;
    fixture_picture(p);
    s->speculating = false;
    snprintf(s->why_not, sizeof(s->why_not), "the target is not there");
    s->backend[0].health = HEALTH_DOWN;
    s->backend[0].rtt_us = -1;
    snprintf(s->backend[0].reason, sizeof(s->backend[0].reason), "Failed to connect to 10.0.0.5 port 8081");
    s->backend[1].health = HEALTH_DOWN;
    s->backend[1].rtt_us = -1;
    snprintf(s->backend[1].reason, sizeof(s->backend[1].reason), "no answer within 2000 ms");
    snprintf(s->pool.swap_error, sizeof(s->pool.swap_error), "llama3:70b needs 40 GiB, 24 GiB are free");
}

static void add_agents(struct snapshot_gate *g)
{
    static const struct {
        const char *name, *model, *reason;
        enum snapshot_health health;
        uint32_t busy;
        uint64_t approved, corrected, rejected;
        double ms, rate;
    } all[] = {
        {"pi-1", "qwen3:0.6b", "", HEALTH_UP, 1, 61, 6, 13, 812, 14.2},
        {"pi-2", "qwen3:0.6b", "", HEALTH_UP, 0, 58, 9, 12, 790.4, 15},
        {"old-thinkpad", "qwen3:1.7b", "", HEALTH_UP, 2, 81, 5, 4, 2300, 8.7},
        {"attic", "", "no answer within 2000 ms", HEALTH_DOWN, 0, 0, 0, 0, NAN, NAN},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct snapshot_agent *a = &g->agent[g->n_agents++];
        *a = (struct snapshot_agent){.kind = "ollama",
                                     .health = all[i].health,
                                     .rtt_us = all[i].health == HEALTH_UP ? 700 : -1,
                                     .busy = all[i].busy,
                                     .slots = 2,
                                     .answers = all[i].approved + all[i].corrected + all[i].rejected,
                                     .approved = all[i].approved,
                                     .corrected = all[i].corrected,
                                     .rejected = all[i].rejected,
                                     .answer_ms = all[i].ms,
                                     .tokens_per_second = all[i].rate};
        snprintf(a->name, sizeof(a->name), "%s", all[i].name);
        snprintf(a->model, sizeof(a->model), "%s", all[i].model);
        snprintf(a->reason, sizeof(a->reason), "%s", all[i].reason);
    }
    g->agent[0].shadowed = 4;
    g->agent[0].false_approved = 1;
}

static void add_gate(struct snapshot_gate *g)
{
    *g = (struct snapshot_gate){.configured = true,
                                .on = true,
                                .routing = "least_busy",
                                .review = "both",
                                .verifier = "target",
                                .writing = 3,
                                .reviewing = 1,
                                .requests = 260,
                                .approved = 200,
                                .corrected = 20,
                                .rejected = 29,
                                .direct = 1,
                                .retries = 7,
                                .unreadable = 2,
                                .tokens = 12000,
                                .target_tokens = 2040,
                                .shadowed = 40,
                                .false_approved = 1,
                                .shadow_low = 0.0044,
                                .shadow_high = 0.1288,
                                .seconds_saved = 372,
                                .joules_saved = NAN};
    add_agents(g);
}

void fixture_modes(struct feed_picture *p)
{
    struct snapshot *s = &p->snapshot;
    static const char *const outcomes[] = {"writing", "reviewing", "approved", "corrected", "rejected"};
    fixture_picture(p);
    snprintf(s->mode, sizeof(s->mode), "gate");
    struct snapshot_backend *b = add_backend(s, "words", "http://10.0.0.9:8081", "node", "qwen3:1.7b-words");
    b->active = b->resting = true;
    for (size_t i = 1; i < s->n_backends; i++) {
        b = &s->backend[i];
        b->offered = 300;
        b->wins = 210 / (i * i);
        b->call_ms = 4.1 * (double)i;
    }
    s->consensus = (struct snapshot_consensus){.configured = true,
                                               .mode = "majority",
                                               .window = 8,
                                               .audit_share = 0.05,
                                               .max_error = 0.02,
                                               .windows = 400,
                                               .skipped = 310,
                                               .accepted = 2480,
                                               .fallback = 720,
                                               .audited = 31,
                                               .wrong = 2,
                                               .audited_tokens = 248,
                                               .wrong_tokens = 3,
                                               .error = 3.0 / 248,
                                               .error_low = 0.0041,
                                               .error_high = 0.0350,
                                               .target_passes = 97};
    add_gate(&s->gate);
    for (size_t i = 0; i < s->n_requests; i++) {
        struct snapshot_request *r = &s->request[i];
        snprintf(r->mode, sizeof(r->mode), "%s", i == 5 ? "exact" : i == 6 ? "consensus" : "gate");
        if (i == 5 || i == 6)
            continue;
        snprintf(r->outcome, sizeof(r->outcome), "%s", outcomes[i < 5 ? i : 2]);
        snprintf(r->agent, sizeof(r->agent), "%s", s->gate.agent[i % 3].name);
    }
}

static const uint64_t GIB = UINT64_C(1) << 30;

static void add_models(struct swarm_view *v)
{
    static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const struct swarm_view_model all[] = {
        {.name = "qwen3-32b-q4_k_m",
         .state = SWARM_FETCHING,
         .size = 20 * GIB,
         .wanted = 20 * GIB,
         .have = 13 * GIB,
         .fetched = 9 * GIB,
         .copied = 4 * GIB,
         .sent = 3 * GIB,
         .down = 112e6,
         .up = 41.5e6,
         .eta = 67,
         .availability = 2.4,
         .pieces = 320,
         .pieces_have = 208,
         .peers = 3,
         .n_map = SWARM_VIEW_MAP},
        {.name = "llama3:70b",
         .why = "no room on the disk: 3.1 GiB more are needed in /srv/models",
         .state = SWARM_WAITING,
         .size = 40 * GIB,
         .wanted = 10 * GIB,
         .have = 10 * GIB - 1,
         .eta = NAN,
         .availability = 0.98,
         .pieces = 160,
         .pieces_have = 159,
         .peers = 1,
         .n_map = 32},
        {.file = "broken.gguf",
         .why = "the file is not a GGUF file",
         .state = SWARM_FAILED,
         .down = NAN,
         .up = NAN,
         .eta = NAN,
         .availability = NAN},
        {.name = "qwen3:0.6b",
         .state = SWARM_SEEDING,
         .size = GIB / 2,
         .wanted = GIB / 2,
         .have = GIB / 2,
         .sent = 7 * GIB,
         .up = 12e6,
         .eta = NAN,
         .availability = NAN,
         .pieces = 9,
         .pieces_have = 9,
         .peers = 2},
        {.name = "qwen3:1.7b",
         .state = SWARM_SEEDING,
         .size = GIB,
         .wanted = GIB,
         .have = GIB,
         .eta = NAN,
         .availability = NAN,
         .pieces = 17,
         .pieces_have = 17},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct swarm_view_model *m = &v->model[v->n_models++];
        *m = all[i];
        memcpy(m->id, id, sizeof(id));
        m->id[0] = (char)('a' + i);
        for (size_t k = 0; k < m->n_map; k++)
            m->map[k].had = k < m->n_map / 2 ? 100 : i == 1 ? 255 : k < 40 ? 50 : 0;
    }
}

static void add_peers(struct swarm_view *v)
{
    static const struct swarm_view_peer all[] = {
        {.address = "192.168.1.7:9192",
         .name = "attic",
         .model = "qwen3-32b-q4_k_m",
         .state = SWARM_PEER_UP,
         .share = 1,
         .down = 80e6,
         .up = 0,
         .fetched = 7000000000,
         .asked = 6,
         .rtt_us = 700},
        {.address = "192.168.1.20:9192",
         .name = "old-thinkpad",
         .model = "qwen3-32b-q4_k_m",
         .state = SWARM_PEER_UP,
         .share = 0.999,
         .down = 32e6,
         .up = 41.5e6,
         .fetched = 2000000000,
         .asked = 2,
         .rtt_us = 1900},
        {.address = "192.168.1.21:9192",
         .model = "qwen3-32b-q4_k_m",
         .state = SWARM_PEER_CONNECTING,
         .share = NAN,
         .down = NAN,
         .up = NAN,
         .rtt_us = -1},
        {.address = "192.168.1.22:9192",
         .why = "no byte came for 30 s",
         .model = "llama3:70b",
         .state = SWARM_PEER_DOWN,
         .share = NAN,
         .down = NAN,
         .up = NAN,
         .rtt_us = -1},
        {.address = "192.168.1.66:9192",
         .why = "it sent two wrong pieces",
         .model = "qwen3-32b-q4_k_m",
         .state = SWARM_PEER_BANNED,
         .share = NAN,
         .down = NAN,
         .up = NAN,
         .corrupt = 2,
         .rtt_us = -1},
    };
    memcpy(v->peer, all, sizeof(all));
    v->n_peers = v->peers_in_all = ARRAY_LEN(all);
}

void fixture_swarm(struct feed_picture *p)
{
    struct swarm_view *v = &p->snapshot.swarm;
    fixture_picture(p);
    v->on = v->discovery = true;
    snprintf(v->listen, sizeof(v->listen), "192.168.1.5:9192");
    v->down = 112e6;
    v->up = 53.5e6;
    v->fetched = 9 * GIB;
    v->sent = 10 * GIB;
    v->uploads = 3;
    v->waiting = 1;
    v->slowest_ms = 4;
    add_models(v);
    add_peers(v);
    v->models_in_all = v->n_models;
}

void fixture_locale(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
}

void fixture_open(struct fixture_screen *s, struct ui *ui, const char *path, bool ascii)
{
    fixture_locale();
    s->out = fopen(path, "w");
    s->in = fopen("/dev/null", "r");
    s->ncurses = newterm("xterm", s->out, s->in);
    start_color();
    use_default_colors();
    theme_choose(&ui->theme, &(struct theme_terminal){.colours = 8, .utf8 = !ascii});
    for (int i = 0; i < THEME_ROLES; i++) {
        if (ui->theme.pair[i] != 0)
            init_pair(ui->theme.pair[i], ui->theme.colour[i], -1);
    }
}

void fixture_close(struct fixture_screen *s)
{
    endwin();
    delscreen(s->ncurses);
    fclose(s->out);
    fclose(s->in);
}

void fixture_resize(struct ui *ui, int rows, int cols)
{
    resize_term(rows, cols);
    ui->rows = rows;
    ui->cols = cols;
    ui->redraw = true;
}

char *fixture_row(const struct ui *ui, int row)
{
    wchar_t *wide = xcalloc((size_t)ui->cols + 1, sizeof(*wide) * 4);
    mvinnwstr(row, 0, wide, ui->cols);
    size_t size = wcslen(wide) * 4 + 1;
    char *text = xmalloc(size);
    size_t len = wcstombs(text, wide, size);
    free(wide);
    len = len == (size_t)-1 ? 0 : len;
    while (len > 0 && text[len - 1] == ' ')
        len--;
    text[len] = '\0';
    return text;
}

char *fixture_text(const struct ui *ui)
{
    struct buf all;
    buf_init(&all, 1 << 20);
    for (int row = 0; row < ui->rows; row++) {
        char *line = fixture_row(ui, row);
        buf_adds(&all, line);
        buf_addc(&all, '\n');
        free(line);
    }
    return buf_steal(&all);
}
