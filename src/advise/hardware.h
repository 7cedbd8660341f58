/* What a card, a chip or a CPU is good for: by its memory first, by its name where the memory is not known.
 *
 * The sizes of models are in thousand millions of parameters (7 is "7B"); memory is in bytes; bandwidth, the peak that
 * the maker states, in GB/s.  Unknown is NAN or -1. */
#ifndef TIGHTWAD_ADVISE_HARDWARE_H
#define TIGHTWAD_ADVISE_HARDWARE_H

#include <stddef.h>
#include <stdint.h>

#include "probe/machine.h"

/* By the memory that a model can use, rounded to whole GiB. */
enum hardware_class {
    HARDWARE_UNKNOWN,
    HARDWARE_TARGET, /* 16 GiB and more: holds a big model */
    HARDWARE_MEDIUM, /* 8 to 15: a good drafter, or a target of medium size */
    HARDWARE_DRAFT,  /* 2 to 7: drafts with 1.7B to 3B */
    HARDWARE_TINY,   /* less, or no GPU: drafts with 0.5B to 1.7B on the CPU */
};

/* What the advice says of a machine's part in the cluster. */
struct hardware_use {
    enum hardware_class class;
    double model_min, model_max; /* sizes that suit it; NAN unknown */
};

/* A row of the table of cards and chips. */
struct hardware {
    const char *pattern; /* words that the name has, in this order: "rtx 4070 ti super" */
    int memory_gib;      /* what is soldered on it, of several variants the smallest; 0: the machine's own (unified) */
    double bandwidth_gbps; /* GB/s */
};

extern const struct hardware hardware_table[];
extern const size_t hardware_count;

/* The row that describes the name best (the one with the longest pattern), NULL: none does. */
const struct hardware *hardware_find(const char *name);

/* Bytes to whole GiB, rounded: a card of "8 GB" tells a little less than that.  -1 for unknown. */
int64_t hardware_gib(int64_t bytes);

/* The class of so much GPU memory (bytes, -1 unknown); 0 is no GPU. */
enum hardware_class hardware_class_of(int64_t memory);
/* Model sizes for so much GPU memory (bytes, 0: a CPU, -1: unknown), with the class. */
struct hardware_use hardware_use_of(int64_t memory);

/* What a model on this GPU can use, in bytes: what the probe found, else what the table has; of a unified memory three
 * quarters, which is about what systems let a GPU have.  machine_memory: bytes of the machine it is in, -1 unknown.  -1
 * unknown; 0: it is no help (an integrated one that shares a CPU's bandwidth). */
int64_t hardware_gpu_memory(const struct machine_gpu *gpu, int64_t machine_memory);
double hardware_gpu_bandwidth(const struct machine_gpu *gpu); /* GB/s, NAN unknown */

/* A CPU's memory bandwidth is not told by any probe: two channels of DDR4-3200 are 51 GB/s, of DDR5-5600 90, servers
 * have more for each package.  This is the low end, for each package. */
double hardware_cpu_bandwidth(const struct machine_cpu *cpu);

const char *hardware_class_name(enum hardware_class c);  /* "target", "medium", "draft", "tiny", "unknown" */
const char *hardware_class_words(enum hardware_class c); /* "16 GB and more: a good target, for a big model" */

#endif
