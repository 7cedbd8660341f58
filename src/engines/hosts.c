#include "engines/hosts.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "probe/agent-client.h"
#include "probe/here.h"
#include "probe/load.h"
#include "probe/machine.h"
#include "probe/memory.h"
#include "probe/scan-place.h"

enum {
    AGENT_TIMEOUT_MS = 4000,
    NEAR_MS = 1000, /* between looks at this machine's load while somebody sees it, and while nobody does */
    FAR_MS = 5000,
};

struct agent {
    struct hosts *hosts;
    char *host, *token;
    int port; /* 0: the usual one */
    struct agent_call *call;
    struct snapshot_machine picture;
    int64_t asked_us, told_us; /* 0: never */
};

struct hosts {
    struct event_base *base;
    struct httpc *http;
    char *root;
    struct snapshot_machine here;
    struct load load;
    int64_t read_us;                /* when that was, 0: never */
    struct here *probe;             /* of the GPUs, under way */
    int64_t gpus_asked_us, gpus_us; /* when their tools were asked, and told; 0: never */
    struct agent agent[SNAPSHOT_MACHINES - 1];
    size_t n_agents;
};

static bool is_due(int64_t since_us, int64_t now_us, int ms)
{
    return since_us == 0 || now_us - since_us >= (int64_t)ms * 1000;
}

static void forget(struct snapshot_machine *m)
{
    m->rtt_us = m->memory = m->memory_used = m->cores = -1;
    m->cpu = NAN;
    m->n_gpus = 0;
}

/* ---- this machine ---- */

static void read_memory(struct hosts *h)
{
    struct memory m;
    memory_read(&m, h->root);
    h->here.memory = m.total;
    h->here.memory_used = m.total >= 0 && m.available >= 0 ? m.total - m.available : -1;
}

static void take_gpus(struct snapshot_machine *to, const struct machine *from)
{
    to->n_gpus = from->n_gpus < SNAPSHOT_GPUS ? from->n_gpus : SNAPSHOT_GPUS;
    for (size_t i = 0; i < to->n_gpus; i++) {
        const struct machine_gpu *g = &from->gpu[i];
        to->gpu[i] = (struct snapshot_gpu){.memory = g->memory,
                                           .memory_used = g->memory_used,
                                           .utilisation = g->utilisation,
                                           .temperature = g->temperature,
                                           .power = g->power};
        machine_text(to->gpu[i].name, sizeof(to->gpu[i].name), g->name);
    }
}

static void on_gpus(struct machine *m, void *arg)
{
    struct hosts *h = arg;
    h->probe = NULL;
    h->gpus_us = clock_us();
    take_gpus(&h->here, m);
    machine_finish(m);
}

static void ask_gpus(struct hosts *h, int64_t now)
{
    bool none = h->gpus_us != 0 && h->here.n_gpus == 0;
    if (h->probe != NULL || !is_due(h->gpus_asked_us, now, none ? HOSTS_NO_GPU_MS : HOSTS_ASK_MS))
        return;
    h->gpus_asked_us = now;
    h->probe = here_probe(h->base, &(struct here_opts){.parts = HERE_NVIDIA | HERE_AMD}, on_gpus, h);
}

/* What was told long ago is told of no more, but for what does not change. */
static void age_gpus(struct snapshot_machine *m)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        m->gpu[i].memory_used = -1;
        m->gpu[i].utilisation = m->gpu[i].temperature = m->gpu[i].power = NAN;
    }
}

/* ---- agents ---- */

static void take_machine(struct snapshot_machine *p, const struct machine *m)
{
    p->health = HEALTH_UP;
    p->reason[0] = '\0';
    if (m->name[0] != '\0')
        machine_text(p->name, sizeof(p->name), m->name);
    p->rtt_us = m->rtt_us;
    p->memory = m->memory;
    p->memory_used = m->memory >= 0 && m->memory_available >= 0 ? m->memory - m->memory_available : -1;
    p->cores = m->cpu.threads >= 0 ? m->cpu.threads : -1;
    p->cpu = m->cpu.utilisation;
    take_gpus(p, m);
}

