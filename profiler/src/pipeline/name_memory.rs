//! Remembers names from one window to the next, within bounds. Whom to ask for those that are new is left to [`super::names`].

use std::cmp::Reverse;
use std::collections::HashMap;

use super::names::{Group, SourceKey, question};
use super::naming_thread::NamingThread;
use crate::addr::ElfAddr;
use crate::aggregate::{Frame, Place};
use crate::binary::FileId;
use crate::symbolize::{Detail, KernelSymbols, Miss, Named, Options, Source};

/// Windows for which a name is remembered that nobody has asked for again.
const UNUSED_FOR: u32 = 10;

/// Windows after which names of a file are looked for anew: debug files may have come since.
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
    kernel: KernelSymbols,
    thread: NamingThread,
    /// Files mean the same whatever process has them mapped; perf maps change.
    files: HashMap<FileId, Remembered>,
    window: u32,
    forgotten: u64,
}

#[derive(Debug)]
struct Remembered {
    since: u32,
    names: HashMap<ElfAddr, Remembrance>,
}

#[derive(Debug)]
struct Remembrance {
    named: Named,
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
            kernel: KernelSymbols::lasting(),
            ..Self::default()
        }
    }

    /// How many names were forgotten to make room, and not because nobody has asked for them.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many names of files it holds.
    pub(crate) fn len(&self) -> usize {
        self.files.values().map(|file| file.names.len()).sum()
    }

    /// How many bytes they take.
    fn bytes(&self) -> usize {
        let names = self.files.values().flat_map(|file| file.names.values());
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
                    let file = lasting(&source);
                    if let Some(named) = file.and_then(|file| self.recall(file, address)) {
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
        let kernel = groups.remove(&SourceKey::Kernel);
        let mut others: Vec<Group> = groups.into_values().collect();
        // The busiest first: not all of what is read can be kept.
        others.sort_by_key(|group| Reverse(group.addresses.len()));
        let symbols = &mut self.kernel;
        let name_kernel = || {
            let addresses = kernel.as_ref().map(|group| &group.addresses);
            addresses.map(|addresses| symbols.name(&options.kallsyms, addresses))
        };
        let (others, of_others, of_kernel) =
            self.thread
                .ask(others, detail, options, self.remembers, name_kernel);
        let mut fill = |group: &Group, found: Vec<Named>| {
            for (position, named) in group.positions.iter().zip(found) {
                names[*position] = named;
            }
        };
        for (group, found) in others.iter().zip(of_others) {
            if let Some(file) = lasting(&group.source) {
                self.remember(file, &group.addresses, &found);
            }
            fill(group, found);
        }
        if let (Some(group), Some(found)) = (&kernel, of_kernel) {
            fill(group, found);
        }
        self.forget(MOST_BYTES);
        names
    }

    fn recall(&mut self, file: FileId, address: ElfAddr) -> Option<Named> {
        let known = self.files.get_mut(&file)?.names.get_mut(&address)?;
        known.used = self.window;
        Some(known.named.clone())
    }

    fn remember(&mut self, file: FileId, addresses: &[ElfAddr], found: &[Named]) {
        if !self.remembers {
            return;
        }
        let (used, since) = (self.window, self.window);
        let file = self.files.entry(file).or_insert_with(|| Remembered {
            since,
            names: HashMap::new(),
        });
        for (address, named) in addresses.iter().zip(found) {
            let named = named.clone();
            file.names.insert(*address, Remembrance { named, used });
        }
    }

    /// Forgets what was not asked for in a while, and more of it when there is too much.
    fn forget(&mut self, most: usize) {
        let window = self.window;
        self.files.retain(|_, file| window - file.since < GOOD_FOR);
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
        self.files.retain(|_, file| {
            file.names.retain(|_, known| window - known.used < windows);
            !file.names.is_empty()
        });
    }
}

/// The file, if addresses of the source mean the same for as long as it is there.
fn lasting(source: &Source) -> Option<FileId> {
    match source {
        Source::Binary(binary) => Some(binary.id()),
        Source::Kernel | Source::PerfMap(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId {
        device: 1,
        inode: 2,
        size: 3,
        modified_ns: 4,
    };

    fn window(memory: &mut NameMemory, addresses: std::ops::Range<u64>, most: usize) {
        memory.window += 1;
        let addresses: Vec<ElfAddr> = addresses.map(ElfAddr).collect();
        memory.remember(FILE, &addresses, &vec![Ok(Vec::new()); addresses.len()]);
        memory.forget(most);
    }

    fn knows(memory: &mut NameMemory, address: u64) -> bool {
        memory.recall(FILE, ElfAddr(address)).is_some()
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
