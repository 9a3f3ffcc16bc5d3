/*
 * One process that is three programs in turn: each stage executes the program anew, so all mappings change while
 * the process id stays. Each stage has a function of its own and a third of the CPU time (a third of a second
 * for the first two when there is no limit).
 *
 * The kernel's count of the process's CPU time goes on over an exec, so the last stage knows the sum. Between the
 * stages the figures travel as arguments: `--stage N START LIMIT STAGE1_NS STAGE2_NS`.
 */

#include "target.h"

enum { STAGES = 3 };

static volatile uint64_t sink;

A_FUNCTION void turn(int rounds) {
    LEAF_FRAME();
    uint64_t value = sink;
    for (int round = 0; round < rounds; round++)
        value = (value ^ (value >> 7)) * 31 + (uint64_t)round;
    sink = value;
}

A_FUNCTION void first_stage(void) {
    turn(ROUNDS_PER_PIECE);
    KEEP_FRAME();
}

A_FUNCTION void second_stage(void) {
    turn(ROUNDS_PER_PIECE + 1);
    KEEP_FRAME();
}

A_FUNCTION void third_stage(void) {
    turn(ROUNDS_PER_PIECE + 2);
    KEEP_FRAME();
}

static void execute(int stage, const uint64_t *spent) {
    char text[5][32];
    snprintf(text[0], sizeof text[0], "%d", stage);
    snprintf(text[1], sizeof text[1], "%" PRIu64, target_start);
    snprintf(text[2], sizeof text[2], "%" PRIu64, target_limit);
    snprintf(text[3], sizeof text[3], "%" PRIu64, spent[0]);
    snprintf(text[4], sizeof text[4], "%" PRIu64, spent[1]);
    execl("/proc/self/exe", "exec_chain", "--stage", text[0], text[1], text[2], text[3], text[4], (char *)NULL);
    exit(1);
}

int main(int argc, char **argv) {
    void (*const work[STAGES])(void) = {first_stage, second_stage, third_stage};
    uint64_t spent[STAGES] = {0, 0, 0};
    int stage = 0;
    if (argc == 7 && strcmp(argv[1], "--stage") == 0) {
        stage = atoi(argv[2]);
        target_start = strtoull(argv[3], NULL, 10);
        target_limit = strtoull(argv[4], NULL, 10);
        spent[0] = strtoull(argv[5], NULL, 10);
        spent[1] = strtoull(argv[6], NULL, 10);
    } else {
        target_begin(argc, argv);
    }
    uint64_t share = target_limit != 0 ? target_limit / STAGES : 333000000u;
    int is_last = stage == STAGES - 1;
    uint64_t start = thread_ns();
    while (is_last ? target_goes_on() : spent[stage] < share) {
        work[stage]();
        spent[stage] = thread_ns() - start;
    }
    if (!is_last)
        execute(stage + 1, spent);
    printf("cpu total=%" PRIu64 " first_stage=%" PRIu64 " second_stage=%" PRIu64 " third_stage=%" PRIu64 "\n",
           target_used(), spent[0], spent[1], spent[2]);
    return 0;
}
