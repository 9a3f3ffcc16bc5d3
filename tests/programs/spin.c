/*
 * main → outer → work_a or work_b → middle → leaf, with mix inlined into leaf: 70 % of the CPU time in work_a.
 *
 * The split holds because the next piece of work goes to whichever phase is behind its share so far.
 */

#include "target.h"

static volatile uint64_t sink;

/* Always inlined: a profile with debug information shows it, as a line of leaf's location. */
static inline __attribute__((always_inline)) uint64_t mix(uint64_t value) {
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdu;
    return value ^ (value >> 29);
}

A_FUNCTION uint64_t leaf(uint64_t seed, int rounds) {
    LEAF_FRAME();
    for (int round = 0; round < rounds; round++)
        seed = mix(seed + (uint64_t)round);
    return seed;
}

A_FUNCTION uint64_t middle(uint64_t seed, int rounds) {
    uint64_t result = leaf(seed, rounds);
    KEEP_FRAME();
    return result + 1;
}

A_FUNCTION void work_a(int rounds) {
    sink = middle(sink, rounds);
    KEEP_FRAME();
}

A_FUNCTION void work_b(int rounds) {
    sink = middle(sink ^ 1, rounds);
    KEEP_FRAME();
}

A_FUNCTION void outer(uint64_t *a_ns, uint64_t *b_ns) {
    uint64_t before = thread_ns();
    while (target_goes_on()) {
        uint64_t *phase = *a_ns * 3 <= *b_ns * 7 ? a_ns : b_ns;
        if (phase == a_ns)
            work_a(target_rounds());
        else
            work_b(target_rounds());
        uint64_t after = thread_ns();
        *phase += after - before;
        before = after;
    }
}

int main(int argc, char **argv) {
    uint64_t a_ns = 0, b_ns = 0;
    target_begin(argc, argv);
    outer(&a_ns, &b_ns);
    printf("cpu total=%" PRIu64 " work_a=%" PRIu64 " work_b=%" PRIu64 "\n", target_used(), a_ns, b_ns);
    return 0;
}
