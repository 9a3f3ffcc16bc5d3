/*
 * A program that knows its stack: every function has exactly one caller, so its name says who called whom all the
 * way up. With --stacks it prints that, a line for each function, and ends:
 *
 *     FUNCTION[*TIMES[/INNERMOST]] < CALLER [via PART,...]
 *
 * TIMES: it calls itself, and so many frames of it have called what it calls; INNERMOST, if that is more: the most
 * when no other function of the program is called by it. CALLER `!end`: nothing called it; `!signal`: it is a signal
 * handler, which interrupts any stack. PART: beginnings of the names of the files or functions through which it is
 * called, at least one frame of theirs lying between the two; in brackets, if there may be none.
 *
 * Otherwise as target.h says; no account of phases, for here it is the stacks that count.
 */

#include "target.h"

#include <alloca.h>
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

static const char stacks[] = "main < _start via libc.so\n"
                             "_start < !end\n"
                             "work < main\n"
                             /* deep recursion */
                             "phase_recursion < work\n"
                             "descend*200 < phase_recursion\n"
                             "bottom < descend\n"
                             /* a callback that libc calls */
                             "phase_sorting < work\n"
                             "compare < phase_sorting via libc.so\n"
                             /* libm, which has leaves only */
                             "phase_math < work\n"
                             /* a library that is loaded while the program runs */
                             "phase_library < work\n"
                             "stacks_library_outer < phase_library\n"
                             "stacks_library_inner < stacks_library_outer\n"
                             /* back to the start by longjmp */
                             "phase_jump < work\n"
                             "jump_middle < phase_jump\n"
                             "jump_from < jump_middle\n"
                             "jump_landed < phase_jump\n"
                             /* frames of a size that only the program knows, aligned frames, large frames */
                             "phase_frames < work\n"
                             "variable < phase_frames\n"
                             "variable_leaf < variable\n"
                             "aligned < phase_frames\n"
                             "aligned_leaf < aligned\n"
                             "large < phase_frames\n"
                             "large_leaf < large\n"
                             /* each jumps to the next, so that all have the same caller */
                             "phase_tail < work\n"
                             "tail_first < phase_tail\n"
                             "tail_second < phase_tail\n"
                             "tail_third < phase_tail\n"
                             /* another thread */
                             "thread_main < !end via libc.so\n"
                             "thread_outer < thread_main\n"
                             "thread_inner < thread_outer\n"
                             /* signals, on the stack that they interrupt and on another one */
                             "on_alarm < !signal via libc.so\n"
                             "alarm_work < on_alarm\n"
                             "on_profile < !signal via libc.so\n"
                             "profile_work < on_profile\n";

enum { DEPTH = 200, SIGNAL_STACK = 1 << 16, TICK_US = 1900 };

static volatile uint64_t sink;
static _Thread_local volatile uint64_t own_sink;
static atomic_int stopped;
static uint64_t (*library)(uint64_t, int);

/* Part of each function that uses time, so that there is no leaf that all would call. */
static inline __attribute__((always_inline)) uint64_t burn(uint64_t value, int rounds) {
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 7)) * 31 + (uint64_t)round;
    return value;
}

A_FUNCTION void bottom(int rounds) { sink = burn(sink, rounds); }

A_FUNCTION void descend(int depth, int rounds) {
    if (depth == 1)
        bottom(rounds);
    else
        descend(depth - 1, rounds);
    KEEP_FRAME();
}

A_FUNCTION void phase_recursion(int rounds) {
    descend(DEPTH, rounds);
    KEEP_FRAME();
}

A_FUNCTION int compare(const void *one, const void *other) {
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    sink = burn(a ^ b, 10);
    return (a > b) - (a < b);
}

A_FUNCTION void phase_sorting(int rounds) {
    uint64_t numbers[512];
    for (int i = 0; i < 512; i++)
        numbers[i] = burn((uint64_t)i + sink, 3);
    for (int i = 0; i < rounds / 100000; i++)
        qsort(numbers, 512 - (size_t)i, sizeof *numbers, compare);
    KEEP_FRAME();
}

A_FUNCTION void phase_math(int rounds) {
    double sum = 0;
    for (int i = 1; i < rounds / 30; i++)
        sum += sin(i * 0.37) + pow(i, 0.33);
    sink += (uint64_t)fabs(sum);
}

A_FUNCTION void phase_library(int rounds) {
    if (library != NULL)
        sink = library(sink, rounds);
    KEEP_FRAME();
}

static jmp_buf start;

A_FUNCTION void jump_from(int rounds) {
    sink = burn(sink, rounds / 2);
    longjmp(start, 1);
}

A_FUNCTION void jump_middle(int rounds) {
    jump_from(rounds);
    KEEP_FRAME();
}

