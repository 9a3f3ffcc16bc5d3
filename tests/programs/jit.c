/*
 * Code without an ELF file: writes a loop into an anonymous executable page, with a frame pointer as just-in-time
 * compilers keep one, and names it in /tmp/perf-PID.map, in the format of the Linux source's
 * tools/perf/Documentation/jit-interface.txt. The map is removed at the end.
 *
 * With `--file PATH` as the first arguments the code is in a file that is made there, and has no name. With `--arena` it is
 * in the middle of a memfd of 8 GiB, nearly all of which is a hole, as sandboxes have one for all of their memory.
 */

#include "loop_code.h"
#include "target.h"

#include <fcntl.h>
#include <sys/mman.h>

/* void loop(uint64_t rounds), rounds > 0 */
#if defined(__x86_64__)
static const unsigned char CODE[] = LOOP_CODE;
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

static void *anonymous_code(size_t page) {
    void *code = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return NULL;
    memcpy(code, CODE, sizeof CODE);
    __builtin___clear_cache((char *)code, (char *)code + sizeof CODE);
    return mprotect(code, page, PROT_READ | PROT_EXEC) == 0 ? code : NULL;
}

static void *code_in_file(const char *path, size_t page) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0700);
    if (file < 0 || write(file, CODE, sizeof CODE) != sizeof CODE)
        return NULL;
    void *code = mmap(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    return code == MAP_FAILED ? NULL : code;
}

static void *code_in_arena(size_t page) {
    size_t size = (size_t)8 << 30;
    int file = memfd_create("arena", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)size) != 0)
        return NULL;
    char *arena = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, file, 0);
    off_t middle = (off_t)(size / 2 + page);
    if (arena == MAP_FAILED || pwrite(file, CODE, sizeof CODE, middle) != sizeof CODE)
        return NULL;
    return arena + middle;
}

static int write_map(const char *path, const void *code) {
    FILE *map = fopen(path, "w");
    if (map == NULL)
        return 0;
    fprintf(map, "%" PRIxPTR " %zx jit_loop\n", (uintptr_t)code, sizeof CODE);
    return fclose(map) == 0;
}

int main(int argc, char **argv) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int in_file = argc > 2 && strcmp(argv[1], "--file") == 0;
    int in_arena = argc > 1 && strcmp(argv[1], "--arena") == 0;
    void *code = in_file ? code_in_file(argv[2], page) : in_arena ? code_in_arena(page) : anonymous_code(page);
    char map[64];
    snprintf(map, sizeof map, "/tmp/perf-%d.map", (int)getpid());
    if (code == NULL || (!in_file && !in_arena && !write_map(map, code)))
        return 1;

    int own = 2 * in_file + in_arena;
    target_begin(argc - own, argv + own);
    uint64_t start = thread_ns();
    while (target_goes_on())
        call_jit((void (*)(uint64_t))code);
    uint64_t loop_ns = thread_ns() - start;
    printf("cpu total=%" PRIu64 " jit_loop=%" PRIu64 "\n", target_used(), loop_ns);
    unlink(map);
    return 0;
}
