/* What strangers answer to a scan, and what somebody types as a host or a network.  The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "probe/scan-answer.h"
#include "probe/scan-net.h"
#include "probe/scan-place.h"

/* A text that may go to a terminal stays as it is. */
static void check_text(const char *s)
{
    char *clean = utf8_printable(s, strlen(s));
    if (strcmp(clean, s) != 0)
        abort();
    free(clean);
}

static void check_machine(const struct machine *m)
{
    check_text(m->name);
    for (size_t i = 0; i < m->n_services; i++) {
        check_text(m->service[i].version);
        check_text(m->service[i].model);
    }
    for (size_t i = 0; i < m->n_models; i++) {
        check_text(m->model[i].name != NULL ? m->model[i].name : "");
        check_text(m->model[i].path != NULL ? m->model[i].path : "");
        check_text(m->model[i].quantisation);
        if (m->model[i].parameters < -1 || m->model[i].bytes < -1)
            abort();
    }
    json_decref(machine_to_json(m));
}

static void answers(const json_t *o)
{
    static void (*const readers[])(struct machine * m, const json_t *o) = {
        scan_answer_node, scan_answer_props, scan_answer_models, scan_answer_tags, scan_answer_version, scan_answer_ps};
    struct machine m, told;
    char *cause = NULL;
    machine_init(&m, MACHINE_SEEN);
    machine_add_service(&m);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        readers[i](&m, o);
    scan_answer_refusal(401, o);
    scan_answer_refusal(503, o);
    check_machine(&m);
    if (scan_answer_agent(&told, o, &cause) == 0) {
        scan_answer_merge(&m, &told);
        if (m.n_services != 1)
            abort();
        check_machine(&m);
    }
    free(cause);
    machine_finish(&m);
}

static void typed(const char *text)
{
    struct scan_net net;
    char *name = NULL, *cause = NULL;
    int port = 0;
    if (scan_net_parse(&net, text, &cause) == 0 && !scan_net_has(&net, net.first))
        abort();
    if (scan_host_parse(text, &name, &port, &cause) == 0 && (name[0] == '\0' || port < 0 || port > 65535))
        abort();
    scan_arp_is_nobody(text, 0xc0a80107);
    free(name);
    free(cause);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = xstrndup((const char *)data + 1, size - 1);
    if (data[0] == 't') {
        typed(text);
    } else {
        json_t *o = json_parse_object(text, strlen(text), NULL);
        if (o != NULL)
            answers(o);
        json_decref(o);
    }
    free(text);
    return 0;
}
