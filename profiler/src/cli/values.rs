//! Values as people type them and read them: durations, frequencies, sizes.

use std::time::Duration;

use regex::bytes::Regex;

/// Highest frequency that makes sense: one sample per microsecond. The kernel's own limit is lower, and checked
/// when it is known which kernel that is.
const HIGHEST_FREQUENCY: u32 = 1_000_000;

/// A time with its unit, as in `5s`, `500ms`, `2m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(duration)
}

/// Samples per second.
pub(super) fn frequency(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(hz) if hz > HIGHEST_FREQUENCY => Err(format!("must be at most {HIGHEST_FREQUENCY}")),
        Ok(hz) => Ok(hz),
        Err(error) => Err(error.to_string()),
    }
}

/// A regular expression for names of processes, which need not be text.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    // What is wrong with it takes several lines, with a mark below the place.
    Regex::new(text).map_err(|error| format!("no regular expression: {error}"))
}

/// A number of bytes for people: `823 B`, `12.3 KiB`, `4.0 MiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time for people: `0.25 s`, `12.3 s`, `4 m 05 s`.
pub(super) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        let whole = duration.as_secs();
        format!("{} m {:02} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes and times keep two or three digits that mean something.
    #[test]
    fn for_people() {
        assert_eq!(bytes(823), "823 B");
        assert_eq!(bytes(12_600), "12.3 KiB");
        assert_eq!(bytes(4 << 20), "4.0 MiB");
        assert_eq!(seconds(Duration::from_millis(250)), "0.25 s");
        assert_eq!(seconds(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(seconds(Duration::from_secs(245)), "4 m 05 s");
    }
}
