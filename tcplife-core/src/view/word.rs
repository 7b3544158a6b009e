//! A plain word of a search: whether it is in anything that a row shows.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
};

use super::{
    search::Subject,
    short_text::{Needle, Text},
};
use crate::{filter::StateSet, state::State};

/// A word as typed, and where it can be at all.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// In lower case.
    needle: Needle,
    /// The states that have it in their name.
    states: StateSet,
    /// Whether it can be in a number.
    in_number: bool,
    /// Whether it can be in an IPv4 address.
    in_v4: bool,
    /// Whether it can be in an IPv6 address that has no IPv4 address in it.
    in_v6: bool,
    /// What is around its last colon; `None` if it has none, or what no end has.
    colon: Option<Colon>,
    /// The local address that was looked at last: most connections of a host have the same.
    last: Cell<Option<(IpAddr, bool)>>,
}

impl Word {
    pub(super) fn new(typed: &str) -> Self {
        let word = typed.to_ascii_lowercase();
        let has_only = |also: &str| word.chars().all(|c| c.is_ascii_digit() || also.contains(c));
        Self {
            states: State::ALL.into_iter().filter(|state| state.lower().contains(&word)).collect(),
            in_number: has_only(""),
            in_v4: has_only("."),
            in_v6: has_only("abcdef:"),
            colon: word.rsplit_once(':').filter(|_| has_only("abcdef:.")).map(Colon::new),
            needle: Needle::new(word.as_bytes()),
            last: Cell::new(None),
        }
    }

    /// Whether it is in the state, the owner's name or pid, one of the ends or the namespace.
    pub(super) fn is_in(&self, subject: &Subject) -> bool {
        let process = subject.owner.map(|owner| owner.process);
        self.states.intersects(subject.states)
            || process.is_some_and(|process| {
                Text::lower(process.comm_bytes()).has(&self.needle) || self.is_in_number(process.pid)
            })
            || self.is_in_remote(subject.remote)
            || self.is_in_local(subject.local)
            || self.is_in_number(subject.netns)
    }

    fn is_in_number(&self, number: u32) -> bool {
        self.in_number && Text::number(number).has(&self.needle)
    }

    fn is_in_remote(&self, end: SocketAddr) -> bool {
        match &self.colon {
            Some(colon) => self.is_across(colon, end),
            None => self.is_in_address(end.ip()) || self.is_in_number(end.port().into()),
        }
    }

    fn is_in_local(&self, end: SocketAddr) -> bool {
        if let Some(colon) = &self.colon {
            return self.is_across(colon, end);
        }
        let is_in = match self.last.get() {
            Some((last, is_in)) if last == end.ip() => is_in,
            _ => self.is_in_address(end.ip()),
        };
        self.last.set(Some((end.ip(), is_in)));
        is_in || self.is_in_number(end.port().into())
    }

    fn is_in_address(&self, address: IpAddr) -> bool {
        let can_be = match address {
            IpAddr::V4(_) => self.in_v4,
            IpAddr::V6(ip) => self.in_v6 || has_v4(ip),
        };
        can_be && Text::address(address).has(&self.needle)
    }

    /// Whether a word with a colon is in an end. Writing an address is most of the work, so it is done only where the
    /// numbers around a colon are such.
    fn is_across(&self, colon: &Colon, end: SocketAddr) -> bool {
        let may_be = colon.joins(end) || matches!(end.ip(), IpAddr::V6(ip) if colon.is_in(ip));
        may_be && Text::end(end).has(&self.needle)
    }
}

/// The digits around the last colon of a word, which is the one before the port, or one in an IPv6 address.
#[derive(Clone, Debug)]
struct Colon {
    /// Octets that end with the digits before it.
    octets: Vec<u8>,
    /// Groups of an IPv6 address that end with them: `None` for any, otherwise how many values their last digits have, and
    /// the value.
    last_group: Option<(u32, u32)>,
    /// Ports that begin with the digits behind it.
    ports: Vec<RangeInclusive<u16>>,
    /// Groups that do.
    groups: Vec<RangeInclusive<u16>>,
}

