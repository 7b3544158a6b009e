//! Values of options: what they may look like, and what is said when they do not.

use std::{num::NonZeroUsize, ops::RangeInclusive, time::Duration};

use tcplife_core::state::State;

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "not a duration such as 250ms, 10s, 5m or 2h".into())
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("nothing can be seen in no time".into()),
        duration => Ok(duration),
    }
}

pub(super) fn refresh(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        short if short < Duration::from_millis(20) => Err("must be 20ms or more".into()),
        duration => Ok(duration),
    }
}

pub(super) fn connections(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "not a number of connections, 1 or more".into())
}

pub(super) fn pid(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err("not a process id".into()),
    }
}

fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|&port| port > 0)
}

pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        (Some(first), Some(last)) => Err(format!("the range is backwards; write {last}-{first}")),
        _ => Err("not a port from 1 to 65535, nor a range such as 8000-8100".into()),
    }
}

pub(super) fn state(text: &str) -> Result<State, String> {
    text.trim().parse().map_err(|unknown: tcplife_core::state::UnknownState| unknown.to_string())
}

pub(super) fn comm(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("empty".into()) } else { Ok(text.to_owned()) }
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "not a size such as 65536, 512K or 8M".to_owned();
    let shift = match text.chars().next_back().map(|c| c.to_ascii_uppercase()) {
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { text.get(..text.len() - 1).ok_or_else(wrong)? };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("512k"), Ok(512 << 10));
        assert_eq!(size("8M"), Ok(8 << 20));
        for wrong in ["", "M", "8MB", "-1", "1.5M", "99999999999G", "8é", "é"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_ports_say_what_is_right() {
        for wrong in ["0", "65536", "http", "80-", "-80", "", "1-2-3"] {
            assert!(ports(wrong).unwrap_err().contains("1 to 65535"), "{wrong}");
        }
        assert!(ports("90-80").unwrap_err().contains("80-90"));
    }
}
