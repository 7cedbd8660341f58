#include "node/model.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ggml-backend.h>
#include <llama.h>

#include "base/cause.h"
#include "base/mem.h"
#include "node/llama-log.h"
#include "node/vocab.h"

enum { DEVICES_MAX = 64, META_SIZE = 512 };

typedef ggml_backend_reg_t add_server_fn(const char *endpoint);

void node_model_init(void)
{
    /* ggml's tiled product for K-quants sums in another order than the one for fewer than 8 tokens, so a batch would
     * not give the bits of single tokens.  Without it, long prompts of such models take up to twice as long on a CPU;
     * whoever prefers the speed sets it to 1. */
    setenv("GGML_CPU_TILED_MM", "0", 0);
#ifdef TIGHTWAD_GGML_BACKENDS
    ggml_backend_load_all_from_path(TIGHTWAD_GGML_BACKENDS);
#else
    ggml_backend_load_all();
#endif
    llama_backend_init();
}

/* Registers the devices of each RPC worker of the list; those already known are passed over. */
static int add_rpc_servers(const char *list, char **cause)
{
    if (list == NULL || *list == '\0')
        return 0;
    ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
    add_server_fn *add =
        rpc == NULL ? NULL : (add_server_fn *)ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_add_server");
    if (add == NULL)
        return cause_set(cause, "this llama.cpp has no RPC back end (install libggml0-backend-rpc)");
    char *copy = xstrdup(list), *rest = NULL;
    int rc = 0;
    for (char *at = strtok_r(copy, ",", &rest); at != NULL && rc == 0; at = strtok_r(NULL, ",", &rest)) {
        ggml_backend_reg_t reg = add(at);
        if (reg == NULL)
            rc = cause_set(cause, "RPC worker %s: it has no devices", at);
        else
            ggml_backend_register(reg);
    }
    free(copy);
    return rc;
}

int node_model_list_devices(FILE *to, const char *rpc, char **cause)
{
    if (add_rpc_servers(rpc, cause) < 0)
        return -1;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        size_t unused, total;
        ggml_backend_dev_memory(dev, &unused, &total);
        fprintf(to, "%s: %s", ggml_backend_dev_name(dev), ggml_backend_dev_description(dev));
        if (total > 0)
            fprintf(to, " (%zu MiB, %zu MiB free)", total >> 20, unused >> 20);
        fputc('\n', to);
    }
    return 0;
}

/* Fills devices (NULL at the end) from the names; leaves *list alone (llama.cpp takes all it has) when there are none.
 */
static int pick_devices(const char *names, ggml_backend_dev_t devices[DEVICES_MAX], ggml_backend_dev_t **list,
                        char **cause)
{
    if (names == NULL || *names == '\0')
        return 0;
    *list = devices;
    devices[0] = NULL;
    if (strcmp(names, "none") == 0)
        return 0;
    char *copy = xstrdup(names), *rest = NULL;
    size_t n = 0;
    int rc = 0;
    for (char *name = strtok_r(copy, ",", &rest); name != NULL && rc == 0; name = strtok_r(NULL, ",", &rest)) {
        ggml_backend_dev_t dev = ggml_backend_dev_by_name(name);
        if (dev == NULL)
            rc = cause_set(cause, "no device is called \"%s\" (--list-devices shows all)", name);
        else if (ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU)
            continue; /* always there */
        else if (n + 1 == DEVICES_MAX)
            rc = cause_set(cause, "more than %d devices", DEVICES_MAX - 1);
        else
            devices[n++] = dev;
    }
    devices[n] = NULL;
    free(copy);
    return rc;
}

static int parse_split(const char *text, float *split, char **cause)
{
    size_t n = 0, max = llama_max_devices();
    for (const char *at = text; *at != '\0';) {
        char *end;
        float value = strtof(at, &end);
        if (end == at || !(value >= 0) || value > 1e9f || (*end != '\0' && *end != ',' && *end != '/'))
            return cause_set(cause, "tensor split \"%s\": expected proportions such as 3,1", text);
        if (n == max)
            return cause_set(cause, "tensor split \"%s\": more than %zu devices", text, max);
        split[n++] = value;
        at = *end == '\0' ? end : end + 1;
    }
    return 0;
}

struct progress {
    node_progress_fn *fn;
    void *arg;
    bool stopped;
};

static bool on_progress(float fraction, void *arg)
{
    struct progress *p = arg;
    p->stopped |= p->fn != NULL && !p->fn((double)fraction, p->arg);
    return !p->stopped;
}

static char *meta(const struct llama_model *llama, const char *key)
{
    char value[META_SIZE];
    return llama_model_meta_val_str(llama, key, value, sizeof(value)) > 0 ? xstrdup(value) : NULL;
}

/* The file's name without .gguf. */
static char *name_of_file(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    size_t len = strlen(name);
    if (len > 5 && strcmp(name + len - 5, ".gguf") == 0)
        len -= 5;
    return xstrndup(name, len);
}