impl Colon {
    fn new((before, behind): (&str, &str)) -> Self {
        let last = before.rsplit([':', '.']).next().unwrap_or(before);
        let digits = u32::try_from(last.len()).unwrap_or(u32::MAX);
        let value = u16::from_str_radix(last, 16).ok().filter(|_| digits <= 4);
        Self {
            octets: (0..=u8::MAX).filter(|octet| octet.to_string().ends_with(last)).collect(),
            last_group: value.map(|value| (1 << (4 * digits), value.into())),
            ports: beginning(behind, 10),
            groups: beginning(behind, 16),
        }
    }

    /// Whether it may be the one between an address and a port.
    fn joins(&self, end: SocketAddr) -> bool {
        self.ports.iter().any(|ports| ports.contains(&end.port()))
            && match end.ip() {
                IpAddr::V4(ip) => self.octets.contains(&ip.octets()[3]),
                IpAddr::V6(ip) => {
                    let group = u32::from(ip.segments()[7]);
                    has_v4(ip) || self.last_group.is_none_or(|(values, value)| group % values == value)
                }
            }
    }

    /// Whether it may be one in an IPv6 address.
    fn is_in(&self, ip: Ipv6Addr) -> bool {
        let groups = ip.segments();
        has_v4(ip) || self.groups.iter().any(|range| groups.iter().any(|group| range.contains(group)))
    }
}

/// The numbers that begin with these digits, written to a base.
fn beginning(digits: &str, base: u32) -> Vec<RangeInclusive<u16>> {
    if digits.is_empty() {
        return vec![0..=u16::MAX];
    }
    let Some(number) =
        u16::from_str_radix(digits, base).ok().filter(|_| digits == "0" || !digits.starts_with('0'))
    else {
        return Vec::new();
    };
    // Then those of one digit more, and so on.
    let longer = std::iter::successors(Some((u32::from(number), 1)), |&(first, count)| {
        (first > 0).then_some((first * base, count * base))
    });
    let ranges = longer.map_while(|(first, count)| {
        let last = u16::try_from(first + count - 1).unwrap_or(u16::MAX);
        Some(u16::try_from(first).ok()?..=last)
    });
    ranges.collect()
}

/// Whether an IPv6 address may be shown with an IPv4 address in it.
fn has_v4(ip: Ipv6Addr) -> bool {
    ip.segments()[..5] == [0; 5]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_known_by_what_they_begin_with() {
        for (base, digits) in
            [(10, "4"), (10, "44"), (10, "65"), (10, "0"), (10, "04"), (10, "a"), (10, "99999"), (10, "")]
                .into_iter()
                .chain([(16, "4"), (16, "a0"), (16, "fff"), (16, "ffff"), (16, "0"), (16, "1.2"), (16, "")])
        {
            let ranges = beginning(digits, base);
            for number in 0..=u16::MAX {
                let text = if base == 10 { format!("{number}") } else { format!("{number:x}") };
                let found = ranges.iter().any(|range| range.contains(&number));
                assert_eq!(found, text.starts_with(digits), "{text} of base {base}, {digits:?}");
            }
        }
    }

    #[test]
    fn a_word_with_a_colon_is_found_as_in_the_whole_text() {
        let ends = [
            "10.0.3.40:443",
            "127.0.0.1:44",
            "[fd00:ab::fe:0:b:44]:4430",
            "[::1]:8080",
            "[::1.2.3.4]:80",
            "[2001:db8::]:1",
        ];
        let words = [
            "0:44",
            "1:4",
            ":443",
            "0:",
            ":",
            "::",
            "::1",
            "b:44",
            "44:4",
            "fe:0:b",
            "1.2.3.4:8",
            "4:80",
            "8::",
            ":9",
            "0:04",
        ];
        for end in ends {
            let end: SocketAddr = end.parse().unwrap();
            let text = format!("{}:{}", end.ip(), end.port());
            for typed in words {
                let word = Word::new(typed);
                assert_eq!(word.is_in_remote(end), text.contains(typed), "{typed} in {text}");
                assert_eq!(word.is_in_local(end), text.contains(typed), "{typed} in {text}");
            }
        }
    }
}
