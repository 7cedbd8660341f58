/* The pool as `status` shows it to people. */
#ifndef TIGHTWAD_CMD_SHOW_POOL_H
#define TIGHTWAD_CMD_SHOW_POOL_H

#include <stdbool.h>

#include <jansson.h>

/* pool: the "pool" of the status; null prints nothing. */
void show_pool(const json_t *pool, bool colour);

#endif
