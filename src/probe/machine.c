#include "probe/machine.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "base/utf8.h"

enum {
    LIST_MAX = 256,    /* elements that are taken of a list in JSON */
    STRING_MAX = 4096, /* bytes of a string in JSON, its NUL included */
};

/* What the fields of a struct are and how they are called in JSON: one table clears, writes and reads. */
enum field_kind { FIELD_TEXT, FIELD_STRING, FIELD_INT, FIELD_INT64, FIELD_DOUBLE, FIELD_BOOL, FIELD_WORD };

/* The word of an enum's value, NULL behind the last one. */
typedef const char *field_word(int value);

struct field {
    const char *key;
    enum field_kind kind;
    size_t at, size;  /* where it stands in the struct, its bytes */
    field_word *word; /* FIELD_WORD */
    int otherwise;    /* FIELD_WORD: the value for a word that is not known, -1: such an element is left out */
};

#define AT(s, f) offsetof(struct s, f), sizeof(((struct s *)0)->f)

static const char *vendor_word(int v)
{
    static const char *const words[] = {
        [GPU_NVIDIA] = "nvidia", [GPU_AMD] = "amd", [GPU_INTEL] = "intel", [GPU_APPLE] = "apple", [GPU_OTHER] = "other",
    };
    return v >= 0 && v < (int)ARRAY_LEN(words) ? words[v] : NULL;
}

static const char *service_word(int k)
{
    static const char *const words[] = {
        [SERVICE_OLLAMA] = "ollama", [SERVICE_LLAMACPP] = "llama-server", [SERVICE_NODE] = "node",
        [SERVICE_WORKER] = "worker", [SERVICE_AGENT] = "agent",
    };
    return k >= 0 && k < (int)ARRAY_LEN(words) ? words[k] : NULL;
}

static const char *origin_word(int o)
{
    static const char *const words[] = {
        [MACHINE_HERE] = "here",
        [MACHINE_AGENT] = "agent",
        [MACHINE_SEEN] = "seen",
        [MACHINE_TYPED] = "typed",
    };
    return o >= 0 && o < (int)ARRAY_LEN(words) ? words[o] : NULL;
}

static const struct field machine_fields[] = {
    {"origin", FIELD_WORD, AT(machine, origin), origin_word, MACHINE_SEEN},
    {"name", FIELD_TEXT, AT(machine, name)},
    {"address", FIELD_TEXT, AT(machine, address)},
    {"os", FIELD_TEXT, AT(machine, os)},
    {"arch", FIELD_TEXT, AT(machine, arch)},
    {"memory", FIELD_INT64, AT(machine, memory)},
    {"memory_available", FIELD_INT64, AT(machine, memory_available)},
    {"rtt_us", FIELD_INT64, AT(machine, rtt_us)},
    {0},
};

static const struct field cpu_fields[] = {
    {"model", FIELD_TEXT, AT(machine_cpu, model)},
    {"packages", FIELD_INT, AT(machine_cpu, packages)},
    {"cores", FIELD_INT, AT(machine_cpu, cores)},
    {"threads", FIELD_INT, AT(machine_cpu, threads)},
    {"fast_cores", FIELD_INT, AT(machine_cpu, fast_cores)},
    {"slow_cores", FIELD_INT, AT(machine_cpu, slow_cores)},
    {"numa_nodes", FIELD_INT, AT(machine_cpu, numa_nodes)},
    {"l2", FIELD_INT64, AT(machine_cpu, l2)},
    {"l3", FIELD_INT64, AT(machine_cpu, l3)},
    {"utilisation", FIELD_DOUBLE, AT(machine_cpu, utilisation)},
    {0},
};

static const struct field gpu_fields[] = {
    {"vendor", FIELD_WORD, AT(machine_gpu, vendor), vendor_word, GPU_OTHER},
    {"name", FIELD_TEXT, AT(machine_gpu, name)},
    {"driver", FIELD_TEXT, AT(machine_gpu, driver)},
    {"bus", FIELD_TEXT, AT(machine_gpu, bus)},
    {"memory", FIELD_INT64, AT(machine_gpu, memory)},
    {"memory_used", FIELD_INT64, AT(machine_gpu, memory_used)},
    {"unified", FIELD_BOOL, AT(machine_gpu, unified)},
    {"utilisation", FIELD_DOUBLE, AT(machine_gpu, utilisation)},
    {"temperature", FIELD_DOUBLE, AT(machine_gpu, temperature)},
    {"power", FIELD_DOUBLE, AT(machine_gpu, power)},
    {0},
};

