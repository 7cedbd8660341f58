/* A model at a URL: with its manifest beside it (URL.tightwad.manifest), or without, and then it is hashed as it comes.
 */
#ifndef TIGHTWAD_SWARM_WEB_H
#define TIGHTWAD_SWARM_WEB_H

#include <stdint.h>

#include "base/crew.h"
#include "http/httpc.h"
#include "swarm/manifest.h"
#include "swarm/view.h"

struct web;

/* The manifest at url + MANIFEST_SUFFIX.  m is the callee's; NULL and why: there is none (why "") or it is of no use.
 */
typedef void web_manifest_cb(void *arg, struct manifest *m, const char *why);
/* The download has ended: the file lies at path with its manifest m (the callee's) beside it; or NULL and why. */
typedef void web_done_cb(void *arg, struct manifest *m, const char *path, const char *why);

/* Of a URL that names a manifest already, that one.  Redirects are followed, never from https to http. */
struct web *web_manifest(struct httpc *http, struct crew *crew, const char *url, web_manifest_cb *done, void *arg);
/* Into dir, under the name that the URL ends in (checked as manifest_name_ok): MODEL.gguf.part, resumed by Range and
 * If-Range where the server allows it, hashed as it comes; lands like a store does.  Want of room or a server that is
 * gone for a while is waited for (web_fill tells of it); done is never called before this returns. */
struct web *web_download(struct event_base *base, struct httpc *http, struct crew *crew, const char *url,
                         const char *dir, web_done_cb *done, void *arg);
/* Right after web_download: what comes must be the model of that manifest, else it is no success, and not kept. */
void web_expect(struct web *w, const struct manifest *m);
void web_set_limit(struct web *w, int64_t bytes_a_second);      /* of a download; 0: none */
void web_fill(const struct web *w, struct swarm_view_model *m); /* of a download */
/* Either, in the end as well: it stays after its callback, and must not be freed inside it.  What has come stays on the
 * disk for the next time.  NULL is fine. */
void web_cancel(struct web *w);

#endif
