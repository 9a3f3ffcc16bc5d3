//! From the lines of a maps file to the mappings of a process.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::image::Opener;
use super::join::{ByLines, Joined, Judge, Verdict, join_executable};
use super::main_binary::MappedFile;
use super::mapping::Mapping;
use super::maps_line::MapsLine;
use super::name::Name;
use super::parts::Parts;
use super::procdir::ProcDir;
use super::text_copy;
use crate::addr::ProcAddr;
use crate::binary::FileRange;

/// The executable mappings among these lines, in the order of their addresses.
///
/// What of `previous` is still there is taken over, with the binaries that it has opened.
pub(super) fn mappings<S: Opener + 'static>(
    lines: &[MapsLine],
    main: Option<MappedFile>,
    directory: Option<&ProcDir>,
    source: &Arc<S>,
    previous: &[Arc<Mapping>],
) -> Vec<Arc<Mapping>> {
    let witness = Witness {
        lines,
        ranges: OnceCell::new(),
        files: RefCell::default(),
        source,
        previous,
    };
    let joined = join_executable(lines, &witness);
    let ranges = ranges_by_file(lines, &joined);
    joined
        .iter()
        .map(|joined| {
            let is_main = main == Some(joined.line.file());
            if let Some(mapping) = known(joined, is_main, previous) {
                return Arc::clone(mapping);
            }
            Arc::new(mapping(joined, &ranges, main, directory, source))
        })
        .collect()
}

/// Every line as a mapping of its own, executable or not, in the order of the addresses.
pub(super) fn lines<S: Opener + 'static>(
    lines: &[MapsLine],
    main: Option<MappedFile>,
    directory: Option<&ProcDir>,
    source: &Arc<S>,
) -> Vec<Arc<Mapping>> {
    let ranges = ranges_by_file(lines, &join_executable(lines, &ByLines));
    lines
        .iter()
        .map(|line| Arc::new(mapping(&line.into(), &ranges, main, directory, source)))
        .collect()
}

fn mapping<S: Opener + 'static>(
    joined: &Joined,
    ranges: &HashMap<MappedFile, Arc<[FileRange]>>,
    main: Option<MappedFile>,
    directory: Option<&ProcDir>,
    source: &Arc<S>,
) -> Mapping {
    let file = joined.line.file();
    let siblings = match ranges.get(&file) {
        Some(ranges) => Arc::clone(ranges),
        None => Arc::from([joined.file_range()]),
    };
    let name = Name::of(&joined.line, joined.kind, directory);
    Mapping {
        start: joined.start,
        limit: joined.limit,
        offset: joined.offset,
        permissions: joined.permissions,
        device: joined.line.device,
        inode: joined.line.inode,
        kind: joined.kind,
        path: name.path.into(),
        deleted: name.deleted,
        is_main: main == Some(file),
        parts: Parts::new(
            (joined.line.start, joined.line.limit),
            siblings,
            Arc::clone(source) as Arc<dyn Opener>,
        ),
    }
}

/// Lines that say nothing about executable memory, and nothing about where a binary lies, are left out.
pub(super) fn relevant(lines: Vec<MapsLine>) -> Vec<MapsLine> {
    let mut executable: HashSet<MappedFile> = lines
        .iter()
        .filter(|line| line.permissions.execute && line.inode != 0)
        .map(|line| (line.device, line.inode))
        .collect();
    // Nameless code may be the text of the file beside it, all of it.
    let beside = lines
        .windows(2)
        .filter(|pair| pair[0].limit == pair[1].start);
    for pair in beside {
        match pair {
            [file, code] | [code, file] if file.is_file() && code.is_nameless_code() => {
                executable.insert(file.file());
            }
            _ => {}
        }
    }
    let mut lines = lines;
    lines
        .retain(|line| line.permissions.execute || executable.contains(&(line.device, line.inode)));
    lines
}

/// All ranges of each file, the executable ones put together.
fn ranges_by_file(lines: &[MapsLine], joined: &[Joined]) -> HashMap<MappedFile, Arc<[FileRange]>> {
    let mut ranges: HashMap<MappedFile, Vec<FileRange>> = HashMap::new();
    let others = lines
        .iter()
        .filter(|line| !line.permissions.execute)
        .map(|line| (line, line.file_range()));
    let executable = joined
        .iter()
        .map(|joined| (&joined.line, joined.file_range()));
    for (line, range) in executable.chain(others) {
        if line.inode != 0 {
            ranges
                .entry((line.device, line.inode))
                .or_default()
                .push(range);
        }
    }
    ranges
        .into_iter()
        .map(|(file, ranges)| (file, ranges.into()))
        .collect()
}

/// What nameless code of a process is compared with.
struct Witness<'a, S> {
    lines: &'a [MapsLine],
    ranges: OnceCell<HashMap<MappedFile, Arc<[FileRange]>>>,
    /// The files of the lines that were asked about, by where these begin: a compiler's code may have thousands of lines
    /// beside one file.
    files: RefCell<HashMap<ProcAddr, Mapping>>,
    source: &'a Arc<S>,
    previous: &'a [Arc<Mapping>],
}

impl<S: Opener + 'static> Judge for Witness<'_, S> {
    fn beside(&self, hole: &FileRange, file: &MapsLine) -> Verdict {
        let ranges = || ranges_by_file(self.lines, &join_executable(self.lines, &ByLines));
        let ranges = self.ranges.get_or_init(ranges);
        let mut files = self.files.borrow_mut();
        let file = files
            .entry(file.start)
            .or_insert_with(|| mapping(&file.into(), ranges, None, None, self.source));
        text_copy::judge(hole, file)
    }

    fn before(&self, hole: &FileRange) -> Option<(FileRange, MapsLine)> {
        let behind = self
            .previous
            .partition_point(|mapping| mapping.start <= hole.start);
        let mapping = &self.previous[behind.checked_sub(1)?];
        let was_text = hole.limit <= mapping.limit && mapping.kind.has_image();
        let file = mapping.file_line().filter(|_| was_text)?;
        match text_copy::judge(hole, mapping) {
            Verdict::Text(text) => Some((text, file)),
            Verdict::Other | Verdict::Unknown => None,
        }
    }
}

/// The mapping that was there before, if its binary has been looked for already; else it is made anew, so
/// that it knows its file's other ranges as they are now.
fn known<'a>(
    joined: &Joined,
    is_main: bool,
    previous: &'a [Arc<Mapping>],
) -> Option<&'a Arc<Mapping>> {
    let at = previous
        .binary_search_by_key(&joined.start, |mapping| mapping.start)
        .ok()?;
    let mapping = &previous[at];
    let same = mapping.is_settled()
        && mapping.is_main == is_main
        && (mapping.limit, mapping.offset, mapping.kind)
            == (joined.limit, joined.offset, joined.kind)
        && (mapping.device, mapping.inode) == (joined.line.device, joined.line.inode)
        && mapping.permissions == joined.permissions;
    same.then_some(mapping)
}

impl Joined {
    fn file_range(&self) -> FileRange {
        FileRange {
            start: self.start,
            limit: self.limit,
            offset: self.offset,
            executable: self.permissions.execute,
        }
    }
}

impl MapsLine {
    pub(super) fn file_range(&self) -> FileRange {
        FileRange {
            start: self.start,
            limit: self.limit,
            offset: self.offset,
            executable: self.permissions.execute,
        }
    }
}