static const struct field model_fields[] = {
    {"name", FIELD_STRING, AT(machine_model, name)},
    {"path", FIELD_STRING, AT(machine_model, path)},
    {"from", FIELD_STRING, AT(machine_model, from)},
    {"architecture", FIELD_TEXT, AT(machine_model, architecture)},
    {"quantisation", FIELD_TEXT, AT(machine_model, quantisation)},
    {"vocab", FIELD_TEXT, AT(machine_model, vocab)},
    {"bytes", FIELD_INT64, AT(machine_model, bytes)},
    {"parameters", FIELD_INT64, AT(machine_model, parameters)},
    {0},
};

static const struct field service_fields[] = {
    {"kind", FIELD_WORD, AT(machine_service, kind), service_word, -1},
    {"host", FIELD_TEXT, AT(machine_service, host)},
    {"port", FIELD_INT, AT(machine_service, port)},
    {"version", FIELD_TEXT, AT(machine_service, version)},
    {"rtt_us", FIELD_INT64, AT(machine_service, rtt_us)},
    {"model", FIELD_TEXT, AT(machine_service, model)},
    {"memory", FIELD_INT64, AT(machine_service, memory)},
    {"memory_free", FIELD_INT64, AT(machine_service, memory_free)},
    {"busy", FIELD_BOOL, AT(machine_service, busy)},
    {"needs_secret", FIELD_BOOL, AT(machine_service, needs_secret)},
    {0},
};

static const struct field tool_fields[] = {
    {"name", FIELD_TEXT, AT(machine_tool, name)},
    {"version", FIELD_TEXT, AT(machine_tool, version)},
    {"path", FIELD_STRING, AT(machine_tool, path)},
    {0},
};

static const struct field disk_fields[] = {
    {"path", FIELD_STRING, AT(machine_disk, path)},
    {"size", FIELD_INT64, AT(machine_disk, size)},
    {"free", FIELD_INT64, AT(machine_disk, free_)},
    {0},
};

/* The lists of a machine. */
static const struct list {
    const char *key;
    const struct field *fields;
    size_t element;   /* bytes */
    size_t at, count; /* where pointer and number stand in struct machine */
} lists[] = {
    {"gpus", gpu_fields, sizeof(struct machine_gpu), offsetof(struct machine, gpu), offsetof(struct machine, n_gpus)},
    {"models", model_fields, sizeof(struct machine_model), offsetof(struct machine, model),
     offsetof(struct machine, n_models)},
    {"services", service_fields, sizeof(struct machine_service), offsetof(struct machine, service),
     offsetof(struct machine, n_services)},
    {"tools", tool_fields, sizeof(struct machine_tool), offsetof(struct machine, tool),
     offsetof(struct machine, n_tools)},
    {"disks", disk_fields, sizeof(struct machine_disk), offsetof(struct machine, disk),
     offsetof(struct machine, n_disks)},
};

enum { LIST_GPUS, LIST_MODELS, LIST_SERVICES, LIST_TOOLS, LIST_DISKS };

static void *list_element(const struct machine *m, const struct list *l, size_t i)
{
    void *first;
    memcpy(&first, (const char *)m + l->at, sizeof(first));
    return first != NULL ? (char *)first + i * l->element : NULL;
}

static size_t *list_count(const struct machine *m, const struct list *l)
{
    return (size_t *)((char *)m + l->count);
}

static void fields_clear(const struct field *f, void *p)
{
    for (; f->key != NULL; f++) {
        void *at = (char *)p + f->at;
        memset(at, 0, f->size);
        if (f->kind == FIELD_INT)
            *(int *)at = -1;
        else if (f->kind == FIELD_INT64)
            *(int64_t *)at = -1;
        else if (f->kind == FIELD_DOUBLE)
            *(double *)at = NAN;
        else if (f->kind == FIELD_WORD && f->otherwise > 0)
            *(int *)at = f->otherwise;
    }
}

