/* The library that workload.c loads while it runs: one phase, with a function of its own at the leaf. */

#include <stdint.h>

#define A_FUNCTION __attribute__((noinline, noclone))

static A_FUNCTION uint64_t library_inner(uint64_t seed, int rounds) {
    for (int i = 0; i < rounds; i++)
        seed = (seed ^ (seed >> 11)) * 37 + (uint64_t)i;
    return seed;
}

uint64_t phase_library(uint64_t seed, int rounds);

A_FUNCTION uint64_t phase_library(uint64_t seed, int rounds) {
    uint64_t result = library_inner(seed, rounds);
    __asm__ volatile("" ::: "memory");
    return result + 1;
}
