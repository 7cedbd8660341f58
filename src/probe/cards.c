#include "probe/cards.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "probe/gpu.h"
#include "probe/read-file.h"

enum { PCI_DISPLAY = 0x03 }; /* base class of VGA, 3D and other display controllers */

static const struct {
    unsigned id;
    enum gpu_vendor vendor;
    const char *name;
} vendors[] = {{0x10de, GPU_NVIDIA, "NVIDIA"}, {0x1002, GPU_AMD, "AMD"}, {0x8086, GPU_INTEL, "Intel"}};

/* A number in hexadecimal in one of the device's files, 0 when there is none. */
static unsigned device_number(const char *root, const char *device, const char *file)
{
    char *path = xasprintf("/sys/bus/pci/devices/%s/%s", device, file), *text = read_file(root, path);
    unsigned v = text != NULL ? (unsigned)strtoul(text, NULL, 16) : 0;
    free(text);
    free(path);
    return v;
}

/* The name of a device in a list of PCI IDs: "10de  Vendor" and below it "<tab>2684  Device".  Owned by the caller,
 * NULL: not in it. */
static char *look_up(FILE *f, unsigned vendor, unsigned device)
{
    char *line = NULL, *name = NULL, want_vendor[16], want_device[16];
    size_t size = 0;
    bool inside = false;
    snprintf(want_vendor, sizeof(want_vendor), "%04x  ", vendor);
    snprintf(want_device, sizeof(want_device), "\t%04x  ", device);
    while (name == NULL && getline(&line, &size, f) > 0) {
        if (line[0] != '\t' && line[0] != '#' && line[0] != '\n') {
            if (inside)
                break;
            inside = strncmp(line, want_vendor, 6) == 0;
        } else if (inside && strncmp(line, want_device, 7) == 0) {
            name = xstrndup(line + 7, strcspn(line + 7, "\n"));
        }
    }
    free(line);
    return name;
}

static char *device_name(const char *root, unsigned vendor, unsigned device)
{
    static const char *const lists[] = {"/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids"};
    char *name = NULL;
    for (size_t i = 0; i < ARRAY_LEN(lists) && name == NULL; i++) {
        char *path = xasprintf("%s%s", root, lists[i]);
        FILE *f = fopen(path, "re");
        if (f != NULL) {
            name = look_up(f, vendor, device);
            fclose(f);
        }
        free(path);
    }
    return name;
}

static int64_t file_value(const char *root, const char *device, const char *file)
{
    char *path = xasprintf("/sys/bus/pci/devices/%s/%s", device, file);
    int64_t v = read_file_number(root, path);
    free(path);
    return v;
}

static void add_card(struct machine *m, const char *root, const char *device)
{
    unsigned vendor = device_number(root, device, "vendor"), id = device_number(root, device, "device");
    size_t v = 0;
    while (v < ARRAY_LEN(vendors) && vendors[v].id != vendor)
        v++;
    if (v == ARRAY_LEN(vendors) || device_number(root, device, "class") >> 16 != PCI_DISPLAY)
        return;
    struct machine_gpu *g = machine_add_gpu(m);
    char *known = device_name(root, vendor, id);
    char *name =
        known != NULL ? xasprintf("%s %s", vendors[v].name, known) : xasprintf("%s card %04x", vendors[v].name, id);
    int64_t total = file_value(root, device, "mem_info_vram_total"),
            busy = file_value(root, device, "gpu_busy_percent");
    g->vendor = vendors[v].vendor;
    machine_text(g->name, sizeof(g->name), name);
    gpu_set_bus(g, device);
    g->memory = total > 0 ? total : -1;
    g->memory_used = file_value(root, device, "mem_info_vram_used");
    if (busy >= 0 && busy <= 100)
        g->utilisation = (double)busy / 100;
    free(name);
    free(known);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

void cards_probe(struct machine *m, const char *root)
{
    struct dirent **list;
    char *path = xasprintf("%s/sys/bus/pci/devices", root);
    int n = scandir(path, &list, NULL, by_name);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.' && m->n_gpus < GPU_CARDS)
            add_card(m, root, list[i]->d_name);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    free(path);
}
