//! The programs that are recorded, and what is to be reached in each.
//!
//! Those that know their stack are target programs of the end-to-end suite (`tests/programs/stacks.*`); the others are
//! what this machine has, at work on sources that are written here.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::unwind::walks;
use crate::command;

/// One program.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The command. A word with a `$` is a target program, which is told for how long to work.
    words: &'static [&'static str],
    /// Whether it prints who calls whom in it with `--stacks`.
    pub(super) knows_its_stack: bool,
    /// Percent of stacks that are to be whole.
    pub(super) goal: f64,
    /// Names of the processes, if there are many short ones: perf sees those only when it records all of the machine.
    pub(super) short_lived: Option<&'static str>,
}

pub(super) const CORPUS: &[Program] = &[
    knowing(
        "c",
        "gcc -O2 without frame pointers: recursion 200 deep, qsort, libm, a library loaded meanwhile, two threads, \
         signals on both kinds of stack, longjmp, alloca, aligned and large frames, tail calls",
        &["$stacks"],
    ),
    knowing(
        "c++",
        "g++ -O2 without frame pointers: exceptions on their way through eleven functions with destructors",
        &["$stacks-cpp"],
    ),
    knowing(
        "rust",
        "optimized, without frame pointers: recursion, sorting, trait objects, panics on their way, two threads",
        &["$stacks-rust"],
    ),
    knowing(
        "rust-abort",
        "the same with panic=abort, no unwind tables, and frame pointers",
        &["$stacks-rust-abort-fp"],
    ),
    knowing(
        "go",
        "Debian's Go: recursion, growing stacks, sorting, garbage, goroutines, cgo into C without frame pointers",
        &["$stacks-go"],
    ),
    knowing(
        "go-current",
        "the same by the current Go",
        &["$stacks-go-current"],
    ),
    real(
        "python3",
        "json, re, sorting, hashing, recursion",
        &["/usr/bin/python3", "program.py"],
        99.0,
    ),
    real(
        "node",
        "JSON, sorting, regular expressions, hashing, recursion; compiled while it runs",
        &["node", "program.js"],
        99.0,
    ),
    Program {
        short_lived: Some("sh,ls,grep,cat"),
        ..real(
            "sh",
            "a loop that runs ls, grep and cat 500 times",
            &["/bin/sh", "program.sh"],
            99.5,
        )
    },
    real(
        "gcc",
        "a file of 900 functions, -O2",
        &["gcc", "-O2", "-c", "program.c", "-o", "program-c.o"],
        99.0,
    ),
    real(
        "rustc",
        "a file of 160 functions, -O",
        &[
            "rustc",
            "-O",
            "--crate-type",
            "lib",
            "--emit",
            "obj",
            "-C",
            "codegen-units=1",
            "program.rs",
            "-o",
            "program-rs.o",
        ],
        99.0,
    ),
];

const fn knowing(
    name: &'static str,
    about: &'static str,
    words: &'static [&'static str],
) -> Program {
    Program {
        name,
        about,
        words,
        knows_its_stack: true,
        goal: 99.5,
        short_lived: None,
    }
}

const fn real(
    name: &'static str,
    about: &'static str,
    words: &'static [&'static str],
    goal: f64,
) -> Program {
    Program {
        name,
        about,
        words,
        knows_its_stack: false,
        goal,
        short_lived: None,
    }
}

impl Program {
    /// The words of the command that is recorded.
    pub(super) fn command(&self, fixtures: &Path, seconds: u32) -> Result<Vec<String>> {
        if let Some(name) = self.words[0].strip_prefix('$') {
            let program = fixtures.join(name).to_string_lossy().into_owned();
            return Ok(vec![program, seconds.to_string()]);
        }
        let mut words: Vec<String> = self.words.iter().map(|word| (*word).to_owned()).collect();
        if self.words[0] == "rustc" {
            // Not rustup's, which would start it.
            let sysroot = command::read(Command::new("rustc").args(["--print", "sysroot"]))?;
            words[0] = format!("{}/bin/rustc", sysroot.trim());
        }
        Ok(words)
    }
}

/// Writes what the programs work on.
pub(super) fn write_sources(directory: &Path) -> Result<()> {
    let sources = [
        ("program.py", PYTHON.to_owned()),
        ("program.js", JAVASCRIPT.to_owned()),
        ("program.sh", SHELL.to_owned()),
        ("program.c", c()),
        ("program.rs", walks::program(160)),
    ];
    for (name, text) in sources {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}

const PYTHON: &str = "\
import hashlib, json, re, time
end = time.process_time() + 4
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
while time.process_time() < end:
    fib(15)
    json.loads(json.dumps({str(i): [i] * 3 for i in range(500)}))
    hashlib.sha256(b'x' * 100000).digest()
    re.sub(r'(a|b)+c', 'x', 'ababab' * 300)
    sorted(range(3000), key=lambda number: -number)
";

const JAVASCRIPT: &str = "\
const crypto = require('crypto');
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
let sum = 0;
while (process.cpuUsage().user < 4e6) {
  const table = {};
  for (let i = 0; i < 2000; i++) table['k' + i] = [i, String(i)];
  sum += fib(20) + JSON.stringify(JSON.parse(JSON.stringify(table))).length;
  sum += /(a+)+b/.test('aaaaaaaaaaaaaac') ? 1 : 0;
  sum += [...Array(3000).keys()].sort((a, b) => b - a)[0];
  crypto.createHash('sha256').update('x'.repeat(20000)).digest();
}
";

const SHELL: &str = "\
i=0
while [ $i -lt 500 ]; do
  ls /usr/lib >/dev/null
  echo hello | grep -q ell
  cat /etc/passwd >/dev/null
  i=$((i + 1))
done
";

/// Something that takes a compiler some seconds.
fn c() -> String {
    let mut text = "#include <stdio.h>\n#include <string.h>\n".to_owned();
    for number in 0..900 {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "int f{number}(int *a, int n) {{\n  int s = 0;\n  for (int i = 0; i < n; i++) {{\n    \
             if (a[i] % {modulus} > 2) s += a[i] * {number};\n    else s ^= a[(i * {modulus}) % n];\n    \
             switch (s % 7) {{\n    case 1: s += printf(\"%d\", s); break;\n    case 2: s -= (int)strlen(\"abc\"); break;\n    \
             default: s *= 3;\n    }}\n  }}\n  return s;\n}}",
            modulus = number + 3,
        );
    }
    text
}
