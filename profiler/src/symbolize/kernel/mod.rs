//! Names of kernel functions, from `/proc/kallsyms`.
//!
//! The kernel prints some 100,000 to 300,000 lines on each read, which costs it about 0.35 µs a line. So the list is read
//! in one pass and no further than it has to be, and is not read again for what cannot have changed since: the kernel's
//! own functions, and those of modules for as long as the same modules are loaded. Of BPF programs and trampolines, which
//! come and go unseen, it is asked anew each time. Lines of source are not known here: they would need the kernel's own
//! debug file, which hardly any machine has.

mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Function, Miss, Named};
use crate::addr::ElfAddr;
use table::{Keep, Table};

pub(super) use table::shows_addresses;

/// The kernel's functions, as far as somebody has asked for them: some 16 bytes each, and their names.
///
/// The default keeps none of them.
#[derive(Default, Debug)]
pub(crate) struct KernelSymbols {
    keeps: bool,
    known: Option<Known>,
}

/// A list of one kernel at one time.
#[derive(Debug)]
struct Known {
    path: PathBuf,
    table: Table,
    modules: Option<Vec<String>>,
}

impl KernelSymbols {
    /// Keeps them for the next time.
    pub(crate) fn lasting() -> Self {
        Self {
            keeps: true,
            ..Self::default()
        }
    }

    /// The functions that contain `addresses`, in their order, by the list in the file `path`.
    pub(crate) fn name(&mut self, path: &Path, addresses: &[ElfAddr]) -> Vec<Named> {
        let addresses: Vec<u64> = addresses.iter().map(|address| address.0).collect();
        let known = self.known.take();
        let known = match known.filter(|known| known.holds_for(path, &addresses)) {
            Some(known) => Ok(Some(known)),
            None => Known::read(path, &addresses, self.keeps),
        };
        let problem = match known {
            Ok(Some(known)) => {
                let names = addresses.iter().map(|address| named(&known.table, *address));
                let names = names.collect();
                self.known = Some(known).filter(|_| self.keeps);
                return names;
            }
            Ok(None) => "kernel addresses are hidden: run as root, or set the sysctl kernel.kptr_restrict to 0 or 1".to_owned(),
            Err(error) => format!("{}: {error}", path.display()),
        };
        vec![Err(Miss::Unreadable(problem)); addresses.len()]
    }
}

impl Known {
    fn read(path: &Path, addresses: &[u64], keeps: bool) -> io::Result<Option<Self>> {
        // Before the list: what changes in between is read again the next time. Nobody asks when it is not kept.
        let modules = keeps.then(|| modules(path)).flatten();
        let keep = if keeps { Keep::All } else { Keep::Needed };
        let table = Table::read(path, addresses, keep)?;
        Ok(table.map(|table| Self {
            path: path.to_owned(),
            table,
            modules,
        }))
    }

    /// Whether reading the list again would tell nothing new of `addresses`.
    fn holds_for(&self, path: &Path, addresses: &[u64]) -> bool {
        let mut of_modules = false;
        let lasts = |&address: &u64| {
            if self.table.is_own(address) {
                return true;
            }
            of_modules = true;
            let found = self.table.find(address);
            found.is_some_and(|found| self.has_module(found.module))
        };
        self.path == path
            && addresses.iter().all(lasts)
            && (!of_modules || self.modules == modules(path))
    }

    /// Whether `module`, in its brackets, is a module; the list has other things in brackets too, like `[bpf]`.
    fn has_module(&self, module: &str) -> bool {
        let name = module.trim_start_matches('[').trim_end_matches(']');
        let mut modules = self.modules.iter().flatten();
        modules.any(|line| line.split(' ').next() == Some(name))
    }
}

/// The modules that are loaded, with what another one of the same name would not have: size and address.
///
/// The file is beside the list of functions and has lines like `fuse 192512 1 - Live 0xffffffffc0279000`
/// (kernel/module/procfs.c); how often one is in use and by whom changes all the time.
fn modules(kallsyms: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(kallsyms.with_file_name("modules")).ok()?;
    let module = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [name, size, _, _, state, address, ..] => [name, size, state, address].join(" "),
            _ => line.to_owned(),
        }
    };
    Some(text.lines().map(module).collect())
}

fn named(table: &Table, address: u64) -> Named {
    let found = table.find(address).ok_or(Miss::NoSymbol)?;
    let name = match found.module {
        "" => found.symbol.to_owned(),
        module => format!("{} {module}", found.symbol),
    };
    Ok(vec![Function {
        name,
        system_name: found.symbol.to_owned(),
        file: String::new(),
        line: 0,
    }])
}