static void on_answer(const struct agent_answer *answer, void *arg)
{
    struct agent *a = arg;
    struct snapshot_machine *p = &a->picture;
    a->call = NULL;
    a->told_us = clock_us();
    forget(p);
    if (answer->machine != NULL) {
        take_machine(p, answer->machine);
        return;
    }
    p->health = HEALTH_DOWN;
    snprintf(p->reason, sizeof(p->reason), "%.120s",
             answer->needs_token ? "it wants another token: agents.token" : answer->message);
}

static void ask_agent(struct agent *a, int64_t now)
{
    if (a->call != NULL || !is_due(a->asked_us, now, HOSTS_ASK_MS))
        return;
    a->asked_us = now;
    a->call = agent_client_fetch(
        a->hosts->http,
        &(struct agent_where){.host = a->host, .port = a->port, .token = a->token, .timeout_ms = AGENT_TIMEOUT_MS},
        on_answer, a);
}

static void drop_agents(struct hosts *h)
{
    for (size_t i = 0; i < h->n_agents; i++) {
        struct agent *a = &h->agent[i];
        agent_client_cancel(a->call);
        free(a->host);
        free(a->token);
    }
    h->n_agents = 0;
}

static void add_agent(struct hosts *h, const char *where, const char *token)
{
    struct agent *a = &h->agent[h->n_agents++];
    char *cause = NULL;
    *a = (struct agent){.hosts = h, .token = xstrdup(token), .picture = {.health = HEALTH_UNKNOWN}};
    forget(&a->picture);
    if (scan_host_parse(where, &a->host, &a->port, &cause) != 0) {
        a->host = xstrdup(where); /* it will be found not to be there, in words */
        free(cause);
    }
    machine_text(a->picture.address, sizeof(a->picture.address), a->host);
    machine_text(a->picture.name, sizeof(a->picture.name), a->host);
}

/* ---- life ---- */

void hosts_reload(struct hosts *h, const struct config *cfg)
{
    drop_agents(h);
    for (size_t i = 0; i < cfg->agents.hosts.n && h->n_agents < ARRAY_LEN(h->agent); i++)
        add_agent(h, cfg->agents.hosts.list[i], cfg->agents.token);
}

struct hosts *hosts_create(struct event_base *base, struct httpc *http, const struct config *cfg, const char *root)
{
    struct hosts *h = xcalloc(1, sizeof(*h));
    h->base = base;
    h->http = http;
    h->root = xstrdup(root);
    forget(&h->here);
    h->here.health = HEALTH_UP;
    h->here.cores = sysconf(_SC_NPROCESSORS_ONLN);
    char name[sizeof(h->here.name)] = "";
    gethostname(name, sizeof(name) - 1);
    machine_text(h->here.name, sizeof(h->here.name), name);
    hosts_reload(h, cfg);
    return h;
}

void hosts_destroy(struct hosts *h)
{
    if (h == NULL)
        return;
    here_cancel(h->probe);
    drop_agents(h);
    free(h->root);
    free(h);
}

void hosts_tick(struct hosts *h, bool looking)
{
    int64_t now = clock_us();
    if (is_due(h->read_us, now, looking ? NEAR_MS : FAR_MS)) {
        h->read_us = now;
        h->here.cpu = load_read(&h->load, h->root);
        read_memory(h);
    }
    if (looking)
        ask_gpus(h, now);
    for (size_t i = 0; looking && i < h->n_agents; i++)
        ask_agent(&h->agent[i], now);
    if (h->gpus_us != 0 && is_due(h->gpus_us, now, HOSTS_STALE_MS))
        age_gpus(&h->here);
    for (size_t i = 0; i < h->n_agents; i++) {
        struct agent *a = &h->agent[i];
        if (a->told_us != 0 && is_due(a->told_us, now, HOSTS_STALE_MS)) {
            forget(&a->picture);
            a->picture.health = HEALTH_UNKNOWN;
            a->told_us = 0;
        }
    }
}

void hosts_fill(const struct hosts *h, struct snapshot *s)
{
    s->machine[0] = h->here;
    for (size_t i = 0; i < h->n_agents; i++)
        s->machine[i + 1] = h->agent[i].picture;
    s->n_machines = h->n_agents + 1;
}
