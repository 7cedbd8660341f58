#include "advise/estimate.h"

#include <math.h>

double estimate_token(const struct estimate_part *parts, size_t n, double trips)
{
    double seconds = ESTIMATE_FIXED + trips;
    for (size_t i = 0; i < n; i++) {
        if (!(parts[i].gbps > 0))
            return NAN;
        seconds += parts[i].bytes / (parts[i].gbps * 1e9 * ESTIMATE_SHARE);
    }
    return n > 0 ? seconds : NAN;
}

double estimate_tokens(double chance, int64_t k)
{
    double tokens = 0, power = 1;
    for (int64_t i = 0; i <= k; i++, power *= chance)
        tokens += power;
    return tokens;
}

double estimate_rate(const struct estimate_round *r, int64_t k)
{
    double verify = r->pass + (double)k * r->more;
    if (k == 0)
        return verify > 0 ? 1 / verify : NAN;
    double draft = r->fixed + (double)k * r->draft, right = pow(r->chance, (double)(k + 1));
    double seconds = right * fmax(draft, verify) + (1 - right) * (draft + verify);
    return seconds > 0 ? estimate_tokens(r->chance, k) / seconds : NAN;
}

int64_t estimate_best(const struct estimate_round *r, int64_t most, double *rate)
{
    int64_t best = 0;
    double highest = NAN;
    for (int64_t k = 1; k <= most; k++) {
        double now = estimate_rate(r, k);
        if (isnan(now)) {
            best = 0;
            highest = NAN;
            break;
        }
        if (best == 0 || now > highest) {
            best = k;
            highest = now;
        }
    }
    if (rate)
        *rate = highest;
    return best;
}