static void fields_finish(const struct field *f, void *p)
{
    for (; f->key != NULL; f++) {
        if (f->kind == FIELD_STRING)
            free(*(char **)((char *)p + f->at));
    }
}

static json_t *text_json(const char *s)
{
    if (s == NULL || s[0] == '\0')
        return json_null();
    char *clean = utf8_printable(s, strlen(s));
    json_t *j = json_string(clean);
    free(clean);
    return j;
}

static json_t *field_json(const struct field *f, const void *at)
{
    int64_t v;
    switch (f->kind) {
    case FIELD_TEXT:
        return text_json(at);
    case FIELD_STRING:
        return text_json(*(char *const *)at);
    case FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case FIELD_WORD:
        return json_string(f->word(*(const int *)at));
    case FIELD_DOUBLE:
        return isfinite(*(const double *)at) ? json_real(*(const double *)at) : json_null();
    case FIELD_INT:
        v = *(const int *)at;
        break;
    case FIELD_INT64:
    default:
        v = *(const int64_t *)at;
        break;
    }
    return v >= 0 ? json_integer(v) : json_null();
}

static json_t *fields_json(const struct field *f, const void *p)
{
    json_t *o = json_object();
    for (; f->key != NULL; f++)
        json_object_set_new(o, f->key, field_json(f, (const char *)p + f->at));
    return o;
}

static int word_value(field_word *word, const char *s, int otherwise)
{
    for (int i = 0; s != NULL && word(i) != NULL; i++) {
        if (strcmp(word(i), s) == 0)
            return i;
    }
    return otherwise;
}

/* False: the element cannot be used, for a word in it is not known. */
static bool field_read(const struct field *f, void *at, const json_t *j)
{
    const char *s = json_string_value(j);
    int64_t v = json_is_integer(j) ? json_integer_value(j) : -1;
    double d = json_is_number(j) ? json_number_value(j) : NAN;
    char text[STRING_MAX];
    switch (f->kind) {
    case FIELD_TEXT:
        machine_text(at, f->size, s);
        break;
    case FIELD_STRING:
        machine_text(text, sizeof(text), s);
        *(char **)at = text[0] != '\0' ? xstrdup(text) : NULL;
        break;
    case FIELD_INT:
        *(int *)at = v >= 0 && v <= INT32_MAX ? (int)v : -1;
        break;
    case FIELD_INT64:
        *(int64_t *)at = v >= 0 ? v : -1;
        break;
    case FIELD_DOUBLE:
        *(double *)at = isfinite(d) ? d : NAN;
        break;
    case FIELD_BOOL:
        *(bool *)at = json_is_true(j);
        break;
    case FIELD_WORD: {
        int word = word_value(f->word, s, f->otherwise);
        *(int *)at = word >= 0 ? word : 0;
        return word >= 0;
    }
    }
    return true;
}

static bool fields_read(const struct field *f, void *p, const json_t *o)
{
    bool usable = true;
    for (; f->key != NULL; f++)
        usable &= field_read(f, (char *)p + f->at, json_object_get(o, f->key));
    return usable;
}

static void *list_add(struct machine *m, const struct list *l)
{
    size_t *n = list_count(m, l);
    void *first = list_element(m, l, 0);
    /* Grows at the powers of two. */
    if ((*n & (*n - 1)) == 0)
        first = xreallocarray(first, *n == 0 ? 1 : *n * 2, l->element);
    memcpy((char *)m + l->at, &first, sizeof(first));
    void *p = (char *)first + (*n)++ * l->element;
    memset(p, 0, l->element);
    fields_clear(l->fields, p);
    return p;
}

void machine_init(struct machine *m, enum machine_origin origin)
{
    memset(m, 0, sizeof(*m));
    fields_clear(machine_fields, m);
    fields_clear(cpu_fields, &m->cpu);
    m->origin = origin;
}

void machine_finish(struct machine *m)
{
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        for (size_t i = 0; i < *list_count(m, &lists[k]); i++)
            fields_finish(lists[k].fields, list_element(m, &lists[k], i));
        free(list_element(m, &lists[k], 0));
    }
    for (size_t i = 0; i < m->n_notes; i++)
        free(m->note[i]);
    free(m->note);
    memset(m, 0, sizeof(*m));
}

