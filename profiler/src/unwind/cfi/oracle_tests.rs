//! Row for row the same as gimli says, on real files.

use std::path::Path;

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, DebugFrame, EhFrame, EndianSlice, LittleEndian, RegisterRule,
    UnwindContext, UnwindContextStorage, UnwindExpression, UnwindSection, UnwindTableRow,
};
use profiler_common::Rule;

use super::state::{CfaState, RegisterState, State};
use super::{Input, rows_of};
use crate::addr::ElfAddr;
use crate::binary::Binary;
use crate::unwind::sections::Sections;
use crate::unwind::{Miss, Rows, UnwindError};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// gimli's own storage has room for 3 remembered states; ours has for 64.
struct Storage;

impl UnwindContextStorage<usize> for Storage {
    type Rules = Vec<(gimli::Register, RegisterRule<usize>)>;
    type Stack = Vec<UnwindTableRow<usize, Self>>;
}

/// A function and its rows, repeats merged.
struct Function {
    start: u64,
    end: u64,
    rows: Vec<(u64, Rule)>,
}

fn bytes<'a>(
    section: &impl UnwindSection<Slice<'a>>,
    expression: &UnwindExpression<usize>,
) -> &'a [u8] {
    expression.get(section).unwrap().0.slice()
}

fn register<'a>(
    section: &impl UnwindSection<Slice<'a>>,
    rule: Option<&RegisterRule<usize>>,
) -> RegisterState<'a> {
    match rule {
        None | Some(RegisterRule::SameValue) => RegisterState::Same,
        Some(RegisterRule::Undefined) => RegisterState::Undefined,
        Some(RegisterRule::Offset(offset)) => RegisterState::AtCfa(*offset),
        Some(RegisterRule::Expression(expression)) => RegisterState::At(bytes(section, expression)),
        Some(RegisterRule::Register(register)) => RegisterState::In(register.0.into()),
        Some(_) => RegisterState::Other,
    }
}

#[expect(
    single_use_lifetimes,
    reason = "an impl argument cannot have an anonymous one"
)]
fn rule<'a>(
    section: &impl UnwindSection<Slice<'a>>,
    row: &UnwindTableRow<usize, Storage>,
    is_signal: bool,
) -> Rule {
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            CfaState::Register(register.0.into(), *offset)
        }
        CfaRule::Expression(expression) => CfaState::Expression(bytes(section, expression)),
    };
    let fp = register(section, row.register(gimli::X86_64::RBP).as_ref());
    let ra = register(section, row.register(gimli::X86_64::RA).as_ref());
    State { cfa, fp, ra }
        .rule(is_signal)
        .unwrap_or(Rule::UNSUPPORTED)
}

/// What gimli finds in a section, in the order of addresses.
fn functions<'a, S: UnwindSection<Slice<'a>, Offset: gimli::UnwindOffset<usize>>>(
    section: &S,
    bases: &BaseAddresses,
) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut context: UnwindContext<usize, Storage> = UnwindContext::new_in();
    let mut entries = section.entries(bases);
    while let Some(entry) = entries.next().unwrap() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial.parse(S::cie_from_offset).unwrap();
        let (start, end) = (fde.initial_address(), fde.end_address());
        let mut rows: Vec<(u64, Rule)> = Vec::new();
        let mut table = fde.rows(section, bases, &mut context).unwrap();
        let mut reached = start;
        loop {
            let (at, behind, rule) = match table.next_row() {
                Ok(None) => break,
                Ok(Some(row)) => (
                    row.start_address(),
                    row.end_address(),
                    rule(section, row, fde.is_signal_trampoline()),
                ),
                Err(_) => (reached, end, Rule::UNSUPPORTED),
            };
            reached = behind;
            if at < behind && at < end && rows.last().is_none_or(|(_, last)| *last != rule) {
                rows.push((at, rule));
            }
            if behind >= end {
                break;
            }
        }
        if start < end {
            functions.push(Function { start, end, rows });
        }
    }
    functions.sort_by_key(|function| function.start);
    functions
}

fn gimli_functions(input: &Input<'_>) -> Vec<Function> {
    let bases = BaseAddresses::default()
        .set_text(input.text_address)
        .set_got(input.data_address)
        .set_eh_frame(input.eh_frame.address);
    let mut eh_frame = EhFrame::new(input.eh_frame.data, LittleEndian);
    eh_frame.set_address_size(8);
    let mut debug_frame = DebugFrame::new(input.debug_frame.data, LittleEndian);
    debug_frame.set_address_size(8);
    let mut all = functions(&eh_frame, &bases);
    let mut others = functions(&debug_frame, &bases);
    // As ours: `.debug_frame` counts where `.eh_frame` says nothing.
    others.retain(|other| {
        let behind = all.partition_point(|function| function.start < other.end);
        behind
            .checked_sub(1)
            .is_none_or(|index| all[index].end <= other.start)
    });
    all.append(&mut others);
    all.sort_by_key(|function| function.start);
    all
}

/// Compares one file; how many functions it has.
pub(super) fn check(path: &Path, binary: &Binary) -> usize {
    let sections = match Sections::read(binary) {
        Err(UnwindError::Machine(_)) => return 0,
        sections => sections.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    let input = sections.input();
    let rows = rows_of(&input);
    let functions = gimli_functions(&input);
    let in_text = |function: &&Function| {
        let inside = |range: &std::ops::Range<u64>| {
            range.start <= function.start && function.end <= range.end
        };
        input.text.iter().any(inside)
    };
    let functions: Vec<&Function> = functions.iter().filter(in_text).collect();
    let apart = |index: &usize| {
        let function = functions[*index];
        let next = functions
            .get(index + 1)
            .is_none_or(|next| function.end <= next.start);
        next && (*index == 0 || functions[index - 1].end <= function.start)
    };
    let compared: Vec<usize> = (0..functions.len()).filter(apart).collect();
    for index in &compared {
        check_function(path, &rows, functions[*index]);
    }
    // Only what is met twice may be left out.
    let same = functions
        .windows(2)
        .filter(|pair| pair[0].start == pair[1].start)
        .count();
    let left_out = functions.len() - compared.len();
    let allowed = 2 * (same + rows.misses().get(Miss::Overlap) as usize);
    assert!(
        left_out <= allowed,
        "{}: {left_out} functions overlap, {allowed} may",
        path.display()
    );
    for miss in [Miss::Fde, Miss::Cie, Miss::Section, Miss::TooManyRules] {
        assert_eq!(
            rows.misses().get(miss),
            0,
            "{}: {}",
            path.display(),
            miss.text()
        );
    }
    compared.len()
}

fn check_function(path: &Path, rows: &Rows, function: &Function) {
    let mut ours = vec![(function.start, rows.find(ElfAddr(function.start)))];
    let inside = ElfAddr(function.start + 1)..ElfAddr(function.end);
    ours.extend(
        rows.between(inside)
            .map(|(address, rule)| (address.0, rule)),
    );
    let name = path.display();
    assert_eq!(
        ours, function.rows,
        "{name}: function at {:#x}",
        function.start
    );
}

/// Our rows are gimli's on this very program and the libraries that it runs with.
#[test]
fn this_program() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut paths: Vec<&str> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let functions = |path: &str| {
        let binary = Binary::open(path).unwrap();
        check(Path::new(path), &binary)
    };
    let total: usize = paths.into_iter().map(functions).sum();
    assert!(total > 5000, "only {total} functions");
}
