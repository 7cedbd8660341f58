/* Why a server can't be reached: looked into below HTTP, where the reasons differ. */
#ifndef TIGHTWAD_CMD_DOCTOR_REACH_H
#define TIGHTWAD_CMD_DOCTOR_REACH_H

#include "cmd/doctor-judge.h"

/* Connects to the url's host and port, waiting at most timeout_ms for each address.  DOCTOR_ANSWERS when something
 * accepts the connection; else why not, with the system's words in *message (a cause). */
enum doctor_reach doctor_reach_tcp(const char *url, int timeout_ms, char **message);

#endif
