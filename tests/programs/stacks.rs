//! Rust target program that knows its stack, as stacks.c does: recursion, sorting with a closure, a trait object, boxed
//! closures in each other, a thread, and, when it is built to unwind, panics on their way.
//!
//! Same arguments and output as the C programs, see `target.h`.

use std::env;
use std::hint::black_box;
use std::io::{self, BufRead, Read, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What `--stacks` prints. The program's own name is that of its file.
const STACKS: &str = "\
main < _start via libc.so
_start < !end
stacks::main < main via [std::,core::,alloc::,<core::,<std::,<alloc::,<fn,__rust]
stacks::work < stacks::main
stacks::recursion < stacks::work
stacks::descend*200 < stacks::recursion
stacks::bottom < stacks::descend
stacks::sorting < stacks::work
stacks::compare < stacks::sorting via [core::,alloc::,<core::,<[,stacks::sorting::{]
stacks::object < stacks::work
<stacks::Mixer as stacks::Worker>::run < stacks::object
stacks::closures < stacks::work
stacks::boxed*20 < stacks::closures
stacks::innermost < stacks::boxed
stacks::panics < stacks::work
stacks::thrown < stacks::panics via [std::,core::,<core::,__rust,stacks::panics::{]
stacks::thrower < stacks::thrown
<stacks::Guard as core::ops::drop::Drop>::drop < stacks::thrown via [core::,<core::]
stacks::threaded < !end via [std::,core::,alloc::,<std::,<core::,<alloc::,stacks::main::{,__rust,libc.so]
stacks::thread_leaf < stacks::threaded
";

const ROUNDS_PER_PIECE: u64 = 200_000;
const DEPTH: u32 = 200;
const BOXES: u32 = 20;
/// `CLOCK_PROCESS_CPUTIME_ID` of `include/uapi/linux/time.h`.
const PROCESS_CLOCK: i32 = 2;

#[repr(C)]
#[derive(Default)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

/// Part of each function that uses time, so that there is no leaf that all would call.
#[inline(always)]
fn burn(seed: u64, rounds: u64) -> u64 {
    (0..rounds).fold(seed, |value, round| (value ^ (value >> 7)).wrapping_mul(31).wrapping_add(round))
}

#[inline(never)]
fn bottom(rounds: u64) -> u64 {
    burn(black_box(1), rounds)
}

#[inline(never)]
fn descend(depth: u32, rounds: u64) -> u64 {
    let value = if depth == 1 { bottom(rounds) } else { descend(depth - 1, rounds) };
    black_box(value)
}

#[inline(never)]
fn recursion(rounds: u64) -> u64 {
    black_box(descend(black_box(DEPTH), rounds))
}

#[inline(never)]
fn compare(one: &u64, other: &u64) -> std::cmp::Ordering {
    black_box(burn(*one, 20)).cmp(&burn(*other, 20))
}

#[inline(never)]
fn sorting(rounds: u64) -> u64 {
    let mut numbers: Vec<u64> = (0..rounds / 1000).map(|number| burn(number, 3)).collect();
    numbers.sort_by(|one, other| compare(one, other));
    black_box(numbers[0])
}

trait Worker {
    fn run(&self, rounds: u64) -> u64;
}

struct Mixer(u64);

impl Worker for Mixer {
    #[inline(never)]
    fn run(&self, rounds: u64) -> u64 {
        burn(self.0, rounds)
    }
}

#[inline(never)]
fn object(rounds: u64) -> u64 {
    let worker: Box<dyn Worker> = black_box(Box::new(Mixer(7)));
    black_box(worker.run(rounds))
}

#[inline(never)]
fn innermost(rounds: u64) -> u64 {
    burn(black_box(3), rounds)
}

/// Closures in boxes, each with a buffer of another size on its stack.
#[inline(never)]
fn boxed(depth: u32, rounds: u64) -> u64 {
    let buffer = black_box([0_u8; 300]);
    let value = if depth == 1 { innermost(rounds) } else { boxed(depth - 1, rounds) };
    black_box(value + u64::from(buffer[depth as usize]))
}

#[inline(never)]
fn closures(rounds: u64) -> u64 {
    black_box(boxed(black_box(BOXES), rounds))
}

struct Guard;

impl Drop for Guard {
    #[inline(never)]
    fn drop(&mut self) {
        black_box(burn(black_box(5), 20_000));
    }
}

#[inline(never)]
fn thrower(rounds: u64) -> u64 {
    if burn(black_box(9), rounds / 4) == 1 {
        return 1;
    }
    std::panic::resume_unwind(Box::new(rounds))
}

#[inline(never)]
fn thrown(rounds: u64) -> u64 {
    let _guard = Guard;
    black_box(thrower(rounds))
}

#[inline(never)]
fn panics(rounds: u64) -> u64 {
    if cfg!(panic = "abort") {
        return 0;
    }
    u64::from(std::panic::catch_unwind(|| thrown(rounds)).is_err())
}

#[inline(never)]
fn thread_leaf(rounds: u64) -> u64 {
    burn(black_box(11), rounds)
}

#[inline(never)]
fn threaded(stopped: &AtomicBool) {
    while !stopped.load(Ordering::Relaxed) {
        black_box(thread_leaf(ROUNDS_PER_PIECE));
    }
}

#[inline(never)]
fn work(goes_on: &dyn Fn() -> bool) {
    let phases = [recursion, sorting, object, closures, panics];
    let mut lengths = 2_463_534_242_u64;
    for next in 0.. {
        if !goes_on() {
            return;
        }
        lengths = burn(lengths, 3);
        black_box(phases[next % phases.len()](ROUNDS_PER_PIECE / 2 + lengths % ROUNDS_PER_PIECE));
    }
}

fn main() {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--stacks") {
        print!("{STACKS}");
        return;
    }
    let wait = arguments.first().is_some_and(|first| first == "--wait");
    if wait {
        arguments.remove(0);
    }
    let seconds: f64 = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let limit = Duration::from_secs_f64(seconds).as_nanos() as u64;
    println!("ready {}", process::id());
    io::stdout().flush().expect("stdout is open");
    if wait {
        io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");
    }
    let stopped = Arc::new(AtomicBool::new(false));
    if limit == 0 {
        let stopped = Arc::clone(&stopped);
        thread::spawn(move || {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            stopped.store(true, Ordering::Relaxed);
        });
    }
    let start = cpu_ns();
    let used = || cpu_ns() - start;
    let other = Arc::clone(&stopped);
    let thread = thread::spawn(move || threaded(&other));
    work(&|| if limit == 0 { !stopped.load(Ordering::Relaxed) } else { used() < limit });
    stopped.store(true, Ordering::Relaxed);
    thread.join().expect("it does not panic");
    println!("cpu total={}", used());
}

fn cpu_ns() -> u64 {
    let mut time = Timespec::default();
    // SAFETY: the kernel writes one `struct timespec`, which `Timespec` is on 64-bit Linux.
    unsafe { clock_gettime(PROCESS_CLOCK, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}
