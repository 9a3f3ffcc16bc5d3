/*
 * Dies by a signal, or waits to be dumped: crash abort|null|wait. Three more threads wait at different depths
 * meanwhile. `abort` is called by a signal handler.
 */

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define A_FUNCTION __attribute__((noinline, noclone)) static

static int never[2];
static pthread_barrier_t all_there;
static void (*volatile nowhere)(void);
static volatile int calls;

A_FUNCTION void park(long depth) {
    if (depth > 0) {
        park(depth - 1);
    } else {
        char byte;
        pthread_barrier_wait(&all_there);
        if (read(never[0], &byte, 1) < 0)
            abort();
    }
    calls++;
}

static void *run(void *depth) {
    park((long)depth);
    return NULL;
}

A_FUNCTION void handler(int signal) {
    calls += signal;
    abort();
}

A_FUNCTION void die_in_handler(void) {
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    calls++;
}

A_FUNCTION void call_nowhere(void) {
    nowhere();
    calls++;
}

A_FUNCTION void wait_for_dump(void) {
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    pause();
    calls++;
}

int main(int argc, char **argv) {
    if (argc != 2 || pipe(never) != 0)
        return 2;
    pthread_barrier_init(&all_there, NULL, 4);
    for (long depth = 0; depth < 6; depth += 2) {
        pthread_t thread;
        pthread_create(&thread, NULL, run, (void *)depth);
    }
    pthread_barrier_wait(&all_there);
    /* Between the barrier and the system call behind it. */
    usleep(50000);
    if (strcmp(argv[1], "abort") == 0)
        die_in_handler();
    else if (strcmp(argv[1], "null") == 0)
        call_nowhere();
    else
        wait_for_dump();
    return calls;
}
