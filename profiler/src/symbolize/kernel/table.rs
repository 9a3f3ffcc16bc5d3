//! The kernel's list of its functions in memory, as far as it was read.
//!
//! Knows the form of `/proc/kallsyms`; whether a table is still good is left to the parent module.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::Range;
use std::path::Path;

/// How far behind the start of the last symbol before it an address may lie.
///
/// kallsyms has no sizes. An address far behind the last symbol of its region (generated code that is not
/// listed, `net.core.bpf_jit_kallsyms` = 0) has no name rather than that of a stranger.
const LONGEST_FUNCTION: u64 = 256 << 10;

/// Functions by address.
#[derive(Default, Debug)]
pub(super) struct Table {
    /// By their starts, of which there is one each.
    functions: Vec<Entry>,
    /// Their names, each with what module it is in; looked at only when somebody asks.
    texts: Vec<u8>,
    /// From the first function of the kernel's own to the last one that was read: here nothing is missing.
    own: Range<u64>,
}

/// One function. There are some 100,000 of them, so they are small.
#[derive(Debug)]
struct Entry {
    start: u64,
    /// Where its name begins in the texts; that of its module follows.
    text: u32,
    name_len: u16,
    module_len: u16,
    kind: u8,
}

/// What a table is to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keep {
    /// All that was read.
    All,
    /// Those functions alone that have the addresses which were asked for: a few dozen.
    Needed,
}

/// A function as the kernel lists it.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Found<'a> {
    pub(super) symbol: &'a str,
    /// `[bpf]` and the like included; empty for the kernel's own.
    pub(super) module: &'a str,
}

impl Table {
    /// Reads the list in the file `path`, no further than `addresses` need it, and keeps all of that or only what they need;
    /// nothing if the list hides where functions are.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub(super) fn read(path: &Path, addresses: &[u64], keep: Keep) -> io::Result<Option<Self>> {
        let lowest = addresses.iter().min().copied().unwrap_or(0);
        let highest = addresses.iter().max().copied().unwrap_or(u64::MAX);
        let mut sorted = addresses.to_vec();
        sorted.sort_unstable();
        let mut reader = BufReader::with_capacity(64 << 10, File::open(path)?);
        let mut line = Vec::new();
        let mut table = Self::default();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if let Some((start, kind, name, module)) = function(&line) {
                if table.functions.is_empty() {
                    if start == 0 {
                        // Only functions tell; symbols of data can be zero by right (per-CPU offsets).
                        return Ok(None);
                    }
                    table.own = start..start;
                }
                if keep == Keep::Needed {
                    table.drop_last_unless_needed(start, &sorted);
                }
                table.add(start, kind, name, module);
                if module.is_empty() {
                    table.own.end = table.own.end.max(start);
                    // The kernel's own functions come first and sorted. Those of modules and of BPF programs follow, and
                    // whoever asks for none of them need not wait for them; some machines have modules below.
                    if start > highest && lowest >= table.own.start {
                        break;
                    }
                }
            }
            line.clear();
        }
        if table.functions.is_empty() {
            return Ok(None);
        }
        table.sort();
        Ok(Some(table))
    }

    /// Drops the last function if the next one starts at `next` and none of the addresses lies between the two.
    fn drop_last_unless_needed(&mut self, next: u64, addresses: &[u64]) {
        let Some(last) = self.functions.last().filter(|last| last.start < next) else {
            return;
        };
        let first = addresses.partition_point(|address| *address < last.start);
        if addresses.get(first).is_none_or(|address| *address >= next) {
            self.texts.truncate(last.text as usize);
            self.functions.pop();
        }
    }

    fn add(&mut self, start: u64, kind: u8, name: &[u8], module: &[u8]) {
        let (Ok(text), Ok(name_len), Ok(module_len)) = (
            u32::try_from(self.texts.len()),
            u16::try_from(name.len()),
            u16::try_from(module.len()),
        ) else {
            return;
        };
        self.texts.extend_from_slice(name);
        self.texts.extend_from_slice(module);
        self.functions.push(Entry {
            start,
            text,
            name_len,
            module_len,
            kind,
        });
    }

    /// Puts functions in the order of their starts, and of several names of one the best alone.
    fn sort(&mut self) {
        let mut functions = std::mem::take(&mut self.functions);
        functions.sort_by_key(|entry| (entry.start, self.rank(entry)));
        functions.dedup_by_key(|entry| entry.start);
        functions.shrink_to_fit();
        self.functions = functions;
        self.texts.shrink_to_fit();
    }

    /// Which of several symbols of one address to show: global before local before weak, then the one with fewer
    /// underscores in front, then the first. The same order as perf's `choose_best_symbol`, minus sizes.
    fn rank(&self, entry: &Entry) -> (u8, usize) {
        let kind = match entry.kind {
            b'T' => 0,
            b't' => 1,
            _ => 2,
        };
        let (name, _) = self.text(entry);
        let underscores = name.iter().take_while(|&&byte| byte == b'_').count();
        (kind, underscores)
    }

    /// The function that has `address`.
    pub(super) fn find(&self, address: u64) -> Option<Found<'_>> {
        let after = self
            .functions
            .partition_point(|entry| entry.start <= address);
        let entry = self.functions.get(after.checked_sub(1)?)?;
        let (symbol, module) = self.text(entry);
        let symbol = str::from_utf8(symbol).ok()?;
        let module = str::from_utf8(module).ok()?;
        let no_function = matches!(symbol, "" | "_etext" | "_einittext" | "_end");
        (!no_function && address - entry.start <= LONGEST_FUNCTION)
            .then_some(Found { symbol, module })
    }

    /// Whether `address` is among the kernel's own functions, and what there is to know of it was read.
    pub(super) fn is_own(&self, address: u64) -> bool {
        self.own.contains(&address)
    }

    /// Name and module.
    fn text(&self, entry: &Entry) -> (&[u8], &[u8]) {
        let text = self.texts.get(entry.text as usize..).unwrap_or_default();
        let halves = text.split_at_checked(entry.name_len.into());
        let (name, rest) = halves.unwrap_or_default();
        (
            name,
            rest.get(..entry.module_len.into()).unwrap_or_default(),
        )
    }
}

/// Whether the list in the file `path` has addresses, or zeros in their place; the first function tells.
///
/// # Errors
///
/// The file cannot be read.
pub(in crate::symbolize) fn shows_addresses(path: &Path) -> io::Result<bool> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if let Some((start, ..)) = function(&line) {
            return Ok(start != 0);
        }
        line.clear();
    }
    Ok(false)
}

/// Start, kind, name and module of a line like `ffffffffc0279010 T fuse_dev_init\t[fuse]`, if it is that of code.
fn function(line: &[u8]) -> Option<(u64, u8, &[u8], &[u8])> {
    let (digits, rest) = line.split_at_checked(line.iter().position(|&byte| byte == b' ')?)?;
    let (kind, rest) = rest.get(1..)?.split_first()?;
    matches!(kind, b't' | b'T' | b'w' | b'W').then_some(())?;
    let mut start: u64 = 0;
    for &digit in digits {
        let digit = char::from(digit).to_digit(16)?;
        start = start.checked_mul(16)?.checked_add(digit.into())?;
    }
    let rest = rest.trim_ascii();
    let end = rest
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(rest.len());
    let (name, module) = rest.split_at_checked(end)?;
    Some((start, *kind, name, module.trim_ascii_start()))
}
