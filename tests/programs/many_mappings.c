/*
 * Has 100,000 mappings that can be executed, each a page with a page that cannot be executed behind it, and works in code
 * of its own. The limit `vm.max_map_count` must allow twice as many.
 */

#include "target.h"

#include <sys/mman.h>

enum { MAPPINGS = 100000 };

static volatile uint64_t sink;

A_FUNCTION void bottom(int rounds) {
    uint64_t value = sink;
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 7)) * 31 + (uint64_t)round;
    sink = value;
}

A_FUNCTION void middle(int rounds) {
    bottom(rounds);
    KEEP_FRAME();
}

int main(int argc, char **argv) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *all = mmap(NULL, 2 * MAPPINGS * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return 1;
    for (size_t number = 0; number < MAPPINGS; number++) {
        if (mprotect(all + 2 * number * page, page, PROT_READ | PROT_EXEC) != 0) {
            perror("mprotect");
            return 1;
        }
    }
    target_begin(argc, argv);
    while (target_goes_on())
        middle(target_rounds());
    printf("cpu total=%" PRIu64 "\n", target_used());
    return 0;
}
