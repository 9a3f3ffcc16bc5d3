//! The programs that are profiled, and how their phases are recognised in a stack.
//!
//! Their sources, in `benches/programs/`, say what each phase does.

use super::workload::{Build, Phase, Workload};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "c",
        about: "C, gcc -O2 -g without frame pointers, 2 threads taking turns, libm, qsort, recursion 200 deep, \
                a library loaded while it is profiled",
        builds: &[
            Build {
                output: "workload-c",
                command: &[
                    "gcc",
                    "-O2",
                    "-g",
                    "-Wall",
                    "-Wextra",
                    "-pthread",
                    "workload.c",
                    "-lm",
                    "-ldl",
                    "-o",
                ],
            },
            Build {
                output: "workload_library.so",
                command: &[
                    "gcc",
                    "-O2",
                    "-g",
                    "-Wall",
                    "-Wextra",
                    "-shared",
                    "-fPIC",
                    "workload_library.c",
                    "-o",
                ],
            },
        ],
        run: &["$workload-c", "$workload_library.so"],
        phases: &[
            phase("math", "phase_math", &[], &["libm.so"]),
            phase(
                "descent",
                "phase_descent",
                &["descent_bottom", "descend"],
                &[],
            ),
            phase(
                "sorting",
                "phase_sorting",
                &["sorting_compare"],
                &["libc.so"],
            ),
            phase("hashing", "phase_hashing", &["hashing_inner"], &[]),
            phase(
                "library",
                "phase_library",
                &["library_inner"],
                &["workload_library.so"],
            ),
        ],
        roots: &["work_thread", "start_thread", "clone", "main", "_start"],
    },
    Workload {
        name: "rust",
        about: "Rust, optimized, line tables, without frame pointers: generic sorting, SipHash, a matrix product, \
                closures 60 deep",
        builds: &[Build {
            output: "workload-rust",
            command: &[
                "rustc",
                "--edition",
                "2024",
                "-C",
                "opt-level=3",
                "-C",
                "debuginfo=line-tables-only",
                "workload.rs",
                "-o",
            ],
        }],
        run: &["$workload-rust"],
        phases: &[
            phase("sorting", "phase_sorting", &["sort"], &[]),
            phase("hashing", "phase_hashing", &["Hasher", "hash::sip"], &[]),
            phase("matrix", "phase_matrix", &["matrix_multiply"], &[]),
            phase("closures", "phase_closures", &["closures_"], &[]),
        ],
        roots: &[
            "workload::work",
            "start_thread",
            "clone",
            "workload::main",
            "_start",
        ],
    },
    Workload {
        name: "go",
        about: "Go without cgo: sorting, SHA-256 in assembly, a map, trees for the garbage collector; \
                functions of the runtime serve several phases, so the leaf alone cannot place all of them",
        builds: &[Build {
            output: "workload-go",
            command: &["go", "build", "-o"],
        }],
        run: &["$workload-go"],
        phases: &[
            phase("sorting", "main.phaseSorting", &["sort."], &[]),
            phase("hashing", "main.phaseHashing", &["sha256"], &[]),
            phase(
                "mapping",
                "main.phaseMapping",
                &["runtime.map", "memhash", "main.next"],
                &[],
            ),
            phase(
                "growing",
                "main.phaseGrowing",
                &[
                    "main.growTree",
                    "runtime.mallocgc",
                    "runtime.newobject",
                    "runtime.nextFreeFast",
                ],
                &[],
            ),
        ],
        roots: &[
            "main.work",
            "runtime.gcBgMarkWorker",
            "runtime.goexit",
            "runtime.mstart",
            "main.main",
        ],
    },
    Workload {
        name: "python",
        about: "Debian's CPython, stripped, without frame pointers: hashlib, zlib, bz2 and a loop in the interpreter; \
                phases told apart by library",
        builds: &[],
        run: &["/usr/bin/python3", "workload.py"],
        phases: &[
            in_library("hashing", &["libcrypto.so"]),
            in_library("deflating", &["libz.so"]),
            in_library("sorting_blocks", &["libbz2.so"]),
            // Last: the interpreter is below the other three, too.
            in_library("interpreting", &["python3"]),
        ],
        roots: &["start_thread", "clone", "_start"],
    },
];

const fn phase(
    name: &'static str,
    function: &'static str,
    leaves: &'static [&'static str],
    binaries: &'static [&'static str],
) -> Phase {
    Phase {
        name,
        function: Some(function),
        leaves,
        binaries,
    }
}

const fn in_library(name: &'static str, binaries: &'static [&'static str]) -> Phase {
    Phase {
        name,
        function: None,
        leaves: &[],
        binaries,
    }
}
