/* What must hold between values. */
#ifndef TIGHTWAD_CONFIG_CHECK_H
#define TIGHTWAD_CONFIG_CHECK_H

#include "config/walk.h"

/* Completes names and tells what does not go together. */
void check_config(struct loader *l);

/* The part of it that is about the pool. */
void check_pool(struct loader *l);

#endif
