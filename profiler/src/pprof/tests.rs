//! The rules of the writer, on data made by hand; dumps of whole profiles are kept in `golden/`.
//!
//! Whether pprof's own tools agree is tested in the crate `profiler-tests`.
//!
//! Long because each case states its whole profile.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use prost::Message as _;

use super::*;

const PERIOD_NS: u64 = 10_101_010;
/// Set it to accept what the profiles look like now.
const ACCEPT: &str = "ACCEPT_GOLDEN";

fn header() -> Header {
    Header {
        period_ns: PERIOD_NS,
        time_ns: 1_700_000_000_123_456_789,
        duration_ns: 5_250_000_000,
        comments: vec![
            "profiler 0.1.0".to_owned(),
            String::new(),
            "# lost 0".to_owned(),
        ],
    }
}

fn mapping(start: u64, limit: u64, file: &str) -> Mapping {
    Mapping {
        start,
        limit,
        offset: 0x1000,
        file: file.to_owned(),
        build_id: vec![0x0a, 0xff],
    }
}

fn program() -> Mapping {
    mapping(0x5000_1000, 0x5000_3000, "/opt/app/server")
}

fn libc() -> Mapping {
    mapping(0x4000_0000, 0x4010_0000, "/usr/lib/libc.so.6")
}

fn kernel() -> Mapping {
    Mapping {
        offset: 0,
        ..mapping(
            0xffff_ffff_8100_0000,
            0xffff_ffff_c200_0000,
            "[kernel.kallsyms]",
        )
    }
}

fn full<'a>(name: &'a str, file: &'a str, line: u32) -> Line<'a> {
    Line {
        name,
        file,
        line,
        ..Line::default()
    }
}

fn named(name: &str) -> Line<'_> {
    full(name, "", 0)
}

fn text_label(key: &str, value: &str) -> Label {
    Label::Str(key.to_owned(), value.to_owned())
}

fn number_label(key: &str, value: i64) -> Label {
    Label::Num(key.to_owned(), value, String::new())
}

/// Compares the dump of a profile with the accepted one, and the file with the message.
fn check(name: &str, profile: &Profile) {
    let mut bytes = Vec::new();
    GzDecoder::new(&*profile.to_gzip())
        .read_to_end(&mut bytes)
        .unwrap();
    assert_eq!(proto::Profile::decode(&*bytes).unwrap(), *profile.message());

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/pprof/golden/{name}.txt"));
    let text = profile.text();
    if std::env::var_os(ACCEPT).is_some() {
        fs::write(&path, &text).unwrap();
    }
    let accepted = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == accepted,
        "accepted:\n{accepted}\nnow:\n{text}\nto accept it: {ACCEPT}=1 cargo test -p profiler pprof"
    );
}

/// A profile with every kind of mapping, location and label, and nothing of it twice.
#[test]
fn all_kinds() {
    let mut builder = Builder::new(header());
    let program = builder.mapping(program());
    let libc = builder.mapping(libc());
    let kernel = builder.mapping(kernel());
    let vdso = builder.mapping(mapping(0x7fff_0000, 0x7fff_2000, "[vdso]"));
    let jit = builder.mapping(Mapping {
        build_id: Vec::new(),
        ..mapping(0x7000_0000, 0x7001_0000, "[jit]")
    });
    builder.set_main(program);
    let inlined = [
        Line {
            name: "<alloc::vec::Vec<u8> as core::iter::FromIterator<u8>>::from_iter",
            system_name: "_RNvXs_NtNtCs1_5alloc3vecINtB4_3VechE9from_iter",
            file: "/src/vec.rs",
            start_line: 90,
            line: 99,
        },
        Line {
            start_line: 5,
            ..full("server::handle", "/src/main.rs", 12)
        },
    ];
    let leaf = builder.location(program, 0x5000_1234, &inlined);
    let root = builder.location(program, 0x5000_2fff, &[full("main", "/src/main.rs", 40)]);
    let write = builder.location(libc, 0x4000_0100, &[named("write")]);
    let bare = builder.location(libc, 0x4000_0200, &[]);
    let entry = builder.location(kernel, 0xffff_ffff_8100_0123, &[named("entry_SYSCALL_64")]);
    let clock = builder.location(vdso, 0x7fff_0abc, &[named("__vdso_clock_gettime")]);
    let generated = builder.location(jit, 0x7000_0010, &[named("LazyCompile:~run app.js:1")]);
    let nowhere = builder.unmapped(0x1234);
    let labels = [
        number_label("pid", 42),
        number_label("tid", 0),
        text_label("comm", "server"),
    ];
    builder.add(&[leaf, root], 3, &labels);
    builder.add(&[entry, write, leaf, root], 2, &labels);
    builder.add(
        &[clock, bare, generated, nowhere],
        1,
        &[Label::Num("size".to_owned(), 4096, "bytes".to_owned())],
    );
    let profile = builder.finish();
    assert_eq!(profile.corrections(), Corrections::default());
    check("all_kinds", &profile);
}

