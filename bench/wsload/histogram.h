/* Durations in nanoseconds, kept in buckets that are at most 1.6 % wide. Bounded memory, no sorting. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <string.h>

enum { SUB_BITS = 6, SUB = 1 << SUB_BITS, BUCKETS = (64 - SUB_BITS + 1) * SUB };

struct histogram {
    uint64_t total;
    uint64_t largest;
    uint64_t counts[BUCKETS];
};

static inline void histogram_add(struct histogram *h, uint64_t value)
{
    unsigned shift = value < SUB ? 0 : (unsigned)(63 - __builtin_clzll(value)) - SUB_BITS;
    h->counts[shift * SUB + (value >> shift)]++;
    h->total++;
    if (value > h->largest)
        h->largest = value;
}

/* The upper bound of the bucket in which this share of the values ends, in milliseconds. 0 when empty. */
static inline double histogram_ms(const struct histogram *h, double share)
{
    uint64_t rank = (uint64_t)(share * (double)h->total), seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > rank) {
            unsigned shift = i < 2 * SUB ? 0 : i / SUB - 1;
            uint64_t top = ((uint64_t)(i - shift * SUB) + 1) << shift;
            return (double)(top < h->largest ? top : h->largest) / 1e6;
        }
    }
    return (double)h->largest / 1e6;
}

static inline void histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}

#endif
