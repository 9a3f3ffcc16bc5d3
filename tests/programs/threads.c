/*
 * Three threads, each with a name of its own (`alpha`, `beta`, `gamma`) and a function of its own. The main
 * thread only waits. With SECONDS they use 50, 30 and 20 % of it; until stdin closes they all spin.
 */

#include "target.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_int stopped;

A_FUNCTION uint64_t turn(uint64_t seed, int rounds) {
    LEAF_FRAME();
    for (int round = 0; round < rounds; round++)
        seed = (seed ^ (seed >> 7)) * 31 + (uint64_t)round;
    return seed;
}

struct worker {
    const char *name;
    void (*work)(int);
    unsigned percent;
    uint64_t ns;
};

static _Thread_local volatile uint64_t sink;

/* One function per thread, so that a profile must not mix them up. */
A_FUNCTION void alpha_work(int rounds) {
    sink = turn(sink, rounds);
    KEEP_FRAME();
}

A_FUNCTION void beta_work(int rounds) {
    sink = turn(sink + 1, rounds);
    KEEP_FRAME();
}

A_FUNCTION void gamma_work(int rounds) {
    sink = turn(sink + 2, rounds);
    KEEP_FRAME();
}

static void *run(void *argument) {
    struct worker *worker = argument;
    uint64_t limit = target_limit * worker->percent / 100;
    pthread_setname_np(pthread_self(), worker->name);
    uint64_t start = thread_ns();
    while (target_limit != 0 ? worker->ns < limit : !atomic_load(&stopped)) {
        worker->work(ROUNDS_PER_PIECE);
        worker->ns = thread_ns() - start;
    }
    return NULL;
}

int main(int argc, char **argv) {
    struct worker workers[] = {
        {"alpha", alpha_work, 50, 0},
        {"beta", beta_work, 30, 0},
        {"gamma", gamma_work, 20, 0},
    };
    enum { COUNT = sizeof workers / sizeof *workers };
    pthread_t threads[COUNT];
    target_begin(argc, argv);
    for (int i = 0; i < COUNT; i++)
        if (pthread_create(&threads[i], NULL, run, &workers[i]) != 0)
            return 1;
    char byte;
    while (target_limit == 0 && read(STDIN_FILENO, &byte, 1) == 1) {
    }
    atomic_store(&stopped, 1);
    for (int i = 0; i < COUNT; i++)
        pthread_join(threads[i], NULL);
    printf("cpu total=%" PRIu64, target_used());
    for (int i = 0; i < COUNT; i++)
        printf(" %s=%" PRIu64, workers[i].name, workers[i].ns);
    printf("\n");
    return 0;
}
