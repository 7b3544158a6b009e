//! The bitmaps by which the kernel side filters ports.

use tcplife_common::settings::PORT_WORDS;

/// One bit for each port.
#[must_use]
pub fn bitmap(contains: impl Fn(u16) -> bool) -> Vec<u64> {
    let mut words = vec![0; PORT_WORDS];
    for port in 0..=u16::MAX {
        if contains(port) {
            words[usize::from(port / 64)] |= 1 << (port % 64);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_has_its_bit() {
        let words = bitmap(|port| port == 0 || port == 443 || port == 65535);
        assert_eq!(words.iter().map(|word| word.count_ones()).sum::<u32>(), 3);
        assert_eq!(words[0], 1);
        assert_eq!(words[443 / 64], 1 << (443 % 64));
        assert_eq!(words[PORT_WORDS - 1], 1 << 63);
    }
}
