/* The server: OpenAI endpoints, status, events, history, metrics and commands, on TCP and on the control socket. */
#ifndef TIGHTWAD_API_API_H
#define TIGHTWAD_API_API_H

#include <stddef.h>

#include <event2/event.h>

#include "config/config.h"
#include "engines/command.h"

struct api;

/* Listens at cfg's host and port (0: a free one) and tells the proxy so.  cfg is read, not kept; what e names must
 * outlive the api. NULL and a cause when the address can't be had.  A control socket that can't be had is a warning in
 * the log. */
struct api *api_create(struct event_base *base, const struct config *cfg, const struct engines *e, char **cause);
/* Ends what is open, closes every connection and removes the control socket.  Before proxy_destroy.  NULL is fine. */
void api_destroy(struct api *a);

const char *
api_url(const struct api *a); /* "http://127.0.0.1:8088"; an address that stands for all is shown as it is */
int api_port(const struct api *a);
const char *api_control_path(const struct api *a); /* NULL: there is none */

size_t api_readers(const struct api *a); /* of the event stream, now */

/* Takes over token and limits; the address stays. */
void api_reload(struct api *a, const struct config *cfg);

/* Refuses what is new (503), ends the event streams, and calls fn when the last answer has ended and is written (a
 * client that does not read is waited for for 2 s). */
void api_drain(struct api *a, void (*fn)(void *arg), void *arg);

#endif
