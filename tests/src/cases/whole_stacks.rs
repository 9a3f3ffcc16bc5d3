//! Whole stacks of programs without frame pointers, frame by frame: programs in which a function has only one caller, so
//! that its name says what the rest of the stack is. See `tests/programs/stacks.c`.

use crate::check::Sample;
use crate::harness::{Recorder, Recording, Stacks, Target, fixture, shared};

/// Stands for frames in other files than the program's, one or more.
const ELSEWHERE: &str = "~";
/// Below this share of the samples stacks may be cut: in the moments before the rows of a library are there.
const MAY_BE_CUT: f64 = 0.01;
/// The same for goroutines: in the first moments the copy of a stack is that of the thread or of the goroutine, not both.
const FIRST_MOMENTS: f64 = 0.15;

/// Runs a fixture until it has used so much CPU time, and samples all of it.
fn record(name: &str, seconds: &str) -> Recording {
    let program = fixture(name);
    let program = program.to_str().unwrap();
    Recorder::new(["-F", "997", "--", program, seconds]).run()
}

/// The functions of a sample's program, innermost first. Names are without parameters, types and hashes.
fn functions(sample: &Sample) -> Vec<&str> {
    let mut functions: Vec<&str> = Vec::new();
    for frame in &sample.stack {
        let file = frame.file.as_deref().unwrap_or_default();
        let is_own = file.contains("/stacks");
        let name = frame.functions.last().filter(|_| is_own);
        match name {
            Some(name) => functions.push(plain(name)),
            None if file == "[kernel.kallsyms]" => {}
            None if functions.last() == Some(&ELSEWHERE) => {}
            None => functions.push(ELSEWHERE),
        }
    }
    functions
}

fn plain(name: &str) -> &str {
    let name = name.split('(').next().unwrap_or_default();
    let name = name.rsplit(' ').next().unwrap_or_default();
    name.split("::h").next().unwrap_or_default()
}

/// The same of a target that waits until its tables are ready: its first moments are no others.
fn record_ready(name: &str, seconds: &str) -> Recording {
    let target = Target::waiting(name, seconds);
    let pid = target.pid.to_string();
    Recorder::new(["-p", &pid, "-F", "997"]).run_over(target).0
}

/// All samples whose innermost function is the chain's first have exactly this chain, and hardly any of them is cut.
#[track_caller]
fn check(all: &Stacks, chain: &[&str]) {
    check_with(all, chain, MAY_BE_CUT);
}

/// The same when such a part may be cut.
#[track_caller]
fn check_with(all: &Stacks, chain: &[&str], may_be_cut: f64) {
    let own = all.filter(|sample| functions(sample).first() == chain.first());
    assert!(
        own.count() >= 5,
        "{}: {} samples\n{}",
        chain[0],
        own.count(),
        all.text()
    );
    let wrong = own.filter(|sample| !sample.is_cut() && functions(sample) != chain);
    assert_eq!(wrong.count(), 0, "not {chain:?}\n{}", wrong.text());
    let cut = own.filter(Sample::is_cut);
    let allowed = may_be_cut.max(1.5 / own.count() as f64);
    assert!(cut.share_of(&own) <= allowed, "{}", cut.text());
}

fn chain<'a>(inner: &[&'a str]) -> Vec<&'a str> {
    [inner, &["work", "main", ELSEWHERE, "_start"]].concat()
}

