/*
 * Loads a library, works in it, unloads it and loads another, which then lies at the same address; in turns of 200 ms of CPU
 * time. The libraries are first_lib.so and second_lib.so beside the program: late_lib.c twice, with other names of
 * functions. It prints `moved` when the second was not put in the place of the first.
 */

#include "target.h"

#include <dlfcn.h>

#define TURN_NS 200000000u

static volatile uint64_t sink;

static void *load(const char *name, const char *function, uint64_t (**work)(uint64_t, int)) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 32);
    if (length < 0)
        exit(1);
    path[length] = 0;
    strcpy(strrchr(path, '/') + 1, name);
    void *library = dlopen(path, RTLD_NOW);
    *work = NULL;
    if (library != NULL)
        *(void **)work = dlsym(library, function);
    if (*work == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return library;
}

int main(int argc, char **argv) {
    uint64_t spent[2] = {0, 0};
    uint64_t (*work)(uint64_t, int) = NULL;
    uint64_t (*place)(uint64_t, int) = NULL;
    void *library = NULL;
    int turn = 0;
    target_begin(argc, argv);
    uint64_t before = thread_ns(), begun = 0;
    while (target_goes_on()) {
        if (library == NULL || before - begun > TURN_NS) {
            if (library != NULL) {
                dlclose(library);
                turn = !turn;
            }
            library = load(turn ? "second_lib.so" : "first_lib.so", turn ? "second_work" : "first_work", &work);
            if (place != NULL && place != work)
                printf("moved\n");
            place = work;
            begun = before;
        }
        sink = work(sink, ROUNDS_PER_PIECE);
        uint64_t after = thread_ns();
        spent[turn] += after - before;
        before = after;
    }
    printf("cpu total=%" PRIu64 " first=%" PRIu64 " second=%" PRIu64 "\n", target_used(), spent[0], spent[1]);
    return 0;
}
