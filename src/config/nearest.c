#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"

enum { WORD_MAX = 64 };

/* Edits (insert, delete, replace, swap of neighbours) from a to b, case ignored. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t row[3][WORD_MAX + 1];
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            size_t best = up[j - 1] + (x != y);
            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) &&
                up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[na % 3][nb];
}

const char *config_nearest(const char *word, const char *const *names, size_t n)
{
    size_t len = strnlen(word, WORD_MAX + 1);
    if (len == 0 || len > WORD_MAX)
        return NULL;
    const char *best = NULL;
    size_t best_d = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t name_len = strlen(names[i]);
        if (name_len > WORD_MAX)
            continue;
        size_t d = distance(word, len, names[i], name_len);
        /* A third of the letters may be wrong; and a beginning of at least three letters is near too. */
        size_t longer = len > name_len ? len : name_len;
        bool prefix = len >= 3 && len < name_len && strncmp(word, names[i], len) == 0;
        if ((d <= (longer + 2) / 3 && d < longer) || prefix) {
            if (d < best_d) {
                best = names[i];
                best_d = d;
            }
        }
    }
    return best;
}
