/* Where this program's own parts lie: in the build directory, or installed. */
#ifndef TIGHTWAD_CMD_SELF_H
#define TIGHTWAD_CMD_SELF_H

/* The path of tightwad-node: beside this program, else where it is installed; NULL and a cause that says how to get it.
 * Owned by the caller. */
char *self_node(char **cause);

/* The path of this program; NULL where /proc is missing.  Owned by the caller. */
char *self_program(void);

/* The path of one of the demo models ("target.gguf"): $TIGHTWAD_MODELS, the installed data, or the source tree.  NULL
 * and a cause that says where it was looked for.  Owned by the caller. */
char *self_demo_model(const char *name, char **cause);

#endif
