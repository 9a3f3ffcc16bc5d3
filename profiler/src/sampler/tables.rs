//! The tables for unwinding, as the kernel side reads them; written through mapped memory.
//!
//! Which binary has which rows is [`crate::unwind`]'s business; which process has it mapped where comes from outside.
//! Order makes changes safe while walks go on: rules, rows and pages are written before the mappings that refer
//! to them, and a process's run of mappings is swapped whole.

use std::collections::HashMap;
use std::time::Instant;

use aya::Ebpf;
use aya::maps::{Array, ArrayOfMaps, HashMap as BpfHashMap, Map, MapData};
use profiler_common::{
    CHUNK_ROWS, MappingRun, PAGE_SHIFT, Page, ProcessRun, Row, Rule, Stop, find_row,
};

use super::blocks::{Blocks, REST};
use super::error::{self, SamplerError};
use super::load::take;
use super::mapped::MappedArray;
use super::{SamplerOptions, Unwind};
use crate::addr::ProcAddr;
use crate::unwind::{Published, TableSink};

/// Rows of the smallest block: 4 KiB.
const ROWS_UNIT: u32 = 1024;
const PAGES_UNIT: u32 = 16;
const MAPPINGS_UNIT: u32 = 8;
/// One element of the kernel's array.
type Chunk = [u32; CHUNK_ROWS as usize];
const CHUNK_BYTES: u64 = CHUNK_ROWS as u64 * size_of::<Row>() as u64;
/// Most rules that the kernel side has room for; a rustc with its libraries has some 1,200.
pub(super) const MAX_RULES: u32 = 1 << 14;
/// `BPF_MAP_TYPE_ARRAY` and `BPF_F_MMAPABLE` of the kernel's `linux/bpf.h`.
const TYPE_ARRAY: u32 = 2;
const MMAPABLE: u32 = 1 << 10;

/// The tables in the kernel.
#[derive(Debug)]
pub(crate) struct Tables {
    rules: MappedArray<u64>,
    rule_numbers: HashMap<Rule, u16>,
    pages: MappedArray<Page>,
    page_blocks: Blocks,
    mappings: MappedArray<MappingRun>,
    mapping_blocks: Blocks,
    chunks: Vec<MappedArray<u32>>,
    row_chunks: ArrayOfMaps<MapData, Array<MapData, Chunk>>,
    row_blocks: Blocks,
    /// Blocks of rows and of pages that were taken for a binary that is not whole yet, with their lengths.
    unsettled: [Vec<(u32, usize)>; 2],
    processes: BpfHashMap<MapData, u32, ProcessRun>,
    runs: HashMap<u32, ProcessRun>,
    /// Number of the last run that was written.
    generation: u64,
    /// Whether frame pointers are tried where there is no rule.
    guesses: bool,
    /// Whether the kernel side enters the runs of children.
    inherits: bool,
}

