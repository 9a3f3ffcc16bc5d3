//! Names for the addresses of one ELF file, by blazesym, with everything that may go wrong kept to that file.
//!
//! Asks one file after the other and keeps memory bounded. Which files there are is left to `layers`, what to make of the
//! answers to `answers`, and which files may be asked again to `kept`.
//!
//! # Memory
//!
//! blazesym maps the file and keeps what it has parsed of each compilation unit. One reader serves all addresses
//! of a file, in ascending order, so normally each unit is parsed once. Every [`CHECK_EVERY`] addresses the
//! resident memory of the process is looked at; when it has grown by more than the limit since the file's first
//! address, the reader is thrown away, which unmaps everything, and the next address opens a new one. It has to
//! read the list of units again and, as addresses ascend, hardly any unit twice. After the last address nothing
//! of the file is kept, unless somebody pays for it ([`Readers::keeping`]).
//!
//! # What is not caught
//!
//! blazesym recurses once per level of inlined calls, and an overflow of the stack is no panic but the end of the
//! process. Debug information made for the purpose nests hundreds of thousands of levels; so call this on a thread with
//! a large stack, as the pipeline does (256 MiB are enough for 300,000). A file that is truncated while it is mapped
//! ends the process with SIGBUS.

mod answers;
mod dynamic;
mod kept;
mod layers;
mod stubs;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use blazesym::symbolize::{Input, Symbolized, Symbolizer};

use super::contents::Contents;
use super::debug_files;
use super::names::Demangler;
use super::{Detail, Function, Miss, Named, Options, guard};
use crate::addr::ElfAddr;
use crate::binary::{Binary, FileId};
use crate::resident::Resident;
use answers::{adopt_linker_name, functions, is_complete, is_plausible};
use dynamic::Exported;
pub(crate) use kept::Readers;
use layers::{Layer, layers};
use stubs::{Callee, Stubs};

/// Addresses between two looks at the memory in use. One address can cost a large compilation unit, some MiB.
const CHECK_EVERY: usize = 16;

/// A reader of a file that fails this often in a row is not asked again: each try can cost as much as the first.
const FAILURES_IN_A_ROW: u32 = 4;

/// A reader of `binary`, or why there is none.
///
/// The file is opened once more through its descriptor, which takes the right to read it (CAP_DAC_READ_SEARCH for
/// the file of another user that is readable for its owner only).
fn open(binary: &Binary, detail: Detail, options: &Options) -> Result<Reader, Miss> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", binary.file().as_raw_fd()));
    let contents = File::open(&path).map_err(|error| error.to_string());
    let contents = contents.and_then(|file| Contents::read(&file));
    let mut contents = contents.map_err(Miss::Unreadable)?;
    // Program headers tell of the build-id too, and so a debug file is found without section headers.
    let id = || Some(binary.build_id()?.as_bytes().to_vec());
    contents.build_id = contents.build_id.or_else(id);
    Ok(Reader::new(binary, path, contents, detail, options))
}

/// Asks the layers of one binary, the one that knows most first.
struct Reader {
    /// By which the file can be opened once more.
    path: PathBuf,
    layers: Vec<Layer>,
    /// What a file without section headers exports.
    exported: Option<Exported>,
    /// Read when somebody asks for one.
    stubs: Option<Stubs>,
    contents: Contents,
    has_symbols: bool,
    options: Options,
    detail: Detail,
    /// The separate debug file, as it was when it was found.
    debug_file: Option<(PathBuf, FileId)>,
    symbolizer: Option<Symbolizer>,
    demangler: Demangler,
    resident: Resident,
    /// Resident memory before the first address, and after the first one.
    before: u64,
    floor: Option<u64>,
}

impl Reader {
    fn new(
        binary: &Binary,
        path: PathBuf,
        contents: Contents,
        detail: Detail,
        options: &Options,
    ) -> Self {
        let resident = Resident::new();
        let separate = match detail {
            Detail::Full => !contents.debug_info,
            Detail::Functions | Detail::None => !contents.symbols,
        }
        .then(|| debug_files::find(&contents, binary.path(), &options.debug_dirs))
        .flatten();
        let separate_contents = separate.as_ref().map(|file| &file.contents);
        let exported = (!contents.sections).then(|| Exported::read(binary));
        Self {
            has_symbols: contents.symbols
                || contents.debug_info
                || separate_contents.is_some()
                || exported.as_ref().is_some_and(Exported::has_some),
            exported,
            stubs: None,
            layers: layers(
                binary,
                path.clone(),
                &contents,
                separate.as_ref(),
                detail,
                options,
            ),
            path,
            contents,
            options: options.clone(),
            detail,
            debug_file: separate.map(|file| (file.path, file.id)),
            symbolizer: None,
            demangler: Demangler::default(),
            before: 0,
            resident,
            floor: None,
        }
    }

    /// The names at `addresses`, in their order.
    fn name_all(&mut self, addresses: &[ElfAddr]) -> Vec<Named> {
        self.before = self.resident.bytes();
        self.floor = None;
        let mut order: Vec<usize> = (0..addresses.len()).collect();
        order.sort_unstable_by_key(|&index| addresses[index]);
        let mut answers: Vec<Named> = vec![Err(Miss::NoSymbol); addresses.len()];
        let mut previous: Option<usize> = None;
        for (count, index) in order.into_iter().enumerate() {
            answers[index] = match previous {
                Some(previous) if addresses[previous] == addresses[index] => {
                    answers[previous].clone()
                }
                _ => self.name(addresses[index].0),
            };
            previous = Some(index);
            if (count + 1) % CHECK_EVERY == 0 {
                self.bound_memory();
            }
        }
        answers
    }

