/*
 * CPU time in the kernel: half of it reading /dev/zero, half in getppid, which does next to nothing but enter
 * and leave the kernel.
 */

#include "target.h"

#include <fcntl.h>
#include <sys/syscall.h>

static char buffer[1 << 16];

A_FUNCTION void read_zeros(int file) {
    for (int i = 0; i < 64; i++)
        if (read(file, buffer, sizeof buffer) < 0)
            exit(1);
    KEEP_FRAME();
}

/* By number, so that no C library can answer from memory. */
A_FUNCTION void ask_for_parent(void) {
    for (int i = 0; i < 4000; i++)
        syscall(SYS_getppid);
    KEEP_FRAME();
}

int main(int argc, char **argv) {
    uint64_t zeros_ns = 0, parent_ns = 0;
    int file = open("/dev/zero", O_RDONLY);
    if (file < 0)
        return 1;
    target_begin(argc, argv);
    uint64_t before = thread_ns();
    while (target_goes_on()) {
        uint64_t *phase = zeros_ns <= parent_ns ? &zeros_ns : &parent_ns;
        if (phase == &zeros_ns)
            read_zeros(file);
        else
            ask_for_parent();
        uint64_t after = thread_ns();
        *phase += after - before;
        before = after;
    }
    printf("cpu total=%" PRIu64 " read_zeros=%" PRIu64 " ask_for_parent=%" PRIu64 "\n", target_used(), zeros_ns,
           parent_ns);
    return 0;
}
