//! The walk in the kernel and the walk in user space are the same walk.

use crate::harness::{Recorder, Target, shared};

/// Thousands of stacks of programs in four languages, each walked in the kernel and from a copy of the same stack: no
/// difference, whichever of the kernel's two walks it is.
#[test]
fn kernel_and_user_space_agree() {
    let Some(_turn) = shared() else { return };
    let mut whole = 0;
    let programs = [
        "threads",
        "spin-nopie",
        "phases-cpp",
        "phases-rust",
        "phases-go-current",
        "kernelwork",
        "vdso-fp",
    ];
    for program in programs {
        for with_loop in ["true", "false"] {
            let target = Target::waiting(program, "0.5");
            let pid = target.pid.to_string();
            let arguments = ["-p", &pid, "-F", "1999", "--check-walks"];
            let recorder = Recorder::new([&arguments[..], &["--bpf-loop", with_loop]].concat());
            let (recording, _) = recorder.run_over(target);
            recording.profile();
            let [same, cut, different] = checked(&recording.summary()["notes"]);
            assert_eq!(different, 0, "{program}: {}", recording.stderr);
            // Go's goroutines have stacks of their own, from which the thread's is out of reach.
            assert!(same > 4 * cut || program.contains("go"), "{program}");
            whole += same;
        }
    }
    assert!(whole > 3000, "{whole}");
}

/// The three numbers of the sentence on checked walks.
fn checked(notes: &serde_json::Value) -> [u64; 3] {
    let notes = notes.as_array().expect("a list of notes");
    let note = notes.iter().filter_map(|note| note.as_str());
    let note = note.filter(|note| note.contains("walks were checked"));
    let note = note.collect::<String>();
    let numbers = note.split(|letter: char| !letter.is_ascii_digit());
    let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
    let [_, same, cut, different] = numbers[..] else {
        panic!("not a note on checked walks: {note:?}");
    };
    [same, cut, different]
}
