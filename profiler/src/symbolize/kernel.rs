//! Names of kernel functions, read from `/proc/kallsyms` in one pass that keeps only what was asked for.
//!
//! The kernel prints some 100,000 to 300,000 lines on each read, which costs it about 0.35 µs a line. blazesym
//! would keep all of them (10 MiB here); a profile needs a few dozen. Lines of source are not known here: they
//! would need the kernel's own debug file, which hardly any machine has.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::{Answer, Function, Miss, Named};
use crate::addr::ElfAddr;

/// How far behind the start of the last symbol before it an address may lie.
///
/// kallsyms has no sizes. An address far behind the last symbol of its region (generated code that is not
/// listed, `net.core.bpf_jit_kallsyms` = 0) has no name rather than that of a stranger.
const LONGEST_FUNCTION: u64 = 256 << 10;

/// One asked address and the best symbol seen for it so far.
struct Query {
    address: u64,
    start: u64,
    /// Where the next symbol begins; `u64::MAX` when that is not known.
    end: u64,
    rank: Rank,
    symbol: String,
    module: Option<String>,
}

/// Which of several symbols of one address to show: global before local before weak, then the one with fewer
/// underscores in front, then the first. The same order as perf's `choose_best_symbol`, minus sizes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Rank(u8, usize);

/// The kernel functions that contain `addresses`, in their order, out of the kallsyms file `path`.
pub(super) fn symbolize(path: &Path, addresses: &[ElfAddr]) -> Vec<Answer> {
    let mut order: Vec<usize> = (0..addresses.len()).collect();
    order.sort_unstable_by_key(|&index| addresses[index]);
    let mut queries: Vec<Query> = order
        .iter()
        .map(|&index| Query::of(addresses[index].0))
        .collect();
    let problem = match File::open(path).and_then(|file| read(file, &mut queries)) {
        Ok(Visible::Yes) => None,
        Ok(Visible::No) => Some(
            "kernel addresses are hidden: run as root, or set the sysctl kernel.kptr_restrict to 0 or 1"
                .to_owned(),
        ),
        Err(error) => Some(format!("{}: {error}", path.display())),
    };
    let nothing = |address: &ElfAddr| Answer::single(*address, Err(Miss::NoSymbol));
    let mut answers: Vec<Answer> = addresses.iter().map(nothing).collect();
    for (index, query) in order.into_iter().zip(queries) {
        match &problem {
            Some(problem) => answers[index].named = Err(Miss::Unreadable(problem.clone())),
            None => answers[index] = query.answer(),
        }
    }
    answers
}

/// Whether the kallsyms file `path` shows the addresses of the kernel's functions, or zeros in their place.
pub(super) fn shows_addresses(path: &Path) -> io::Result<bool> {
    // Nothing lies at 0, so the first function settles it.
    let visible = read(File::open(path)?, &mut [Query::of(0)])?;
    Ok(visible == Visible::Yes)
}

/// Whether the file shows addresses, or zeros in their place.
#[derive(PartialEq, Eq, Debug)]
enum Visible {
    Yes,
    No,
}

impl Query {
    fn of(address: u64) -> Self {
        Self {
            address,
            start: 0,
            end: u64::MAX,
            rank: Rank::default(),
            symbol: String::new(),
            module: None,
        }
    }

    fn answer(self) -> Answer {
        let range = match self.end {
            u64::MAX => Answer::only(ElfAddr(self.address)),
            end => ElfAddr(self.start)..ElfAddr(end.min(self.start + LONGEST_FUNCTION + 1)),
        };
        match self.named() {
            Err(miss) => Answer::single(ElfAddr(self.address), Err(miss)),
            named => Answer { named, range },
        }
    }

    fn named(&self) -> Named {
        let end_of_image = matches!(self.symbol.as_str(), "_etext" | "_einittext" | "_end");
        if self.symbol.is_empty() || end_of_image || self.address - self.start > LONGEST_FUNCTION {
            return Err(Miss::NoSymbol);
        }
        let name = match &self.module {
            Some(module) => format!("{} {module}", self.symbol),
            None => self.symbol.clone(),
        };
        Ok(vec![Function {
            name,
            system_name: self.symbol.clone(),
            file: String::new(),
            line: 0,
        }])
    }
}