    /// Whether something of it could not be asked, which may go better in another one.
    fn has_failed(&self) -> bool {
        self.layers.iter().any(|layer| layer.failures > 0)
    }

    /// Asks one layer after the other until the name is complete.
    fn name(&mut self, address: u64) -> Named {
        if address == u64::MAX {
            // Nothing can follow it, so no range of code contains it; blazesym's arithmetic relies on that.
            return Err(Miss::NoSymbol);
        }
        let mut found: Option<Vec<Function>> = None;
        let mut failure = None;
        for index in 0..self.layers.len() {
            match (self.ask(index, address), &mut found) {
                (Ok(Some(functions)), None) => found = Some(functions),
                (Ok(Some(mut functions)), Some(found)) => {
                    adopt_linker_name(found, functions.pop());
                }
                (Ok(None), _) => {}
                (Err(error), _) => failure = failure.or(Some(error)),
            }
            if found
                .as_ref()
                .is_some_and(|functions| is_complete(functions))
            {
                break;
            }
        }
        if let Some(exported) = self.exported.as_ref().filter(|_| found.is_none()) {
            found = exported
                .name(address)
                .map(|name| vec![self.demangler.names(name).into()]);
        }
        if found.is_none() && self.contents.is_in_stubs(address) {
            found = self.stub(address).map(|function| vec![function]);
        }
        if self.floor.is_none() {
            self.floor = Some(self.resident.bytes());
        }
        let mut functions = found.unwrap_or_default();
        functions.retain(|function| !function.name.is_empty());
        match failure {
            Some(failure) if functions.is_empty() => Err(Miss::Unreadable(failure)),
            Some(failure) => {
                // Named by a symbol table, but whoever misses the line can find out why.
                log::debug!("no line for {address:#x}: {failure}");
                Ok(functions)
            }
            None if !functions.is_empty() => Ok(functions),
            None if self.has_symbols => Err(Miss::NoSymbol),
            None => Err(Miss::Stripped),
        }
    }

    /// What is called through the stub at an address, by the name that binutils give the stub.
    fn stub(&mut self, address: u64) -> Option<Function> {
        let stubs = self.stubs.get_or_insert_with(|| {
            let stubs = Stubs::read(&self.path, &self.contents.stubs);
            stubs.unwrap_or_else(|error| {
                log::debug!("no names of stubs: {error}");
                Stubs::default()
            })
        });
        let function = match stubs.callee(address)?.clone() {
            Callee::Symbol(name) => self.demangler.names(&name).into(),
            Callee::SelectedBy(address) if !self.contents.is_in_stubs(address) => Function {
                file: String::new(),
                line: 0,
                ..self.name(address).ok()?.pop()?
            },
            Callee::SelectedBy(_) => return None,
        };
        let marked = |name: String| match name.is_empty() {
            true => name,
            false => name + "@plt",
        };
        Some(Function {
            name: marked(function.name),
            system_name: marked(function.system_name),
            ..function
        })
    }

    /// What one layer knows about an address; the error says why it could not be asked.
    fn ask(&mut self, index: usize, address: u64) -> Result<Option<Vec<Function>>, String> {
        let layer = &mut self.layers[index];
        if layer.failures >= FAILURES_IN_A_ROW {
            return Err(format!("{} failed before", layer.name));
        }
        let symbolizer = self
            .symbolizer
            .get_or_insert_with(|| build(self.detail, &self.options));
        let demangler = &mut self.demangler;
        let contents = &self.contents;
        let result = guard::catch(|| {
            let symbolized = symbolizer
                .symbolize_single(&layer.source, Input::VirtOffset(address))
                .map_err(|error| format!("{error:#}"))?;
            Ok(match symbolized {
                Symbolized::Sym(sym) if is_plausible(&sym, address, contents) => {
                    Some(functions(&sym, demangler))
                }
                Symbolized::Sym(_) | Symbolized::Unknown(_) => None,
            })
        });
        match result {
            Ok(Ok(answer)) => {
                layer.failures = 0;
                Ok(answer)
            }
            Ok(Err(error)) => {
                layer.failures += 1;
                Err(error)
            }
            Err(panic) => {
                // Whatever state the reader is in now, nothing more is asked of it.
                layer.failures = FAILURES_IN_A_ROW;
                let error = format!("{}: the reader panicked: {panic}", layer.name);
                self.let_go();
                Err(error)
            }
        }
    }

    /// Throws the reader away if the file has taken more memory than it may.
    fn bound_memory(&mut self) {
        let now = self.resident.bytes();
        let limit = self.options.memory_limit;
        let floor = self.floor.unwrap_or(now);
        // What the reader needs for a start would be back at once; only what has come since can be won.
        if now.saturating_sub(self.before) > limit && now.saturating_sub(floor) > limit / 2 {
            log::debug!(
                "{} MiB resident, reopening {}",
                now >> 20,
                self.layers.first().map_or("", |layer| &layer.name)
            );
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        self.floor = None;
        let symbolizer = self.symbolizer.take();
        if let Err(panic) = guard::catch(|| drop(symbolizer)) {
            log::debug!("the reader panicked when it was closed: {panic}");
        }
    }
}

fn build(detail: Detail, options: &Options) -> Symbolizer {
    let full = detail == Detail::Full;
    Symbolizer::builder()
        .enable_auto_reload(false)
        .enable_code_info(full)
        .enable_inlined_fns(full)
        .enable_demangling(false)
        // Debug links have been followed already; these are for what a debug file shares with others (dwz).
        .set_debug_dirs(Some(&options.debug_dirs))
        .build()
}
