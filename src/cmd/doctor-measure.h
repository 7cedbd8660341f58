/* What doctor measures: it asks the configured servers themselves, so a proxy need not run. */
#ifndef TIGHTWAD_CMD_DOCTOR_MEASURE_H
#define TIGHTWAD_CMD_DOCTOR_MEASURE_H

#include "cmd/doctor-judge.h"
#include "config/config.h"

struct doctor_survey;

/* Either may be NULL. */
struct doctor_hooks {
    void (*progress)(void *arg, const char *text); /* what it does now, for a line on the terminal */
    /* After each server that was asked, and after each that was measured: the facts of those asked so far. */
    void (*news)(void *arg, const struct doctor_facts *so_far);
    void *arg;
};

/* Asks every server (some seconds each).  cfg NULL: it has errors, and only this machine is looked at.  cfg and its
 * findings must outlive the result, which is owned by the caller. */
struct doctor_survey *doctor_measure(const struct config *cfg, const struct config_findings *findings,
                                     const struct doctor_hooks *hooks);
const struct doctor_facts *doctor_survey_facts(const struct doctor_survey *s);
void doctor_survey_destroy(struct doctor_survey *s);

#endif
