/*
 * A C++ program that knows its stack, as stacks.c does: exceptions on their way through ten functions, each of which
 * has something to destroy, and work in destructors and handlers.
 */

#include "target.h"

#include <stdexcept>
#include <string>

static const char stacks[] = "main < _start via libc.so\n"
                             "_start < !end\n"
                             "work < main\n"
                             "catching*1/2 < work\n"
                             "handled < catching\n";

enum { LEVELS = 10 };

static volatile uint64_t sink;

static inline __attribute__((always_inline)) void burn(int rounds) {
    uint64_t value = sink;
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 7)) * 31 + static_cast<uint64_t>(round);
    sink = value;
}

template <int Level> A_FUNCTION void destroying() {
    burn(20000);
    KEEP_FRAME();
}

template <int Level> struct Guard {
    ~Guard() { destroying<Level>(); }
};

template <int Level> A_FUNCTION void level(int rounds) {
    Guard<Level> guard;
    if constexpr (Level > 0)
        level<Level - 1>(rounds);
    else {
        burn(rounds / 8);
        throw std::runtime_error(std::to_string(rounds));
    }
    KEEP_FRAME();
}

A_FUNCTION void handled(const std::exception &error) {
    burn(20000 + error.what()[0]);
    KEEP_FRAME();
}

A_FUNCTION void catching(int rounds) {
    try {
        level<LEVELS>(rounds);
    } catch (const std::exception &error) {
        handled(error);
    }
    KEEP_FRAME();
}

A_FUNCTION void work() {
    while (target_goes_on())
        catching(target_rounds());
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--stacks") == 0) {
        fputs(stacks, stdout);
        /* _Unwind_Resume puts the way to the next level into its own frame before it gives up the frame of the last:
           for some instructions the stack has that level twice. */
        for (int level = LEVELS; level >= 0; level--) {
            if (level == LEVELS)
                printf("level<%d>*1/2 < catching\n", level);
            else
                printf("level<%d>*1/2 < level<%d>\n", level, level + 1);
            printf("destroying<%d> < level<%d>\n", level, level);
        }
        return 0;
    }
    target_begin(argc, argv);
    work();
    printf("cpu total=%" PRIu64 "\n", target_used());
    return 0;
}
