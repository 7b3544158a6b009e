//! Numbers, times and addresses as short text of a known width.
//!
//! What comes in: values of the model. What goes out: text that needs no more than the stated columns. What always
//! holds: widths are counted in columns of the terminal, not in bytes or characters; what is cut shows an ellipsis;
//! text from outside has been through [`crate::escape`].

use std::net::{IpAddr, SocketAddr};

use tcplife_core::{suspect::Faults, timeline::Age};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const SECOND: u64 = 1_000_000_000;

/// Columns that `text` takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// An age: `12s`, `4m07s`, `3h12m`, `2d04h`; a bracket as `3h12m..3h15m`, `~3h12m` where both ends read the same,
/// `>5m00s` where there is no upper bound.
pub fn age(age: Age) -> String {
    let least = duration(age.min);
    match age.max.map(duration) {
        None => format!(">{least}"),
        Some(_) if age.max == Some(age.min) => least,
        Some(most) if most == least => format!("~{least}"),
        Some(most) => format!("{least}..{most}"),
    }
}

/// Nanoseconds in whole seconds and two units at most, at most 6 columns for less than 100 days.
pub fn duration(ns: u64) -> String {
    let seconds = ns / SECOND;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days}d{:02}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h{:02}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// Nanoseconds in the unit that shows three digits of them: `750ns`, `120µs`, `3.21ms`, `12.3s`; from a minute on as
/// [`duration`]. At most 6 columns for less than 100 days.
pub fn precise(ns: u64) -> String {
    let (unit, name) = match ns {
        0..1_000 => return format!("{ns}ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..SECOND => (1_000_000, "ms"),
        SECOND..60_000_000_000 => (SECOND, "s"),
        _ => return duration(ns),
    };
    let (whole, rest) = (ns / unit, ns % unit);
    match whole {
        0..10 => format!("{whole}.{:02}{name}", rest * 100 / unit),
        10..100 => format!("{whole}.{}{name}", rest * 10 / unit),
        _ => format!("{whole}{name}"),
    }
}

/// A count with its digits in threes: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What is to be fixed: how many sockets leak; where none does, how many are left of connections that are over.
pub fn fault(Faults { leaks, ended }: Faults) -> Option<String> {
    match (leaks, ended) {
        (0, 0) => None,
        (0, ended) => Some(format!("! {} ended", count(ended as u64))),
        (leaks, _) => Some(format!("! {} leaked", count(leaks as u64))),
    }
}

/// A count in 5 columns at most: `9,999`, `12.3k`, `1.20M`, `123M`.
pub fn short_count(number: u64) -> String {
    let (unit, name) = match number {
        0..10_000 => return count(number),
        10_000..1_000_000 => (1_000, 'k'),
        1_000_000..1_000_000_000 => (1_000_000, 'M'),
        _ => (1_000_000_000, 'G'),
    };
    scaled(number, unit, name)
}

/// Bytes: `999 B`, `12.3 kB`, `1.20 GB`.
pub fn bytes(number: u64) -> String {
    let (unit, name) = match number {
        0..1_000 => return format!("{number} B"),
        1_000..1_000_000 => (1_000, " kB"),
        1_000_000..1_000_000_000 => (1_000_000, " MB"),
        _ => (1_000_000_000, " GB"),
    };
    scaled(number, unit, name)
}

/// Three digits of `number / unit`, rounded down.
fn scaled(number: u64, unit: u64, name: impl std::fmt::Display) -> String {
    let (whole, rest) = (number / unit, u128::from(number % unit));
    match whole {
        0..10 => format!("{whole}.{:02}{name}", rest * 100 / u128::from(unit)),
        10..100 => format!("{whole}.{}{name}", rest * 10 / u128::from(unit)),
        _ => format!("{whole}{name}"),
    }
}

/// The first `width` columns of `text`; where something is missing, the last column is an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    match width.checked_sub(1) {
        None => String::new(),
        Some(room) => format!("{}…", head(text, room)),
    }
}

/// The first words of `text` that fit in `width` columns, and an ellipsis where something is missing.
pub fn cut_words(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let begin = head(text, width.saturating_sub(2));
    begin.rsplit_once(' ').map_or_else(String::new, |(words, _)| format!("{words} …"))
}

/// As much of the begin of `text` as fits in `width` columns.
fn head(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        used += c.width().unwrap_or(0);
        (used > width).then_some(at)
    });
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// One end of a connection: `10.0.0.1:80`, `[::1]:80`; a port that is not known yet as `-`, nothing at all as `*`.
pub fn address(address: SocketAddr) -> String {
    match (address.ip(), address.port()) {
        (ip, 0) if ip.is_unspecified() => "*".to_owned(),
        (IpAddr::V4(ip), 0) => format!("{ip}:-"),
        (IpAddr::V6(ip), 0) => format!("[{ip}]:-"),
        _ => address.to_string(),
    }
}

