//! Where one file lies in a process: the load biases at which a loader has put it, and the addresses that these make.

use std::sync::Arc;

use crate::addr::{ElfAddr, ProcAddr};
use crate::binary::Binary;
use crate::process::{AddressSpace, Mapping};

/// The load biases of a file, given the lines of the process that show it. One, as a rule; a program may load a library
/// several times.
///
/// A file may as well be mapped to be read, by a debugger for instance. A part of it that happens to look like a segment
/// supposes a load bias, but not all segments of the file are there then.
pub(super) fn load_biases(
    space: &AddressSpace,
    binary: &Binary,
    lines: &[&Arc<Mapping>],
) -> Vec<u64> {
    let mut biases: Vec<u64> = Vec::new();
    for line in lines {
        if let Some(bias) = line.load_bias_of(binary)
            && !biases.contains(&bias)
        {
            biases.push(bias);
        }
    }
    biases.retain(|bias| {
        let mut segments = binary.segments().iter();
        segments.all(|segment| {
            segment.mem_size == 0 || space.find(address(*bias, segment.vaddr)).is_some()
        })
    });
    biases
}

/// The address in the process, if anything is mapped there. Names for the end of a section may lie just behind.
pub(super) fn mapped_address(space: &AddressSpace, bias: u64, symbol: ElfAddr) -> Option<ProcAddr> {
    let address = address(bias, symbol);
    let before = ProcAddr(address.0.wrapping_sub(1));
    (space.find(address).is_some() || space.find(before).is_some()).then_some(address)
}

fn address(bias: u64, address: ElfAddr) -> ProcAddr {
    ProcAddr(address.0.wrapping_add(bias))
}
