//! From a core file to the stacks of its threads, with names, and to a profile of them.
//!
//! The line is that of samples, entered where a process is known: the same rows and the same step, in user space,
//! over memory that does not change any more. Printing it is left to `cli`.

use std::collections::HashMap;
use std::sync::Arc;

use profiler_common::{Cfa, Registers, Rule, SavedFp, Stop};

use super::name_memory::name_frames;
use super::write_up;
use crate::addr::{CodeAddr, ElfAddr, ProcAddr};
use crate::aggregate::{Aggregate, Counted, Frame, Labels, MappingIndex, Place};
use crate::binary::Binary;
use crate::pprof::{Header, Label};
use crate::process::{
    CoreFile, FileState, Loaded, Mapping, MappingKind, Process, ReadMemory, Thread, Unavailable,
    signal_name,
};
use crate::symbolize::{Detail, Named, Options};
use crate::unwind::{self, Rows, Stack};

/// A recursion without end has about as many frames in a stack of 8 MiB, and is a common reason for core files.
const MOST_FRAMES: usize = 200_000;
/// What one read of the stack fetches, aligned.
const WINDOW: u64 = 4096;

/// The stacks of all threads of a core file.
pub(crate) struct CoreStacks {
    pub(crate) threads: Vec<ThreadStack>,
    aggregate: Aggregate,
    names: Vec<Named>,
}

/// The stack of one thread.
#[derive(Clone, Debug)]
pub(crate) struct ThreadStack {
    /// The thread, as the core file has it.
    pub(crate) thread: Thread,
    /// Innermost first: positions of frames.
    pub(crate) frames: Vec<usize>,
    /// Which of the frames are the kernel's trampoline that called a signal handler: each comes before a frame that
    /// was interrupted.
    pub(crate) trampolines: Vec<usize>,
    /// Why the walk ended; `None` when there were no registers to begin with.
    pub(crate) stop: Option<Stop>,
    /// The memory that the walk would have needed, and why it is not there.
    pub(crate) unread: Option<(ProcAddr, Unavailable)>,
}

/// One frame with all that is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreFrame<'a> {
    /// The address that was looked up: of callers one less than the return address.
    pub(crate) address: ProcAddr,
    /// The mapping that has it.
    pub(crate) mapping: Option<&'a Arc<Mapping>>,
    /// The functions there, innermost first, or why they have no names.
    pub(crate) named: &'a Named,
}

impl CoreStacks {
    /// Walks the stack of each thread and names the frames.
    pub(crate) fn of(core: &CoreFile, detail: Detail, options: &Options) -> Self {
        let mut walker = Walker {
            core,
            rows: HashMap::new(),
        };
        let mut aggregate = Aggregate::default();
        let pid = core.pid().unwrap_or_default();
        if let Some(main) = core.mappings().iter().find(|mapping| mapping.is_main) {
            let index = aggregate.mappings.user(pid, main);
            aggregate.mappings.add_main(index);
        }
        let mut threads = Vec::new();
        let mut positions: HashMap<Frame, usize> = HashMap::new();
        for thread in core.threads() {
            let (stack, unread) = match &thread.registers {
                Some(set) => {
                    let (stack, unread) = walker.walk(Registers::interrupted(
                        set.instruction_pointer(),
                        set.stack_pointer(),
                        set.frame_pointer(),
                    ));
                    (Some(stack), unread)
                }
                None => (None, None),
            };
            let addresses = stack.iter().flat_map(|stack| &stack.frames);
            let frames: Vec<Frame> = addresses
                .map(|address| frame(core, &mut aggregate, pid, address.lookup()))
                .collect();
            let stop = stack.as_ref().map(|stack| stack.stop);
            let trampolines = stack.as_ref().map(trampolines).unwrap_or_default();
            let labels = Labels {
                pid: Some(pid),
                tid: Some(thread.tid),
                ..Labels::default()
            };
            aggregate.add(
                frames.iter().copied(),
                stop.unwrap_or(Stop::NoUserStack),
                &labels,
            );
            for (position, frame) in aggregate.frames().iter().enumerate().skip(positions.len()) {
                positions.insert(*frame, position);
            }
            threads.push(ThreadStack {
                frames: frames.iter().map(|frame| positions[frame]).collect(),
                trampolines,
                thread,
                stop,
                unread,
            });
        }
        let places = write_up::places(&aggregate);
        let names = name_frames(detail, options, aggregate.frames(), &places);
        Self {
            threads,
            names,
            aggregate,
        }
    }