/// C without frame pointers: 200 frames of one function, callbacks of the C library, a library that came later, longjmp,
/// frames of unknown size, realigned and large ones, and functions that were jumped to.
#[test]
fn shapes_of_c() {
    let Some(_turn) = shared() else { return };
    let all = Stacks::of(&record("stacks", "1.6").profile());
    let mut recursion = vec!["bottom"];
    recursion.extend(["descend"; 200]);
    recursion.push("phase_recursion");
    check(&all, &chain(&recursion));
    check(&all, &chain(&["compare", ELSEWHERE, "phase_sorting"]));
    let library = [
        "stacks_library_inner",
        "stacks_library_outer",
        "phase_library",
    ];
    check(&all, &chain(&library));
    check(&all, &chain(&["jump_from", "jump_middle", "phase_jump"]));
    check(&all, &chain(&["jump_landed", "phase_jump"]));
    check(&all, &chain(&["variable_leaf", "variable", "phase_frames"]));
    check(&all, &chain(&["aligned_leaf", "aligned", "phase_frames"]));
    // No copy of the first moments spans such a frame.
    check_with(&all, &chain(&["large_leaf", "large", "phase_frames"]), 0.15);
    for function in ["tail_first", "tail_second", "tail_third"] {
        check(&all, &chain(&[function, "phase_tail"]));
    }
    check(
        &all,
        &["thread_inner", "thread_outer", "thread_main", ELSEWHERE],
    );
    handlers(&all);
    let unmarked = all.filter(|sample| {
        let last = functions(sample).last().copied();
        // None: in the middle of exec or exit.
        !sample.is_cut() && !matches!(last, None | Some("_start" | ELSEWHERE))
    });
    assert_eq!(
        unmarked.count(),
        0,
        "cut, and not said\n{}",
        unmarked.text()
    );
}

/// Signal handlers, on the stack that they interrupt and on one of their own, are followed by all of what they interrupted.
#[track_caller]
fn handlers(all: &Stacks) {
    for (work, handler) in [("alarm_work", "on_alarm"), ("profile_work", "on_profile")] {
        let own = all.filter(|sample| functions(sample).first() == Some(&work));
        assert!(own.count() >= 5, "{}", all.text());
        let whole = own.filter(|sample| !sample.is_cut());
        // A library comes early, and until its news has been read stacks may be cut.
        whole.assert_share(&own, 0.7, handler);
        let wrong = whole.filter(|sample| {
            let functions = functions(sample);
            let interrupted = functions.strip_prefix(&[work, handler, ELSEWHERE]);
            // Not always in its work: at the end the main thread waits for the other one.
            !interrupted.is_some_and(|rest| {
                rest.ends_with(&["main", ELSEWHERE, "_start"])
                    || rest.ends_with(&["thread_main", ELSEWHERE])
            })
        });
        assert_eq!(wrong.count(), 0, "{}", wrong.text());
    }
}

/// Exceptions on their way through functions that have something to destroy.
#[test]
fn exceptions_of_cpp() {
    let Some(_turn) = shared() else { return };
    let all = Stacks::of(&record_ready("stacks-cpp", "1").profile());
    let levels = [
        "level<0>",
        "level<1>",
        "level<2>",
        "level<3>",
        "level<4>",
        "level<5>",
        "level<6>",
        "level<7>",
        "level<8>",
        "level<9>",
        "level<10>",
        "catching",
    ];
    check(&all, &chain(&levels));
    for (level, destroying) in [(3, "destroying<3>"), (10, "destroying<10>")] {
        check(&all, &chain(&[&[destroying], &levels[level..]].concat()));
    }
    check(&all, &chain(&["handled", "catching"]));
    let in_flight = all.filter(|sample| {
        let mut functions = sample.stack.iter().flat_map(|frame| &frame.functions);
        functions.any(|function| function.starts_with("_Unwind_"))
    });
    assert!(in_flight.count() >= 5, "{}", all.text());
    let whole = in_flight.filter(|sample| functions(sample).ends_with(&chain(&["catching"])));
    // Where `_Unwind_Resume` has taken over some registers of the frame that it goes on in and not yet others, no table is
    // right. That is a handful of instructions; on a busy machine one such sample may be one of few.
    let cut = in_flight.count() - whole.count();
    assert!(cut <= 1 + in_flight.count() / 50, "{}", in_flight.text());
}

