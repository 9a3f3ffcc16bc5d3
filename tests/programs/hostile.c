/*
 * Stacks that lead nowhere: hand-written code without unwind information that works with a frame pointer that points to
 * itself, with two that point to each other, and with stack pointers to where no memory is. It works in each of them in
 * turn. Built with IN_NO_FILE it runs a copy of that code in anonymous memory, where a walk goes by frame pointers.
 */

#include "target.h"

#include <sys/mman.h>

__asm__(".text\n"
        ".globl first_of_code\n"
        "first_of_code:\n"
        ".type self_pointing, @function\n"
        "self_pointing:\n"
        "    push %rbp\n"
        "    sub $16, %rsp\n"
        "    mov %rsp, (%rsp)\n"
        "    mov %rsp, %rbp\n"
        "1:  dec %rdi\n"
        "    jnz 1b\n"
        "    add $16, %rsp\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size self_pointing, . - self_pointing\n"
        /* Two frames, 8 KiB apart, each the caller of the other. */
        ".type circle, @function\n"
        "circle:\n"
        "    push %rbp\n"
        "    sub $8208, %rsp\n"
        "    orl $0, 4096(%rsp)\n"
        "    lea 8192(%rsp), %rax\n"
        "    lea 1f(%rip), %rdx\n"
        "    mov %rax, (%rsp)\n"
        "    mov %rdx, 8(%rsp)\n"
        "    mov %rsp, (%rax)\n"
        "    mov %rdx, 8(%rax)\n"
        "    mov %rsp, %rbp\n"
        "1:  dec %rdi\n"
        "    jnz 1b\n"
        "    add $8208, %rsp\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size circle, . - circle\n"
        ".type nowhere, @function\n"
        "nowhere:\n"
        "    mov %rsp, %rax\n"
        "    mov $4096, %esp\n"
        "1:  dec %rdi\n"
        "    jnz 1b\n"
        "    mov %rax, %rsp\n"
        "    ret\n"
        ".size nowhere, . - nowhere\n"
        ".type not_canonical, @function\n"
        "not_canonical:\n"
        "    mov %rsp, %rax\n"
        "    movabs $0x8000000000000000, %rsp\n"
        "    mov %rsp, %rbp\n"
        "1:  dec %rdi\n"
        "    jnz 1b\n"
        "    mov %rax, %rsp\n"
        "    xor %ebp, %ebp\n"
        "    ret\n"
        ".size not_canonical, . - not_canonical\n"
        /* Where the kernel's text may be. */
        ".type in_kernel, @function\n"
        "in_kernel:\n"
        "    mov %rsp, %rax\n"
        "    mov $-0x7f000000, %rsp\n"
        "    mov %rsp, %rbp\n"
        "1:  dec %rdi\n"
        "    jnz 1b\n"
        "    mov %rax, %rsp\n"
        "    xor %ebp, %ebp\n"
        "    ret\n"
        ".size in_kernel, . - in_kernel\n"
        ".globl end_of_code\n"
        "end_of_code:\n");

extern const char first_of_code[], end_of_code[];
extern void self_pointing(uint64_t), circle(uint64_t), nowhere(uint64_t), not_canonical(uint64_t), in_kernel(uint64_t);

static void (*const ALL[])(uint64_t) = {self_pointing, circle, nowhere, not_canonical, in_kernel};

/* Calls the function, or its copy; rbp is not what the compiler thinks it is afterwards. */
static A_FUNCTION void call(const char *code, void (*function)(uint64_t)) {
    uintptr_t at = (uintptr_t)code + ((uintptr_t)function - (uintptr_t)first_of_code);
    uint64_t rounds = (uint64_t)target_rounds();
    __asm__ volatile("push %%rbp\n call *%1\n pop %%rbp" : "+D"(rounds) : "r"(at) : "rax", "rdx", "memory", "cc");
}

int main(int argc, char **argv) {
    const char *code = first_of_code;
#ifdef IN_NO_FILE
    size_t size = (size_t)(end_of_code - first_of_code);
    char *copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return 1;
    memcpy(copy, first_of_code, size);
    if (mprotect(copy, size, PROT_READ | PROT_EXEC) != 0)
        return 1;
    code = copy;
#endif
    target_begin(argc, argv);
    for (size_t next = 0; target_goes_on(); next++)
        call(code, ALL[next % (sizeof ALL / sizeof ALL[0])]);
    printf("cpu total=%" PRIu64 "\n", target_used());
    return 0;
}
