/*
 * What programs do with their own text: main → outer → work → middle → leaf, each in pages of its own, and at a time
 * part of that is replaced. No frame pointers, so the stack can only be walked by the tables of the file.
 *
 *     own_text HOW [--late] [--wait] [SECONDS]
 *
 * HOW is a part of the text that is copied to anonymous memory in the same place, as programs do that want it on huge
 * pages: `head`, `middle`, `tail` or `whole`; with `-moved` behind it the memory is filled elsewhere, and moved there.
 * `punch` unmaps pages in the middle that nothing is in. `compile` maps anonymous memory over the page of a function,
 * `victim`, and writes other code there, and with `compile-map` its name, compiled_loop, into /tmp/perf-PID.map.
 * `nothing` changes nothing, but calls `probed` all the time, for a test to put a probe there, and `first_byte`, which is
 * in its first instruction all the time.
 * With --late that happens in the middle of the work, after 300 ms of it, else before it is ready.
 */

#include "loop_code.h"
#include "target.h"

#include <link.h>
#include <sys/mman.h>

#ifndef __x86_64__
#error "no machine code for this architecture yet"
#endif

enum { PAGE = 4096, WORK_BEFORE = 300000000 };

#define IN_OWN_PAGES __attribute__((noinline, noclone, aligned(4096)))

static volatile uint64_t sink;

/* Different work each, so that each has instructions of its own in many places. */
IN_OWN_PAGES uint64_t leaf(uint64_t seed, int rounds) {
    for (int round = 0; round < rounds; round++)
        seed = (seed ^ (seed >> 31)) * 0xff51afd7ed558ccdu + (uint64_t)round;
    return seed;
}

/* Room that nothing is in. */
__asm__(".text\n.balign 4096\nnothing_here: .skip 8192\n.size nothing_here, 8192\n");
extern char nothing_here[] __attribute__((visibility("hidden")));

IN_OWN_PAGES uint64_t middle(uint64_t seed, int rounds) {
    uint64_t result = leaf(seed, rounds);
    KEEP_FRAME();
    return result + 1;
}

IN_OWN_PAGES uint64_t work(int rounds) {
    sink = middle(sink, rounds);
    KEEP_FRAME();
    return sink;
}

/* void victim(uint64_t rounds), until it is replaced by the same with a frame pointer; in a page of its own, as ld sorts these
 * sections by name. */
__attribute__((section(".text.sorted.1"), aligned(4096))) A_FUNCTION void victim(uint64_t rounds) {
    for (uint64_t round = 0; round < rounds; round++)
        sink = sink * 3 + round;
}
__asm__(".section .text.sorted.2, \"ax\"\n.balign 4096\nnop\n.text\n");

A_FUNCTION void call_victim(uint64_t rounds) {
    victim(rounds);
    KEEP_FRAME();
}

/* Its first instruction does not only jump or push: those the kernel does for a probe without running them. */
A_FUNCTION uint64_t probed(uint64_t value) { return value * 5 + 1; }

A_FUNCTION void call_probed(int rounds) {
    for (int round = 0; round < rounds; round++)
        sink = probed(sink);
}

/* Right behind another function. The loop is one instruction, which counts down the fourth argument, rounds > 0: of two, it is
 * up to the processor which one interrupts are taken at. */
__asm__(".text\n"
        ".type before_first_byte, @function\nbefore_first_byte:\n.cfi_startproc\n ret\n.cfi_endproc\n"
        ".size before_first_byte, . - before_first_byte\n"
        ".type first_byte, @function\nfirst_byte:\n.cfi_startproc\n loop first_byte\n ret\n.cfi_endproc\n"
        ".size first_byte, . - first_byte\n");
extern void first_byte(uint64_t, uint64_t, uint64_t, uint64_t rounds) __attribute__((visibility("hidden")));

A_FUNCTION void call_first_byte(uint64_t rounds) {
    first_byte(0, 0, 0, rounds);
    KEEP_FRAME();
}

static const unsigned char COMPILED[] = LOOP_CODE;

static char map[64];

static void compile(int with_map) {
    void *code = (void *)victim;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(code, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) != code)
        exit(1);
    memcpy(code, COMPILED, sizeof COMPILED);
    if (mprotect(code, PAGE, PROT_READ | PROT_EXEC) != 0)
        exit(1);
    if (with_map) {
        snprintf(map, sizeof map, "/tmp/perf-%d.map", (int)getpid());
        FILE *file = fopen(map, "w");
        if (file == NULL)
            exit(1);
        fprintf(file, "%" PRIxPTR " %zx compiled_loop\n", (uintptr_t)code, sizeof COMPILED);
        fclose(file);
    }
}

