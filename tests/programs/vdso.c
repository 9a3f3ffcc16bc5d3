/*
 * CPU time in the vDSO: asks for the time of day over and over, which takes no system call where the kernel can tell
 * the time from a register.
 */

#include "target.h"

A_FUNCTION void ask_for_time(void) {
    struct timespec time;
    for (int i = 0; i < 20000; i++)
        clock_gettime(CLOCK_MONOTONIC, &time);
    KEEP_FRAME();
}

int main(int argc, char **argv) {
    target_begin(argc, argv);
    uint64_t start = thread_ns();
    while (target_goes_on())
        ask_for_time();
    uint64_t time_ns = thread_ns() - start;
    printf("cpu total=%" PRIu64 " ask_for_time=%" PRIu64 "\n", target_used(), time_ns);
    return 0;
}