/// [`address`] in `width` columns: where it does not fit, the middle of the IP address gives way and the port stays.
pub fn fit_address(end: SocketAddr, width: usize) -> String {
    let text = address(end);
    let (Some(over), Some(colon)) = (text.len().checked_sub(width), text.rfind(':')) else { return text };
    if over == 0 {
        return text;
    }
    // The bracket belongs to the port: what is cut is between the first and the last digits of the address.
    let tail_at = if end.is_ipv6() { colon.saturating_sub(1) } else { colon };
    let (ip, port) = text.split_at(tail_at);
    let Some(room) = ip.len().checked_sub(over + 1).filter(|&room| room >= 2) else {
        return cut(&text, width);
    };
    let front = room.div_ceil(2);
    format!("{}…{}{port}", &ip[..front], &ip[ip.len() - (room - front)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;

    #[test]
    fn a_text_is_cut_between_words() {
        for (width, text) in
            [(20, "one two three"), (13, "one two three"), (12, "one two …"), (5, ""), (0, "")]
        {
            assert_eq!(cut_words("one two three", width), text, "{width}");
        }
    }

    #[test]
    fn an_age_is_two_units_at_most() {
        for (ns, text) in [
            (0, "0s"),
            (999_999_999, "0s"),
            (59 * SECOND, "59s"),
            (60 * SECOND, "1m00s"),
            (59 * MINUTE + 59 * SECOND, "59m59s"),
            (3 * HOUR + 12 * MINUTE, "3h12m"),
            (52 * HOUR, "2d04h"),
        ] {
            assert_eq!(duration(ns), text);
            assert!(columns(text) <= 6);
        }
    }

    #[test]
    fn a_bracket_shows_what_is_not_known() {
        let of = |min, max| age(Age { min, max });
        assert_eq!(of(HOUR, Some(HOUR)), "1h00m");
        assert_eq!(of(192 * MINUTE, Some(195 * MINUTE)), "3h12m..3h15m");
        assert_eq!(of(192 * MINUTE, Some(192 * MINUTE + 1)), "~3h12m");
        assert_eq!(of(5 * MINUTE, None), ">5m00s");
    }

    #[test]
    fn a_stay_shows_three_digits() {
        for (ns, text) in [
            (7, "7ns"),
            (120_456, "120µs"),
            (12_345, "12.3µs"),
            (3_210_999, "3.21ms"),
            (999_999_999, "999ms"),
            (1_050_000_000, "1.05s"),
            (59_990_000_000, "59.9s"),
            (3 * HOUR, "3h00m"),
        ] {
            assert_eq!(precise(ns), text);
            assert!(columns(text) <= 6);
        }
    }

    #[test]
    fn counts_are_grouped_or_scaled() {
        assert_eq!(count(0), "0");
        assert_eq!(count(123), "123");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(short_count(9_999), "9,999");
        assert_eq!(short_count(12_345), "12.3k");
        assert_eq!(short_count(1_204_000), "1.20M");
        assert!(columns(&short_count(u64::MAX)) < 16);
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(12_345), "12.3 kB");
        assert_eq!(bytes(u64::MAX), "18446744073 GB");
    }

    #[test]
    fn cut_counts_columns() {
        assert_eq!(cut("nginx", 5), "nginx");
        assert_eq!(cut("nginx", 4), "ngi…");
        assert_eq!(cut("服务器", 6), "服务器");
        assert_eq!(cut("服务器", 5), "服务…");
        assert_eq!(cut("服务器", 4), "服…");
        assert_eq!(cut("nginx", 0), "");
    }

    #[test]
    fn an_address_gives_way_in_the_middle_and_keeps_its_port() {
        let v6: SocketAddr = "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535".parse().unwrap();
        assert_eq!(fit_address(v6, 60), "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535");
        assert_eq!(fit_address(v6, 20), "[2001:…4:5678]:65535");
        for width in 11..46 {
            let text = fit_address(v6, width);
            assert_eq!(columns(&text), width, "{text}");
            assert!(text.ends_with("]:65535"), "{text}");
        }
        let v4: SocketAddr = "192.168.100.100:443".parse().unwrap();
        assert_eq!(fit_address(v4, 19), "192.168.100.100:443");
        assert_eq!(fit_address(v4, 15), "192.1…0.100:443");
        for width in 0..19 {
            assert!(columns(&fit_address(v4, width)) <= width);
        }
    }

    #[test]
    fn what_is_not_known_of_an_address_is_not_zero() {
        assert_eq!(address("0.0.0.0:0".parse().unwrap()), "*");
        assert_eq!(address("10.0.0.1:0".parse().unwrap()), "10.0.0.1:-");
        assert_eq!(address("[::]:80".parse().unwrap()), "[::]:80");
    }
}