/// Recursion, trait objects, closures in boxes and panics on their way in Rust; without unwind tables by frame pointers.
#[test]
fn shapes_of_rust() {
    let Some(_turn) = shared() else { return };
    for (name, unwinds) in [("stacks-rust", true), ("stacks-rust-abort-fp", false)] {
        let all = Stacks::of(&record_ready(name, "0.8").profile());
        let mut recursion = vec!["stacks::bottom"];
        recursion.extend(["stacks::descend"; 200]);
        recursion.extend(["stacks::recursion", "stacks::work"]);
        let mut boxed = vec!["stacks::innermost"];
        boxed.extend(["stacks::boxed"; 20]);
        boxed.extend(["stacks::closures", "stacks::work"]);
        let mut chains = vec![recursion, boxed];
        if unwinds {
            chains.push(vec![
                "stacks::thrower",
                "stacks::thrown",
                "stacks::panics",
                "stacks::work",
            ]);
        }
        for chain in chains {
            let own = all.filter(|sample| functions(sample).first() == chain.first());
            assert!(own.count() >= 5, "{name}: {}", all.text());
            let right = own.filter(|sample| {
                let functions = functions(sample);
                functions.starts_with(&chain) && functions.last() == Some(&"_start")
            });
            right.assert_share(&own, 1.0 - MAY_BE_CUT, name);
        }
    }
}

/// Go's functions without a frame of their own, C called from Go on another stack, and goroutines, by both Go releases.
#[test]
fn shapes_of_go() {
    let Some(_turn) = shared() else { return };
    for name in ["stacks-go", "stacks-go-current"] {
        let all = Stacks::of(&record(name, "1").profile());
        let mut recursion = vec!["main.bottom"];
        recursion.extend(["main.descend"; 100]);
        recursion.push("main.phaseRecursion");
        let main = ["main.work", "main.main", "runtime.main", "runtime.goexit"];
        check_with(&all, &[&recursion[..], &main].concat(), FIRST_MOMENTS);
        let mut growing = vec!["main.grown"];
        growing.extend(["main.grow"; 60]);
        growing.push("main.phaseGrowing");
        check_with(&all, &[&growing[..], &main].concat(), FIRST_MOMENTS);
        let in_c = all.filter(|sample| functions(sample).first() == Some(&"in_c_inner"));
        assert!(in_c.count() >= 5, "{name}: {}", all.text());
        let whole = in_c.filter(|sample| !sample.is_cut());
        whole.assert_share(&in_c, 1.0 - FIRST_MOMENTS, name);
        let wrong = whole.filter(|sample| {
            let functions = functions(sample);
            let called = functions.starts_with(&["in_c_inner", "in_c_outer"]);
            !(called && functions.ends_with(&[&["main.phaseC"][..], &main].concat()))
        });
        assert_eq!(wrong.count(), 0, "{}", wrong.text());
    }
}

/// A process of 50 ms has whole stacks, its first moments included, in which nothing is known of it yet.
#[test]
fn short_process() {
    let Some(_turn) = shared() else { return };
    let all = Stacks::of(&record("stacks", "0.05").profile());
    let own = all.filter(|sample| functions(sample).contains(&"main"));
    assert!(own.count() >= 10, "{}", all.text());
    let whole = own.filter(|sample| !sample.is_cut() && functions(sample).ends_with(&chain(&[])));
    whole.assert_share(&own, 0.9, "whole");
}

/// A stack deeper than a sample holds is marked, and counted in the summary, and so is no other.
#[test]
fn cut_stacks_are_marked() {
    let Some(_turn) = shared() else { return };
    let program = fixture("deep-fp");
    let recording = Recorder::new(["-F", "997", "--", program.to_str().unwrap(), "0.3"]).run();
    let all = Stacks::of(&recording.profile());
    let deep = all.calling(&["bottom", "descend"]);
    deep.assert_share(&all, 0.8, "deep");
    assert_eq!(
        deep.filter(Sample::is_cut).count(),
        deep.count(),
        "{}",
        deep.text()
    );
    let too_deep = deep.labelled("truncated", "deeper than the walk goes");
    // In the first moments the copy of the stack ends before.
    too_deep.assert_share(&deep, 0.8, "by their depth");
    let counted = &recording.summary()["stacks_cut"]["deeper than the walk goes"];
    let all_of_them = all.labelled("truncated", "deeper than the walk goes");
    assert_eq!(counted.as_u64(), Some(all_of_them.count()));
}
