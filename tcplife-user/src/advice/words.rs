//! Numbers as words for people.
//!
//! What comes in: counts, durations in nanoseconds and ages. What goes out: text. What always holds: of an age that is known
//! between two ends only, both are said.

use std::time::Duration;

use tcplife_core::timeline::Age;

/// `1 byte`, `2 bytes`.
pub fn count(n: impl Into<u64>, what: &str) -> String {
    let n = n.into();
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The two largest units of a duration in nanoseconds, such as `2h 3m`, `41s`, `1.3s` or `250ms`.
pub fn duration(ns: u64) -> String {
    let duration = Duration::from_nanos(ns);
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..10 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// An age: `41s`, `30s to 41s`, `at least 30s`.
pub fn age(age: Age) -> String {
    let min = duration(age.min);
    match age.max.map(duration) {
        Some(max) if max == min => min,
        Some(max) => format!("{min} to {max}"),
        None => format!("at least {min}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let ms = |ms: u64| duration(ms * 1_000_000);
        assert_eq!(ms(0), "0ms");
        assert_eq!(ms(999), "999ms");
        assert_eq!(ms(1_390), "1.3s");
        assert_eq!(ms(41_999), "41s");
        assert_eq!(ms(7_380_000), "2h 3m");
        assert_eq!(ms(90_000_000), "1d 1h");
    }

    #[test]
    fn a_bracket_says_both_ends() {
        let second = 1_000_000_000;
        assert_eq!(age(Age { min: 41 * second, max: Some(41 * second + 5) }), "41s");
        assert_eq!(age(Age { min: 30 * second, max: Some(41 * second) }), "30s to 41s");
        assert_eq!(age(Age { min: 30 * second, max: None }), "at least 30s");
    }
}
