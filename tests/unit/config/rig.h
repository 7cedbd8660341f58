/* What tests of loading share. */
#ifndef TIGHTWAD_TESTS_CONFIG_RIG_H
#define TIGHTWAD_TESTS_CONFIG_RIG_H

#include <stdbool.h>

#include "config/config.h"

/* Findings as config_findings_print shows them.  Owned by the caller. */
char *rig_findings_text(const struct config_findings *f);

/* A configuration without any finding, else the test fails.  name: as that of a file. */
struct config *rig_good(const char *name, const char *yaml);

/* All findings of t.yaml as config_findings_print shows them, in order; loads: whether it is usable all the same. */
void rig_finds(const char *yaml, bool loads, const char *want);

#endif
