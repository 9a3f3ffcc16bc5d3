/*
 * Works at the bottom of a recursion whose depth is the argument: what a walk of so many frames costs, and how much
 * work is lost to it.
 *
 * It speaks the protocol of `workload.c`; `work` is no time here but the number of pieces that are done.
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define A_FUNCTION __attribute__((noinline, noclone))

/* Of each piece: long enough that counting it is nothing, short enough that it is no step in the figures. */
enum { ROUNDS = 1000 };

static _Atomic uint64_t pieces;
static atomic_int stopped;
static volatile uint64_t sink;

A_FUNCTION static void bottom(void) {
    uint64_t done = 0, value = sink;
    while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
        for (uint64_t round = 0; round < ROUNDS; round++)
            value = (value ^ (value >> 7)) * 31 + round;
        atomic_store_explicit(&pieces, ++done, memory_order_relaxed);
    }
    sink = value;
}

A_FUNCTION static void descend(long depth) {
    if (depth == 0)
        bottom();
    else
        descend(depth - 1);
    __asm__ volatile("" ::: "memory");
}

static void *work(void *argument) {
    descend(*(long *)argument);
    return NULL;
}

static void answer(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    uint64_t total = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    printf("cpu total=%" PRIu64 " work=%" PRIu64 "\n", total, atomic_load(&pieces));
    fflush(stdout);
}

int main(int argc, char **argv) {
    long depth = argc == 2 ? atol(argv[1]) : 0;
    if (depth <= 0) {
        fprintf(stderr, "usage: %s DEPTH\n", argv[0]);
        return 2;
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, &depth) != 0)
        return 1;
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL)
        answer();
    atomic_store(&stopped, 1);
    pthread_join(thread, NULL);
    answer();
    return 0;
}
