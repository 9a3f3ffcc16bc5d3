/*
 * The benchmark's C program: two threads that take turns, five phases, one of them in a library that is loaded
 * while it runs.
 *
 * Every workload speaks one protocol. It prints `ready PID` and works until stdin closes. Each line on stdin is
 * answered with the CPU time used so far, in nanoseconds: `cpu total=N PHASE=N …`, where what is missing from
 * the sum of the phases was used outside them. The line `load` loads the library first. The last line that the
 * program prints is such an answer, too.
 *
 * The next piece of work is drawn at random, so that phases keep no rhythm with the sampling; and the threads
 * take turns, so that the program uses about one CPU whatever the machine has.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define A_FUNCTION __attribute__((noinline, noclone))
/* At the end of a function: keeps the call before it from becoming a jump, which would take the frame away. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

enum { DEPTH = 200, NUMBERS = 4096 };
enum phase { MATH, DESCENT, SORTING, HASHING, LIBRARY, PHASES };

static const char *const names[PHASES] = {"math", "descent", "sorting", "hashing", "library"};
static _Atomic uint64_t spent[PHASES];
static _Atomic(uint64_t (*)(uint64_t, int)) library_work;
static atomic_int stopped;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;

static uint64_t cpu_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* All the time is spent in libm, which has functions that use the frame pointer for something else. */
A_FUNCTION uint64_t phase_math(uint64_t seed) {
    double sum = (double)(seed & 1023);
    for (int i = 1; i < 20000; i++)
        sum += sin(sum + i) * exp(-1.0 / i) + pow(1.0 + 1.0 / i, 1.5) + log(i + sum * sum);
    KEEP_FRAME();
    return (uint64_t)sum;
}

A_FUNCTION uint64_t descent_bottom(uint64_t seed) {
    for (int i = 0; i < 100000; i++)
        seed = (seed ^ (seed >> 7)) * 31 + (uint64_t)i;
    return seed;
}

A_FUNCTION uint64_t descend(uint64_t seed, int depth) {
    uint64_t result = depth == 0 ? descent_bottom(seed) : descend(seed + 1, depth - 1);
    KEEP_FRAME();
    return result + 1;
}

A_FUNCTION uint64_t phase_descent(uint64_t seed) {
    uint64_t result = 0;
    for (int i = 0; i < 10; i++)
        result += descend(seed, DEPTH);
    KEEP_FRAME();
    return result;
}

A_FUNCTION int sorting_compare(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* From here through libc's qsort and back into the program. */
A_FUNCTION uint64_t phase_sorting(uint64_t seed) {
    static uint64_t numbers[NUMBERS];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < NUMBERS; i++)
            numbers[i] = next(&seed);
        qsort(numbers, NUMBERS, sizeof *numbers, sorting_compare);
    }
    KEEP_FRAME();
    return numbers[seed % NUMBERS];
}

A_FUNCTION uint64_t hashing_inner(uint64_t seed, int rounds) {
    for (int i = 0; i < rounds; i++) {
        seed ^= seed >> 33;
        seed = (seed + (uint64_t)i) * 0xff51afd7ed558ccdu;
    }
    return seed;
}

A_FUNCTION uint64_t phase_hashing(uint64_t seed) {
    uint64_t result = hashing_inner(seed, 1000000);
    KEEP_FRAME();
    return result + 1;
}

A_FUNCTION uint64_t run_piece(enum phase phase, uint64_t seed) {
    uint64_t result;
    switch (phase) {
    case MATH: result = phase_math(seed); break;
    case DESCENT: result = phase_descent(seed); break;
    case SORTING: result = phase_sorting(seed); break;
    case HASHING: result = phase_hashing(seed); break;
    default: result = atomic_load(&library_work)(seed, 1000000); break;
    }
    KEEP_FRAME();
    return result;
}

static void await_turn(int mine) {
    pthread_mutex_lock(&lock);
    while (turn != mine)
        pthread_cond_wait(&turned, &lock);
    pthread_mutex_unlock(&lock);
}

static void give_turn(int other) {
    pthread_mutex_lock(&lock);
    turn = other;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&lock);
}

static void *work_thread(void *argument) {
    int mine = (int)(intptr_t)argument;
    uint64_t draw = 88172645463325252u + (uint64_t)mine, seed = 1;
    pthread_setname_np(pthread_self(), mine ? "odd" : "even");
    while (!atomic_load(&stopped)) {
        await_turn(mine);
        int choices = atomic_load(&library_work) != NULL ? PHASES : LIBRARY;
        enum phase phase = (enum phase)(next(&draw) % (uint64_t)choices);
        uint64_t before = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
        seed += run_piece(phase, seed | 1);
        atomic_fetch_add(&spent[phase], cpu_ns(CLOCK_THREAD_CPUTIME_ID) - before);
        give_turn(!mine);
    }
    return NULL;
}

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW);
    uint64_t (*found)(uint64_t, int) = NULL;
    if (library != NULL)
        *(void **)&found = dlsym(library, "phase_library");
    if (found == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    atomic_store(&library_work, found);
}

static void answer(void) {
    printf("cpu total=%" PRIu64, cpu_ns(CLOCK_PROCESS_CPUTIME_ID));
    for (int phase = 0; phase < PHASES; phase++)
        printf(" %s=%" PRIu64, names[phase], atomic_load(&spent[phase]));
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s LIBRARY\n", argv[0]);
        return 2;
    }
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, work_thread, (void *)(intptr_t)i) != 0)
            return 1;
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strcmp(line, "load\n") == 0)
            load(argv[1]);
        answer();
    }
    atomic_store(&stopped, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    answer();
    return 0;
}
