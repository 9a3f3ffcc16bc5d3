/*
 * Code that no file holds: writes a loop into an anonymous executable page, with a frame pointer as just-in-time
 * compilers keep one, and names it in /tmp/perf-PID.map, in the format of the Linux source's
 * tools/perf/Documentation/jit-interface.txt. The map is removed at the end.
 */

#include "target.h"

#include <sys/mman.h>

/* void loop(uint64_t rounds), rounds > 0 */
#if defined(__x86_64__)
static const unsigned char CODE[] = {
    0x55,             /*    push %rbp       */
    0x48, 0x89, 0xe5, /*    mov  %rsp, %rbp */
    0x48, 0xff, 0xcf, /* 1: dec  %rdi       */
    0x75, 0xfb,       /*    jnz  1b         */
    0x5d,             /*    pop  %rbp       */
    0xc3,             /*    ret             */
};
#elif defined(__aarch64__)
static const uint32_t CODE[] = {
    0xa9bf7bfd, /*    stp  x29, x30, [sp, #-16]! */
    0x910003fd, /*    mov  x29, sp               */
    0xf1000400, /* 1: subs x0, x0, #1            */
    0x54ffffe1, /*    b.ne 1b                    */
    0xa8c17bfd, /*    ldp  x29, x30, [sp], #16   */
    0xd65f03c0, /*    ret                        */
};
#else
#error "no machine code for this architecture yet"
#endif

A_FUNCTION void call_jit(void (*loop)(uint64_t)) {
    loop(ROUNDS_PER_PIECE);
    KEEP_FRAME();
}

int main(int argc, char **argv) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *code = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return 1;
    memcpy(code, CODE, sizeof CODE);
    __builtin___clear_cache((char *)code, (char *)code + sizeof CODE);
    if (mprotect(code, page, PROT_READ | PROT_EXEC) != 0)
        return 1;
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "w");
    if (map == NULL)
        return 1;
    fprintf(map, "%" PRIxPTR " %zx jit_loop\n", (uintptr_t)code, sizeof CODE);
    fclose(map);

    target_begin(argc, argv);
    uint64_t start = thread_ns();
    while (target_goes_on())
        call_jit((void (*)(uint64_t))code);
    uint64_t loop_ns = thread_ns() - start;
    printf("cpu total=%" PRIu64 " jit_loop=%" PRIu64 "\n", target_used(), loop_ns);
    unlink(path);
    return 0;
}
