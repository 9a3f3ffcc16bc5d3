//! Little-endian bytes, one after the other; the end is `None`, never a panic.

/// The bytes that have not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    /// The rest, not consumed.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.data
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    #[inline]
    pub(super) fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.data.split_at_checked(usize::try_from(count).ok()?)?;
        self.data = rest;
        Some(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.data.split_first_chunk()?;
        self.data = rest;
        Some(*bytes)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned LEB128 number; `None` also for one that does not fit 64 bits.
    #[inline]
    pub(super) fn uleb(&mut self) -> Option<u64> {
        let first = self.u8()?;
        if first < 0x80 {
            return Some(first.into());
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A signed LEB128 number; `None` also for one that does not fit 64 bits.
    #[inline]
    pub(super) fn sleb(&mut self) -> Option<i64> {
        let mut value = 0i64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            // Of the tenth byte only the sign is left.
            if shift == 63 && byte != 0 && byte != 0x7f {
                return None;
            }
            value |= i64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let unused = 64 - (shift + 7).min(64);
                return Some(value << unused >> unused);
            }
        }
        None
    }

    /// Text up to a zero byte, which is consumed too.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.data.iter().position(|byte| *byte == 0)?;
        let text = self.bytes(length as u64)?;
        self.u8()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the DWARF 5 standard (tables 7.7 and 7.8), and the ends of the range.
    #[test]
    fn leb128() {
        let uleb = |bytes: &[u8]| Reader::new(bytes).uleb();
        assert_eq!(uleb(&[2]), Some(2));
        assert_eq!(uleb(&[0x80, 1]), Some(128));
        assert_eq!(uleb(&[0xb9, 0x64]), Some(12857));
        assert_eq!(uleb(&[0xff; 9]), None);
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(uleb(&most), Some(u64::MAX));
        assert_eq!(
            uleb(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            None
        );
        let sleb = |bytes: &[u8]| Reader::new(bytes).sleb();
        assert_eq!(sleb(&[2]), Some(2));
        assert_eq!(sleb(&[0x7e]), Some(-2));
        assert_eq!(sleb(&[0xff, 0]), Some(127));
        assert_eq!(sleb(&[0x81, 0x7f]), Some(-127));
        assert_eq!(sleb(&[0x80, 1]), Some(128));
        assert_eq!(sleb(&[0x80, 0x7f]), Some(-128));
        let least = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f];
        assert_eq!(sleb(&least), Some(i64::MIN));
        assert_eq!(sleb(&[0x80; 11]), None);
    }
}
