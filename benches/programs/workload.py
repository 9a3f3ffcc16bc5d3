"""The benchmark's Python program: two compressors and a hash in C libraries, and a loop in the interpreter.

Protocol as in workload.c. A profiler of native code tells the phases apart by the library they run in.
"""

import bz2
import hashlib
import os
import random
import sys
import threading
import time
import zlib

DATA = random.Random(7).randbytes(16 * 1024) * 4
spent = {"hashing": 0, "deflating": 0, "sorting_blocks": 0, "interpreting": 0}
stopped = False


def interpret():
    total = 0
    for number in range(20_000):
        total = (total ^ number) * 31 & 0xFFFF
    return total


PHASES = {
    "hashing": lambda: [hashlib.sha256(DATA).digest() for _ in range(16)],
    "deflating": lambda: zlib.compress(DATA, 6),
    "sorting_blocks": lambda: bz2.compress(DATA[: 4 * 1024], 1),
    "interpreting": interpret,
}


def work():
    draw = random.Random(1)
    names = list(PHASES)
    while not stopped:
        name = draw.choice(names)
        before = time.thread_time_ns()
        PHASES[name]()
        spent[name] += time.thread_time_ns() - before


def answer():
    phases = " ".join(f"{name}={ns}" for name, ns in spent.items())
    print(f"cpu total={time.process_time_ns()} {phases}", flush=True)


worker = threading.Thread(target=work)
worker.start()
print(f"ready {os.getpid()}", flush=True)
for _ in sys.stdin:
    answer()
stopped = True
worker.join()
answer()