/* llama.cpp's "llama ?B Q8_0", with the number of parameters where it does not know the size's usual name. */
static char *description_of(const struct llama_model *llama)
{
    char text[META_SIZE];
    llama_model_desc(llama, text, sizeof(text));
    char *unknown = strstr(text, "?B");
    if (unknown == NULL)
        return xstrdup(text);
    double params = (double)llama_model_n_params(llama);
    *unknown = '\0';
    return params < 1e9 ? xasprintf("%s%.3gM%s", text, params / 1e6, unknown + 2)
                        : xasprintf("%s%.3gB%s", text, params / 1e9, unknown + 2);
}

static void describe(struct node_model *m)
{
    m->name = meta(m->llama, "general.name");
    if (m->name == NULL)
        m->name = name_of_file(m->path);
    m->architecture = meta(m->llama, "general.architecture");
    if (m->architecture == NULL)
        m->architecture = xstrdup("unknown");
    m->description = description_of(m->llama);
    m->size = llama_model_size(m->llama);
    m->n_ctx_train = llama_model_n_ctx_train(m->llama);
    m->recurrent = llama_model_is_recurrent(m->llama);
    m->hybrid = llama_model_is_hybrid(m->llama);
}

/* list NULL: every device that is not a CPU, as llama.cpp takes them. */
static void name_devices(struct node_model *m, ggml_backend_dev_t *list, bool offloaded)
{
    size_t n = 0, count = ggml_backend_dev_count();
    m->devices = xcalloc(count + DEVICES_MAX + 2, sizeof(*m->devices));
    for (size_t i = 0; offloaded && list != NULL && list[i] != NULL; i++)
        m->devices[n++] = xstrdup(ggml_backend_dev_name(list[i]));
    for (size_t i = 0; offloaded && list == NULL && i < count; i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        if (ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_GPU)
            m->devices[n++] = xstrdup(ggml_backend_dev_name(dev));
    }
    if (n == 0)
        m->devices[0] = xstrdup("CPU");
}

static struct llama_model *load_file(const struct node_model_options *o, struct llama_model_params params,
                                     struct progress *progress, char **cause)
{
    if (access(o->path, R_OK) != 0) {
        cause_set(cause, "%s: %m", o->path);
        return NULL;
    }
    free(llama_log_take_error());
    struct llama_model *llama = llama_model_load_from_file(o->path, params);
    if (llama != NULL)
        return llama;
    char *error = llama_log_take_error();
    if (progress->stopped)
        cause_set(cause, "%s: loading was stopped", o->path);
    else
        cause_set(cause, "%s: llama.cpp can't load it: %s", o->path, error != NULL ? error : "it does not say why");
    free(error);
    return NULL;
}

static int check_kind(const struct node_model *m, char **cause)
{
    if (m->n_vocab <= 0)
        return cause_set(cause, "%s has no vocabulary, so it can't write text", m->path);
    if (llama_model_has_encoder(m->llama) || !llama_model_has_decoder(m->llama) || llama_model_is_diffusion(m->llama))
        return cause_set(cause, "%s (%s) is not a model that writes one token after the other", m->path,
                         m->architecture);
    return 0;
}

struct node_model *node_model_load(const struct node_model_options *o, node_progress_fn *progress, void *arg,
                                   char **cause)
{
    ggml_backend_dev_t devices[DEVICES_MAX], *list = NULL;
    float split[DEVICES_MAX] = {0};
    struct progress p = {.fn = progress, .arg = arg};
    struct llama_model_params params = llama_model_default_params();
    if (llama_max_devices() > DEVICES_MAX && o->tensor_split != NULL) {
        cause_set(cause, "tensor split: llama.cpp allows more devices than this program");
        return NULL;
    }
    if (add_rpc_servers(o->rpc, cause) < 0 || pick_devices(o->device, devices, &list, cause) < 0 ||
        (o->tensor_split != NULL && parse_split(o->tensor_split, split, cause) < 0))
        return NULL;
    params.devices = list;
    params.n_gpu_layers = o->n_gpu_layers < 0 ? INT_MAX : o->n_gpu_layers;
    params.tensor_split = o->tensor_split != NULL ? split : NULL;
    params.load_mode = o->mmap ? (o->mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MMAP)
                               : (o->mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE);
    params.progress_callback = on_progress;
    params.progress_callback_user_data = &p;
    params.use_extra_bufts = false; /* repacked weights give other bits for batches than for single tokens */

    struct llama_model *llama = load_file(o, params, &p, cause);
    if (llama == NULL)
        return NULL;
    struct node_model *m = xcalloc(1, sizeof(*m));
    m->llama = llama;
    m->vocab = llama_model_get_vocab(llama);
    m->n_vocab = llama_vocab_n_tokens(m->vocab);
    m->path = xstrdup(o->path);
    describe(m);
    name_devices(m, list, o->n_gpu_layers != 0);
    if (check_kind(m, cause) < 0) {
        node_model_destroy(m);
        return NULL;
    }
    node_vocab_read(m);
    return m;
}

void node_model_destroy(struct node_model *m)
{
    if (m == NULL)
        return;
    llama_model_free(m->llama);
    for (size_t i = 0; m->devices != NULL && m->devices[i] != NULL; i++)
        free(m->devices[i]);
    free(m->devices);
    free(m->path);
    free(m->name);
    free(m->architecture);
    free(m->description);
    free(m->eog);
    free(m->pieces);
    free(m->piece_start);
    free(m->piece_hidden);
    free(m);
}
