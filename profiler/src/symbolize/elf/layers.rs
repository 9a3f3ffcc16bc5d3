//! Which files know the names of a binary, and in which order to ask them.
//!
//! Asking is left to the parent module.

use std::path::PathBuf;

use blazesym::symbolize::source::{Elf, Source};

use super::super::contents::Contents;
use super::super::debug_files::DebugFile;
use super::super::{Detail, Options};
use crate::binary::Binary;

/// A file and a way to read it.
pub(super) struct Layer {
    pub(super) source: Source<'static>,
    /// For messages.
    pub(super) name: String,
    /// How often in a row it could not be asked.
    pub(super) failures: u32,
}

impl Layer {
    fn new(path: PathBuf, name: String, debug: bool) -> Self {
        let mut elf = Elf::new(path);
        elf.debug_syms = debug;
        Self {
            source: Source::Elf(elf),
            name,
            failures: 0,
        }
    }
}

/// The files to ask about `binary`, which has these `contents` and is opened by `path`; that with lines first.
pub(super) fn layers(
    binary: &Binary,
    path: PathBuf,
    contents: &Contents,
    separate: Option<&DebugFile>,
    detail: Detail,
    options: &Options,
) -> Vec<Layer> {
    let name = binary.path().display().to_string();
    let separate = separate.map(|file| (file, file.path.display().to_string()));
    let mut layers = Vec::new();
    if detail == Detail::Full {
        let (debug, path, name) = match &separate {
            Some((file, name)) => (&file.contents, &file.path, name),
            None => (contents, &path, &name),
        };
        if debug.debug_info && debug.unpacked > options.memory_limit {
            log::warn!(
                "{name}: no lines, its compressed debug information would take {} MiB",
                debug.unpacked >> 20
            );
        } else if debug.debug_info {
            layers.push(Layer::new(path.clone(), name.clone(), true));
        }
    }
    if let Some((file, name)) = separate.filter(|(file, _)| file.contents.symbols) {
        layers.push(Layer::new(file.path.clone(), name, false));
    }
    // Even without a symbol table there may be the dynamic one, which blazesym finds by its section header.
    if contents.sections {
        layers.push(Layer::new(path, name, false));
    }
    layers
}
