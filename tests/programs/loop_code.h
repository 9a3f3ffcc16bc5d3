/*
 * What a compiler at run time would write: void loop(uint64_t rounds), rounds > 0, with a frame pointer, for x86-64.
 */

#ifndef LOOP_CODE_H
#define LOOP_CODE_H

#define LOOP_CODE {                                  \
    0x55,             /*    push %rbp       */       \
    0x48, 0x89, 0xe5, /*    mov  %rsp, %rbp */       \
    0x48, 0xff, 0xcf, /* 1: dec  %rdi       */       \
    0x75, 0xfb,       /*    jnz  1b         */       \
    0x5d,             /*    pop  %rbp       */       \
    0xc3,             /*    ret             */       \
}

#endif