/// Profiles with hardly anything in them are profiles too (PR-10).
#[test]
fn hardly_anything() {
    check("empty", &Builder::new(header()).finish());

    let mut builder = Builder::new(header());
    builder.add(&[], 1, &[]);
    check("one_sample_without_stack", &builder.finish());

    let mut builder = Builder::new(header());
    let program = builder.mapping(program());
    builder.set_main(program);
    let kernel = builder.mapping(kernel());
    let idle = builder.location(kernel, 0xffff_ffff_8100_0000, &[named("default_idle")]);
    builder.add(&[idle], 7, &[number_label("pid", 0)]);
    check("kernel_only", &builder.finish());
}

/// A flag is set when all lines of all locations of the mapping have what it promises, and none without functions.
#[test]
fn flags_need_every_location() {
    let (functions, all) = ([true, false, false, false], [true; 4]);
    let complete = full("f", "f.c", 1);
    let cases: [(&[&[Line<'_>]], [bool; 4]); 8] = [
        (&[&[complete]], all),
        (&[&[complete], &[complete, full("g", "g.c", 2)]], all),
        (&[&[complete], &[]], [false; 4]),
        (&[&[]], [false; 4]),
        (&[&[named("f")], &[named("g")]], functions),
        (&[&[complete], &[named("g")]], functions),
        (
            &[&[complete, full("g", "g.c", 0)]],
            [true, true, false, false],
        ),
        (&[&[complete], &[full("", "g.c", 3)]], [false; 4]),
    ];
    for (locations, flags) in cases {
        let mut builder = Builder::new(header());
        let program = builder.mapping(program());
        for (lines, address) in locations.iter().zip(0x5000_1000..) {
            let location = builder.location(program, address, lines);
            builder.add(&[location], 1, &[]);
        }
        let profile = builder.finish();
        let mapping = &profile.message().mapping[0];
        let found = [
            mapping.has_functions,
            mapping.has_filenames,
            mapping.has_line_numbers,
            mapping.has_inline_frames,
        ];
        assert_eq!(found, flags, "{locations:?}");
    }
}

/// The main binary comes first; without one, the file with most samples of its own; never a nameless range.
#[test]
fn first_mapping() {
    let anonymous = || mapping(0x1000, 0x2000, "");
    let server_then_libc: &[_] = &["/opt/app/server", "/usr/lib/libc.so.6"];
    let libc_then_server: &[_] = &["/usr/lib/libc.so.6", "/opt/app/server"];
    type Case<'a> = (Vec<(Mapping, u64)>, Option<Mapping>, &'a [&'a str]);
    let cases: [Case<'_>; 6] = [
        (
            vec![(libc(), 9), (program(), 1)],
            Some(program()),
            server_then_libc,
        ),
        (vec![(libc(), 9)], Some(program()), server_then_libc),
        (vec![(libc(), 1), (program(), 2)], None, server_then_libc),
        (vec![(libc(), 1), (program(), 1)], None, libc_then_server),
        (
            vec![(anonymous(), 9), (kernel(), 1)],
            None,
            &["[kernel.kallsyms]", ""],
        ),
        (
            vec![(anonymous(), 9), (kernel(), 9), (program(), 1)],
            None,
            &["/opt/app/server", "", "[kernel.kallsyms]"],
        ),
    ];
    for (samples, main, files) in cases {
        let mut builder = Builder::new(header());
        for (mapping, count) in samples {
            let start = mapping.start;
            let mapping = builder.mapping(mapping);
            let location = builder.location(mapping, start, &[]);
            builder.add(&[location], count, &[]);
        }
        if let Some(main) = main {
            let main = builder.mapping(main);
            builder.set_main(main);
        }
        let profile = builder.finish();
        let message = profile.message();
        let found: Vec<_> = message
            .mapping
            .iter()
            .map(|mapping| message.string_table[mapping.filename as usize].as_str())
            .collect();
        assert_eq!(found, files);
    }
}

/// Mappings and locations that no sample has are not written.
#[test]
fn unused_is_left_out() {
    let mut builder = Builder::new(header());
    let libc = builder.mapping(libc());
    let program = builder.mapping(program());
    builder.location(libc, 0x4000_0000, &[named("unused")]);
    let used = builder.location(program, 0x5000_1000, &[named("used")]);
    builder.add(&[used], 1, &[]);
    builder.add(&[used, used], 0, &[]);
    let profile = builder.finish();
    let message = profile.message();
    assert_eq!((message.mapping.len(), message.location.len()), (1, 1));
    assert_eq!((message.function.len(), message.sample.len()), (1, 1));
}

/// The range includes its start and excludes its limit; what is outside has no mapping and no names, and is counted.
#[test]
fn addresses_outside_have_no_mapping() {
    for (address, is_inside) in [
        (0x5000_0fff, false),
        (0x5000_1000, true),
        (0x5000_2fff, true),
        (0x5000_3000, false),
    ] {
        let mut builder = Builder::new(header());
        let program = builder.mapping(program());
        let location = builder.location(program, address, &[named("f")]);
        builder.add(&[location], 1, &[]);
        let profile = builder.finish();
        let location = &profile.message().location[0];
        assert_eq!(location.address, address);
        assert_eq!(location.mapping_id, u64::from(is_inside), "{address:#x}");
        assert_eq!(location.line.len(), usize::from(is_inside), "{address:#x}");
        assert_eq!(profile.corrections().outside_mapping, u64::from(!is_inside));
    }
}

/// Samples that differ in the order of their labels only are one; a label or a frame more makes another.
#[test]
fn equal_samples_are_added_up() {
    let mut builder = Builder::new(header());
    let program = builder.mapping(program());
    let frame = builder.location(program, 0x5000_1000, &[]);
    let labels = [number_label("pid", 1), text_label("comm", "a")];
    let reversed = [labels[1].clone(), labels[0].clone()];
    builder.add(&[frame], 1, &labels);
    builder.add(&[frame], 2, &reversed);
    builder.add(&[frame], 4, &labels[..1]);
    builder.add(&[frame, frame], 8, &labels);
    let profile = builder.finish();
    let mut values: Vec<_> = profile
        .message()
        .sample
        .iter()
        .map(|sample| sample.value.clone())
        .collect();
    values.sort();
    let period = PERIOD_NS as i64;
    assert_eq!(
        values,
        [
            vec![3, 3 * period],
            vec![4, 4 * period],
            vec![8, 8 * period]
        ]
    );
}

/// Of several sets of names for an address the one that says most is kept, in whatever order they come.
#[test]
fn names_of_an_address_do_not_depend_on_order() {
    let sets: [&[Line<'_>]; 3] = [&[], &[named("b")], &[named("a"), named("b")]];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let mut builder = Builder::new(header());
        let program = builder.mapping(program());
        for index in order {
            let location = builder.location(program, 0x5000_1000, sets[index]);
            builder.add(&[location], 1, &[]);
        }
        let profile = builder.finish();
        assert_eq!(profile.message().location.len(), 1);
        assert_eq!(profile.message().location[0].line.len(), 2, "{order:?}");
        assert_eq!(profile.corrections().conflicting_names, 1, "{order:?}");
    }
}

/// Labels that pprof would not show are left out and counted.
#[test]
fn bad_labels_are_counted() {
    let mut builder = Builder::new(header());
    builder.add(&[], 1, &[text_label("comm", ""), number_label("pid", 0)]);
    assert_eq!(builder.corrections().labels, 1);
    builder.comment("1 label left out");
    let profile = builder.finish();
    assert_eq!(profile.corrections().labels, 1);
    assert_eq!(profile.message().sample[0].label.len(), 1);
    assert!(profile.text().contains("comment \"1 label left out\"\n"));
}

/// Numbers that look random and are always the same (the generator of Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// One located and named sample, as the rest of the profiler would know it.
struct Made {
    /// Mapping, address in it, and the numbers of its functions.
    stack: Vec<(Mapping, u64, Vec<usize>)>,
    thread: usize,
}

/// Samples of a server of 400 functions in four files: 20 to 40 frames, mostly the same near the root.
fn made_samples(count: usize) -> Vec<Made> {
    let mut numbers = Numbers(1);
    let files = [
        program(),
        libc(),
        kernel(),
        mapping(0x6000_0000, 0x6000_9000, "/usr/lib/libssl.so.3"),
    ];
    let frame = |numbers: &mut Numbers| {
        let mapping = &files[numbers.below(files.len())];
        let address = mapping.start + numbers.below(400) as u64;
        let first = (address.wrapping_mul(31) % 400) as usize;
        let functions = (first..first + 1 + first % 3).collect();
        (mapping.clone(), address, functions)
    };
    let roots: Vec<Vec<_>> = (0..12)
        .map(|_| (0..16).map(|_| frame(&mut numbers)).collect())
        .collect();
    let mut samples = Vec::new();
    for _ in 0..count {
        let depth = 4 + numbers.below(20);
        let mut stack: Vec<_> = (0..depth).map(|_| frame(&mut numbers)).collect();
        stack.extend(roots[numbers.below(roots.len())].iter().cloned());
        let thread = numbers.below(16);
        samples.push(Made { stack, thread });
    }
    samples
}

/// A name, its mangled form and a file, as long as those of real Rust programs.
fn made_function(number: usize) -> (String, String, String) {
    let hash = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let name = format!("server::handler{}::Request<T>::poll_{number}", number % 37);
    let mangled = format!(
        "_ZN6server7handler{}16Request$LT$T$GT$8poll_{number}17h{hash:016x}E",
        number % 37
    );
    let file = format!(
        "/home/user/.cargo/registry/src/index/server-{}/src/handler.rs",
        number % 37
    );
    (name, mangled, file)
}

fn build(samples: &[Made]) -> Profile {
    let mut builder = Builder::new(header());
    for sample in samples {
        let mut stack = Vec::new();
        for (mapping, address, functions) in &sample.stack {
            let mapping = builder.mapping(mapping.clone());
            let names: Vec<_> = functions
                .iter()
                .map(|&number| made_function(number))
                .collect();
            let lines: Vec<_> = names
                .iter()
                .map(|(name, system_name, file)| Line {
                    system_name,
                    ..full(name, file, 7)
                })
                .collect();
            stack.push(builder.location(mapping, *address, &lines));
        }
        let thread = format!("worker-{}", sample.thread);
        builder.add(
            &stack,
            1,
            &[
                number_label("pid", 4242),
                number_label("tid", 4242 + sample.thread as i64),
                text_label("comm", "server"),
                text_label("thread", &thread),
            ],
        );
    }
    let main = builder.mapping(program());
    builder.set_main(main);
    builder.finish()
}

/// The same samples give the same bytes, whatever order they come in.
#[test]
fn bytes_do_not_depend_on_order() {
    let mut samples = made_samples(100);
    let bytes = build(&samples).to_gzip();
    for seed in 0..5 {
        Numbers(seed).shuffle(&mut samples);
        assert!(build(&samples).to_gzip() == bytes, "seed {seed}");
    }
}

/// A thousand different stacks of a symbolized program fit into 64 KiB.
#[test]
fn typical_profile_is_small() {
    let profile = build(&made_samples(1000));
    assert_eq!(profile.message().sample.len(), 1000);
    assert!(profile.message().location.len() > 1000);
    let size = profile.to_gzip().len();
    assert!(size <= 64 << 10, "{size} bytes");
}