/*
 * void put_over(void *to, size_t size, void *from): mmap(to, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE |
 * MAP_ANONYMOUS | MAP_FIXED, -1, 0), then a copy. It is run in another place, as the text that called it is away meanwhile.
 */
__asm__(".text\nput_over_start:\n"
        "push %rdi\n push %rsi\n push %rdx\n"
        "mov $7, %edx\n mov $0x32, %r10d\n mov $-1, %r8\n xor %r9d, %r9d\n mov $9, %eax\n syscall\n"
        "pop %rsi\n pop %rcx\n pop %rdi\n rep movsb\n ret\n"
        "put_over_end:\n");
extern char put_over_start[] __attribute__((visibility("hidden")));
extern char put_over_end[] __attribute__((visibility("hidden")));

static void *anonymous(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    return memory;
}

static void copy_over(char *to, size_t size) {
    char *copy = anonymous(size), *code = anonymous(PAGE);
    memcpy(copy, to, size);
    memcpy(code, put_over_start, (size_t)(put_over_end - put_over_start));
    mprotect(code, PAGE, PROT_READ | PROT_EXEC);
    ((void (*)(void *, size_t, void *))code)(to, size, copy);
    if (mprotect(to, size, PROT_READ | PROT_EXEC) != 0)
        exit(1);
    munmap(copy, size);
    munmap(code, PAGE);
}

static void move_over(char *to, size_t size) {
    char *copy = anonymous(size);
    memcpy(copy, to, size);
    if (mprotect(copy, size, PROT_READ | PROT_EXEC) != 0)
        exit(1);
    if (mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
        exit(1);
}

/* The executable segment of this program, which is the first object. */
static int find_text(struct dl_phdr_info *info, size_t size, void *result) {
    (void)size;
    char **text = result;
    for (int index = 0; index < info->dlpi_phnum; index++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[index];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_X) != 0) {
            uintptr_t start = info->dlpi_addr + header->p_vaddr;
            text[0] = (char *)(start & ~(uintptr_t)(PAGE - 1));
            text[1] = (char *)((start + header->p_memsz + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
        }
    }
    return 1;
}

static void change(const char *how) {
    char *text[2] = {NULL, NULL};
    dl_iterate_phdr(find_text, text);
    size_t quarter = (size_t)(text[1] - text[0]) / PAGE / 4 * PAGE;
    char *start = text[0], *limit = text[1];
    if (strncmp(how, "head", 4) == 0)
        limit = start + 2 * quarter;
    else if (strncmp(how, "tail", 4) == 0)
        start += 2 * quarter;
    else if (strncmp(how, "middle", 6) == 0)
        start += quarter, limit -= quarter;
    else if (strncmp(how, "whole", 5) != 0)
        start = limit;

    if (start < limit && strstr(how, "-moved") != NULL)
        move_over(start, (size_t)(limit - start));
    else if (start < limit)
        copy_over(start, (size_t)(limit - start));
    else if (strcmp(how, "punch") == 0)
        munmap(nothing_here, 2 * PAGE);
    else if (strncmp(how, "compile", 7) == 0)
        compile(strcmp(how, "compile-map") == 0);
    else if (strcmp(how, "nothing") != 0)
        exit(2);
}

A_FUNCTION void outer(const char *how, int is_late, uint64_t *before_ns) {
    int changed = !is_late;
    while (target_goes_on()) {
        if (!changed && target_used() > WORK_BEFORE) {
            change(how);
            changed = 1;
        }
        work(target_rounds());
        if (strncmp(how, "compile", 7) == 0)
            call_victim(ROUNDS_PER_PIECE);
        if (strcmp(how, "nothing") == 0) {
            call_probed(ROUNDS_PER_PIECE / 100);
            call_first_byte(ROUNDS_PER_PIECE / 4);
        }
        if (!changed)
            *before_ns = target_used();
    }
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    const char *how = argv[1];
    int is_late = argc > 2 && strcmp(argv[2], "--late") == 0;
    uint64_t before_ns = 0;
    if (!is_late)
        change(how);
    target_begin(argc - 1 - is_late, argv + 1 + is_late);
    outer(how, is_late, &before_ns);
    printf("cpu total=%" PRIu64 " before=%" PRIu64 "\n", target_used(), before_ns);
    if (map[0] != 0)
        unlink(map);
    return 0;
}