    /// A frame by its position.
    pub(crate) fn frame(&self, position: usize) -> CoreFrame<'_> {
        let frame = &self.aggregate.frames()[position];
        CoreFrame {
            address: ProcAddr(frame.address),
            mapping: frame.mapping.and_then(|index| self.mapping(index)),
            named: &self.names[position],
        }
    }

    /// How many threads have an address in a mapping.
    pub(crate) fn threads_in(&self, is_in: impl Fn(&Mapping) -> bool) -> usize {
        let has = |thread: &&ThreadStack| {
            thread.frames.iter().any(|position| {
                let mapping = self.frame(*position).mapping;
                mapping.is_some_and(|mapping| is_in(mapping))
            })
        };
        self.threads.iter().filter(has).count()
    }

    /// The profile: one sample for each thread.
    pub(crate) fn profile(&self, core: &CoreFile) -> Vec<u8> {
        let faulting = self.threads.first().map(|first| first.thread.tid);
        let signal = core.signal().map(|signal| signal_name(signal.number));
        let name = core.name().unwrap_or_default();
        let labels = |stack: &Counted<'_>| {
            let Labels { pid, tid, .. } = stack.labels;
            let ids = [("pid", pid), ("tid", tid)];
            let ids = ids.into_iter();
            let mut labels: Vec<Label> = ids
                .filter_map(|(key, id)| Some(number(key, (*id)?)))
                .collect();
            labels.push(text("name", &name.to_string_lossy()));
            if let Some(signal) = signal
                .as_ref()
                .filter(|_| tid.is_some() && faulting == *tid)
            {
                labels.push(text("signal", signal));
            }
            if stack.stop == Stop::NoUserStack {
                labels.push(text("truncated", "no registers"));
            } else if !stack.stop.is_complete() {
                labels.push(text("truncated", stack.stop.text()));
            }
            labels
        };
        let header = Header {
            period_ns: 0,
            time_ns: core.written_ns().unwrap_or_default().cast_unsigned(),
            duration_ns: 0,
            comments: comments(core),
        };
        write_up::build(header, &self.aggregate, &self.names, |_| true, labels).to_gzip()
    }

    fn mapping(&self, index: MappingIndex) -> Option<&Arc<Mapping>> {
        let (_, place) = self.aggregate.mappings.iter().nth(index.position())?;
        match place {
            Place::User { mapping, .. } => Some(mapping),
            Place::Kernel => None,
        }
    }
}

/// A trampoline was not called, and neither was what it returns to.
fn trampolines(stack: &Stack) -> Vec<usize> {
    let is_exact = |address: &CodeAddr| matches!(address, CodeAddr::Exact(_));
    let pairs = stack.frames.windows(2).enumerate().skip(1);
    pairs
        .filter(|(_, pair)| pair.iter().all(is_exact))
        .map(|(index, _)| index)
        .collect()
}

fn frame(core: &CoreFile, aggregate: &mut Aggregate, pid: u32, address: ProcAddr) -> Frame {
    match core.mapping_at(address) {
        Some(mapping) => aggregate.mappings.frame(pid, mapping, address),
        None => Frame {
            mapping: None,
            address: address.0,
        },
    }
}

fn number(key: &str, value: u32) -> Label {
    Label::Num(key.to_owned(), value.into(), String::new())
}

fn text(key: &str, value: &str) -> Label {
    Label::Str(key.to_owned(), value.to_owned())
}

/// Sentences for people: what this is of, what is damaged and what is missing.
fn comments(core: &CoreFile) -> Vec<String> {
    let mut comments = vec![format!(
        "profiler {}: the threads of a core file, one sample each",
        env!("CARGO_PKG_VERSION")
    )];
    if let Some(program) = core.program() {
        comments.push(format!("program: {}", program.args.to_string_lossy()));
    }
    comments.extend(
        core.damages()
            .iter()
            .map(|damage| format!("damaged: {damage}")),
    );
    comments.extend(core.modules().iter().filter_map(|module| {
        let FileState::Missing(missing) = &module.file else {
            return None;
        };
        let path = module.path.to_string_lossy();
        Some(format!("not here: {path}: {}", missing.why))
    }));
    comments
}

