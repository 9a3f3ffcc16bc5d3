//! Remembers names from one window to the next, within bounds. Whom to ask for those that are new is left to [`super::names`].

use std::collections::{BTreeMap, HashMap};

use super::names::{Group, SourceKey, ask_all, question};
use crate::addr::ElfAddr;
use crate::aggregate::{Frame, Place};
use crate::binary::FileId;
use crate::symbolize::{Answer, Detail, Miss, Named, Options, Source};

/// Windows for which a name is remembered that nobody has asked for again.
const UNUSED_FOR: u32 = 10;

/// Windows after which names of a source are looked for anew: debug files may have come since.
const GOOD_FOR: u32 = 240;

/// Bytes that remembered names may take: of Rust, an address has the long names of five inlined functions and more.
const MOST_BYTES: usize = 32 << 20;

/// The name of each frame, in their order. The addresses of one source are asked for together.
pub(super) fn name_frames(
    detail: Detail,
    options: &Options,
    frames: &[Frame],
    places: &[&Place],
) -> Vec<Named> {
    NameMemory::default().name_frames(detail, options, frames, places)
}

/// Names that were found before. Its default remembers nothing from one call to the next.
#[derive(Debug, Default)]
pub(crate) struct NameMemory {
    remembers: bool,
    sources: HashMap<Lasting, Remembered>,
    window: u32,
    forgotten: u64,
}

/// A source whose addresses mean the same for as long as it is there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Lasting {
    /// The kernel's own code.
    Kernel,
    /// A file, whatever process has it mapped.
    File(FileId),
}

#[derive(Debug)]
struct Remembered {
    since: u32,
    /// By the first address that each holds for; they do not overlap.
    names: BTreeMap<ElfAddr, Remembrance>,
}

#[derive(Debug)]
struct Remembrance {
    named: Named,
    end: ElfAddr,
    used: u32,
}

impl Remembrance {
    /// About how many bytes it takes, with what the table needs besides.
    fn bytes(&self) -> usize {
        let functions = self.named.iter().flatten();
        let functions = functions.map(|function| {
            let texts = [&function.name, &function.system_name, &function.file];
            size_of_val(function) + texts.map(String::len).iter().sum::<usize>()
        });
        2 * size_of::<Self>() + functions.sum::<usize>()
    }
}

impl NameMemory {
    /// Remembers what lasts, for the windows to come.
    pub(crate) fn lasting() -> Self {
        Self {
            remembers: true,
            ..Self::default()
        }
    }

    /// How many names were forgotten to make room, and not because nobody has asked for them.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many names it holds.
    pub(crate) fn len(&self) -> usize {
        self.sources.values().map(|source| source.names.len()).sum()
    }

    /// How many bytes they take.
    fn bytes(&self) -> usize {
        let names = self
            .sources
            .values()
            .flat_map(|source| source.names.values());
        names.map(Remembrance::bytes).sum()
    }

    /// The name of each frame, in their order.
    pub(super) fn name_frames(
        &mut self,
        detail: Detail,
        options: &Options,
        frames: &[Frame],
        places: &[&Place],
    ) -> Vec<Named> {
        self.window += 1;
        let mut names: Vec<Named> = vec![Err(Miss::NoSymbol); frames.len()];
        let mut groups: HashMap<SourceKey, Group> = HashMap::new();
        for (position, frame) in frames.iter().enumerate() {
            match question(frame, places) {
                Ok((key, source, address)) => {
                    if let Some(named) = self.recall(&source, address) {
                        names[position] = named;
                        continue;
                    }
                    let group = groups.entry(key).or_insert_with(|| Group {
                        source,
                        positions: Vec::new(),
                        addresses: Vec::new(),
                    });
                    group.positions.push(position);
                    group.addresses.push(address);
                }
                Err(miss) => names[position] = Err(miss),
            }
        }
        let (kernel, others): (Vec<Group>, Vec<Group>) = groups
            .into_values()
            .partition(|group| matches!(group.source, Source::Kernel));
        let answers = ask_all(&kernel, &others, detail, options);
        for (group, answers) in kernel.iter().chain(&others).zip(answers) {
            self.remember(group, &answers);
            for (position, answer) in group.positions.iter().zip(answers) {
                names[*position] = answer.named;
            }
        }
        self.forget(MOST_BYTES);
        names
    }

    fn recall(&mut self, source: &Source, address: ElfAddr) -> Option<Named> {
        let source = self.sources.get_mut(&Lasting::of(source)?)?;
        let (_, known) = source.names.range_mut(..=address).next_back()?;
        if address >= known.end {
            return None;
        }
        known.used = self.window;
        Some(known.named.clone())
    }

