/*
 * Names that need demangling: a namespace, a class template behind a virtual call, a function template, a
 * lambda. Each of the three phases gets a third of the CPU time.
 */

#include "target.h"

namespace shapes {

static volatile uint64_t sink;

class Worker {
public:
    virtual ~Worker() = default;
    virtual void run(int rounds) = 0;
};

template <typename Number> class Mixer : public Worker {
public:
    A_FUNCTION void run(int rounds) override {
        LEAF_FRAME();
        Number value = static_cast<Number>(sink);
        for (int round = 0; round < rounds; round++)
            value = (value ^ (value >> 7)) * 31 + static_cast<Number>(round);
        sink = value;
    }
};

template <typename Number, int Factor> A_FUNCTION void scale(int rounds) {
    LEAF_FRAME();
    Number value = static_cast<Number>(sink);
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 9)) * Factor + static_cast<Number>(round);
    sink = value;
    KEEP_FRAME();
}

template <typename Work> A_FUNCTION void apply(Work work, int rounds) {
    work(rounds);
    KEEP_FRAME();
}

A_FUNCTION void with_lambda(int rounds) {
    uint64_t salt = sink | 1;
    /* The attributes keep the lambda's own function, which the optimizer would dissolve into apply. */
    auto work = [salt](int count) __attribute__((noinline, noclone)) {
        LEAF_FRAME();
        uint64_t value = salt;
        for (int round = 0; round < count; round++)
            value = (value ^ (value >> 11)) * 37 + static_cast<uint64_t>(round);
        sink = value;
    };
    apply(work, rounds);
    KEEP_FRAME();
}

} // namespace shapes

int main(int argc, char **argv) {
    uint64_t spent[3] = {0, 0, 0};
    shapes::Mixer<unsigned long> mixer;
    /* volatile, so that the call stays a virtual one */
    shapes::Worker *volatile worker = &mixer;
    target_begin(argc, argv);
    uint64_t before = thread_ns();
    while (target_goes_on()) {
        int phase = spent[0] <= spent[1] && spent[0] <= spent[2] ? 0 : spent[1] <= spent[2] ? 1 : 2;
        if (phase == 0)
            worker->run(ROUNDS_PER_PIECE);
        else if (phase == 1)
            shapes::scale<unsigned int, 33>(ROUNDS_PER_PIECE);
        else
            shapes::with_lambda(ROUNDS_PER_PIECE);
        uint64_t after = thread_ns();
        spent[phase] += after - before;
        before = after;
    }
    printf("cpu total=%" PRIu64 " virtual=%" PRIu64 " template=%" PRIu64 " lambda=%" PRIu64 "\n", target_used(),
           spent[0], spent[1], spent[2]);
    return 0;
}
