/* The library that stacks.c loads while it runs. */

#include "target.h"

A_FUNCTION uint64_t stacks_library_inner(uint64_t value, int rounds) {
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 7)) * 31 + (uint64_t)round;
    return value;
}

uint64_t stacks_library_outer(uint64_t value, int rounds) {
    value = stacks_library_inner(value, rounds);
    KEEP_FRAME();
    return value + 1;
}
