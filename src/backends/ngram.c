/* The text itself as a drafter: no server, no network, every vocabulary.  What it says comes from base/ngram.h by way
 * of whoever holds the text; here it only stands in the list of drafters, always up. */
#include "backends/calls.h"
#include "base/mem.h"

static void probed(struct backend_call *c)
{
    struct backend_info *info = &c->b->info;
    backend_info_reset(info);
    backend_info_set_string(&info->model, "the text itself");
    info->caps = (struct backend_caps){.any_vocabulary = true};
    info->cannot_verify = xstrdup("it is no model: it only drafts");
    call_end_probe(c);
}

static struct backend_call *probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_PROBE, 0, arg);
    c->cb.probe = cb;
    call_defer(c, probed);
    return c;
}

const struct backend_ops backend_ngram_ops = {
    .name = "ngram",
    .no_server = true,
    .probe = probe,
};
