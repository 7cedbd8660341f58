/* What doctor measured and found, in words on stdout. */
#ifndef TIGHTWAD_CMD_DOCTOR_SHOW_H
#define TIGHTWAD_CMD_DOCTOR_SHOW_H

#include <stdbool.h>

#include "cmd/doctor-judge.h"

/* A server with a mark for whether it answers, and how it does; then the findings, the serious ones first. */
void doctor_show_server(const struct doctor_server *s, bool colour);
void doctor_show_findings(const struct doctor_findings *f, bool colour);

#endif
