//! When a window is cut, and what happens to what is counted while those before cannot be written.

use std::path::Path;
use std::time::Duration;

use super::status::Status;
use super::writer::Writer;
use crate::pipeline::Recording;

/// Bytes that an open window may have, about, while writing hangs: half an hour of an ordinary machine.
const MOST_BYTES: u64 = 16 << 20;
/// How many windows long an open one has to be until writing is not late, but hangs. Those of a large machine may have more
/// than `MOST_BYTES` each, and are not given up because of one that took its time.
const HANGS: u32 = 8;

/// What becomes of the window that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// It goes on.
    GoOn,
    /// It is handed to the writer.
    Cut,
    /// It should be, but the writer is behind, so it goes on.
    Late,
    /// It has been late for so long that there is no more room for it.
    GiveUp,
}

/// What there is to decide on.
#[derive(Clone, Copy, Debug)]
struct Open {
    age: Duration,
    bytes: u64,
    has_room: bool,
}

impl Open {
    fn turn(self, window: Duration) -> Turn {
        if self.age < window {
            Turn::GoOn
        } else if self.has_room {
            Turn::Cut
        } else if self.age >= window.saturating_mul(HANGS) && self.bytes > MOST_BYTES {
            Turn::GiveUp
        } else {
            Turn::Late
        }
    }
}

/// Cuts windows, as long as they can be written.
pub(super) struct Cutter<'a> {
    writer: &'a Writer,
    status: &'a Status,
    /// For messages.
    directory: &'a Path,
    is_late: bool,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(writer: &'a Writer, status: &'a Status, directory: &'a Path) -> Self {
        Self {
            writer,
            status,
            directory,
            is_late: false,
        }
    }

    /// Cuts the open window if it is as long as it is to be; never waits.
    pub(super) fn look(&mut self, recording: &mut Recording, window: Duration) {
        let open = Open {
            age: recording.age(),
            bytes: recording.counted_bytes(),
            has_room: self.writer.has_room(),
        };
        match open.turn(window) {
            Turn::GoOn => {}
            Turn::Cut => {
                self.is_late = false;
                self.writer.write(recording.cut());
            }
            Turn::Late => {
                if !std::mem::replace(&mut self.is_late, true) {
                    log::warn!(
                        "writing takes longer than a window, so this one is longer; nothing is lost"
                    );
                }
            }
            Turn::GiveUp => {
                let counted = recording.cut();
                let summary = counted.summary();
                self.status.gave_up(summary);
                log::error!(
                    "writing to {} hangs: {} samples of {} are lost, because there is no more room in memory; look at the disk",
                    self.directory.display(),
                    summary.samples,
                    humantime::format_duration(Duration::from_secs(summary.elapsed.as_secs()))
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window is cut when it is long enough, waits for the writer, and is given up only when it is both long and large.
    #[test]
    fn windows_are_given_up_last() {
        let (window, large) = (10, MOST_BYTES + 1);
        for (age, bytes, has_room, wanted) in [
            (9, large, true, Turn::GoOn),
            (9, large, false, Turn::GoOn),
            (10, 0, true, Turn::Cut),
            (80, large, true, Turn::Cut),
            (10, large, false, Turn::Late),
            (79, large, false, Turn::Late),
            (8000, MOST_BYTES, false, Turn::Late),
            (80, large, false, Turn::GiveUp),
        ] {
            let age = Duration::from_secs(age);
            let open = Open {
                age,
                bytes,
                has_room,
            };
            assert_eq!(open.turn(Duration::from_secs(window)), wanted, "{open:?}");
        }
    }
}
