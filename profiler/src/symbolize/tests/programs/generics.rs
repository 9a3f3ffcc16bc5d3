//! Generic functions and trait methods, whose names have `<` and `>` in them.
use std::hint::black_box;

pub struct Wrapped<T>(T);

pub trait Spin {
    fn spin(&self, rounds: u64) -> u64;
}

impl<T: Copy + Into<u64>> Spin for Wrapped<T> {
    #[inline(never)]
    fn spin(&self, rounds: u64) -> u64 {
        let mut sum = 0;
        for round in 0..rounds {
            sum = mix(black_box(sum ^ round), self.0.into());
        }
        sum
    }
}

#[inline(always)]
fn mix(one: u64, other: u64) -> u64 {
    black_box(one.wrapping_mul(31)) ^ other
}

fn main() {
    std::process::exit(i32::from(Wrapped(3u32).spin(10) + Wrapped(3u8).spin(10) == 0));
}