void machine_move_lists(struct machine *to, struct machine *from)
{
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        size_t *n = list_count(from, &lists[k]);
        for (size_t i = 0; i < *n; i++)
            memcpy(list_add(to, &lists[k]), list_element(from, &lists[k], i), lists[k].element);
        *n = 0;
    }
    for (size_t i = 0; i < from->n_notes; i++) {
        machine_add_note(to, "%s", from->note[i]);
        free(from->note[i]);
    }
    from->n_notes = 0;
}

void machine_text(char *dst, size_t size, const char *src)
{
    char *clean = utf8_printable(src != NULL ? src : "", src != NULL ? strlen(src) : 0), *from = clean;
    from += strspn(from, " ");
    size_t n = strlen(from);
    if (n > size - 1) {
        n = size - 1;
        n -= utf8_incomplete_tail(from, n);
    }
    while (n > 0 && from[n - 1] == ' ')
        n--;
    memcpy(dst, from, n);
    dst[n] = '\0';
    free(clean);
}

struct machine_gpu *machine_add_gpu(struct machine *m)
{
    return list_add(m, &lists[LIST_GPUS]);
}

struct machine_model *machine_add_model(struct machine *m)
{
    return list_add(m, &lists[LIST_MODELS]);
}

struct machine_service *machine_add_service(struct machine *m)
{
    return list_add(m, &lists[LIST_SERVICES]);
}

struct machine_tool *machine_add_tool(struct machine *m, const char *name)
{
    struct machine_tool *t = list_add(m, &lists[LIST_TOOLS]);
    machine_text(t->name, sizeof(t->name), name);
    return t;
}

struct machine_disk *machine_add_disk(struct machine *m)
{
    return list_add(m, &lists[LIST_DISKS]);
}

void machine_add_note(struct machine *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    char *clean = utf8_printable(text, strlen(text));
    free(text);
    for (size_t i = 0; i < m->n_notes; i++) {
        if (strcmp(m->note[i], clean) == 0) {
            free(clean);
            return;
        }
    }
    m->note = xreallocarray(m->note, m->n_notes + 1, sizeof(*m->note));
    m->note[m->n_notes++] = clean;
}

const char *gpu_vendor_name(enum gpu_vendor v)
{
    return vendor_word((int)v);
}

const char *service_kind_name(enum service_kind k)
{
    return service_word((int)k);
}

const char *machine_origin_name(enum machine_origin o)
{
    return origin_word((int)o);
}

json_t *machine_to_json(const struct machine *m)
{
    json_t *o = fields_json(machine_fields, m), *notes = json_array();
    json_object_set_new(o, "cpu", fields_json(cpu_fields, &m->cpu));
    for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
        json_t *list = json_array();
        for (size_t i = 0; i < *list_count(m, &lists[k]); i++)
            json_array_append_new(list, fields_json(lists[k].fields, list_element(m, &lists[k], i)));
        json_object_set_new(o, lists[k].key, list);
    }
    for (size_t i = 0; i < m->n_notes; i++)
        json_array_append_new(notes, text_json(m->note[i]));
    json_object_set_new(o, "notes", notes);
    return o;
}

static void list_read(struct machine *m, const struct list *l, const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array) && i < LIST_MAX; i++) {
        const json_t *o = json_array_get(array, i);
        if (!json_is_object(o))
            continue;
        void *p = list_add(m, l);
        if (!fields_read(l->fields, p, o)) {
            fields_finish(l->fields, p);
            --*list_count(m, l);
        }
    }
}

int machine_from_json(struct machine *m, const json_t *j, char **cause)
{
    machine_init(m, MACHINE_SEEN);
    if (!json_is_object(j))
        return cause_set(cause, "a machine is told as a JSON object, this is none");
    fields_read(machine_fields, m, j);
    fields_read(cpu_fields, &m->cpu, json_object_get(j, "cpu"));
    for (size_t k = 0; k < ARRAY_LEN(lists); k++)
        list_read(m, &lists[k], json_object_get(j, lists[k].key));
    const json_t *notes = json_object_get(j, "notes");
    for (size_t i = 0; i < json_array_size(notes) && i < LIST_MAX; i++) {
        const char *s = json_string_value(json_array_get(notes, i));
        if (s != NULL)
            machine_add_note(m, "%.1000s", s);
    }
    return 0;
}