    fn remember(&mut self, group: &Group, answers: &[Answer]) {
        let Some(key) = Lasting::of(&group.source).filter(|_| self.remembers) else {
            return;
        };
        let (window, since) = (self.window, self.window);
        let source = self.sources.entry(key).or_insert_with(|| Remembered {
            since,
            names: BTreeMap::new(),
        });
        for Answer { named, range } in answers {
            if key == Lasting::Kernel && !lasts(named) {
                continue;
            }
            let known = Remembrance {
                named: named.clone(),
                end: range.end,
                used: window,
            };
            source.names.insert(range.start, known);
        }
    }

    /// Forgets what was not asked for in a while, and more of it when there is too much.
    fn forget(&mut self, most: usize) {
        let window = self.window;
        self.sources
            .retain(|_, source| window - source.since < GOOD_FOR);
        self.forget_unused_for(UNUSED_FOR);
        let before = self.len();
        for unused_for in (0..UNUSED_FOR).rev() {
            if self.bytes() <= most {
                break;
            }
            self.forget_unused_for(unused_for);
        }
        self.forgotten += (before - self.len()) as u64;
    }

    fn forget_unused_for(&mut self, windows: u32) {
        let window = self.window;
        self.sources.retain(|_, source| {
            source
                .names
                .retain(|_, known| window - known.used < windows);
            !source.names.is_empty()
        });
    }
}

/// Whether a name of the kernel is one of its own code: modules and BPF programs come and go, and other code takes
/// their place.
fn lasts(named: &Named) -> bool {
    named
        .iter()
        .flatten()
        .all(|function| function.name == function.system_name)
        && named.is_ok()
}

impl Lasting {
    fn of(source: &Source) -> Option<Self> {
        match source {
            Source::Kernel => Some(Self::Kernel),
            Source::Binary(binary) => Some(Self::File(binary.id())),
            Source::PerfMap(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(addresses: std::ops::Range<u64>) -> Group {
        Group {
            source: Source::Kernel,
            positions: Vec::new(),
            addresses: addresses.map(ElfAddr).collect(),
        }
    }

    fn window(memory: &mut NameMemory, addresses: std::ops::Range<u64>, most: usize) {
        memory.window += 1;
        let found = |address| Answer::single(ElfAddr(address), Ok(Vec::new()));
        let answers: Vec<Answer> = addresses.clone().map(found).collect();
        memory.remember(&kernel(addresses), &answers);
        memory.forget(most);
    }

    fn knows(memory: &mut NameMemory, address: u64) -> bool {
        memory.recall(&Source::Kernel, ElfAddr(address)).is_some()
    }

    /// A name is there as long as somebody asks for it, and goes some windows after nobody does.
    #[test]
    fn unused_names_go() {
        let mut memory = NameMemory::lasting();
        window(&mut memory, 0..2, usize::MAX);
        for _ in 0..2 * UNUSED_FOR {
            assert!(knows(&mut memory, 0));
            window(&mut memory, 9..10, usize::MAX);
        }
        assert!(knows(&mut memory, 0));
        assert!(!knows(&mut memory, 1));
        assert_eq!(memory.forgotten(), 0);
    }

    /// What holds for a range is known for each of its addresses, and for no others.
    #[test]
    fn ranges_are_known() {
        let mut memory = NameMemory::lasting();
        memory.window += 1;
        let function = |start, end| Answer {
            named: Ok(Vec::new()),
            range: ElfAddr(start)..ElfAddr(end),
        };
        memory.remember(&kernel(12..13), &[function(10, 15), function(20, 21)]);
        let known: Vec<u64> = (8..23)
            .filter(|address| knows(&mut memory, *address))
            .collect();
        assert_eq!(known, [10, 11, 12, 13, 14, 20]);
    }

    /// They never take more than the most, the ones used longest ago go first, and that is counted.
    #[test]
    fn memory_is_bounded() {
        let mut memory = NameMemory::lasting();
        window(&mut memory, 0..1, usize::MAX);
        let one = memory.bytes();
        let mut memory = NameMemory::lasting();
        window(&mut memory, 0..10, 15 * one);
        window(&mut memory, 10..20, 15 * one);
        assert_eq!((memory.len(), memory.forgotten()), (10, 10));
        assert!(!knows(&mut memory, 0));
        assert!(knows(&mut memory, 10));
        window(&mut memory, 20..120, 15 * one);
        assert_eq!((memory.len(), memory.forgotten()), (0, 120));
    }

    /// Names are looked for anew after some windows, used or not: debug files may have come.
    #[test]
    fn names_are_looked_for_anew() {
        let mut memory = NameMemory::lasting();
        window(&mut memory, 0..1, usize::MAX);
        for _ in 0..GOOD_FOR - 1 {
            assert!(knows(&mut memory, 0));
            window(&mut memory, 1..1, usize::MAX);
        }
        assert!(knows(&mut memory, 0));
        window(&mut memory, 1..1, usize::MAX);
        assert!(!knows(&mut memory, 0));
    }

    /// For one profile nothing is remembered.
    #[test]
    fn single_profiles_remember_nothing() {
        let mut memory = NameMemory::default();
        window(&mut memory, 0..10, usize::MAX);
        assert_eq!(memory.len(), 0);
    }
}
