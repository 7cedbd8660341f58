/* A model may lie in several files: "NAME-00001-of-00003.gguf" and so on.  By their names alone. */
#ifndef TIGHTWAD_PROBE_PARTS_H
#define TIGHTWAD_PROBE_PARTS_H

enum { PARTS_MAX = 1000 };

/* "…-00002-of-00005.gguf": *part 2, and 5; other names: 1 and 1. */
int parts_of(const char *path, int *part);
/* The path of another part (from 1 on) of the model that path is a part of.  Owned by the caller. */
char *parts_path(const char *path, int part);

#endif