/// Why something did not fit into the tables.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    /// There is no room.
    #[error("the table of {0} is full")]
    Full(&'static str),
    /// The kernel refuses.
    #[error("{0}")]
    Kernel(#[from] SamplerError),
}

impl Tables {
    /// Takes the tables of a loaded object.
    pub(super) fn new(ebpf: &mut Ebpf, options: &SamplerOptions) -> Result<Self, SamplerError> {
        let pages = array::<Page>(ebpf, "PAGES")?;
        let mappings = array::<MappingRun>(ebpf, "MAPPINGS")?;
        let chunks = (options.unwind_memory / CHUNK_BYTES).clamp(1, 4096) as u32;
        Ok(Self {
            rules: array(ebpf, "RULES")?,
            rule_numbers: HashMap::new(),
            page_blocks: Blocks::new(PAGES_UNIT, pages.len() as u32),
            pages,
            mapping_blocks: Blocks::new(MAPPINGS_UNIT, mappings.len() as u32),
            mappings,
            chunks: Vec::new(),
            row_chunks: take(ebpf, "ROWS")?,
            row_blocks: Blocks::new(ROWS_UNIT, chunks * CHUNK_ROWS),
            unsettled: [Vec::new(), Vec::new()],
            processes: take(ebpf, "PROCESSES")?,
            runs: HashMap::new(),
            generation: 0,
            guesses: options.unwind != Unwind::Tables,
            inherits: options.follow_children,
        })
    }

    /// From now on walks of this process use these mappings, which are in the order of their addresses.
    pub(crate) fn set_process(
        &mut self,
        pid: u32,
        mappings: &[MappingRun],
        is_complete: bool,
    ) -> Result<(), TableError> {
        let now = Instant::now();
        let first = self
            .mapping_blocks
            .take(mappings.len(), now)
            .ok_or(TableError::Full("mappings"))?;
        let mappings: Vec<MappingRun> = mappings
            .iter()
            .map(|mapping| MappingRun {
                rule: match mapping.rule {
                    0 => 0,
                    bits => self.without_guess(Rule::from_bits(bits)).bits(),
                },
                ..*mapping
            })
            .collect();
        self.mappings.write(first as usize, &mappings);
        self.generation += 2;
        let left_out = if is_complete { 0 } else { ProcessRun::LEFT_OUT };
        let run = ProcessRun {
            first,
            end: first + mappings.len() as u32,
            generation: self.generation | left_out,
        };
        if let Err(cause) = self.processes.insert(pid, run, 0) {
            self.mapping_blocks.give(first, mappings.len(), now);
            log::debug!("process {pid} has no place in the tables: {cause}");
            return Err(TableError::Full("processes"));
        }
        if let Some(old) = self.runs.insert(pid, run) {
            self.give_run(old, now);
        }
        Ok(())
    }

    /// Forgets the mappings of a process.
    pub(crate) fn remove_process(&mut self, pid: u32) {
        let run = self.runs.remove(&pid);
        // At its fork the kernel side has entered its parent's run for it, if it follows children.
        if run.is_some() || self.inherits {
            // Fails when it has none, or none since its exec.
            let _ = self.processes.remove(&pid);
        }
        if let Some(run) = run {
            self.give_run(run, Instant::now());
        }
    }

    /// Ends the publishing of a binary: what was stored for it stays if it is whole, and is taken back if not.
    pub(crate) fn settle(&mut self, is_whole: bool) {
        let now = Instant::now();
        let [rows, pages] = std::mem::take(&mut self.unsettled);
        if is_whole {
            return;
        }
        for (block, length) in rows {
            self.row_blocks.give(block, length, now);
        }
        for (block, length) in pages {
            self.page_blocks.give(block, length, now);
        }
    }

    /// Takes back the rows and pages of a binary that no process has mapped any more. What they took can be used for another
    /// after [`rest`](Self::rest).
    pub(crate) fn release(&mut self, published: &Published) {
        let now = Instant::now();
        for rows in &published.rows {
            self.row_blocks.give(rows.start, rows.len(), now);
        }
        for region in &published.regions {
            self.page_blocks.give(
                region.first_page,
                ((region.end.0 - region.start.0) >> PAGE_SHIFT) as usize,
                now,
            );
        }
    }

    /// Waits until what was taken back can be used.
    pub(crate) fn rest() {
        std::thread::sleep(REST);
    }

    /// The rule in force at an address of a process with these mappings, as the walk in the kernel would find it.
    pub(crate) fn rule_at(&self, mappings: &[MappingRun], address: ProcAddr) -> Rule {
        let ProcAddr(address) = address;
        let above = mappings.partition_point(|mapping| mapping.start <= address);
        let mapping = above.checked_sub(1).and_then(|index| mappings.get(index));
        match mapping.filter(|mapping| address < mapping.limit) {
            None => self.without_guess(Rule::NO_MAPPING),
            Some(mapping) if mapping.rule != 0 => self.without_guess(Rule::from_bits(mapping.rule)),
            Some(mapping) => self
                .rule_of_row(mapping, address)
                .unwrap_or_else(|| self.without_guess(Rule::NO_ROW)),
        }
    }

    fn rule_of_row(&self, mapping: &MappingRun, address: u64) -> Option<Rule> {
        let pc = address.wrapping_sub(mapping.bias);
        let page = mapping.page_base.wrapping_add((pc >> PAGE_SHIFT) as u32);
        let page = self.pages.get(page as usize)?;
        let row = |number: u32| {
            let chunk = self.chunks.get((number / CHUNK_ROWS) as usize)?;
            chunk.get((number % CHUNK_ROWS) as usize).map(Row)
        };
        let row = find_row(page, pc, row)?;
        self.rules.get(row.rule().into()).map(Rule::from_bits)
    }

    /// Bytes that rows take in the kernel.
    pub(crate) fn row_bytes(&self) -> u64 {
        u64::from(self.row_blocks.used()) * size_of::<Row>() as u64
    }

    /// The rule that stops instead of trying the frame pointer, if that is not wanted.
    fn without_guess(&self, rule: Rule) -> Rule {
        const GUESSES: [(Rule, Stop); 4] = [
            (Rule::NO_ROW, Stop::NoRow),
            (Rule::NO_CFI, Stop::NoRow),
            (Rule::NO_MAPPING, Stop::NoMapping),
            (Rule::NO_TABLE, Stop::NoTable),
        ];
        let guess = GUESSES
            .iter()
            .find(|(guess, _)| !self.guesses && *guess == rule);
        guess.map_or(rule, |(_, stop)| Rule::stop(*stop))
    }

    fn give_run(&mut self, run: ProcessRun, now: Instant) {
        self.mapping_blocks
            .give(run.first, (run.end - run.first) as usize, now);
    }

    /// Makes the chunks that a row with this number needs.
    fn make_chunks(&mut self, number: u32) -> Result<(), SamplerError> {
        const ACTION: &str = "making a table of unwind rows";
        while self.chunks.len() as u32 <= number / CHUNK_ROWS {
            let definition =
                aya_obj::Map::new_from_params(TYPE_ARRAY, 4, CHUNK_BYTES as u32, 1, MMAPABLE);
            let data = MapData::create(definition, "rows", None)
                .map_err(|cause| error::other(ACTION, cause))?;
            let chunk = {
                use std::os::fd::AsFd;
                MappedArray::new(data.fd().as_fd(), CHUNK_ROWS as usize)
                    .map_err(|cause| error::other(ACTION, cause))?
            };
            let inner =
                Array::try_from(Map::Array(data)).map_err(|cause| error::other(ACTION, cause))?;
            self.row_chunks
                .set(self.chunks.len() as u32, &inner, 0)
                .map_err(|cause| error::other(ACTION, cause))?;
            self.chunks.push(chunk);
        }
        Ok(())
    }
}

impl TableSink for Tables {
    type Error = TableError;

    fn rule(&mut self, rule: Rule) -> Result<u16, TableError> {
        let rule = self.without_guess(rule);
        if let Some(number) = self.rule_numbers.get(&rule) {
            return Ok(*number);
        }
        let number = self.rule_numbers.len();
        if !self.rules.write(number, &[rule.bits()]) {
            return Err(TableError::Full("rules"));
        }
        // The table has at most MAX_RULES entries, which 16 bits can number.
        self.rule_numbers.insert(rule, number as u16);
        Ok(number as u16)
    }

    fn rows(&mut self, rows: &[Row]) -> Result<u32, TableError> {
        let first = self
            .row_blocks
            .take(rows.len(), Instant::now())
            .ok_or(TableError::Full("rows"))?;
        self.unsettled[0].push((first, rows.len()));
        self.make_chunks(first)?;
        let words: Vec<u32> = rows.iter().map(|row| row.0).collect();
        let chunk = &mut self.chunks[(first / CHUNK_ROWS) as usize];
        chunk.write((first % CHUNK_ROWS) as usize, &words);
        Ok(first)
    }

    fn pages(&mut self, pages: &[Page]) -> Result<u32, TableError> {
        let first = self
            .page_blocks
            .take(pages.len(), Instant::now())
            .ok_or(TableError::Full("pages of text"))?;
        self.unsettled[1].push((first, pages.len()));
        self.pages.write(first as usize, pages);
        Ok(first)
    }
}

/// Maps an array of the object into this process's memory.
fn array<T: aya::Pod>(ebpf: &mut Ebpf, name: &'static str) -> Result<MappedArray<T>, SamplerError> {
    const ACTION: &str = "mapping a table for unwinding";
    let Some(Map::Array(data)) = ebpf.map(name) else {
        return Err(error::other(ACTION, anyhow::anyhow!("no array {name}")));
    };
    let info = data.info().map_err(|cause| error::other(ACTION, cause))?;
    use std::os::fd::AsFd;
    MappedArray::new(data.fd().as_fd(), info.max_entries() as usize)
        .map_err(|cause| error::other(ACTION, cause))
}

const _: () = assert!(MAX_RULES <= 1 << 16);