/// One line of kallsyms, of a function: `ffffffffc0279010 T fuse_dev_init\t[fuse]`.
#[derive(Default)]
struct Symbol {
    address: u64,
    /// The whole line; what is in it is looked at only when somebody wants it.
    line: Vec<u8>,
}

impl Symbol {
    fn rank(&self) -> Rank {
        let kind = match self
            .line
            .get(self.line.iter().position(|&byte| byte == b' ').unwrap_or(0) + 1)
        {
            Some(b'T') => 0,
            Some(b't') => 1,
            _ => 2,
        };
        let underscores = self
            .fields()
            .0
            .bytes()
            .take_while(|&byte| byte == b'_')
            .count();
        Rank(kind, underscores)
    }

    /// Name, and module in brackets.
    fn fields(&self) -> (&str, Option<&str>) {
        let line = str::from_utf8(&self.line).unwrap_or_default();
        let mut fields = line.split_ascii_whitespace().skip(2);
        (fields.next().unwrap_or_default(), fields.next())
    }

    /// Gives the symbol to the queries from its address up to `end` that have none nearer.
    fn offer(&self, queries: &mut [Query], end: u64) {
        let first = queries.partition_point(|query| query.address < self.address);
        let past = queries.partition_point(|query| query.address < end);
        for query in queries.get_mut(first..past).unwrap_or_default() {
            let rank = self.rank();
            if query.start < self.address || (query.start == self.address && rank < query.rank) {
                let (name, module) = self.fields();
                *query = Query {
                    address: query.address,
                    start: self.address,
                    end,
                    rank,
                    symbol: name.to_owned(),
                    module: module.map(str::to_owned),
                };
            }
        }
    }
}

/// Reads all lines of `file` and lets each compete for the queries, which are sorted by address.
fn read(file: impl io::Read, queries: &mut [Query]) -> io::Result<Visible> {
    let Some(last) = queries.last().map(|query| query.address) else {
        return Ok(Visible::Yes);
    };
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut previous: Option<Symbol> = None;
    let mut current = Symbol::default();
    while reader.read_until(b'\n', &mut current.line)? > 0 {
        let Some(address) = code_address(&current.line) else {
            current.line.clear();
            continue;
        };
        current.address = address;
        let before = previous.take().unwrap_or_default();
        if before.line.is_empty() && address == 0 {
            // The first function tells; symbols of data can be zero by right (per-CPU offsets).
            return Ok(Visible::No);
        }
        if address == before.address && before.rank() <= current.rank() {
            // Two names of one function, the better first.
            previous = Some(before);
            current.line.clear();
            continue;
        }
        // In a sorted stretch, as the kernel's own symbols are, each symbol ends where the next begins. A step
        // back begins another stretch; how far the symbol before it reaches is not known.
        let end = if address >= before.address {
            address
        } else {
            u64::MAX
        };
        before.offer(queries, end);
        if address > last && !current.line.ends_with(b"]\n") {
            // The kernel's own symbols come first, those of modules and BPF programs after them, and none of
            // these can lie between an address of the kernel's own and its symbol.
            return Ok(Visible::Yes);
        }
        previous = Some(std::mem::replace(&mut current, before));
        current.line.clear();
    }
    match previous {
        Some(symbol) => {
            symbol.offer(queries, u64::MAX);
            Ok(Visible::Yes)
        }
        None => Ok(Visible::No),
    }
}

/// The address in front of a line, if it is that of code.
fn code_address(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|&byte| byte == b' ')?;
    matches!(line.get(end + 1)?, b't' | b'T' | b'w' | b'W').then_some(())?;
    u64::from_str_radix(str::from_utf8(&line[..end]).ok()?, 16).ok()
}
