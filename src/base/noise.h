/* The noise of the sampler: a pure function of seed, position and token.
 *
 * v = (hash >> 12 + 1/2) / 2^52 is uniform in (0, 1) and g = -ln(-ln(1 - v)) is Gumbel distributed; so g > x exactly
 * where v < 1 - exp(-exp(-x)): the hash of a token that matters lies under a bound. */
#ifndef TIGHTWAD_BASE_NOISE_H
#define TIGHTWAD_BASE_NOISE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* The finaliser of SplitMix64 (Steele, Lea, Flood, 2014): a bijection that mixes all 64 bits. */
static inline uint64_t noise_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The key of a position. */
static inline uint64_t noise_key(uint64_t seed, size_t position)
{
    return noise_mix(noise_mix(seed + UINT64_C(0x9e3779b97f4a7c15)) ^
                     ((uint64_t)position * UINT64_C(0xd1342543de82ef95) + 1));
}

/* A share that a number stands for, uniform in [0, 1): choices by it are fair, and anybody can repeat them. */
static inline double noise_share(uint64_t x)
{
    return (double)(noise_mix(x + UINT64_C(0x9e3779b97f4a7c15)) >> 11) * 0x1p-53;
}

static inline uint64_t noise_hash(uint64_t key, int32_t token)
{
    return noise_mix(key + (uint64_t)(token + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static inline double noise_gumbel(uint64_t hash)
{
    double v = ((double)(hash >> 12) + 0.5) * 0x1p-52;
    return -log(-log1p(-v));
}

/* Hashes from there on mean noise below g.  A little is added for what rounding may take. */
static inline uint64_t noise_limit(double g)
{
    double v = -expm1(-exp(-g)) * (1 + 1e-9) + 0x1p-50;
    return v >= 1 ? UINT64_MAX : (uint64_t)(v * 0x1p64);
}

#endif
