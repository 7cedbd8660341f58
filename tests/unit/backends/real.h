/* Real servers for tests: a stock llama-server and a tightwad-node, each on a free loopback port. */
#ifndef TIGHTWAD_TESTS_REAL_H
#define TIGHTWAD_TESTS_REAL_H

#include <stdbool.h>
#include <sys/types.h>

struct real {
    pid_t pid;
    int port;
    char url[64];
    char *argv[40]; /* owned, to start it again */
};

/* model: a file of the demo models, without .gguf.  Waits until it answers /health with 200.  False where the program
 * is not installed (the test is then skipped). args: more arguments, NULL-terminated, may be NULL. */
bool real_llama_server(struct real *r, const char *model, const char *const *args);
bool real_node(struct real *r, const char *model, const char *const *args);
void real_kill(struct real *r);    /* kill -9, and wait */
void real_restart(struct real *r); /* after real_kill, at the same address */
void real_free(struct real *r);    /* kills it, forgets it */
void real_pause(struct real *r);
void real_continue(struct real *r);

#endif
