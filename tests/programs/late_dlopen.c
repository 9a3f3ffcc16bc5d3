/*
 * Loads a library in the middle of its work: the first quarter of the CPU time (half a second when there is no
 * limit) goes to early_work, the rest to late_work of late_lib.so, which lies beside the program.
 * When the library is loaded it prints `loaded PATH`.
 */

#include "target.h"

#include <dlfcn.h>

static volatile uint64_t sink;

A_FUNCTION void early_work(int rounds) {
    LEAF_FRAME();
    uint64_t value = sink;
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 7)) * 31 + (uint64_t)round;
    sink = value;
}

static uint64_t (*load(void))(uint64_t, int) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 16);
    if (length < 0)
        exit(1);
    path[length] = 0;
    strcpy(strrchr(path, '/') + 1, "late_lib.so");
    void *library = dlopen(path, RTLD_NOW);
    uint64_t (*work)(uint64_t, int) = NULL;
    if (library != NULL)
        *(void **)&work = dlsym(library, "late_work");
    if (work == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    printf("loaded %s\n", path);
    fflush(stdout);
    return work;
}

int main(int argc, char **argv) {
    uint64_t early_ns = 0, late_ns = 0;
    uint64_t (*late_work)(uint64_t, int) = NULL;
    target_begin(argc, argv);
    uint64_t early_limit = target_limit != 0 ? target_limit / 4 : 500000000u;
    uint64_t before = thread_ns();
    while (target_goes_on()) {
        uint64_t *phase = early_ns < early_limit ? &early_ns : &late_ns;
        if (phase == &late_ns && late_work == NULL)
            late_work = load();
        if (phase == &early_ns)
            early_work(ROUNDS_PER_PIECE);
        else
            sink = late_work(sink, ROUNDS_PER_PIECE);
        uint64_t after = thread_ns();
        *phase += after - before;
        before = after;
    }
    printf("cpu total=%" PRIu64 " early=%" PRIu64 " late=%" PRIu64 "\n", target_used(), early_ns, late_ns);
    return 0;
}
