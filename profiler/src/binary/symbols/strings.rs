//! String tables: looked through in pieces for a name, and read only when it is there.

use super::SymbolPattern;
use crate::binary::elf::Region;
use crate::binary::read_at::read_exact;
use crate::binary::{BinaryError, ReadAt};

const WHAT: &str = "string table";
/// As much is looked at in one piece.
const PIECE: usize = 256 << 10;
/// Larger than the names of any program; those of the largest browsers take 200 MiB with all local ones.
const MAX_SIZE: u64 = 512 << 20;

/// A string table in memory.
pub(super) struct Strings(Vec<u8>);

impl Strings {
    /// Reads a table, as far as the file has it: memory does not grow with the size that a file claims.
    pub(super) fn read(
        source: &(impl ReadAt + ?Sized),
        region: Region,
    ) -> Result<Self, BinaryError> {
        let mut bytes = Vec::new();
        in_pieces(source, region, 0, |piece| {
            bytes.extend_from_slice(piece);
            true
        })?;
        Ok(Self(bytes))
    }

    /// The string at an offset, up to its NUL; empty when there is none.
    pub(super) fn at(&self, offset: u32) -> &[u8] {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == 0);
        &rest[..end.unwrap_or(rest.len())]
    }
}

/// Whether a string table may have a name that is looked for. Most have not, and then nothing else is read of the file.
pub(super) fn may_have(
    source: &(impl ReadAt + ?Sized),
    region: Region,
    pattern: &SymbolPattern,
) -> Result<bool, BinaryError> {
    let Some((ending, longest)) = pattern.ending() else {
        return Ok(true);
    };
    let mut found = false;
    in_pieces(source, region, longest, |piece| {
        found = ending.is_match(piece);
        !found
    })?;
    Ok(found)
}

/// Shows a region piece by piece, each with the last bytes of the one before, for as long as `visit` wants more.
fn in_pieces(
    source: &(impl ReadAt + ?Sized),
    region: Region,
    overlap: usize,
    mut visit: impl FnMut(&[u8]) -> bool,
) -> Result<(), BinaryError> {
    if region.size > MAX_SIZE {
        return Err(BinaryError::Malformed(WHAT));
    }
    let mut piece = Vec::new();
    let mut done = 0;
    while done < region.size {
        let size = (region.size - done).min(PIECE as u64);
        let offset = region
            .offset
            .checked_add(done)
            .ok_or(BinaryError::Truncated(WHAT))?;
        let kept = piece.len().min(overlap);
        piece.drain(..piece.len() - kept);
        piece.resize(kept + size as usize, 0);
        read_exact(source, offset, &mut piece[kept..], WHAT)?;
        if !visit(&piece) {
            return Ok(());
        }
        done += size;
    }
    Ok(())
}
