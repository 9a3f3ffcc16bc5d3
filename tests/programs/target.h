/*
 * What every C and C++ target program does: says that it is ready, works as long as it is told to, and says at
 * its end how much CPU time it used for what.
 *
 *     PROGRAM [--wait] [SECONDS]
 *
 * It prints `ready PID`. With --wait it then waits for a line on stdin, so that a test can attach before the
 * first work is done. Then it works until it has used SECONDS of CPU time, or until stdin closes when no number
 * is given. CPU time and not the clock on the wall, so that the number of samples to expect does not depend on
 * what else the machine does. Last it prints one line of nanoseconds, `cpu total=N PHASE=N …`: `total` is the
 * CPU time of the process since the work began, the phases are parts of it.
 */

#ifndef TARGET_H
#define TARGET_H

#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A function that stays a function, with a frame of its own, whatever the optimizer thinks of it. */
#define A_FUNCTION __attribute__((noinline, noclone))

/* At the end of a function: keeps the call before it from becoming a jump, which would take the frame away. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

/*
 * At the beginning of a function that calls nothing: gives it a frame in the builds that keep frame pointers.
 * GCC leaves the frame of such a function out even with -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer
 * (seen with 12.2), and a walk by frame pointers from there misses the caller.
 */
#ifdef FRAME_POINTERS
#define LEAF_FRAME() __asm__ volatile("" ::"r"(__builtin_frame_address(0)))
#else
#define LEAF_FRAME() KEEP_FRAME()
#endif

/* How long one piece of work is: short enough that phases mix finely, long beside the cost of measuring it. */
enum { ROUNDS_PER_PIECE = 200000 };

/*
 * A length for the next piece of work, another each time: pieces of one length alternate in a rhythm, and a sampling
 * rate that falls in step with it sees one phase more often than there is of it. xorshift32 (Marsaglia).
 */
static inline int target_rounds(void) {
    static uint32_t state = 2463534242u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return ROUNDS_PER_PIECE / 2 + (int)(state % ROUNDS_PER_PIECE);
}

static uint64_t target_limit; /* ns of CPU time, 0: until stdin closes */
static uint64_t target_start;

static inline uint64_t cpu_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline uint64_t thread_ns(void) { return cpu_ns(CLOCK_THREAD_CPUTIME_ID); }
static inline uint64_t target_used(void) { return cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - target_start; }

static inline void target_begin(int argc, char **argv) {
    int wait = argc > 1 && strcmp(argv[1], "--wait") == 0;
    const char *seconds = argc > 1 + wait ? argv[1 + wait] : "0";
    target_limit = (uint64_t)(strtod(seconds, NULL) * 1e9);
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    char byte = 0;
    while (wait && byte != '\n' && read(STDIN_FILENO, &byte, 1) == 1) {
    }
    target_start = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* Whether there is time for another piece of work. */
static inline int target_goes_on(void) {
    if (target_limit != 0)
        return target_used() < target_limit;
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    char byte;
    return poll(&input, 1, 0) == 0 || read(STDIN_FILENO, &byte, 1) == 1;
}

#endif
