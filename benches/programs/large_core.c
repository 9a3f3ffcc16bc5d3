/*
 * Dies with so many GiB of memory in use and so many threads, each at a depth of its own: large_core GIB THREADS.
 * No page is all zeros, so that the kernel leaves none out of the core file.
 */

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int never[2];
static pthread_barrier_t all_there;
static volatile int calls;

__attribute__((noinline, noclone)) static void park(long depth) {
    char byte;
    if (depth > 0) {
        park(depth - 1);
    } else {
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

int main(int argc, char **argv) {
    if (argc != 3 || pipe(never) != 0)
        return 2;
    size_t size = strtoul(argv[1], NULL, 10) << 30;
    long threads = strtol(argv[2], NULL, 10);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 2;
    for (size_t page = 0; page < size; page += 4096)
        memory[page] = 1;
    pthread_barrier_init(&all_there, NULL, (unsigned)threads);
    for (long depth = 1; depth < threads; depth++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, run, (void *)depth) != 0)
            return 2;
    }
    pthread_barrier_wait(&all_there);
    usleep(50000);
    abort();
}
