#include "cmd/bar.h"

#include <math.h>
#include <stdio.h>

void bar_time(char word[BAR_WORD], double seconds)
{
    enum { MINUTE = 60, HOUR = 3600, DAY = 86400, MOST = 9999 * DAY };
    if (!isfinite(seconds)) {
        snprintf(word, BAR_WORD, "–");
        return;
    }
    int s = seconds <= 0 ? 0 : seconds >= MOST ? MOST : (int)(seconds + 0.5);
    if (s >= DAY)
        snprintf(word, BAR_WORD, "%d d %d h", s / DAY, s % DAY / HOUR);
    else if (s >= HOUR)
        snprintf(word, BAR_WORD, "%d:%02d:%02d", s / HOUR, s % HOUR / MINUTE, s % MINUTE);
    else
        snprintf(word, BAR_WORD, "%d:%02d", s / MINUTE, s % MINUTE);
}

void bar_draw(char *out, size_t size, double share, int columns)
{
    int inner = columns > 2 ? columns - 2 : 0, full = isfinite(share) ? (int)(share * inner) : 0;
    size_t n = 0;
    full = full < 0 ? 0 : full > inner ? inner : full;
    if (size < 3)
        return;
    out[n++] = '[';
    for (int i = 0; i < inner && n + 2 < size; i++)
        out[n++] = i < full ? '=' : i == full && full > 0 ? '>' : ' ';
    out[n++] = ']';
    out[n] = '\0';
}
