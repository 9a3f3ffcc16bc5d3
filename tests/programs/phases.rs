//! Rust target program: generics, a closure and a trait object, a third of the CPU time in each.
//!
//! Same arguments and output as the C programs, see `target.h`. It has no crates, so it declares the one function
//! of libc that it needs.

use std::env;
use std::hint::black_box;
use std::io::{self, BufRead, Read, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const ROUNDS_PER_PIECE: u64 = 200_000;
/// `CLOCK_PROCESS_CPUTIME_ID` and `CLOCK_THREAD_CPUTIME_ID` of `include/uapi/linux/time.h`.
const PROCESS_CLOCK: i32 = 2;
const THREAD_CLOCK: i32 = 3;

#[repr(C)]
#[derive(Default)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

trait Worker {
    fn run(&self, rounds: u64) -> u64;
}

struct Mixer {
    seed: u64,
}

impl Worker for Mixer {
    #[inline(never)]
    fn run(&self, rounds: u64) -> u64 {
        (0..rounds).fold(self.seed, |value, round| (value ^ (value >> 7)).wrapping_mul(31) + (round & 1))
    }
}

/// One instance for each type it is used with.
trait Number: Copy {
    fn step(self, round: u64) -> Self;
}

impl Number for u32 {
    fn step(self, round: u64) -> Self {
        (self ^ (self >> 9)).wrapping_mul(33).wrapping_add(round as u32)
    }
}

#[inline(never)]
fn generic<N: Number>(start: N, rounds: u64) -> N {
    (0..rounds).fold(start, |value, round| value.step(round))
}

#[inline(never)]
fn apply(work: impl Fn(u64) -> u64, rounds: u64) -> u64 {
    // The closure is compiled into this function: a profile with debug information shows it as inlined.
    black_box(work(rounds))
}

#[inline(never)]
fn with_closure(salt: u64, rounds: u64) -> u64 {
    let work = |count| {
        (0..count).fold(salt, |value: u64, round| {
            (value ^ (value >> 11)).wrapping_mul(37).wrapping_add(round)
        })
    };
    black_box(apply(work, rounds))
}

#[inline(never)]
fn outer(goes_on: &dyn Fn() -> bool) -> [u64; 3] {
    let worker: Box<dyn Worker> = black_box(Box::new(Mixer { seed: 7 }));
    let mut spent = [0; 3];
    let mut before = cpu_ns(THREAD_CLOCK);
    while goes_on() {
        let least = spent.iter().min().copied().unwrap_or(0);
        let phase = spent.iter().position(|spent| *spent == least).unwrap_or(0);
        match phase {
            0 => black_box(worker.run(black_box(ROUNDS_PER_PIECE))),
            1 => u64::from(black_box(generic(black_box(7_u32), ROUNDS_PER_PIECE))),
            _ => with_closure(black_box(9), ROUNDS_PER_PIECE),
        };
        let after = cpu_ns(THREAD_CLOCK);
        spent[phase] += after - before;
        before = after;
    }
    spent
}

fn main() {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
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
    let closed = Arc::new(AtomicBool::new(false));
    if limit == 0 {
        watch_stdin(Arc::clone(&closed));
    }
    let start = cpu_ns(PROCESS_CLOCK);
    let used = || cpu_ns(PROCESS_CLOCK) - start;
    let spent = outer(&|| if limit == 0 { !closed.load(Ordering::Relaxed) } else { used() < limit });
    println!("cpu total={} trait_object={} generic={} closure={}", used(), spent[0], spent[1], spent[2]);
}

fn watch_stdin(closed: Arc<AtomicBool>) {
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        closed.store(true, Ordering::Relaxed);
    });
}

fn cpu_ns(clock: i32) -> u64 {
    let mut time = Timespec::default();
    // SAFETY: the kernel writes one `struct timespec`, which `Timespec` is on 64-bit Linux.
    unsafe { clock_gettime(clock, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}
