/* What a machine has, as a probe found it, whether this one, one that runs `tightwad agent`, or one seen on the
 * network.
 *
 * Unknown is never 0: an integer that nobody could tell is -1, a double NAN, a text "".  Sizes are bytes, times are
 * microseconds.  A struct machine owns what it points to; machine_finish frees it. */
#ifndef TIGHTWAD_PROBE_MACHINE_H
#define TIGHTWAD_PROBE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

enum machine_origin {
    MACHINE_HERE,  /* this one */
    MACHINE_AGENT, /* told by its agent */
    MACHINE_SEEN,  /* only its services are known, from the network */
    MACHINE_TYPED  /* somebody typed it in */
};

enum gpu_vendor { GPU_NVIDIA, GPU_AMD, GPU_INTEL, GPU_APPLE, GPU_OTHER };

struct machine_gpu {
    enum gpu_vendor vendor;
    char name[96], driver[48], bus[32];
    int64_t memory, memory_used; /* bytes */
    bool unified;                /* its memory is the machine's own */
    double utilisation;          /* 0..1 */
    double temperature;          /* degrees Celsius */
    double power;                /* watts */
};

struct machine_cpu {
    char model[128];
    int packages, cores, threads;
    int fast_cores, slow_cores; /* performance and efficiency kinds; -1 where the kinds are not told apart */
    int numa_nodes;
    int64_t l2, l3;     /* bytes, of one cache; -1 none or unknown */
    double utilisation; /* 0..1, share of all cores that works; a single probe can't tell it, an agent does */
};

/* A model that lies on the machine or that a service there offers. */
struct machine_model {
    char *name; /* "qwen3:8b", or the file's name */
    char *path; /* of the GGUF file (an Ollama blob is one), NULL: only known by name */
    char *from; /* "file", "ollama", "llama-server", "node" */
    char architecture[48], quantisation[24];
    int64_t bytes, parameters;
    char vocab[65]; /* fingerprint of its vocabulary (struct gguf, a node's info): equal ones can speculate together */
};

enum service_kind { SERVICE_OLLAMA, SERVICE_LLAMACPP, SERVICE_NODE, SERVICE_WORKER, SERVICE_AGENT };

/* Something that listens. */
struct machine_service {
    enum service_kind kind;
    char host[64]; /* as it is reached from here */
    int port;
    char version[64];
    int64_t rtt_us; /* median of a few exchanges; for a worker of the TCP connect */
    char model[128];
    int64_t memory, memory_free; /* bytes that a worker's devices have in all, where it was asked */
    bool busy;                   /* a worker that serves somebody */
    bool needs_secret;           /* it answered 401: a token or key is wanted */
};

struct machine_tool {
    char name[32], version[64];
    char *path;
};

struct machine_disk {
    char *path;          /* where models lie or would go */
    int64_t size, free_; /* bytes */
};

struct machine {
    enum machine_origin origin;
    char name[64];    /* host name, else the address */
    char address[64]; /* as it is reached from here; "" this one */
    char os[64], arch[32];
    struct machine_cpu cpu;
    int64_t memory, memory_available; /* bytes */
    int64_t rtt_us;
    struct machine_gpu *gpu;
    size_t n_gpus;
    struct machine_model *model;
    size_t n_models;
    struct machine_service *service;
    size_t n_services;
    struct machine_tool *tool;
    size_t n_tools;
    struct machine_disk *disk;
    size_t n_disks;
    char **note; /* what could not be found out and why, a line each: "nvidia-smi: not installed" */
    size_t n_notes;
};

/* All unknown, nothing in the lists. */
void machine_init(struct machine *m, enum machine_origin origin);
void machine_finish(struct machine *m);

/* Each appends an element that is all unknown and returns it; it stays valid until the next append to the same list.
 * A note that is there already is not added again. */
struct machine_gpu *machine_add_gpu(struct machine *m);
struct machine_model *machine_add_model(struct machine *m);
struct machine_service *machine_add_service(struct machine *m);
struct machine_tool *machine_add_tool(struct machine *m, const char *name);
struct machine_disk *machine_add_disk(struct machine *m);
void machine_add_note(struct machine *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends what from has in its lists to those of to; from has none left, and is still to be finished. */
void machine_move_lists(struct machine *to, struct machine *from);

/* Copies text from a stranger (a tool, a file, the network): what may go to a terminal and into JSON, cut between two
 * characters, without blanks around.  src NULL: "". */
void machine_text(char *dst, size_t size, const char *src);

/* Static words: "nvidia", "ollama", "here", … */
const char *gpu_vendor_name(enum gpu_vendor v);
const char *service_kind_name(enum service_kind k);
const char *machine_origin_name(enum machine_origin o);

/* Unknown is null.  New reference. */
json_t *machine_to_json(const struct machine *m);

/* What machine_to_json made; what is missing or of a wrong type is unknown, lists are cut at 256 elements.  0 and *m
 * (finish it), or -1 and a cause when it is no object. */
int machine_from_json(struct machine *m, const json_t *j, char **cause);

#endif
