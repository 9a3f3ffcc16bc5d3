// Runs itself one instruction at a time, and writes down each time what a profiler would see, and the stack as
// libgcc unwinds it. Writes three files: `maps` and `vdso` as they are in memory, and `samples`, whose records are
// words of eight bytes:
//
//   ip, sp, fp            of the interrupted instruction
//   ip, sp, fp            in the signal handler
//   n, n words            the stack of the signal handler, from its sp on
//   n, n words            the interrupted stack, from 128 bytes below its sp on
//   n, n words            return addresses: handler, trampoline, interrupted instruction, its callers

#define _GNU_SOURCE
#include <execinfo.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { TRAP_FLAG = 0x100, FRAMES = 256, HANDLER_WORDS = 256, RED_ZONE = 128 };

static int samples;
static volatile int stop;
static volatile double sink;
static char *top_of_stack;

static void put(const void *data, size_t size) {
    if (write(samples, data, size) != (ssize_t)size) _exit(3);
}

static void put_words(const void *data, uint64_t count) {
    put(&count, sizeof count);
    put(data, count * 8);
}

static void put_registers(const ucontext_t *context) {
    const greg_t *registers = context->uc_mcontext.gregs;
    uint64_t words[3] = {registers[REG_RIP], registers[REG_RSP], registers[REG_RBP]};
    put(words, sizeof words);
}

static void on_step(int signal, siginfo_t *info, void *data) {
    static void *frames[FRAMES];
    static ucontext_t here;
    (void)signal, (void)info;
    ucontext_t *there = data;
    if (stop) there->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    int count = backtrace(frames, FRAMES);
    getcontext(&here);
    char *sp = (char *)there->uc_mcontext.gregs[REG_RSP];
    put_registers(there);
    put_registers(&here);
    put_words((void *)here.uc_mcontext.gregs[REG_RSP], HANDLER_WORDS);
    sp -= RED_ZONE;
    put_words(sp, (top_of_stack - sp) / 8);
    put_words(frames, count);
}

static void on_start(int signal, siginfo_t *info, void *data) {
    (void)signal, (void)info;
    ((ucontext_t *)data)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static int compare(const void *one, const void *other) {
    const double *a = one, *b = other;
    return (*a > *b) - (*a < *b);
}

__attribute__((noinline)) static double leaf(double x) { return x * 3 + 1; }

__attribute__((noinline)) static double deep(int depth, double x) {
    if (depth == 0) {
        double values[12];
        for (int i = 0; i < 12; i++) values[i] = (i * 7) % 12 + x;
        qsort(values, 12, sizeof *values, compare);
        return values[3] + pow(x + 1.5, 0.3) + sin(x);
    }
    return leaf(deep(depth - 1, x + depth)) + depth;
}

__attribute__((noinline)) static double variable(int count) {
    char *text = alloca(count * 16);
    memset(text, 'x', count * 16);
    snprintf(text, count * 16, "%d %s %.3f", count, "text", leaf(count));
    return strtod(text, NULL);
}

__attribute__((noinline)) static double aligned(int count) {
#ifdef WITHOUT_REALIGNMENT
    double values[8];
#else
    double values[8] __attribute__((aligned(64)));
#endif
    for (int i = 0; i < 8; i++) values[i] = leaf(i + count);
    char *more = alloca(count);
    memset(more, 1, count);
    return values[count & 7] + more[count / 2] + deep(2, count);
}

__attribute__((noinline)) static double large(int count) {
    volatile char bytes[100000];
    bytes[count] = 1;
    return bytes[count] + leaf(count);
}

static void copy(const char *from, const char *to) {
    static char buffer[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        if (write(out, buffer, n) != n) _exit(3);
    close(in), close(out);
}

static void copy_vdso(void) {
    uintptr_t start = getauxval(AT_SYSINFO_EHDR), from = 0, to = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps) && from != start) sscanf(line, "%lx-%lx", &from, &to);
    fclose(maps);
    int out = open("vdso", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (write(out, (void *)start, to - from) != (ssize_t)(to - from)) _exit(3);
    close(out);
}

int main(int argc, char **argv) {
    static char alternative[1 << 16];
    int on_alternative = argc > 1 && strcmp(argv[1], "alternative") == 0;
    // The kernel puts argc above the frame of _start.
    top_of_stack = (char *)argv;
    void *frames[4];
    backtrace(frames, 4);
    copy("/proc/self/maps", "maps");
    copy_vdso();
    samples = open("samples", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    stack_t stack = {.ss_sp = alternative, .ss_size = sizeof alternative};
    sigaltstack(&stack, NULL);
    int flags = SA_SIGINFO | (on_alternative ? SA_ONSTACK : 0);
    struct sigaction step = {.sa_sigaction = on_step, .sa_flags = flags};
    struct sigaction start = {.sa_sigaction = on_start, .sa_flags = flags};
    sigaction(SIGTRAP, &step, NULL);
    sigaction(SIGUSR1, &start, NULL);
    raise(SIGUSR1);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sink = deep(6, 0.25) + variable(9) + aligned(33) + large(500);
    stop = 1;
    sink += leaf(2);
    return 0;
}
