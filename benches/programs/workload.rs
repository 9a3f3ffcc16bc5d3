//! The benchmark's Rust program: sorting, hashing, a product of matrices, and calls through closures 60 deep.
//!
//! Protocol as in `workload.c`. It has no crates, so it declares the one function of libc that it needs.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::ops::{AddAssign, Mul};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const NAMES: [&str; 4] = ["sorting", "hashing", "matrix", "closures"];
const SIZE: usize = 64;
const DEPTH: u32 = 60;
/// `CLOCK_PROCESS_CPUTIME_ID` and `CLOCK_THREAD_CPUTIME_ID` of `include/uapi/linux/time.h`.
const PROCESS_CLOCK: i32 = 2;
const THREAD_CLOCK: i32 = 3;

static SPENT: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static STOPPED: AtomicBool = AtomicBool::new(false);

#[repr(C)]
#[derive(Default)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
}

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The time goes to the standard library's generic code, compiled for this program.
#[inline(never)]
fn phase_sorting(seed: &mut u64, numbers: &mut [u64]) -> u64 {
    for _ in 0..4 {
        numbers.iter_mut().for_each(|number| *number = next(seed));
        numbers.sort_unstable();
    }
    numbers[0]
}

#[inline(never)]
fn phase_hashing(seed: u64, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for round in 0..48 {
        hasher.write_u64(seed + round);
        hasher.write(bytes);
    }
    hasher.finish()
}

#[inline(never)]
fn matrix_multiply<N: Copy + Mul<Output = N> + AddAssign>(left: &[N], right: &[N], product: &mut [N]) {
    for row in 0..SIZE {
        for column in 0..SIZE {
            for inner in 0..SIZE {
                product[row * SIZE + column] += left[row * SIZE + inner] * right[inner * SIZE + column];
            }
        }
    }
}

#[inline(never)]
fn phase_matrix(seed: u64) -> u64 {
    let left = vec![seed as f64; SIZE * SIZE];
    let mut product = vec![0.0; SIZE * SIZE];
    for _ in 0..2 {
        matrix_multiply(&left, black_box(&left), &mut product);
    }
    product[SIZE] as u64
}

#[inline(never)]
fn closures_bottom(seed: u64) -> u64 {
    (0..100_000).fold(seed, |value, round| (value ^ (value >> 7)).wrapping_mul(31).wrapping_add(round))
}

#[inline(never)]
fn closures_call(depth: u32, work: &dyn Fn(u64) -> u64, seed: u64) -> u64 {
    if depth == 0 {
        return black_box(work(seed));
    }
    black_box(closures_call(depth - 1, &|value| work(value).wrapping_add(1), seed))
}

#[inline(never)]
fn phase_closures(seed: u64) -> u64 {
    (0..10).fold(seed, |value, _| black_box(closures_call(DEPTH, &closures_bottom, value)))
}

fn work() {
    let (mut draw, mut seed) = (88_172_645_463_325_252, 1);
    let mut numbers = vec![0; 8192];
    let bytes = vec![7; 64 * 1024];
    while !STOPPED.load(Ordering::Relaxed) {
        let phase = (next(&mut draw) % 4) as usize;
        let before = cpu_ns(THREAD_CLOCK);
        let result = match phase {
            0 => phase_sorting(&mut seed, &mut numbers),
            1 => phase_hashing(seed & 0xffff, &bytes),
            2 => phase_matrix(seed & 0xffff),
            _ => phase_closures(seed),
        };
        seed = (seed ^ result) | 1;
        SPENT[phase].fetch_add(cpu_ns(THREAD_CLOCK) - before, Ordering::Relaxed);
    }
}

fn answer() {
    let mut line = format!("cpu total={}", cpu_ns(PROCESS_CLOCK));
    for (name, spent) in NAMES.iter().zip(&SPENT) {
        line += &format!(" {name}={}", spent.load(Ordering::Relaxed));
    }
    println!("{line}");
    io::stdout().flush().expect("stdout is open");
}

fn main() {
    let worker = thread::Builder::new().name("worker".to_owned()).spawn(work).expect("a thread can be started");
    println!("ready {}", process::id());
    io::stdout().flush().expect("stdout is open");
    io::stdin().lock().lines().for_each(|_| answer());
    STOPPED.store(true, Ordering::Relaxed);
    worker.join().expect("the worker does not panic");
    answer();
}

fn cpu_ns(clock: i32) -> u64 {
    let mut time = Timespec::default();
    // SAFETY: the kernel writes one `struct timespec`, which `Timespec` is on 64-bit Linux.
    unsafe { clock_gettime(clock, &mut time) };
    time.seconds as u64 * 1_000_000_000 + time.nanoseconds as u64
}
