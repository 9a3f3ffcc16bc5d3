//! The names of windows on disk: what is known of a window without reading it, sorted by time as they are sorted as text.
//!
//! `20261125T045900.123Z-60.000s-1234[-PROGRAM][~N].pb.gz`: beginning, duration, samples, program, and a number where windows
//! would have the same name otherwise. All of it can stand in a URL and in a shell as it is.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What every name ends with.
const SUFFIX: &str = ".pb.gz";
/// The most bytes of a program's name in that of a file; file systems take 255 in all.
const PROGRAM_BYTES: usize = 160;
/// The last second that a year of four digits can say, since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// What a name says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Parts {
    pub(super) started_at: SystemTime,
    pub(super) duration: Duration,
    pub(super) samples: u64,
    pub(super) program: Option<Arc<str>>,
}

/// The name for `parts`, the `number`th of those that would be the same.
pub(super) fn format(parts: &Parts, number: u32) -> String {
    let since = parts.started_at.duration_since(UNIX_EPOCH);
    let since = since
        .unwrap_or_default()
        .min(Duration::from_secs(LAST_SECOND));
    let mut name = humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string();
    name.retain(|sign| sign != '-' && sign != ':');
    let millis = parts.duration.as_millis();
    let (seconds, rest) = (millis / 1000, millis % 1000);
    // Writing to a string does not fail.
    let _ = write!(name, "-{seconds}.{rest:03}s-{}", parts.samples);
    if let Some(program) = &parts.program {
        name.push('-');
        name.push_str(&escape(program));
    }
    if number > 1 {
        let _ = write!(name, "~{number}");
    }
    name.push_str(SUFFIX);
    name
}

/// What `name` says, if it is one that [`format`] makes.
pub(super) fn parse(name: &str) -> Option<Parts> {
    let body = name.strip_suffix(SUFFIX)?;
    let (body, number) = match body.split_once('~') {
        Some((body, number)) => (body, number.parse().ok().filter(|number| *number > 1)?),
        None => (body, 1),
    };
    let mut fields = body.splitn(4, '-');
    let started_at = time(fields.next()?)?;
    let (seconds, millis) = fields.next()?.strip_suffix('s')?.split_once('.')?;
    let seconds = Duration::from_secs(seconds.parse().ok()?);
    let duration = seconds.checked_add(Duration::from_millis(millis.parse().ok()?))?;
    let parts = Parts {
        started_at,
        duration,
        samples: fields.next()?.parse().ok()?,
        program: match fields.next() {
            Some(program) => Some(unescape(program)?.into()),
            None => None,
        },
    };
    // What would be written otherwise, like `+1` for a number, is somebody else's.
    (format(&parts, number) == name).then_some(parts)
}

/// `20261125T045900.123Z` as a time.
fn time(text: &str) -> Option<SystemTime> {
    if !text.is_ascii() || text.len() != 20 {
        return None;
    }
    let (date, time) = text.split_once('T')?;
    if date.len() != 8 {
        return None;
    }
    let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
    let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..]);
    humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}")).ok()
}

/// Letters, digits, `_`, `.` and `-` as they are, all else as `=` and two digits for each byte; long names are cut.
fn escape(program: &str) -> String {
    let mut escaped = String::new();
    for sign in program.chars() {
        let mut bytes = [0; 4];
        let bytes = sign.encode_utf8(&mut bytes);
        let plain = sign.is_ascii_alphanumeric() || matches!(sign, '_' | '.' | '-');
        let length = if plain { 1 } else { 3 * bytes.len() };
        if escaped.len() + length > PROGRAM_BYTES {
            break;
        }
        if plain {
            escaped.push(sign);
            continue;
        }
        for byte in bytes.bytes() {
            let _ = write!(escaped, "={byte:02X}");
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'=' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(program: Option<&str>) -> Parts {
        Parts {
            started_at: UNIX_EPOCH + Duration::from_millis(1_795_582_740_123),
            duration: Duration::from_millis(60_007),
            samples: 1234,
            program: program.map(Arc::from),
        }
    }

    /// A name says all of a window, and reads as people expect.
    #[test]
    fn names_say_what_a_window_is_of() {
        let plain = format(&parts(None), 1);
        assert_eq!(plain, "20261125T045900.123Z-60.007s-1234.pb.gz");
        assert_eq!(parse(&plain), Some(parts(None)));
        let second = format(&parts(Some("x")), 2);
        assert_eq!(second, "20261125T045900.123Z-60.007s-1234-x~2.pb.gz");
        assert_eq!(parse(&second), Some(parts(Some("x"))));
    }

    /// No name of a program leaves the directory or is taken for something else, and all are read back.
    #[test]
    fn programs_with_awkward_names() {
        for program in [
            "",
            "..",
            "../../etc/passwd",
            "a-b-c",
            "~2",
            "x.pb.gz",
            "=2F",
            "%2F",
            "a b\n",
            "\0",
            "größe",
            "-1",
        ] {
            let name = format(&parts(Some(program)), 1);
            assert!(!name.contains(['/', '\0', '\n', '%', ' ']), "{name}");
            assert_eq!(parse(&name), Some(parts(Some(program))), "{name}");
        }
        let long = format(&parts(Some(&"ö".repeat(400))), 4_000_000_000);
        assert!(long.len() <= 255);
        assert!(parse(&long).unwrap().program.unwrap().starts_with("öö"));
    }

    /// Times that the format cannot say are the nearest that it can.
    #[test]
    fn times_out_of_range() {
        let before = Parts {
            started_at: UNIX_EPOCH - Duration::from_secs(1),
            ..parts(None)
        };
        assert!(format(&before, 1).starts_with("19700101T000000.000Z-"));
        let after = Parts {
            started_at: UNIX_EPOCH + Duration::from_secs(1 << 40),
            ..parts(None)
        };
        let name = format(&after, 1);
        assert!(name.starts_with("99991231T235959.000Z-"), "{name}");
        assert!(parse(&name).is_some());
    }

    /// Names of others are known as such.
    #[test]
    fn names_of_others() {
        let good = "20261125T045900.123Z-60.007s-1234";
        assert!(parse(&format!("{good}.pb.gz")).is_some());
        for name in [
            "",
            ".pb.gz",
            "cpu.pb.gz",
            "20261125T045900.123Z.pb.gz",
            "20261325T045900.123Z-60.007s-1.pb.gz",
            "20261125T045900.123Z-60.7s-1.pb.gz",
            "20261125T045900.123Z-60.007s-+1.pb.gz",
            "2026é125T04590.123Z-60.007s-1.pb.gz",
            "20261125T045900.123Z-60.007s-99999999999999999999.pb.gz",
            "T-60.007s-1.pb.gz",
            "20261125T0é900.123Z-60.007s-1.pb.gz",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
        for end in [
            "",
            ".pb",
            ".pb.gz.damaged",
            "~1.pb.gz",
            "~02.pb.gz",
            "-=2f.pb.gz",
            "-=F.pb.gz",
            "-=FF.pb.gz",
            "-a/b.pb.gz",
            "-a b.pb.gz",
        ] {
            assert_eq!(parse(&format!("{good}{end}")), None, "{end}");
        }
    }
}