A_FUNCTION void jump_landed(int rounds) { sink = burn(sink, rounds / 2); }

A_FUNCTION void phase_jump(int rounds) {
    volatile int kept = rounds;
    if (setjmp(start) == 0)
        jump_middle(kept);
    jump_landed(kept);
    KEEP_FRAME();
}

A_FUNCTION void variable_leaf(char *bytes, int rounds) { bytes[0] = (char)burn(sink, rounds / 3); }

A_FUNCTION void variable(int rounds) {
    char *bytes = alloca((size_t)(rounds & 4095) + 16);
    variable_leaf(bytes, rounds);
    sink += (unsigned char)bytes[0];
}

A_FUNCTION void aligned_leaf(char *bytes, int rounds) { bytes[0] = (char)burn(sink, rounds / 3); }

A_FUNCTION void aligned(int rounds) {
    char bytes[64] __attribute__((aligned(64)));
    char *more = alloca((size_t)(rounds & 1023) + 16);
    more[0] = 1;
    aligned_leaf(bytes, rounds);
    sink += (unsigned char)bytes[0] + (unsigned char)more[0];
}

A_FUNCTION void large_leaf(char *bytes, int rounds) { bytes[0] = (char)burn(sink, rounds / 3); }

A_FUNCTION void large(int rounds) {
    char bytes[100000];
    large_leaf(bytes, rounds);
    sink += (unsigned char)bytes[0];
}

A_FUNCTION void phase_frames(int rounds) {
    variable(rounds);
    aligned(rounds);
    large(rounds);
    KEEP_FRAME();
}

A_FUNCTION uint64_t tail_third(uint64_t value, int rounds) { return burn(value, rounds / 3); }

A_FUNCTION uint64_t tail_second(uint64_t value, int rounds) { return tail_third(burn(value, rounds / 3), rounds); }

A_FUNCTION uint64_t tail_first(uint64_t value, int rounds) { return tail_second(burn(value, rounds / 3), rounds); }

A_FUNCTION void phase_tail(int rounds) { sink = tail_first(sink, rounds); }

A_FUNCTION void alarm_work(void) { own_sink = burn(own_sink, 40000); }

static void on_alarm(int signal) {
    (void)signal;
    alarm_work();
    KEEP_FRAME();
}

A_FUNCTION void profile_work(void) { own_sink = burn(own_sink, 40000); }

static void on_profile(int signal) {
    (void)signal;
    profile_work();
    KEEP_FRAME();
}

A_FUNCTION void thread_inner(int rounds) { own_sink = burn(own_sink, rounds); }

A_FUNCTION void thread_outer(int rounds) {
    thread_inner(rounds);
    KEEP_FRAME();
}

static void use_signal_stack(void) {
    stack_t stack = {.ss_sp = malloc(SIGNAL_STACK), .ss_size = SIGNAL_STACK};
    sigaltstack(&stack, NULL);
}

static void *thread_main(void *argument) {
    use_signal_stack();
    while (!atomic_load(&stopped))
        thread_outer(ROUNDS_PER_PIECE);
    return argument;
}

static void use_signals(void) {
    use_signal_stack();
    struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct sigaction profile = {.sa_handler = on_profile, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigaction(SIGALRM, &alarm, NULL);
    sigaction(SIGPROF, &profile, NULL);
    struct itimerval often = {{0, TICK_US}, {0, TICK_US}};
    setitimer(ITIMER_REAL, &often, NULL);
    setitimer(ITIMER_PROF, &often, NULL);
}

A_FUNCTION void work(void) {
    static void (*const phases[])(int) = {
        phase_recursion, phase_sorting, phase_math, phase_library, phase_jump, phase_frames, phase_tail,
    };
    for (unsigned next = 0; target_goes_on(); next++)
        phases[next % (sizeof phases / sizeof *phases)](target_rounds());
}

/* The library lies beside the program. */
static void load_library(const char *program) {
    char path[4096];
    const char *end = strrchr(program, '/');
    snprintf(path, sizeof path, "%.*s/stacks_lib.so", end ? (int)(end - program) : 1, end ? program : ".");
    void *handle = dlopen(path, RTLD_NOW);
    if (handle != NULL)
        library = (uint64_t (*)(uint64_t, int))dlsym(handle, "stacks_library_outer");
    if (library == NULL)
        exit(1);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--stacks") == 0)
        return fputs(stacks, stdout) < 0;
    target_begin(argc, argv);
    use_signals();
    load_library(argv[0]);
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_main, NULL) != 0)
        return 1;
    work();
    atomic_store(&stopped, 1);
    pthread_join(thread, NULL);
    printf("cpu total=%" PRIu64 "\n", target_used());
    return 0;
}
