//! Numbers, names and addresses as short texts, and words that are looked for in them. A search for an address writes both
//! ends of every connection, so both are done a few bytes at a time.
//!
//! What always holds: a text has [`PADDING`] zeroes behind it at least, so that eight bytes can be read anywhere in it.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Bytes of the longest end: an IPv6 address with an IPv4 part, a colon, a port; and some more.
const ROOM: usize = 56;
/// Bytes that are read at once.
const PADDING: usize = 8;

/// Every octet to base ten.
const OCTETS: [[u8; 3]; 256] = {
    let mut octets = [[0; 3]; 256];
    let mut n = 0u8;
    loop {
        octets[n as usize] = [b'0' + n / 100, b'0' + n / 10 % 10, b'0' + n % 10];
        if n == u8::MAX {
            break;
        }
        n += 1;
    }
    octets
};

/// A short text.
#[derive(Clone, Debug)]
pub(super) struct Text {
    bytes: [u8; ROOM + PADDING],
    len: usize,
}

/// A word to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needle {
    bytes: Vec<u8>,
    /// Its first eight bytes or all of it, and which of the eight there are.
    head: u64,
    mask: u64,
}

impl Text {
    const EMPTY: Self = Self { bytes: [0; ROOM + PADDING], len: 0 };

    /// An address.
    pub(super) fn address(address: IpAddr) -> Self {
        let mut text = Self::EMPTY;
        match address {
            IpAddr::V4(ip) => text.push_v4(ip),
            IpAddr::V6(ip) => text.push_v6(ip),
        }
        text
    }

    /// `ADDRESS:PORT`, an IPv6 address without brackets.
    pub(super) fn end(end: SocketAddr) -> Self {
        let mut text = Self::address(end.ip());
        text.push(b":");
        text.push_port(end.port());
        text
    }

