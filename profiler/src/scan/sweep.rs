//! Looking through processes, one after the other, with each binary's symbols kept.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::vec::IntoIter;

use super::place::{load_biases, mapped_address};
use super::{Hit, Problem, Query};
use crate::binary::{Binary, FileId, Symbol, find_symbols};
use crate::process::{AddressSpace, Mapping, OpenError, Resolver};

/// Finds symbols in processes.
#[derive(Debug)]
pub struct Scan {
    resolver: Resolver,
    query: Query,
    /// What each binary has, nothing included.
    symbols: HashMap<FileId, Arc<[Arc<Symbol>]>>,
    problems: BTreeMap<u32, Vec<Problem>>,
    stats: ScanStats,
}

/// What a scan has looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct ScanStats {
    /// Processes whose mappings were read.
    pub processes: u64,
    /// Processes that had ended before that.
    pub gone: u64,
    /// Binaries whose symbols were read.
    pub binaries: u64,
    /// Symbols found in processes.
    pub hits: u64,
}

/// The hits of all processes, one process after the other.
#[derive(Debug)]
pub struct Hits<'a> {
    scan: &'a mut Scan,
    pids: IntoIter<u32>,
    hits: IntoIter<Hit>,
}

impl Scan {
    /// A scan that finds its processes by this resolver; nothing is read yet.
    pub fn new(resolver: Resolver, query: Query) -> Self {
        Self {
            resolver,
            query,
            symbols: HashMap::new(),
            problems: BTreeMap::new(),
            stats: ScanStats::default(),
        }
    }

    /// The hits of all processes that are asked for. Ends when each of those that there are now was looked at once.
    ///
    /// # Errors
    ///
    /// The list of processes cannot be read. Other problems are kept in [`Self::problems`].
    pub fn hits(&mut self) -> io::Result<Hits<'_>> {
        let pids = self.pids()?.into_iter();
        Ok(Hits {
            scan: self,
            pids,
            hits: Vec::new().into_iter(),
        })
    }

    /// The hits in one process, in the order of the addresses of its files.
    pub fn look_at(&mut self, pid: u32) -> Vec<Hit> {
        let hits = match self.resolver.address_space(pid) {
            Ok(Some(space)) => self.look_into(&space),
            Ok(None) if self.query.pids.contains(&pid) => {
                self.add_problem(pid, Problem::NoProcess(pid));
                Vec::new()
            }
            Ok(None) => {
                self.stats.gone += 1;
                Vec::new()
            }
            Err(error) => {
                self.add_problem(pid, error.into());
                Vec::new()
            }
        };
        self.stats.hits += hits.len() as u64;
        hits
    }

    /// What could not be read so far, by process.
    pub fn problems(&self) -> &BTreeMap<u32, Vec<Problem>> {
        &self.problems
    }

    /// The same, and forgets it.
    pub fn take_problems(&mut self) -> BTreeMap<u32, Vec<Problem>> {
        std::mem::take(&mut self.problems)
    }

    /// What was looked at so far.
    pub fn stats(&self) -> ScanStats {
        self.stats
    }

    /// The processes that are asked for.
    pub(super) fn pids(&self) -> io::Result<Vec<u32>> {
        if !self.query.pids.is_empty() {
            return Ok(self.query.pids.clone());
        }
        let mut pids = self.resolver.procfs().pids()?;
        pids.retain(|pid| self.asks_for(*pid));
        Ok(pids)
    }

    /// Whether a process is one of those.
    pub(super) fn asks_for(&self, pid: u32) -> bool {
        match self.query.pids.as_slice() {
            [] => pid != std::process::id(),
            pids => pids.contains(&pid),
        }
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    fn look_into(&mut self, space: &AddressSpace) -> Vec<Hit> {
        self.stats.processes += 1;
        let mut hits = Vec::new();
        for lines in files(space) {
            let first = lines[0];
            let is_wanted = |pattern: &super::PathPattern| pattern.is_match(&first.path);
            if !self.query.path.as_ref().is_none_or(is_wanted) {
                continue;
            }
            let Some(binary) = self.open(space.pid(), &lines) else {
                continue;
            };
            let symbols = self.symbols_of(space.pid(), &binary, first);
            if symbols.is_empty() {
                continue;
            }
            for bias in load_biases(space, &binary, &lines) {
                for symbol in symbols.iter() {
                    let address = match symbol.address() {
                        None => None,
                        Some(address) => match mapped_address(space, bias, address) {
                            None => continue,
                            address => address,
                        },
                    };
                    hits.push(Hit {
                        pid: space.pid(),
                        start_time: space.start_time(),
                        path: Arc::clone(&first.path),
                        build_id: binary.build_id().cloned(),
                        symbol: Arc::clone(symbol),
                        address,
                    });
                }
            }
        }
        hits
    }

    /// Opens the file that these lines show. Data that is no binary is left out without a word, and so is what has gone
    /// with its process.
    fn open(&mut self, pid: u32, lines: &[&Arc<Mapping>]) -> Option<Arc<Binary>> {
        let code = lines.iter().find(|line| line.permissions.execute);
        let line = code.unwrap_or(&lines[0]);
        if let Some(binary) = line.binary() {
            return Some(Arc::clone(binary));
        }
        let error = line.binary_error()?;
        let is_news = !error.is_no_binary() && !matches!(*error, OpenError::Gone);
        // Of what is only read nobody knows that it is a binary.
        if is_news && code.is_some() {
            let path = line.path.to_path_buf();
            self.add_problem(
                pid,
                Problem::Open {
                    path,
                    source: error,
                },
            );
        }
        None
    }

    fn symbols_of(&mut self, pid: u32, binary: &Binary, line: &Mapping) -> Arc<[Arc<Symbol>]> {
        if let Some(symbols) = self.symbols.get(&binary.id()) {
            return Arc::clone(symbols);
        }
        self.stats.binaries += 1;
        let mut found = Vec::new();
        if let Err(source) = find_symbols(binary, &self.query.symbols, &mut found) {
            let path = line.path.to_path_buf();
            self.add_problem(pid, Problem::Symbols { path, source });
        }
        let symbols: Arc<[Arc<Symbol>]> = found.into_iter().map(Arc::new).collect();
        self.symbols.insert(binary.id(), Arc::clone(&symbols));
        symbols
    }

    fn add_problem(&mut self, pid: u32, problem: Problem) {
        self.problems.entry(pid).or_default().push(problem);
    }
}

impl Iterator for Hits<'_> {
    type Item = Hit;

    fn next(&mut self) -> Option<Hit> {
        loop {
            if let Some(hit) = self.hits.next() {
                return Some(hit);
            }
            self.hits = self.scan.look_at(self.pids.next()?).into_iter();
        }
    }
}

/// The lines of each file or image, in the order of the addresses of the first ones.
fn files(space: &AddressSpace) -> Vec<Vec<&Arc<Mapping>>> {
    let mut order: HashMap<_, usize> = HashMap::new();
    let mut files: Vec<Vec<&Arc<Mapping>>> = Vec::new();
    for line in space.mappings() {
        if line.kind.has_image() {
            let file = (line.device, line.inode);
            let at = *order.entry(file).or_insert_with(|| {
                files.push(Vec::new());
                files.len() - 1
            });
            files[at].push(line);
        }
    }
    files
}
