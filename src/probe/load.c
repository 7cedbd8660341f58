#include "probe/load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "probe/read-file.h"

/* The first line: ticks of all cores by what they were spent on, of which the fourth and the fifth are idle. */
double load_read(struct load *l, const char *root)
{
    unsigned long long t[8] = {0};
    double share = NAN;
    char *text = read_file(root, "/proc/stat");
    if (text != NULL && sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4],
                               &t[5], &t[6], &t[7]) >= 5) {
        uint64_t all = 0, idle = t[3] + t[4];
        for (size_t i = 0; i < ARRAY_LEN(t); i++)
            all += t[i];
        if (l->all != 0 && all > l->all && all - idle >= l->busy)
            share = (double)(all - idle - l->busy) / (double)(all - l->all);
        *l = (struct load){.busy = all - idle, .all = all};
    }
    free(text);
    return share;
}