    /// A number.
    pub(super) fn number(number: u32) -> Self {
        let mut text = Self::EMPTY;
        let mut digits = [0; 10];
        let (mut left, mut first) = (number, digits.len());
        while left > 0 || first == digits.len() {
            first -= 1;
            digits[first] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        text.push(&digits[first..]);
        text
    }

    /// A name in lower case.
    pub(super) fn lower(name: &[u8]) -> Self {
        let mut text = Self::EMPTY;
        text.push(&name[..name.len().min(ROOM)]);
        text.bytes.make_ascii_lowercase();
        text
    }

    /// Whether a word is in it.
    pub(super) fn has(&self, word: &Needle) -> bool {
        let Some(last) = self.len.checked_sub(word.bytes.len()) else { return false };
        (0..=last).any(|at| {
            let eight = self.bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
            eight & word.mask == word.head && self.bytes[at..].starts_with(&word.bytes)
        })
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// The `count` last of eight bytes.
    fn push_last(&mut self, eight: [u8; 8], count: usize) {
        let first = u64::from_le_bytes(eight) >> (8 * (8 - count));
        if let Some(place) = self.bytes[self.len..].first_chunk_mut() {
            *place = first.to_le_bytes();
            self.len = (self.len + count).min(ROOM);
        }
    }

    fn format(&mut self, value: impl std::fmt::Display) {
        let mut rest = &mut self.bytes[self.len..ROOM];
        let before = rest.len();
        let written = write!(rest, "{value}");
        debug_assert!(written.is_ok(), "there is room for every address and number");
        self.len += before - rest.len();
    }

    fn push_port(&mut self, port: u16) {
        let digit = |unit: u16| b'0' + (port / unit % 10) as u8;
        let count = 1 + [10, 100, 1_000, 10_000].into_iter().filter(|&unit| port >= unit).count();
        self.push_last([0, 0, 0, digit(10_000), digit(1_000), digit(100), digit(10), digit(1)], count);
    }

    fn push_v4(&mut self, ip: Ipv4Addr) {
        for (n, octet) in ip.octets().into_iter().enumerate() {
            let digits = 1 + usize::from(octet >= 10) + usize::from(octet >= 100);
            let [hundreds, tens, ones] = OCTETS[usize::from(octet)];
            let mut last = [b'.', b'.', b'.', b'.', b'.', hundreds, tens, ones];
            last[7 - digits] = b'.';
            self.push_last(last, digits + usize::from(n > 0));
        }
    }

    /// As RFC 5952 says: no leading zeros, the first longest run of two zeros or more as `::`.
    fn push_v6(&mut self, ip: Ipv6Addr) {
        let groups = ip.segments();
        if groups[..5] == [0; 5] {
            // Rare, and it may have an IPv4 part.
            return self.format(ip);
        }
        let (begin, end) = longest_zeros(&groups);
        for (n, &group) in groups.iter().enumerate() {
            if n == begin && end > begin {
                self.push(b"::");
            }
            if (begin..end).contains(&n) {
                continue;
            }
            let digit = |n: u16| b"0123456789abcdef"[usize::from(group >> (4 * n)) & 15];
            let digits = 1 + [0x10, 0x100, 0x1000].into_iter().filter(|&unit| group >= unit).count();
            let colon = usize::from(n > 0 && (n != end || begin == end));
            let mut last = [b':', b':', b':', b':', digit(3), digit(2), digit(1), digit(0)];
            last[7 - digits] = b':';
            self.push_last(last, digits + colon);
        }
    }
}

impl Needle {
    /// A word that is in lower case.
    pub(super) fn new(word: &[u8]) -> Self {
        let eight = |byte: &dyn Fn(u8) -> u8| -> u64 {
            u64::from_le_bytes(std::array::from_fn(|n| word.get(n).copied().map_or(0, byte)))
        };
        Self { bytes: word.to_vec(), head: eight(&|byte| byte), mask: eight(&|_| u8::MAX) }
    }
}

/// The first longest run of two zeros or more; an empty one if there is none.
fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let (mut longest, mut begin) = ((0, 0), 0);
    for (n, &group) in groups.iter().enumerate() {
        if group != 0 {
            begin = n + 1;
        } else if n + 1 - begin > (longest.1 - longest.0).max(1) {
            longest = (begin, n + 1);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &Text) -> &str {
        str::from_utf8(&text.bytes[..text.len]).unwrap()
    }

    #[test]
    fn ends_are_written_as_they_are_shown() {
        for end in ["0.0.0.0:0", "10.200.3.255:65535", "127.0.0.1:1024", "9.99.100.1:9", "1.2.3.4:10000"] {
            assert_eq!(written(&Text::end(end.parse().unwrap())), end);
        }
    }

    #[test]
    fn every_pattern_of_zeros_is_written_as_the_standard_library_does() {
        for zeros in 0..=u8::MAX {
            for value in [1, 0xa0, 0xfff, 0xffff] {
                let groups: [u16; 8] = std::array::from_fn(|n| if zeros >> n & 1 == 1 { 0 } else { value });
                let ip = Ipv6Addr::from(groups);
                let text = Text::end(SocketAddr::new(ip.into(), 44_443));
                assert_eq!(written(&text), format!("{ip}:44443"));
            }
        }
        let mapped: Ipv6Addr = "::ffff:255.255.255.255".parse().unwrap();
        assert_eq!(written(&Text::end(SocketAddr::new(mapped.into(), 1))), "::ffff:255.255.255.255:1");
    }

    #[test]
    fn a_word_is_found_wherever_it_begins() {
        let text = Text::lower(b"Worker-A-of-many");
        assert_eq!(written(&text), "worker-a-of-many");
        for word in ["worker-a-of-many", "w", "y", "many", "worker-a", "orker-a-o", ""] {
            assert!(text.has(&Needle::new(word.as_bytes())), "{word}");
        }
        for word in ["worker-a-of-many-", "x", "manx", "worker-b", "orker-a-x", "y\0"] {
            assert!(!text.has(&Needle::new(word.as_bytes())), "{word}");
        }
        assert!(!Text::EMPTY.has(&Needle::new(b"a")));
        for number in [0, 9, 10, 65_535, u32::MAX] {
            assert_eq!(written(&Text::number(number)), number.to_string());
        }
    }
}
