/*
 * A stack deeper than a sample holds: `descend` calls itself 1,000 times before the work is done in `bottom`.
 */

#include "target.h"

enum { DEPTH = 1000 };

static volatile uint64_t sink;

A_FUNCTION void bottom(int rounds) {
    LEAF_FRAME();
    uint64_t value = sink;
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 7)) * 31 + (uint64_t)round;
    sink = value;
}

A_FUNCTION void descend(int depth) {
    if (depth == 0)
        while (target_goes_on())
            bottom(ROUNDS_PER_PIECE);
    else
        descend(depth - 1);
    KEEP_FRAME();
}

int main(int argc, char **argv) {
    target_begin(argc, argv);
    uint64_t start = thread_ns();
    descend(DEPTH);
    uint64_t deep_ns = thread_ns() - start;
    printf("cpu total=%" PRIu64 " descend=%" PRIu64 "\n", target_used(), deep_ns);
    return 0;
}
