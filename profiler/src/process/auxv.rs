//! The auxiliary vector: what the kernel told a program at its start. Which binary that makes the main one
//! is left to `main_binary`.

/// Ends the vector.
const AT_NULL: u64 = 0;
/// Address of the program headers.
const AT_PHDR: u64 = 3;
/// The page size.
const AT_PAGESZ: u64 = 6;
/// Where the dynamic loader was put; 0 when the kernel loaded none.
const AT_BASE: u64 = 7;

/// What of the auxiliary vector is needed here. The numbers are those of include/uapi/linux/auxvec.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Auxv {
    /// Where the program headers of the program are.
    pub(super) program_headers: u64,
    /// Where the dynamic loader is; 0 when there is none.
    pub(super) loader: u64,
}

impl Auxv {
    /// Reads a vector of this machine's byte order, of 64-bit or of 32-bit words.
    ///
    /// Nothing says which; but the page size is always there, and read in the wrong width it is not.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::from_pairs(words(bytes, 8)).or_else(|| Self::from_pairs(words(bytes, 4)))
    }

    fn from_pairs(mut words: impl Iterator<Item = u64>) -> Option<Self> {
        let (mut auxv, mut page_size) = (
            Self {
                program_headers: 0,
                loader: 0,
            },
            0_u64,
        );
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            match key {
                AT_NULL => break,
                AT_PHDR => auxv.program_headers = value,
                AT_BASE => auxv.loader = value,
                AT_PAGESZ => page_size = value,
                _ => {}
            }
        }
        (page_size.is_power_of_two() && page_size >= 4096).then_some(auxv)
    }
}

/// Words of 4 or 8 bytes in this machine's byte order.
pub(super) fn words(bytes: &[u8], size: usize) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(size).map(move |word| {
        let mut wide = [0; 8];
        if cfg!(target_endian = "little") {
            wide[..size].copy_from_slice(word);
        } else {
            wide[8 - size..].copy_from_slice(word);
        }
        u64::from_ne_bytes(wide)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector<const N: usize>(words: &[u64], narrow: impl Fn(u64) -> [u8; N]) -> Vec<u8> {
        words.iter().flat_map(|word| narrow(*word)).collect()
    }

    /// Both widths are told apart by the page size, and a vector without one is none.
    #[test]
    fn both_widths_are_read() {
        let words = [6, 4096, 3, 0x40_0040, 7, 0x7000_0000, 0, 0, 3, 9];
        let expected = Some(Auxv {
            program_headers: 0x40_0040,
            loader: 0x7000_0000,
        });
        assert_eq!(Auxv::parse(&vector(&words, u64::to_ne_bytes)), expected);
        let narrow = |word: u64| (word as u32).to_ne_bytes();
        assert_eq!(Auxv::parse(&vector(&words, narrow)), expected);
        assert_eq!(Auxv::parse(&vector(&words[2..], u64::to_ne_bytes)), None);
        assert_eq!(Auxv::parse(b""), None);
    }
}
