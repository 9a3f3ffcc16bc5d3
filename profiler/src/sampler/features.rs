//! What this kernel is like, asked once: the layout of its structures, its limits and its locks.

use std::fs::File;
use std::io;
use std::path::Path;

use btf_rs::{Backend, Btf, Struct, Type};
use rustix::fs::MemfdFlags;

/// Where the kernel publishes its own types (`CONFIG_DEBUG_INFO_BTF`).
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// What the kernel says of its own types.
///
/// Its BTF is mapped, not read: parsing all of it takes 50 ms and 13 MB, finding one structure in it 2 ms.
pub(super) struct KernelTypes(Btf);

impl KernelTypes {
    /// Opens the kernel's own account.
    pub(super) fn open() -> Result<Self, String> {
        let btf = kernel_btf().map_err(|error| format!("{KERNEL_BTF}: {error}"))?;
        Ok(Self(btf))
    }

    /// Offset of a member of one of the kernel's structures, in bytes.
    pub(super) fn offset(&self, structure: &str, member: &str) -> Result<u32, String> {
        for candidate in self.structures(structure)? {
            for field in &candidate.members {
                if self.0.resolve_name(field).is_ok_and(|name| name == member) {
                    return Ok(field.bit_offset() / 8);
                }
            }
        }
        Err(format!(
            "{KERNEL_BTF}: no struct {structure} with a member {member}"
        ))
    }

    /// Size of one of the kernel's structures, in bytes.
    pub(super) fn size(&self, structure: &str) -> Result<u32, String> {
        let found = self.structures(structure)?;
        let size = found.first().map(|structure| structure.size() as u32);
        size.ok_or_else(|| format!("{KERNEL_BTF}: no struct {structure}"))
    }

    fn structures(&self, name: &str) -> Result<Vec<Struct>, String> {
        let types = self
            .0
            .resolve_types_by_name(name)
            .map_err(|error| format!("{KERNEL_BTF}: struct {name}: {error}"))?;
        let structures = types.into_iter().filter_map(|found| match found {
            Type::Struct(structure) => Some(structure),
            _ => None,
        });
        Ok(structures.collect())
    }
}

/// Where the registers are with which a task entered the kernel: the offset of the pointer to its kernel stack in
/// `struct task_struct`, and theirs from the lower end of that stack, in bytes.
///
/// `THREAD_SIZE` is 16 KiB but for kernels that look for stray accesses (KASAN), which nobody profiles on. What lies above
/// the registers is `TOP_OF_KERNEL_STACK_PADDING` (arch/x86/include/asm/thread_info.h): nothing on kernels without FRED.
pub(super) fn entry_registers(types: &KernelTypes) -> Result<(u32, u32), String> {
    const THREAD_SIZE: u32 = 16 << 10;
    /// `struct pt_regs` of arch/x86/include/asm/ptrace.h: 21 words.
    const REGISTERS: u32 = 21 * 8;
    const PADDING_FOR_FRED: u32 = 16;
    let stack = types.offset("task_struct", "stack")?;
    let padding = match types.offset("fred_info", "edata") {
        Ok(_) => PADDING_FOR_FRED,
        Err(_) => 0,
    };
    Ok((stack, THREAD_SIZE - padding - REGISTERS))
}

fn kernel_btf() -> Result<Btf, btf_rs::Error> {
    Btf::from_file_with_backend(KERNEL_BTF, Backend::Mmap).or_else(|_| {
        // Before 6.16 the kernel does not let its BTF be mapped; a copy in memory can be.
        let copy =
            rustix::fs::memfd_create("kernel-btf", MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
        let mut copy = File::from(copy);
        io::copy(&mut File::open(KERNEL_BTF)?, &mut copy)?;
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        Btf::from_file_with_backend(path, Backend::Mmap)
    })
}

/// Whether this process is in the initial user namespace, whose capabilities alone count for BPF and perf events.
pub(crate) fn in_initial_user_namespace() -> bool {
    use std::os::unix::fs::MetadataExt;
    /// `PROC_USER_INIT_INO` of the kernel's `linux/proc_ns.h`.
    const INITIAL: u64 = 0xEFFF_FFFD;
    // Without user namespaces, or without `/proc`, there is nothing to look at.
    std::fs::metadata("/proc/self/ns/user").map_or(true, |meta| meta.ino() == INITIAL)
}

/// The state of kernel lockdown (`integrity`, `confidentiality`), unless it is off or not built in.
pub(crate) fn lockdown() -> Option<String> {
    // `none [integrity] confidentiality`: the one in force stands in brackets.
    let modes = std::fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, rest) = modes.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    (mode != "none").then(|| mode.to_owned())
}

/// `kernel.perf_event_paranoid`, if there are perf events at all.
pub(crate) fn perf_event_paranoid() -> Option<i32> {
    sysctl("kernel/perf_event_paranoid")
}

/// The highest sampling frequency that the kernel allows, in Hz (`kernel.perf_event_max_sample_rate`).
pub(crate) fn max_sample_rate() -> Option<u32> {
    sysctl("kernel/perf_event_max_sample_rate")
}

/// A setting of the kernel by its name below `/proc/sys`, if the kernel has it and it is of this type.
pub(crate) fn sysctl<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::fs::read_to_string(Path::new("/proc/sys").join(name));
    text.ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure that every kernel has is found, a member that none has is not.
    #[test]
    fn struct_offsets() {
        if !Path::new(KERNEL_BTF).exists() {
            assert!(std::env::var_os("CI").is_none(), "CI kernels have BTF");
            println!("skipped: this kernel has no {KERNEL_BTF}");
            return;
        }
        let types = KernelTypes::open().unwrap();
        let offset = types.offset("task_struct", "tgid").unwrap();
        assert!(offset > 0 && offset.is_multiple_of(4), "{offset}");
        let error = types.offset("task_struct", "no_such_member").unwrap_err();
        assert!(error.contains("no_such_member"), "{error}");
        // A number of four bytes, a hole, and a pointer (include/linux/pid.h).
        assert_eq!(types.size("upid").unwrap(), 16);
        assert!(types.size("no_such_structure").is_err());
    }
}
