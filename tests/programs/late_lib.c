/* The library that late_dlopen.c loads, and under other names those of swap_libs.c. */

#include "target.h"

#if defined(FIRST)
#define late_leaf first_leaf
#define late_work first_work
#elif defined(SECOND)
#define late_leaf second_leaf
#define late_work second_work
#endif

static A_FUNCTION uint64_t late_leaf(uint64_t value, int rounds) {
    LEAF_FRAME();
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 13)) * 37 + (uint64_t)round;
    return value;
}

uint64_t late_work(uint64_t value, int rounds) {
    /* More than a jump to late_leaf, so that late_work has a frame. */
    return late_leaf(value, rounds) + 1;
}
