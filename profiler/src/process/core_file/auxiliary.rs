//! What of the auxiliary vector tells of the modules, in whatever byte order and width the core file has.

use super::bytes::Format;

/// The numbers are those of include/uapi/linux/auxvec.h.
const AT_PHDR: u64 = 3;
const AT_PAGESZ: u64 = 6;
const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;

/// What the kernel told the program at its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Auxiliary {
    /// Where the program headers of the program are.
    pub(super) program_headers: Option<u64>,
    /// Where the vDSO is.
    pub(super) vdso: Option<u64>,
    /// Where the name is that the program was started by.
    pub(super) executable_name: Option<u64>,
    /// The page size; that of x86-64 when it is not told.
    pub(super) page_size: u64,
}

impl Auxiliary {
    pub(super) fn parse(format: Format, bytes: &[u8]) -> Self {
        let find = |wanted| {
            let size = format.word_size();
            let mut pairs = (0..bytes.len() / (2 * size)).map(|index| {
                let at = 2 * index * size;
                (format.word(bytes, at), format.word(bytes, at + size))
            });
            pairs
                .find(|(key, _)| *key == Some(wanted))
                .and_then(|(_, value)| value)
                .filter(|value| *value != 0)
        };
        let page_size = find(AT_PAGESZ)
            .filter(|size| size.is_power_of_two() && (4096..=1 << 20).contains(size));
        Self {
            program_headers: find(AT_PHDR),
            vdso: find(AT_SYSINFO_EHDR),
            executable_name: find(AT_EXECFN),
            page_size: page_size.unwrap_or(4096),
        }
    }
}