/// Walks stacks with the rows of each binary made once.
struct Walker<'a> {
    core: &'a CoreFile,
    /// By the address of the binary, which the mappings keep; `None` when its unwind information is not here.
    rows: HashMap<*const Binary, Option<Rows>>,
}

impl Walker<'_> {
    fn walk(&mut self, registers: Registers) -> (Stack, Option<(ProcAddr, Unavailable)>) {
        let core = self.core;
        let mut window = Window::new(core);
        let mut last = None;
        let stack = unwind::walk(
            registers,
            MOST_FRAMES,
            |registers| self.rule(registers),
            &mut |address: u64| match window.read_u64(address) {
                Ok(value) => Some(value),
                Err(missing) => {
                    last = Some((ProcAddr(address), missing));
                    None
                }
            },
        );
        // Other failed reads were tries that had an alternative.
        let unread = last.filter(|_| stack.stop == Stop::ReadFailed);
        (stack, unread)
    }

    fn rule(&mut self, registers: &Registers) -> Rule {
        let address = ProcAddr(registers.lookup());
        let Some(mapping) = self.core.mapping_at(address) else {
            return self.rule_of_call_to_nowhere(registers);
        };
        let Some((binary, bias)) = mapping.image_binary().zip(mapping.load_bias()) else {
            // Code that no file has was written by a JIT, which usually keeps frame pointers.
            return match mapping.kind {
                MappingKind::Anonymous | MappingKind::Memfd => Rule::NO_CFI,
                _ => Rule::NO_TABLE,
            };
        };
        let core = self.core;
        let rows = self
            .rows
            .entry(Arc::as_ptr(binary))
            .or_insert_with(|| rows(core, mapping, binary, bias));
        match rows {
            Some(rows) => rows.find(ElfAddr(address.0.wrapping_sub(bias))),
            None => Rule::NO_TABLE,
        }
    }

    /// A jump to a null or wild pointer: nothing has happened yet but the call, so the return address is on top of the
    /// stack, if that is one.
    fn rule_of_call_to_nowhere(&self, registers: &Registers) -> Rule {
        let top = self.core.read_u64(ProcAddr(registers.sp));
        let returns = top.is_ok_and(|address| self.core.mapping_at(ProcAddr(address)).is_some());
        if registers.is_exact() && returns {
            Rule::new(Cfa::Sp(8), SavedFp::Same)
        } else {
            Rule::NO_MAPPING
        }
    }
}

/// The rows of a binary, from its file or from what of it was dumped.
fn rows(core: &CoreFile, mapping: &Mapping, binary: &Binary, bias: u64) -> Option<Rows> {
    if mapping.binary().is_none() {
        return unwind::for_loaded(&Loaded::new(core, ProcAddr(bias)), binary);
    }
    unwind::for_binary(binary)
        .inspect_err(|error| log::warn!("{}: {error}", binary.path().display()))
        .ok()
}

/// The part of the stack that was read last: frames lie close to each other.
struct Window<'a> {
    core: &'a CoreFile,
    start: u64,
    size: usize,
    bytes: Box<[u8; WINDOW as usize]>,
}

impl<'a> Window<'a> {
    fn new(core: &'a CoreFile) -> Self {
        Self {
            core,
            start: 0,
            size: 0,
            bytes: Box::new([0; WINDOW as usize]),
        }
    }

    fn read_u64(&mut self, address: u64) -> Result<u64, Unavailable> {
        let start = address & !(WINDOW - 1);
        if self.start != start || self.size == 0 {
            let read = self.core.read(ProcAddr(start), &mut *self.bytes);
            (self.start, self.size) = (start, read.count);
        }
        let word = self.bytes[..self.size]
            .get((address - start) as usize..)
            .and_then(|bytes| bytes.first_chunk());
        match word {
            Some(word) => Ok(u64::from_le_bytes(*word)),
            // Across the end of the window, or not there.
            None => self.core.read_u64(ProcAddr(address)),
        }
    }
}
